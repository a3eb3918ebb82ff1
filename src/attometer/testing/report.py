"""What the referee says: an outcome for each case, and the score as a table."""

from dataclasses import dataclass

from attometer.errors import AttometerError

STATUSES = ("passed", "failed", "unsupported")


@dataclass(frozen=True)
class Outcome:
    """The result of one case of one check."""

    check: str
    case: str
    status: str
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """All outcomes for one function; printing it gives the score table and what failed."""

    name: str
    outcomes: tuple[Outcome, ...]

    @property
    def checks(self) -> tuple[str, ...]:
        """Return the names of the checks, in order."""
        return tuple(dict.fromkeys(o.check for o in self.outcomes))

    def count(self, status: str, check: str | None = None) -> int:
        """Return how many cases have a status, in one check or in all.

        >>> Report("f", (Outcome("values", "square", "passed"),)).count("passed")
        1
        """
        return sum(o.status == status and check in (None, o.check) for o in self.outcomes)

    def raise_if_failed(self) -> None:
        """Raise AttometerError naming the first failure, if there is one."""
        failed = [o for o in self.outcomes if o.status == "failed"]
        if failed:
            first = failed[0]
            raise AttometerError(
                f"{self.name}: {len(failed)} of {len(self.outcomes)} cases failed, "
                f"first {first.check}, {first.case}: {first.detail}"
            )

    def __str__(self) -> str:
        rows = [(c, *(str(self.count(s, c)) for s in STATUSES)) for c in self.checks]
        rows.append(("total", *(str(self.count(s)) for s in STATUSES)))
        wide = max(len(row[0]) for row in rows)
        lines = [f"{self.name}", f"{'check':<{wide}}  passed  failed  unsupported"]
        lines += [f"{name:<{wide}}  {a:>6}  {b:>6}  {c:>11}" for name, a, b, c in rows]
        lines += [f"failed: {o.check}, {o.case}: {o.detail}" for o in self.outcomes if o.status == "failed"]
        return "\n".join(lines)
