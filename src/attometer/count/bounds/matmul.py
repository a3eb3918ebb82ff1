"""Lower bounds on the words that a matrix product C = A B moves, with what each constant was proven for."""

import math
from dataclasses import dataclass

from attometer.count.bounds.attention import Bound
from attometer.count.bounds.segments import lengths, matmul_products, segments
from attometer.errors import AttometerError


@dataclass(frozen=True)
class MatmulSizes:
    """A is m × k, B is k × n, C is m × n; M is the fast memory in words."""

    m: int
    n: int
    k: int
    M: int

    @property
    def pairs(self) -> int:
        """Entries of C."""
        return self.m * self.n

    @property
    def products(self) -> int:
        """Multiplications of the standard algorithm."""
        return self.m * self.n * self.k


def _root(value: int) -> int:
    """Ceiling of the square root."""
    return math.isqrt(value - 1) + 1


def _compulsory(s: MatmulSizes) -> int:
    return s.m * s.k + s.k * s.n + s.m * s.n


def _partition(s: MatmulSizes) -> int:
    return s.products // _root(2 * s.M) - s.M


def _product(s: MatmulSizes) -> int:
    return s.products // (2 * _root(s.M))


def _classic(s: MatmulSizes) -> int:
    return s.products // _root(8 * s.M) - s.M


def _tree(s: MatmulSizes) -> int:
    return max(segments(s.products, matmul_products(s.M, T), T) for T in lengths(s.M, 25))


def _accumulator(s: MatmulSizes) -> int:
    # 2 mnk / sqrt M = mnk / sqrt(M / 4) >= 2 mnk // ceil(sqrt M)
    return 2 * s.products // _root(s.M) - 2 * s.M


def cosma_formula(s: MatmulSizes) -> int:
    """Return 2 m n k / √M + m n, rounded down, where its published proof holds: k >= 2 √M.

    Raises AttometerError for smaller k, where exact optima lie below it.
    Source: Kwasniewski et al. 2019 (COSMA), Theorem 1; the proof takes every first partial sum to have a predecessor.

    >>> cosma_formula(MatmulSizes(8, 8, 8, 16))
    320
    """
    if s.k * s.k < 4 * s.M:
        raise AttometerError(
            f"the published bound 2mnk/√M + mn is false for k < 2√M (k = {s.k}, M = {s.M}): the product of a 3×1 by "
            "a 1×3 matrix at M = 3 takes 19 transfers, an exact optimum, and the formula says 19.39; "
            'hint: use "tree" or "accumulator"'
        )
    return 2 * s.products // _root(s.M) + s.pairs


MATMUL_BOUNDS: tuple[Bound[MatmulSizes], ...] = (
    Bound("compulsory", "every input is read once and every output written once: m k + k n + m n",
          "any", True, "published", "by definition of the model", "Ω(m k + k n + m n)", _compulsory),
    Bound("hong-kung, m n k/√(2M) - M", "Q ≥ m n k / √(2M) - M", "tree", True, "published",
          "Hong & Kung 1981; constants machine-checked in geoconuk/lean-misc-math", "Ω(m n k/√M)", _partition),
    Bound("m n k/(2√M)", "m n k ≤ 2 Q √M", "tree", True, "published",
          "Hong & Kung 1981; constants machine-checked in geoconuk/lean-misc-math", "Ω(m n k/√M)", _product),
    Bound("irony-toledo-tiskin", "Q ≥ m n k / (2√2 √M) - M", "tree", True, "remembered",
          "Irony, Toledo & Tiskin 2004", "Ω(m n k/√M)", _classic),
    Bound("tree", "Q ≥ T (⌈m n k / F(T)⌉ - 1) for every T; √2 m n k/√M - 4M at T = 4M", "tree", True, "derived",
          "segments of T transfers; Hong & Kung 1981, Loomis & Whitney 1949", "√2 m n k/√M", _tree),
    Bound("accumulator", "Q ≥ 2 m n k/√M - 2M", "accumulator", False, "published",
          "Smith, Lowery, Langou & van de Geijn 2017, arXiv 1702.02017", "2 m n k/√M", _accumulator),
)  # fmt: skip
