"""Bind a Program's size symbols to integers: from the shapes of its arrays and from what the caller says."""

from collections.abc import Mapping
from typing import Any

import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError, unknown
from attometer.program.conditions import check_conditions
from attometer.program.program import Program
from attometer.sizes import as_size, size


def bind(program: Program, arrays: Mapping[str, NDArray[Any]], sizes: Mapping[str, int]) -> dict[sympy.Symbol, int]:
    """Return an integer for every size symbol of `program`.

    Raises AttometerError when shapes disagree, or a symbol is bound by neither a shape nor `sizes`.
    """
    known = {str(s) for s in program.symbols}
    bound: dict[sympy.Symbol, int] = {}
    for name, value in sizes.items():
        if name not in known:
            raise unknown("size", name, known)
        bound[size(name)] = int(as_size(value, f"size {name}"))
    for tensor in program.inputs:
        if tensor.name in arrays:
            _match(tensor.name, tensor.extents, arrays[tensor.name].shape, bound)
    missing = sorted(known - {str(s) for s in bound})
    if missing:
        bare = set().union(*(s.bare for s in program.statements))
        hint = f", or write {min(bare & {*missing})}[...] if it is a tensor" if bare & {*missing} else ""
        raise AttometerError(f"size {', '.join(missing)} is told by no input's shape; pass sizes={{...}}{hint}")
    check_conditions(program, {s: sympy.Integer(v) for s, v in bound.items()})
    _check(program, arrays, bound)
    return bound


def _match(name: str, extents: tuple[sympy.Expr, ...], shape: tuple[int, ...], bound: dict[sympy.Symbol, int]) -> None:
    if len(shape) != len(extents):
        raise AttometerError(
            f'input "{name}" needs {len(extents)} axes [{", ".join(map(str, extents))}], got shape {shape}'
        )
    for extent, got in zip(extents, shape, strict=True):
        if extent.is_Symbol and bound.setdefault(extent, got) != got:
            raise AttometerError(f'input "{name}" has {got} along axis {extent}, which is {bound[extent]} elsewhere')


def _check(program: Program, arrays: Mapping[str, NDArray[Any]], bound: dict[sympy.Symbol, int]) -> None:
    numbers = {s: sympy.Integer(v) for s, v in bound.items()}
    for tensor in program.inputs:
        expected = tuple(e.xreplace(numbers) for e in tensor.extents)
        if tensor.name in arrays and expected != arrays[tensor.name].shape:
            raise AttometerError(
                f'input "{tensor.name}" needs shape [{", ".join(map(str, tensor.extents))}] = {expected}, '
                f"got {arrays[tensor.name].shape}"
            )
