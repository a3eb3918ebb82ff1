"""How many steps information takes from token to token in a recurrent network, by breadth-first search."""

from collections import deque
from functools import lru_cache

import sympy

from attometer.ledger.programs import n, program
from attometer.program.indices import is_shift
from attometer.program.operations import Recurrence
from attometer.program.recurrences import refs_of

# a mean over the pairs of a line is a polynomial of degree 1 in n: these lengths determine and check it
_LENGTHS = (2, 3, 5, 8, 13)


def recurrent_path(source: int, target: int) -> int:
    """Return the steps from one token to a later one, by breadth-first search.

    >>> recurrent_path(5, 17)
    12
    """
    return _distances(source, target + 1)[target]


def mean_over_pairs(length: int) -> sympy.Expr:
    """Return the mean number of steps between two different tokens, either way round.

    >>> mean_over_pairs(128)
    43
    """
    return _closed("pairs").xreplace({n: sympy.Integer(length)})


def mean_from_first(length: int) -> sympy.Expr:
    """Return the mean number of steps from the first token to every token, itself included.

    >>> mean_from_first(128)
    127/2
    """
    return _closed("first").xreplace({n: sympy.Integer(length)})


@lru_cache(maxsize=2)
def _closed(which: str) -> sympy.Expr:
    """Return the polynomial in n through the means that breadth-first search finds at small lengths."""
    means = [(length, _mean(which, length)) for length in _LENGTHS]
    return sympy.expand(sympy.interpolate(means, n))


def _mean(which: str, length: int) -> sympy.Rational:
    if which == "first":
        return sympy.Rational(sum(_distances(0, length).values()), length)
    totals = sum(sum(_distances(source, length).values()) for source in range(length))
    # the search runs forward only, so every unordered pair is met once
    return sympy.Rational(totals, length * (length - 1) // 2)


def _distances(source: int, length: int) -> dict[int, int]:
    """Return the steps from `source` to each token that it reaches."""
    found, queue = {source: 0}, deque([source])
    while queue:
        at = queue.popleft()
        for shift in _shifts():
            if at + shift < length and at + shift not in found:
                found[at + shift] = found[at] + 1
                queue.append(at + shift)
    return found


@lru_cache(maxsize=1)
def _shifts() -> tuple[int, ...]:
    """Return how far back the steps of the recurrent network read: one for each reference to an earlier step."""
    steps = [step for part in program("rnn").operations if isinstance(part, Recurrence) for step in part.steps]
    return tuple(1 for step in steps for ref in refs_of(step) if any(is_shift(index) for index in ref.indices))
