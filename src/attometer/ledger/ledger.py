"""The ledger of claims: every table row and checkable statement of the documents, recomputed now."""

from collections import Counter
from dataclasses import dataclass
from io import StringIO
from typing import Any, get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from attometer.errors import unknown
from attometer.ledger import answer_003, article_001, essay_000, io_literature, notes_004, slides_002
from attometer.ledger.claim import Claim, Finding, Source, Verdict, judge

DOCUMENTS = (essay_000, article_001, slides_002, answer_003, notes_004, io_literature)
SOURCES: dict[str, Source] = {document.SOURCE.id: document.SOURCE for document in DOCUMENTS}
VERDICTS: tuple[str, ...] = get_args(Verdict)
_STYLES = {"agrees": "green", "wrong": "bold red", "convention": "yellow"}


@dataclass(frozen=True)
class Ledger:
    """The findings, in the order of the documents. Printing it gives the table with totals by verdict."""

    findings: tuple[Finding, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Number of findings by verdict."""
        return self.totals_of(None)

    def totals_of(self, source: str | None) -> dict[str, int]:
        """Return the number of findings by verdict in one document, or in all (None)."""
        counted = Counter(finding.verdict for finding in self.findings if source in (None, finding.source))
        return {verdict: counted.get(verdict, 0) for verdict in get_args(Verdict)}

    def to_dict(self) -> dict[str, Any]:
        """Return the sources, the totals and the findings as plain values."""
        used = {finding.source for finding in self.findings}
        return {
            "sources": [dict(vars(source)) for key, source in SOURCES.items() if key in used],
            "totals": self.totals,
            "totals_by_source": {source: self.totals_of(source) for source in SOURCES if source in used},
            "claims": [finding.to_dict() for finding in self.findings],
        }

    def __rich__(self) -> Table:
        table = Table(title="claims recomputed", caption=self.summary, show_lines=True, pad_edge=False)
        for name, ratio in (("claim", 5), ("statement", 7), ("printed", 5), ("computed", 8), ("verdict", 2)):
            table.add_column(name, ratio=ratio, overflow="fold")
        for finding in self.findings:
            verdict = f"[{_STYLES[finding.verdict]}]{finding.verdict}[/]"
            where = f"{finding.id}\n[dim]{escape(finding.place)}[/]"
            table.add_row(where, escape(finding.statement), escape(finding.printed), _computed(finding), verdict)
        return table

    @property
    def summary(self) -> str:
        """One line of totals."""
        return f"{len(self.findings)} claims: {_counted(self.totals)}"

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=140, no_color=True)
        console.print(self)
        for source in self.to_dict()["sources"]:
            console.print(f"{source['id']}: {source['author']}, {source['title']}, {source['where']}", markup=False)
            console.print(f"     {_counted(self.totals_of(source['id']))}", markup=False)
        file = console.file
        assert isinstance(file, StringIO)
        return file.getvalue()


def ledger(source: str | None = None, verdict: str | None = None) -> Ledger:
    """Recompute the claims, all of them or those of one document (`"001"`) or verdict (`"wrong"`).

    Returns a Ledger. Raises AttometerError for an unknown document or verdict.

    >>> ledger(source="004").totals["agrees"] > 0
    True
    """
    if source is not None and source not in SOURCES:
        raise unknown("document", source, SOURCES)
    if verdict is not None and verdict not in VERDICTS:
        raise unknown("verdict", verdict, VERDICTS)
    findings = (judge(claim) for claim in all_claims() if source in (None, claim.source))
    return Ledger(tuple(finding for finding in findings if verdict in (None, finding.verdict)))


def all_claims() -> tuple[Claim, ...]:
    """Return every claim, in the order of the documents."""
    return tuple(claim for document in DOCUMENTS for claim in document.claims())


def _counted(totals: dict[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in totals.items())


def _computed(finding: Finding) -> str:
    parts = [finding.ours, finding.otherwise and f"else {finding.otherwise}", finding.why]
    return "\n".join(escape(part) for part in parts if part)
