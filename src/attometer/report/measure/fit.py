"""What measured points say: how time grows with the length, and where one mechanism overtakes another."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Growth:
    """seconds ≈ scale · n^exponent; `residual` is the root mean square of ln(measured / fitted), of `points` lengths.

    With two lengths the line goes through both, so that there is no residual (None).
    """

    exponent: float
    scale: float
    residual: float | None
    points: int


def growth(seconds: Mapping[int, float]) -> Growth | None:
    """Return the least-squares line through ln(seconds) over ln(n), or None for fewer than two lengths.

    Args:
        seconds: times by length.

    Returns:
        The fit.

    >>> fitted = growth({n: 3e-9 * n**2 for n in (512, 1024, 2048)})
    >>> round(fitted.exponent, 6), fitted.residual < 1e-9, fitted.points
    (2.0, True, 3)
    """
    if len(seconds) < 2:
        return None
    xs, ys = [math.log(n) for n in seconds], [math.log(t) for t in seconds.values()]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)
    squares = sum((b - y - slope * (a - x)) ** 2 for a, b in zip(xs, ys, strict=True))
    residual = math.sqrt(squares / len(xs)) if len(xs) > 2 else None
    return Growth(slope, math.exp(y - slope * x), residual, len(xs))


@dataclass(frozen=True)
class Crossing:
    """Between the measured lengths `below` and `above`, times become equal at about `n`; `faster` is faster from there.

    `clear` is True when the ranges of the samples do not overlap at either length.
    """

    faster: str
    below: int
    above: int
    n: float
    clear: bool


@dataclass(frozen=True)
class Range:
    """Median, least and most seconds of one mechanism at one length."""

    median: float
    least: float
    most: float

    def overlaps(self, other: "Range") -> bool:
        """Return whether a sample of one may lie within the other's."""
        return self.least <= other.most and other.least <= self.most


def crossings(one: tuple[str, Mapping[int, Range]], other: tuple[str, Mapping[int, Range]]) -> tuple[Crossing, ...]:
    """Return every place where the medians change order, interpolated on logarithmic axes between measured lengths.

    Args:
        one: a name, and its times by length.
        other: another.

    Returns:
        In order of length; empty when one of them is faster at every length that both have.

    >>> flat, steep = ({n: Range(t, t, t) for n, t in x.items()} for x in ({100: 2.0, 400: 2.0}, {100: 1.0, 400: 4.0}))
    >>> [(c.faster, round(c.n)) for c in crossings(("flat", flat), ("steep", steep))]
    [('flat', 200)]
    """
    shared = sorted(set(one[1]) & set(other[1]))
    found = []
    for below, above in pairwise(shared):
        before, after = (math.log(one[1][n].median / other[1][n].median) for n in (below, above))
        if (before > 0) == (after > 0):
            continue
        share = before / (before - after)
        n = math.exp(math.log(below) + share * math.log(above / below))
        clear = not any(one[1][x].overlaps(other[1][x]) for x in (below, above))
        found.append(Crossing(one[0] if after <= 0 else other[0], below, above, n, clear))
    return tuple(found)
