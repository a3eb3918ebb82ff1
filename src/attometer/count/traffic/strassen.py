"""Words that Strassen's recursion moves, derived from its table of products."""

import math

from attometer.errors import AttometerError
from attometer.schedule.strassen import PRODUCTS, StrassenPlan, first_uses, strassen_plan


def recursion_words(plan: StrassenPlan) -> int:
    """Return the words that one s × s product moves: sums are streamed, base blocks are multiplied in fast memory.

    >>> recursion_words(StrassenPlan(2, 1))
    83
    """
    words = 3 * plan.base**2
    half = plan.base
    for _ in range(plan.levels):
        words = len(PRODUCTS) * words + _sums() * half**2
        half *= 2
    return words


def _sums() -> int:
    """Quarter blocks moved by the additions of one level: operands are summed only when they have two parts."""
    operands = sum(len(side) + 1 for p in PRODUCTS for side in (p.left, p.right) if len(side) > 1)
    # The product is read once for each target, which is read unless new, and written.
    results = sum(1 + (not fresh) + 1 for _, targets in first_uses() for _, _, fresh in targets)
    return operands + results


def strassen_scores_words(n: int, d: int, M: int) -> int:
    """Return the words that QK^T moves as (n/d)^2 Strassen products of d × d blocks; n is padded to a multiple of d.

    Raises AttometerError when M is below 3 words.

    >>> strassen_scores_words(64, 64, 3 * 64**2)
    12288
    """
    if M < 3:
        raise AttometerError(f"M = {M} is too small for Strassen's recursion, which needs 3 words")
    return (-(-n // d)) ** 2 * recursion_words(strassen_plan(d, M))


def standard_scores_words(n: int, d: int, M: int) -> int:
    """Return what a lower bound leaves to the standard product QK^T: 2 n² d / √M - 2M, and its inputs and output.

    Source: Smith, Lowery, Langou & van de Geijn 2017, arXiv 1702.02017.

    >>> standard_scores_words(64, 64, 64)
    65408
    """
    return max(2 * n * n * d // (math.isqrt(M - 1) + 1) - 2 * M, 2 * n * d + n * n)
