"""Programs that become machine code, and how their results are held against the float64 interpreter."""

from pathlib import Path

import numpy as np
import torch

from attometer.program import Program, gradient, parse
from attometer.run.compiled_function import Compiled
from attometer.simulate.interpreter import interpret

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {"b": 2, "h": 4, "g": 2, "n": 70, "m": 70, "d": 10, "e": 12, "D": 20, "l": 9, "r": 4, "w": 20}
SOFTMAX = """axis i: n, j: m
input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
S[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d] / sqrt(d)   where causal(i, j)
P[b,h,i,j] = softmax[j](S)
O[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]
"""
CAPPED = """axis i: n, j: n
input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
weight Z[h]
A[b,h,i,j] = 20 * tanh(Q[b,h,i,d] * K[b,h,j,d] / sqrt(d) / 20)   where causal(i, j) & window(i, j, 17)
M[b,h,i] = maximum(max[j](A[b,h,i,j]), Z[h])
E[b,h,i,j] = exp(A[b,h,i,j] - M[b,h,i])   where causal(i, j) & window(i, j, 17)
T[b,h,i] = sum[j](E[b,h,i,j]) + exp(Z[h] - M[b,h,i])
O[b,h,i,e] = E[b,h,i,j] * V[b,h,j,e] / T[b,h,i]
"""
"""Scores capped by a tanh, a window, and a sink: a score of its own that every row sees."""

GROUPED = """axis i: n, j: n
input Q[b,h,i,d], K[b,g,j,d], V[b,g,j,e], c[h]
S[b,h,i,j] = Q[b,h,i,d] * K[b,h // (h/g),j,d] + c[h] * (pos(j) - pos(i)) / 8   where causal(i, j)
P[b,h,i,j] = softmax[j](S)
O[b,h,i,e] = P[b,h,i,j] * V[b,h // (h/g),j,e]
"""
"""Heads share keys and values; each has a slope of its own along the distance."""


def program(name: str) -> Program:
    """Return a program of `examples/`."""
    return parse((EXAMPLES / f"{name}.att").read_text())


def sizes_of(made: Program, sizes: dict[str, int] = SIZES) -> dict[str, int]:
    """Return a size for every symbol of a program."""
    return {s.name: sizes.get(s.name, 5) for s in made.symbols}


def drawn(
    made: Program, sizes: dict[str, int], seed: int = 0, dtype: torch.dtype = torch.float64
) -> list[torch.Tensor]:
    """Return random inputs of a program."""
    rng = np.random.default_rng(seed)
    numbers = {s: sizes[s.name] for s in made.symbols}
    shapes = [tuple(int(e.xreplace(numbers)) for e in t.extents) for t in made.inputs]
    return [torch.from_numpy(np.asarray(rng.standard_normal(shape))).to(dtype) for shape in shapes]


def expected(made: Program, tensors: list[torch.Tensor], sizes: dict[str, int]) -> list[np.ndarray]:
    """Return the outputs of the float64 interpreter."""
    found = interpret(
        made, {t.name: x.detach().double().numpy() for t, x in zip(made.inputs, tensors, strict=True)}, sizes
    )
    return [found[t.name] for t in made.outputs]


def tolerance(made: Program, tensors: list[torch.Tensor], sizes: dict[str, int]) -> list[float]:
    """Return what rounding to float32 may do: what rounding the inputs to float16 does, as much smaller as its digits are.

    Sums and functions of float32 add a few roundings of their own to that of the inputs.
    """
    exact = expected(made, tensors, sizes)
    short = expected(made, [x.half().double() for x in tensors], sizes)
    return [32 * 2.0**-13 * float(np.abs(a - b).max()) for a, b in zip(exact, short, strict=True)]


def results(compiled: Compiled, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the outputs of a compiled program as a list."""
    found = compiled(*tensors)
    return list(found) if isinstance(found, tuple) else [found]


def gradients_of(
    made: Program, tensors: list[torch.Tensor], arriving: list[torch.Tensor], sizes: dict[str, int]
) -> dict[str, np.ndarray]:
    """Return the gradients of a program's inputs by the interpreter, by name."""
    backward = gradient(made)
    own = {t.name for t in made.inputs}
    names = [t.name for t in backward.inputs if t.name not in own]
    at = {t.name: x.detach().double().numpy() for t, x in zip(made.inputs, tensors, strict=True)}
    at |= {n: x.double().numpy() for n, x in zip(names, arriving, strict=True)}
    found = interpret(backward, {t.name: at[t.name] for t in backward.inputs}, sizes)
    return {name: found[f"d{name}"] for name in own if f"d{name}" in found}
