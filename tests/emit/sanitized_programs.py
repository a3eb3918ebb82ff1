"""Runs compiled programs of a type over shapes in a process of its own, under a sanitizer; see `test_sanitizers.py`."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.emit.programs import CAPPED, GROUPED, drawn, program, results

from attometer.emit import build, compiled
from attometer.program import parse
from attometer.run.compiling import compile as compile_program

SWEPT = """axis t: n, e: d
input Q[b,h,t,d], K[b,h,t,d], T[b,t]
S[b,h,t,d,e] = tanh(S[b, h, t - 1, d, e]) + K[b,h,t,d] * K[b, h, T[b,t] + 1, e]
O[b,h,t,e] = Q[b,h,t,d] * S[b,h,t,d,e]
"""
"""A state that is held, and places that data choose."""
SHAPES = (
    {"b": 1, "h": 1, "g": 1, "n": 1, "d": 1, "e": 1},
    {"b": 2, "h": 4, "g": 2, "n": 131, "d": 7, "e": 19},
    {"b": 1, "h": 2, "g": 1, "n": 97, "d": 33, "e": 64},
)


def main(dtype: str, flags: tuple[str, ...]) -> None:
    plain = build.library
    compiled.library = lambda unit: plain(unit, None, flags)
    compiled.ROWS, compiled.COLUMNS = 48, 32  # many tiles
    torch.set_num_threads(2)
    programs = [parse(GROUPED), parse(SWEPT)]
    if dtype == "float32":  # a narrow type differs where it is read and written: a nest and a sweep show that
        programs += [parse(CAPPED), program("forgetting"), program("rmsnorm_matmul")]
    for made in programs:
        function = compile_program(made)
        for sizes in SHAPES:
            at = {s.name: sizes.get(s.name, 5) for s in made.symbols}
            leaves = [x.requires_grad_() for x in drawn(made, at, dtype=getattr(torch, dtype))]
            found = results(function, leaves)
            torch.autograd.grad([x.float().sum() for x in found], leaves, allow_unused=True)
    print("clean")


if __name__ == "__main__":
    main(sys.argv[1], tuple(sys.argv[2:]))
