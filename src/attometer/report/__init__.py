"""What a person reads: tables, one mechanism on a page, comparisons, the claims ledger and figures."""

from attometer.report.compare import Comparison, compare
from attometer.report.crossover import Crossover, crossovers
from attometer.report.show import Shown, show
from attometer.view.table import Table

__all__ = ["Comparison", "Crossover", "Shown", "Table", "compare", "crossovers", "show"]
