"""Exact counts of masks: closed forms where these exist, else a counting function that evaluates exactly on integers."""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, ClassVar
from zlib import crc32

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Integer

from attometer.errors import AttometerError
from attometer.masks.intervals import AT_ONCE, Intervals
from attometer.masks.mask import Mask, Parameter


@lru_cache(maxsize=4096)
def count(what: str, mask: Mask, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
    """Return `pairs`, `rows`, `longest_row`, `columns` or `longest_column` of a mask for n queries and m keys."""
    checked = mask.mapped(_guarded) if symbols(mask) else mask
    formula: sympy.Expr | None = getattr(checked, f"{what}_formula")(n, m)
    return _counting_function(what, mask)(n, m, *symbols(mask)) if formula is None else formula


def chunks_of_rows(mask: Mask, n: int, m: int) -> Iterator[Intervals]:
    """Yield the intervals of all n rows in order, in chunks small enough for memory."""
    step = max(1, AT_ONCE // max(1, mask.spread(m)))
    for start in range(0, n, step):
        yield mask.intervals(np.arange(start, min(n, start + step)), n, m)


def tiles(mask: Mask, n: int, m: int, height: int, width: int) -> NDArray[np.int8]:
    """Classify tiles of `height` queries by `width` keys: 0 empty, 1 mixed, 2 full."""
    edges = np.append(np.arange(0, m, width), m)
    seen = np.zeros((-(-n // height), len(edges) - 1), dtype=np.int64)
    first = 0
    for start, end in chunks_of_rows(mask, n, m):
        tile = np.arange(first, first + start.shape[1]) // height
        for low, high in zip(start, end, strict=True):
            overlap = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
            np.add.at(seen, tile, np.maximum(overlap, 0))
        first += start.shape[1]
    area = np.diff(np.append(np.arange(0, n, height), n))[:, None] * np.diff(edges)[None]
    return np.where(seen == 0, 0, np.where(seen == area, 2, 1)).astype(np.int8)


def substitute(mask: Mask, sizes: dict[sympy.Expr, sympy.Expr]) -> Mask:
    """Replace size symbols in the parameters of `mask`.

    Raises AttometerError naming mask, parameter and value where one is no integer, or too small.

    >>> from attometer.masks import window
    >>> from attometer.sizes import size
    >>> print(substitute(window("w"), {size("w"): sympy.Integer(4)}))
    window(4)
    """

    def change(atom: Mask) -> Mask:
        return atom.resized(tuple(_replaced(str(atom), *own, sizes) for own in atom.sizes()))

    return mask.mapped(change) if symbols(mask) else mask


def _replaced(mask: str, name: str, value: Parameter, least: int, sizes: dict[sympy.Expr, sympy.Expr]) -> Parameter:
    new = sympy.sympify(value).xreplace(sizes)
    return int(_whole(mask, name, least, new)) if new.is_number else new


def symbols(mask: Mask) -> tuple[sympy.Symbol, ...]:
    """Return the size symbols in the parameters of `mask`, sorted by name."""
    values = (value for atom in mask.atoms() for _, value, _ in atom.sizes())
    return tuple(sorted({s for v in values if isinstance(v, sympy.Expr) for s in v.free_symbols}, key=str))


class SizeGuard(sympy.Function):  # type: ignore[misc]  # SymPy is untyped
    """A mask's parameter inside a formula: itself, refused where it evaluates to what is no size.

    `on_arrays(top, bottom)` is the same for a quotient of integers or integer arrays, `javascript` its source text.
    """

    is_integer = True
    is_nonnegative = True
    on_arrays: ClassVar[Callable[..., Any]]
    javascript: ClassVar[str]

    @property
    def precedence(self) -> int:
        """Print like the parameter."""
        return int(sympy.printing.precedence.precedence(self.args[0]))

    def _sympystr(self, printer: Any) -> str:
        return str(printer._print(self.args[0]))

    _latex = _sympystr


def _guarded(atom: Mask) -> Mask:
    return atom.resized(
        tuple(v if isinstance(v, int) else _guard(str(atom), name, least)(v) for name, v, least in atom.sizes())
    )


@lru_cache(maxsize=1024)
def _guard(mask: str, name: str, least: int) -> Any:
    def evaluate(cls: Any, value: Any) -> Any:
        if value.is_number:
            return _whole(mask, name, least, value)
        return value if value.is_integer and (value - least).is_nonnegative else None

    def on_arrays(top: Any, bottom: Any) -> Any:
        wrong = np.flatnonzero((np.asarray(top) % bottom != 0) | (np.asarray(top) // bottom < least))
        if wrong.size:
            above, below = (np.broadcast_to(x, np.broadcast(top, bottom).shape).flat[wrong[0]] for x in (top, bottom))
            _whole(mask, name, least, sympy.Rational(int(above), int(below)))
        return top // bottom

    called = f"guard_{crc32(f'{mask}, {name}'.encode()):x}"
    words = json.dumps(_refusal(mask, name, least, "$")).replace("$", '" + a / b + "')
    javascript = (
        f"const {called} = (a, b) => {{ if (a % b !== 0 || a < {least} * b) throw new RangeError({words}); "
        "return a / b; };"
    )
    return type(
        called,
        (SizeGuard,),
        {
            "eval": classmethod(evaluate),
            "on_arrays": staticmethod(on_arrays),
            "javascript": javascript,
            "is_positive": least > 0 or None,
        },
    )


def _whole(mask: str, name: str, least: int, value: sympy.Expr) -> sympy.Expr:
    if not (value.is_Integer and value >= least):
        raise AttometerError(_refusal(mask, name, least, value))
    return value


def _refusal(mask: str, name: str, least: int, value: Any) -> str:
    return f"mask {mask}: {name} is {value} at these sizes; it must be an integer of at least {least}"


_SUMMARIES: dict[str, Callable[[Any], Any]] = {
    "pairs": np.sum,
    "rows": np.count_nonzero,
    "longest_row": np.max,
    "columns": np.count_nonzero,
    "longest_column": np.max,
}


@lru_cache(maxsize=1024)
def _counting_function(what: str, mask: Mask) -> Any:
    free = symbols(mask)

    def evaluate(cls: Any, *arguments: Any) -> Any:
        if not all(a.is_Integer for a in arguments):
            return None
        n, m = int(arguments[0]), int(arguments[1])
        if n <= 0 or m <= 0:
            return Integer(0)
        numbered = substitute(mask, dict(zip(free, arguments[2:], strict=True)))
        lengths = (numbered.column_lengths if what.endswith(("columns", "column")) else numbered.row_lengths)(n, m)
        return Integer(int(_SUMMARIES[what](lengths)))

    def text(self: Any, printer: Any) -> str:
        return f"{what}[{mask}]({', '.join(printer._print(a) for a in self.args[:2])})"

    name = f"{what}_{abs(hash(mask)):x}"

    return type(
        name,
        (sympy.Function,),
        {
            "eval": classmethod(evaluate),
            "_sympystr": text,
            "is_integer": True,
            "is_nonnegative": True,
            "mask": mask,
            "what": what,
        },
    )
