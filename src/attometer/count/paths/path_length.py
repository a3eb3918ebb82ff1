"""Path length: how many hops information needs from one position to another, searched on the dependence graph.

One hop is one layer that joins two positions directly, or one step of a recurrence (Vaswani et al. 2017, section 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import sympy

from attometer.count.paths.dependence import NEVER, Steps, dependence
from attometer.errors import AttometerError, unknown
from attometer.masks.counts import symbols as mask_symbols
from attometer.program.program import Program
from attometer.sizes import size
from attometer.view.printed import Printed

LARGEST_SEARCH = 256


@dataclass(frozen=True)
class PathLength(Printed):
    """The hops between positions of a sequence of `n`.

    Attributes:
        name: whose path length it is.
        n: positions.
        layers: layers that were allowed, None for as many as needed.
        longest: hops of the farthest pair that is reached.
        mean: average over the ordered pairs of different positions that are reached.
        pairs: number of those pairs.
        unreached: pairs that more layers would reach.
        sizes: the other sizes it holds for.
    """

    name: str
    n: int
    layers: int | None
    longest: int
    mean: Fraction
    pairs: int
    unreached: int
    sizes: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        at = ", ".join(f"{k} = {v}" for k, v in (("n", self.n), *self.sizes))
        text = f"path length of {self.name} at {at}: longest {self.longest}, mean {float(self.mean):.4g} over {self.pairs} pairs"
        if self.unreached:
            text += f"; {self.unreached} pairs need more than {self.layers} layer(s)"
        return text


def path_length(subject: Any, n: int, *, layers: int | None = None, **sizes: int) -> PathLength:
    """Return the longest and mean path between positions, by breadth-first search from layer to layer.

    Args:
        subject: a Program or mechanism: one layer of self-attention, or a recurrence.
        n: positions, at most 256; `path_length_formula` has closed forms for any n.
        layers: layers that may be used; None for as many as needed.
        **sizes: sizes of masks and chunks, such as w = 16; else a mechanism's defaults.

    Returns:
        The PathLength; pairs that no number of layers joins (the future, under a causal mask) are not counted.

    Raises:
        AttometerError: n or layers out of range, an unknown size, or a program without positions.

    >>> from attometer.program import parse
    >>> print(path_length(parse("axis t: n" + chr(10) + "H[t] = tanh(H[t-1] + X[t])"), 10))
    path length of program at n = 10: longest 9, mean 3.667 over 45 pairs
    """
    program = getattr(subject, "program", subject)
    if not isinstance(program, Program):
        raise AttometerError(f"path length takes a Program or a mechanism, got {type(subject).__name__}")
    _check("n", n, 2, LARGEST_SEARCH)
    if layers is not None:
        _check("layers", layers, 1, None)
    shaping = _shaping(program)
    chosen = _chosen(program, shaping, dict(getattr(subject, "defaults", {})), sizes)
    hops = _search(_one_layer(program, n, chosen), layers)
    return _summary(
        getattr(subject, "name", "program"), n, layers, hops, {k: v for k, v in chosen.items() if k in shaping}
    )


def _check(name: str, value: object, least: int, most: int | None) -> None:
    allowed = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        hint = "; path_length_formula has closed forms for larger n" if most is not None else ""
        raise AttometerError(f"path length needs {name} to be {allowed}, got {value!r}{hint}")


def _shaping(program: Program) -> set[str]:
    """Return the sizes that shape the graph: those of masks, and those that divide n into chunks."""
    found = {str(s) for statement in program.statements if statement.where for s in mask_symbols(statement.where.mask)}
    for tensor in program.tensors.values():
        for extent in tensor.extents:
            if size("n") in extent.free_symbols:
                found |= {str(s) for s in extent.free_symbols}
    return found - {"n", "m"}


def _chosen(
    program: Program, shaping: set[str], defaults: Mapping[str, int], sizes: Mapping[str, int]
) -> dict[str, int]:
    known = {str(s) for s in program.symbols} - {"n", "m"}
    for name, value in sizes.items():
        if name not in known:
            raise unknown("size", name, known)
        _check(f"size {name}", value, 1, None)
    chosen = {name: sizes.get(name, defaults.get(name)) for name in shaping}
    missing = sorted(name for name, value in chosen.items() if value is None)
    if missing:
        raise AttometerError(f"path length needs size {', '.join(missing)}; give it, as in {missing[0]}=64")
    return {**{k: v for k, v in chosen.items() if v is not None}, **sizes}


def _one_layer(program: Program, n: int, chosen: Mapping[str, int]) -> Steps:
    """Return the hops of one layer, [target, source]: at least one, and one per recurrence step."""
    positions = {size("n"): sympy.Integer(n), size("m"): sympy.Integer(n)}
    # Heads and widths do not matter to the graph; 1 is enough, unless the program halves one of them.
    for width in (1, 2):
        numbers = {s: sympy.Integer(width) for s in program.symbols} | positions
        numbers |= {size(k): sympy.Integer(v) for k, v in chosen.items()}
        extents = [e.xreplace(numbers) for t in program.tensors.values() for e in t.extents]
        if all(e.is_Integer for e in extents):
            break
    hops = np.maximum(dependence(program, numbers), 1)
    np.fill_diagonal(hops, 0)
    return np.asarray(hops, dtype=np.int32)


def _search(one_layer: Steps, layers: int | None) -> Steps:
    """Return [reached within layers, reachable at all] hops by adding a layer at a time until nothing gets nearer."""
    reached, found = one_layer, one_layer
    depth = 1
    while True:
        further = _through(found, one_layer)
        if np.array_equal(further, found):
            break
        found, depth = further, depth + 1
        if layers is None or depth <= layers:
            reached = found
    return np.stack([reached, found])


def _through(far: Steps, near: Steps) -> Steps:
    """Return the fewest hops from source through `far` to some position, and from there through one more layer."""
    best = far.copy()
    for middle in range(len(far)):
        np.minimum(best, near[:, middle, None] + far[None, middle, :], out=best)
    return np.minimum(best, NEVER)


def _summary(name: str, n: int, layers: int | None, hops: Steps, sizes: Mapping[str, int]) -> PathLength:
    apart = ~np.eye(n, dtype=bool)
    reached = hops[0][apart & (hops[0] < NEVER)].astype(np.int64)
    reachable = int((apart & (hops[1] < NEVER)).sum())
    longest = int(reached.max()) if reached.size else 0
    mean = Fraction(int(reached.sum()), max(reached.size, 1))
    return PathLength(
        name, n, layers, longest, mean, int(reached.size), reachable - int(reached.size), tuple(sorted(sizes.items()))
    )
