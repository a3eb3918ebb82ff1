"""The explorer page: one HTML file that computes plans from the same compiled formulas as Python.

Hand-written HTML, CSS and one plain script, put together by Python: nothing is built, and `pip install` needs no Node.
"""

from attometer.report.page.assemble import page, write_page
from attometer.report.page.opened import PLAN_FLAGS, open_page

__all__ = ["PLAN_FLAGS", "open_page", "page", "write_page"]
