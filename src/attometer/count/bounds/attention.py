"""Lower bounds on the words that attention moves between a fast memory of M words and slow memory.

A bound is an object that says for which algorithms it holds, whether they may recompute, where it comes from, and its
value at sizes, rounded down. Classes of algorithms, each inside the next one:

- `accumulator`: every entry of O (and of S, in one canonical evaluation) has a single accumulator, as in matrix-product
  kernels; any order, rescaling and recomputation of S allowed.
- `tree`: any summation tree for each inner product, intermediate results stored or not.
- `explicit`: any algorithm that makes every entry of QK^T explicit, fast matrix multiplication included.
- `any`: any algorithm that reads its inputs and writes its outputs.
"""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

from attometer.count.bounds.segments import (
    accumulator_products,
    all_products,
    entry_products,
    least_products,
    lengths,
    matmul_products,
    score_products,
    segments,
    value_products,
)
from attometer.count.traffic.visits import visits
from attometer.errors import AttometerError, positive_int
from attometer.masks import Mask

AlgorithmClass = Literal["accumulator", "tree", "explicit", "any"]
Status = Literal["published", "derived", "remembered"]
CLASSES: tuple[AlgorithmClass, ...] = ("accumulator", "tree", "explicit", "any")


@dataclass(frozen=True)
class BoundSizes:
    """The numbers that a bound needs: `copies` independent problems of `n` stacked query rows and `m` keys.

    `pairs` (query, key) pairs are computed, in `rows` non-empty rows and `columns` non-empty columns; `d` and `e` are
    the head dimensions of Q, K and of V; M is the fast memory in words.
    """

    n: int
    m: int
    d: int
    e: int
    M: int
    pairs: int
    rows: int
    columns: int
    copies: int = 1


def attention_sizes(
    n: int,
    d: int,
    M: int,
    m: int | None = None,
    e: int | None = None,
    mask: Mask | None = None,
    heads: int = 1,
    kv_heads: int | None = None,
    batch: int = 1,
) -> BoundSizes:
    """Return the sizes of attention for the bounds; the query heads that share a key/value head become stacked rows.

    Raises AttometerError for a size that is not a positive integer or heads that do not divide.

    >>> attention_sizes(8, 4, 64, heads=4, kv_heads=2).n
    16
    """
    groups = heads if kv_heads is None else kv_heads
    keys, values = n if m is None else m, d if e is None else e
    named = {"n": n, "m": keys, "d": d, "e": values, "M": M, "heads": heads, "kv_heads": groups, "batch": batch}
    for name, number in named.items():
        positive_int(name, number)
    if heads % groups:
        raise AttometerError(f"kv_heads = {groups} must divide heads = {heads}")
    stack = heads // groups
    pairs, rows, columns = (n * keys, n, keys) if mask is None else _masked(mask, n, keys)
    return BoundSizes(n * stack, keys, d, values, M, pairs * stack, rows * stack, columns, batch * groups)


def _masked(mask: Mask, n: int, m: int) -> tuple[int, int, int]:
    return int(mask.pairs(n, m)), int(mask.rows(n, m)), visits(mask, n, m, n, 1).columns


class _Sizes(Protocol):
    @property
    def pairs(self) -> int: ...


S = TypeVar("S", bound=_Sizes)


@dataclass(frozen=True)
class Bound(Generic[S]):
    """A lower bound on reads plus writes: `value(sizes)` words, for every algorithm of the class `holds_for`.

    `recomputation` says whether algorithms that compute a value more than once are covered.
    """

    name: str
    statement: str
    holds_for: AlgorithmClass
    recomputation: bool
    status: Status
    source: str
    order: str
    formula: Callable[[S], int]

    def value(self, sizes: S) -> int:
        """Return the bound in words, an integer that no algorithm of the class goes below; never negative."""
        return max(0, _valued(self.formula, cast(Hashable, sizes))) if sizes.pairs else 0

    def covers(self, algorithm: AlgorithmClass) -> bool:
        """Return whether the bound holds for algorithms of the class `algorithm`."""
        return CLASSES.index(algorithm) <= CLASSES.index(self.holds_for)

    def __str__(self) -> str:
        return f"{self.name}: {self.statement} [{self.holds_for}; {self.status}; {self.source}]"


@lru_cache(maxsize=4096)
def _valued(formula: Callable[[Any], int], sizes: Hashable) -> int:
    """A formula's value, kept: a bound is asked for once for each class and schedule that it covers."""
    return formula(sizes)


def compulsory(s: BoundSizes) -> int:
    """Return the words of the inputs that matter and of the outputs.

    >>> compulsory(attention_sizes(4, 2, 64))
    32
    """
    return s.copies * (s.rows * (s.d + s.e) + s.columns * (s.d + s.e))


def partition_bound(parts: int, M: int) -> int:
    """Return M (parts - 1): the transfers forced when every 2M-partition has at least `parts` parts (Hong & Kung 1981).

    >>> partition_bound(5, 100)
    400
    """
    return M * (parts - 1)


def largest_part(M: int, d: int) -> int:
    """Return a ceiling of M^2/d + sqrt(2) M^(3/2), the level-1 vertices in one part of a 2M-partition; M >= 8.

    >>> largest_part(64, 8)
    1237
    """
    return -(-M * M // d) + math.isqrt(2 * M**3) + 1


def _hong_kung(s: BoundSizes) -> int:
    total = s.copies * s.pairs * s.d
    return partition_bound(-(-total // largest_part(s.M, s.d)), s.M) if s.M >= 8 else 0


def _simple(s: BoundSizes) -> int:
    """(sqrt 2 - 1) min(P d^2 / M, P d / sqrt M) - M, rounded down through exact rationals."""
    if s.M < 8:
        return 0
    below = Fraction(math.isqrt(2 * 10**24), 10**12) - 1
    root = math.isqrt(s.M) + (math.isqrt(s.M) ** 2 < s.M)
    total = s.copies * s.pairs * s.d
    return math.floor(below * min(Fraction(total * s.d, s.M), Fraction(total, root))) - s.M


def _best(total: int, most: Callable[[int, float], float], M: int, count: int) -> int:
    """Return the strongest of the bounds of segments of several lengths; `most(T, enough)` may stop at `enough` products.

    Lengths near M come first, since they are usually strongest: the others are left once they cannot be stronger.
    """
    found = 0
    for T in sorted(lengths(M, count), key=lambda T: abs(math.log(T / M))):
        found = max(found, segments(total, most(T, least_products(total, T, found)), T))
    return found


def _scores(s: BoundSizes) -> int:
    return _best(s.copies * s.pairs * s.d, lambda T, enough: score_products(s.M, T, s.d, enough), s.M, 25)


def _values(s: BoundSizes) -> int:
    return _best(s.copies * s.pairs * s.e, lambda T, enough: value_products(s.M, T, s.d, s.e, enough), s.M, 7)


def _both(s: BoundSizes) -> int:
    return _best(s.copies * s.pairs * (s.d + s.e), lambda T, enough: all_products(s.M, T, s.d, s.e, enough), s.M, 19)


def _accumulators_of_o(s: BoundSizes) -> int:
    return _best(s.copies * s.pairs * s.e, lambda T, _: accumulator_products(s.M, T, s.d, s.e), s.M, 97)


def _accumulators(s: BoundSizes) -> int:
    total = s.copies * s.pairs * (s.d + s.e)
    return _best(total, lambda T, _: accumulator_products(s.M, T, s.d, s.e), s.M, 97) - s.copies * s.pairs


def _entries(s: BoundSizes) -> int:
    return _best(s.copies * s.pairs, lambda T, _: entry_products(s.M, T, s.d), s.M, 49)


def _entries_published(s: BoundSizes) -> int:
    pairs = s.copies * s.pairs
    return min(pairs // 8, pairs * s.d * s.d // (8 * s.M)) - s.M


def _from_matmul(s: BoundSizes) -> int:
    total = s.copies * s.pairs * s.d
    return _best(total, lambda T, _: matmul_products(s.M, T), s.M, 25) - s.copies * s.pairs


_SAHA_YE = "Saha & Ye 2024, arXiv 2402.07443"
_SEGMENTS = "segments of T transfers; Hong & Kung 1981, Loomis & Whitney 1949"
_READS = "segments of T reads, fresh accumulators counted as reads; Loomis & Whitney 1949"
_LIMITS = "Ω(min(n m d²/M, n m d/√M))"

ATTENTION_BOUNDS: tuple[Bound[BoundSizes], ...] = (
    Bound("compulsory", "every input is read once and every output written once: n d + m d + m e + n e",
          "any", True, "published", "by definition of the model", "Ω((n + m)(d + e))", compulsory),
    Bound("hong-kung partition", "Q ≥ M (P(2M) - 1), with a part of a 2M-partition holding at most M²/d + √2 M^(3/2) "
          "products of QKᵀ", "tree", True, "derived", f"Hong & Kung 1981, Lemma 3.1; {_SAHA_YE}, Lemma 3.3 with its "
          "constants worked out", _LIMITS, _hong_kung),
    Bound("theorem 3.1, explicit", "Q ≥ (√2 - 1) min(n m d²/M, n m d/√M) - M", "tree", True, "derived",
          f"{_SAHA_YE}, Theorem 3.1 with its constant worked out", _LIMITS, _simple),
    Bound("tree, scores", "Q ≥ T (⌈n m d / F₁(T)⌉ - 1) for every T; F₁ bounds the products of QKᵀ in a segment",
          "tree", True, "derived", _SEGMENTS, _LIMITS, _scores),
    Bound("tree, values", "Q ≥ T (⌈n m e / F₃(T)⌉ - 1) for every T; F₃ bounds the products of PV in a segment",
          "tree", True, "derived", _SEGMENTS,
          "2 n m d²/M for M ≫ d²", _values),
    Bound("tree, both products", "Q ≥ T (⌈n m (d + e) / F(T)⌉ - 1) for every T; F bounds the products of both kinds",
          "tree", True, "derived", _SEGMENTS,
          "2√2 n m d/√M for M ≪ d²", _both),
    Bound("matmul inside, small cache", "storing each score when it is first computed turns attention into a matrix "
          "product: Q ≥ Q_MM(n, d, m) - n m", "tree", True, "derived", f"{_SAHA_YE}, Theorem 3.7",
          "√2 n m d/√M for M ≪ d²", _from_matmul),
    Bound("accumulator, outputs", "Q ≥ T (⌈n m e / (G(M+T) + ((M+T)/3)^(3/2))⌉ - 1) for every T", "accumulator", True,
          "derived", _READS,
          "(d + e)² n m / M if e ≤ d, 4 d e n m / M if e > d, for M ≫ d²", _accumulators_of_o),
    Bound("accumulator, both products", "Q ≥ T (⌈n m (d + e) / (G(M+T) + ((M+T)/3)^(3/2))⌉ - 1) - n m for every T",
          "accumulator", True, "derived", _READS,
          "4 n m d/√M - n m for M ≪ d²", _accumulators),
    Bound("entries, published", "Q ≥ min(n m / 8, n m d² / 8M) - M, entries in F_q with q > n", "explicit", True,
          "published", f"{_SAHA_YE}, Theorems 4.4 and 4.8 with the constants of Lemma 4.6", "Ω(min(n m d²/M, n m))",
          _entries_published),
    Bound("entries, refined", "Q ≥ T (⌈n m / (2X + X²/d²)⌉ - 1), X = M + T, for every T; entries in F_q with q > n",
          "explicit", True, "derived", f"{_SAHA_YE}, Section 4, with B ≤ 2m + m²/d² for any B entries",
          "Ω(min(n m d²/M, n m))", _entries),
)  # fmt: skip


def best_bound(
    sizes: BoundSizes, algorithm: AlgorithmClass, bounds: tuple[Bound[BoundSizes], ...] = ATTENTION_BOUNDS
) -> tuple[Bound[BoundSizes], int]:
    """Return the strongest bound that covers algorithms of the class `algorithm`, and its value in words.

    >>> best_bound(attention_sizes(1 << 16, 64, 98304), "accumulator")[0].name
    'accumulator, outputs'
    """
    if algorithm not in CLASSES:
        raise AttometerError(f'unknown class of algorithms "{algorithm}"; known: {", ".join(CLASSES)}')
    values = [(bound.value(sizes), bound) for bound in bounds if bound.covers(algorithm)]
    words, bound = max(values, key=lambda pair: pair[0])
    return bound, words
