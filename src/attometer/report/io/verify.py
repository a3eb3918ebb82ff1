"""Runs a schedule on the scratchpad at a scaled-down size: its counted words and result against the derived count."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.count.traffic.tile_search import best_tiles
from attometer.count.traffic.words import footprint, traffic
from attometer.errors import AttometerError
from attometer.program import Mask, Program, parse, size
from attometer.program.conditions import check_conditions
from attometer.program.expression import Where
from attometer.program.printer import where_text
from attometer.schedule.catalogue import schedule
from attometer.schedule.nest import Schedule
from attometer.simulate import interpret
from attometer.simulate.scratchpad.two_level import TwoLevel, stack_heads
from attometer.view.printed import Printed

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Verification(Printed):
    """One schedule at a small size: words derived from its loop nest, words counted by the run, error of its result."""

    schedule: str
    sizes: Mapping[str, int]
    counted: int
    simulated: int
    error: float

    @property
    def holds(self) -> bool:
        """Whether the two counts agree and the result is the reference's, to the accuracy of float64 sums."""
        return self.counted == self.simulated and self.error < 1e-9

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        error = self.error if math.isfinite(self.error) else None
        return {**vars(self), "sizes": dict(self.sizes), "error": error, "holds": self.holds}

    def __str__(self) -> str:
        at = ", ".join(f"{k} = {v}" for k, v in self.sizes.items())
        sign = "==" if self.counted == self.simulated else "!="
        result = (
            f"result off by {self.error:.0e}"
            if math.isfinite(self.error)
            else "the result is wrong: it reads what is not there"
        )
        return f"{self.schedule}: count {self.counted:,} {sign} simulated {self.simulated:,} at {at}; {result}"


def scaled(n: int, m: int, d: int, e: int, M: int, stack: int) -> dict[str, int]:
    """Return a small problem in the same regime: at most 12 rows, dimensions of at most 4, M in proportion to d².

    M is at most 5 d², so that even the small problem needs several tiles.

    >>> scaled(16384, 16384, 64, 64, 98304, 1)
    {'n': 12, 'm': 12, 'd': 4, 'e': 4, 'M': 80, 'stack': 1}
    """
    rows, width = min(n, 12), min(d, 4)
    keys = max(1, min(m, round(m * rows / n), 24))
    values = max(1, min(e, round(e * width / d), 8))
    return {
        "n": rows,
        "m": keys,
        "d": width,
        "e": values,
        "M": min(max(36, M * width**2 // d**2), max(36, 5 * width**2)),
        "stack": min(stack, 4),
    }


def verify(name: str, sizes: Mapping[str, int], mask: Mask | None = None) -> Verification | str:
    """Run a schedule with its best tiles on random inputs, and compare; a sentence when it cannot run in M words.

    >>> small = scaled(256, 256, 8, 8, 128, 1)
    >>> verify("flash2", small).holds
    True
    """
    chosen = schedule(name)
    shape = {k: sizes[k] for k in "nmde"}
    try:
        best = best_tiles(name, **shape, M=sizes["M"], mask=mask, heads=sizes["stack"], kv_heads=1)
    except AttometerError as error:
        return str(error)
    exact = _reference(tuple(sizes.items()), mask)
    inputs = {tensor: exact[tensor] for tensor, declared in chosen.tensors if declared.role == "input"}
    done = TwoLevel(sizes["M"]).run(chosen, inputs, best.tiles, mask, sizes["stack"])
    errors = [_error(done.outputs[k], exact[k]) for k in done.outputs if k in exact]
    return Verification(name, dict(sizes), best.words, done.words, max(errors))


def verify_nest(
    program: Program, nest: Schedule, sizes: Mapping[str, int], tiles: Mapping[str, int]
) -> Verification | str:
    """Run a nest derived from `program` at small sizes, with tiles in proportion, and compare; a sentence where none do.

    >>> from attometer.count.derive import derive
    >>> text = parse("Y[i,k] = A[i,j] * B[j,k]")
    >>> found = derive(text, 300, i=64, j=64, k=64)
    >>> done = verify_nest(text, found.schedule, found.sizes, found.tiles)
    >>> done.counted, done.simulated, dict(done.sizes)
    (140, 140, {'i': 5, 'j': 3, 'k': 4})
    """
    small = small_sizes(program)
    if small is None:
        return f"{nest.name}: none of {_TRIES:,} small sizes suits the program"
    numbers, given = ({size(k): sympy.Integer(v) for k, v in at.items()} for at in (small, sizes))
    rng = np.random.default_rng(math.prod(small.values()))
    arrays = {t.name: rng.standard_normal([int(x.xreplace(numbers)) for x in t.extents]) for t in program.inputs}
    extents = dict(nest.axes)
    cut = {
        tile.name: _scaled_tile(
            tiles[tile.name], int(extents[axis].xreplace(given)), int(extents[axis].xreplace(numbers))
        )
        for tile, axis in nest.tiles
    }
    own = {s.name: small[s.name] for s in nest.symbols} | cut
    done = TwoLevel(int(footprint(nest, own))).run(nest, arrays, cut, sizes=small)
    right = interpret(program, arrays, small)
    errors = [_error(ours.reshape(right[name].shape), right[name]) for name, ours in done.outputs.items()]
    # A word that is read before it is written is no number, and max() would lose it.
    error = max(errors) if np.isfinite(errors).all() else math.inf
    return Verification(nest.name, small, int(traffic(nest, own).words), done.words, error)


def small_sizes(program: Program) -> dict[str, int] | None:
    """Return sizes of at most 8 that differ where they can and that the program allows, whatever the sizes asked about.

    >>> small_sizes(parse("axis c: n / B" + chr(10) + "Y[c] = exp(X[c])"))
    {'B': 5, 'n': 5}
    """
    for small in islice(_small([s.name for s in program.symbols]), _TRIES):
        try:
            check_conditions(program, {size(k): sympy.Integer(v) for k, v in small.items()})
        except AttometerError:
            continue
        return small
    return None


def _small(names: Sequence[str]) -> Iterator[dict[str, int]]:
    steps = (5, 3, 4, 6)
    choices = [(*steps[k % 4 :], *steps[: k % 4], 2, 8, 7, 1) for k in range(len(names))]
    return (dict(zip(names, chosen, strict=True)) for chosen in product(*choices))


def _scaled_tile(tile: int, extent: int, small: int) -> int:
    """Return a tile of a small axis: the whole where it was, else in proportion and at most half."""
    return small if tile >= extent else max(1, min(round(tile * small / extent), -(-small // 2)))


_TRIES = 4096


def _error(ours: Array, right: Array) -> float:
    # A row that sees no key has no finite result; it must not hide, as the largest value, the error of the others.
    held = np.isfinite(right)
    gap = np.abs(ours[held] - right[held]).max(initial=0.0)
    return float(gap / max(1.0, np.abs(right[held]).max(initial=0.0)))


def _program(mask: Mask | None) -> Program:
    where = "" if mask is None else f"where {where_text(Where(mask, 'i', 'j'))}"
    return parse(f"""
        axis i: n, j: m
        input Q[z,r,i,d], K[z,j,d], V[z,j,e], dO[z,r,i,e]
        S[z,r,i,j] = Q[z,r,i,d] * K[z,j,d] / sqrt(d) {where}
        L[z,r,i] = logsumexp[j](S)
        P[z,r,i,j] = softmax[j](S)
        O[z,r,i,e] = P[z,r,i,j] * V[z,j,e]
        D[z,r,i] = dO[z,r,i,e] * O[z,r,i,e]
        dP[z,r,i,j] = dO[z,r,i,e] * V[z,j,e]
        dS[z,r,i,j] = P[z,r,i,j] * (dP[z,r,i,j] - D[z,r,i]) / sqrt(d)
        dQ[z,r,i,d] = dS[z,r,i,j] * K[z,j,d]
        dK[z,j,d] = dS[z,r,i,j] * Q[z,r,i,d]
        dV[z,j,e] = P[z,r,i,j] * dO[z,r,i,e]
    """)


@lru_cache(maxsize=16)
def _reference(sizes: tuple[tuple[str, int], ...], mask: Mask | None) -> Mapping[str, Array]:
    """Attention and its gradients by the interpreter, with the stacked heads as rows."""
    s = dict(sizes)
    rng = np.random.default_rng(math.prod(s.values()))
    rows = (1, s["stack"], s["n"])
    shapes = {"Q": (*rows, s["d"]), "K": (1, s["m"], s["d"]), "V": (1, s["m"], s["e"]), "dO": (*rows, s["e"])}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    found = interpret(_program(mask), arrays, {k: s[k] for k in "nmde"} | {"r": s["stack"], "z": 1})
    both = {**arrays, **{name: found[name] for name in ("O", "L", "dQ", "dK", "dV")}}
    return {name: _stacked(array) if name in ("Q", "dO", "O", "L", "dQ") else array for name, array in both.items()}


def _stacked(X: Array) -> Array:
    return stack_heads(X[..., None], 1)[..., 0] if X.ndim == 3 else stack_heads(X, 1)
