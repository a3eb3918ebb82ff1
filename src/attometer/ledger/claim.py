"""One claim of a document, and the verdict that follows from computing it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from attometer.ledger.checks import Check

Verdict = Literal["agrees", "wrong", "convention"]


@dataclass(frozen=True)
class Source:
    """A document whose claims are recomputed."""

    id: str
    title: str
    author: str
    where: str


@dataclass(frozen=True)
class Otherwise:
    """The same quantity under another convention: its name, and a function that computes it."""

    convention: str
    value: Callable[[], Any]


@dataclass(frozen=True)
class Claim:
    """What a document says in one place, and how to compute it.

    `ours` computes the value by the document's own convention; `otherwise` under another convention, where the choice
    matters. `why` says what is wrong or what differs.
    """

    id: str
    place: str
    statement: str
    check: Check
    ours: Callable[[], Any]
    otherwise: Otherwise | None = None
    why: str = ""

    @property
    def source(self) -> str:
        """The id of the document."""
        return self.id.split(".", 1)[0]


@dataclass(frozen=True)
class Finding:
    """A claim computed: our value by the document's convention, the verdict, and the value under another convention."""

    id: str
    source: str
    place: str
    statement: str
    printed: str
    ours: str
    verdict: Verdict
    otherwise: str
    why: str

    def to_dict(self) -> dict[str, str]:
        """Return the finding as plain values."""
        return dict(vars(self))


def judge(claim: Claim) -> Finding:
    """Compute a claim and compare.

    `wrong` when our value by the document's own convention differs from the printed one; `convention` when it agrees
    but the value under the other convention does not; `agrees` otherwise.
    """
    value = claim.ours()
    verdict: Verdict = "agrees" if claim.check.holds(value) else "wrong"
    otherwise = ""
    if claim.otherwise is not None:
        other = claim.otherwise.value()
        otherwise = f"{claim.check.show(other)} ({claim.otherwise.convention})"
        if verdict == "agrees" and not claim.check.holds(other):
            verdict = "convention"
    return Finding(
        id=claim.id,
        source=claim.source,
        place=claim.place,
        statement=claim.statement,
        printed=claim.check.printed,
        ours=claim.check.show(value),
        verdict=verdict,
        otherwise=otherwise,
        why=claim.why,
    )
