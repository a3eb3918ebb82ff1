"""The ledger of claims: every table row and checkable statement of the documents, recomputed now."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, get_args

from attometer.errors import needs, unknown
from attometer.ledger import answer_003, article_001, essay_000, io_literature, notes_004, slides_002
from attometer.ledger.claim import Claim, Finding, Source, Verdict, judge
from attometer.view.report import Block, Report
from attometer.view.table import Table

DOCUMENTS = (essay_000, article_001, slides_002, answer_003, notes_004, io_literature)
SOURCES: dict[str, Source] = {document.SOURCE.id: document.SOURCE for document in DOCUMENTS}
VERDICTS: tuple[str, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Ledger(Report):
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

    def page(self) -> list[Block]:
        """Return the table of findings, and each document with its totals."""
        columns = ("claim", "statement", "printed", "computed", "verdict")
        table = Table("claims recomputed", columns, tuple(map(_row, self.findings)), (self.summary,))
        return [table, "\n".join(self._documents())]

    def text(self, width: int | None = None) -> str:
        """Return the page as text; statements are folded even where the lines may be of any length."""
        return super().text(width or 140)

    def explain(self, name: str) -> str:
        """Return one claim in full: place, statement, what is printed, what is computed, the verdict and why.

        Raises AttometerError for a claim that the ledger does not have.
        """
        found = next((finding for finding in self.findings if finding.id == name), None)
        if found is None:
            raise unknown("claim", name, [finding.id for finding in self.findings])
        return "\n".join(f"{key}: {value}" for key, value in found.to_dict().items() if value)

    def _documents(self) -> Iterator[str]:
        for source in self.to_dict()["sources"]:
            yield f"{source['id']}: {source['author']}, {source['title']}, {source['where']}"
            yield f"     {_counted(self.totals_of(source['id']))}"

    def by_document(self) -> "Totals":
        """Return only how many claims of each document got which verdict."""
        return Totals(self)

    @property
    def summary(self) -> str:
        """One line of totals, and of what could not be recomputed here."""
        left = "" if find_spec("numba") else f"; {needs('the exact optima of matrix products need', 'numba', 'io')}"
        return f"{len(self.findings)} claims: {_counted(self.totals)}{left}"


@dataclass(frozen=True)
class Totals(Report):
    """How many claims of each document agree, are wrong, or follow another convention."""

    ledger: Ledger

    def page(self) -> list[Block]:
        """Return one table, a row per document."""
        sources = self.to_dict()["sources"]
        rows = tuple(
            (s["id"], f"{s['author']}, {s['title']}", *self.ledger.totals_of(s["id"]).values()) for s in sources
        )
        return [Table("claims recomputed", ("source", "document", *VERDICTS), rows, (self.ledger.summary,))]

    def to_dict(self) -> dict[str, Any]:
        """Return the sources and the totals as plain values."""
        return {key: value for key, value in self.ledger.to_dict().items() if key != "claims"}


def ledger(source: str | None = None, verdict: str | None = None) -> Ledger:
    """Recompute the claims, all of them or those of one document (`"001"`) or verdict (`"wrong"`).

    Returns a Ledger. Raises AttometerError for an unknown document or verdict.

    >>> ledger(source="004").totals["agrees"] > 0
    True
    """
    if source is not None:
        source = source.zfill(3) if source.isdecimal() else source.lower()
        if source not in SOURCES:
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


def _row(finding: Finding) -> tuple[str, ...]:
    parts = [finding.ours, finding.otherwise and f"else {finding.otherwise}", finding.why]
    computed = "\n".join(part for part in parts if part)
    return f"{finding.id}\n{finding.place}", finding.statement, finding.printed, computed, finding.verdict
