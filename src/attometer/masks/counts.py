"""Exact pair counts of masks: closed forms where they exist, else a counting function that evaluates exactly on integers."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Integer, Max, Min, floor

from attometer.errors import AttometerError
from attometer.masks.intervals import chunks_of_rows, row_lengths
from attometer.masks.relations import (
    And,
    Band,
    Chunked,
    Fixed,
    Global,
    Mask,
    Or,
    Parameter,
    Prefix,
    Random,
    Strided,
)

Formula = Callable[[sympy.Expr, sympy.Expr], sympy.Expr]
CAUSAL = Band(None, 0)


def pairs(mask: Mask, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
    """Return the number of (query, key) pairs of `mask` for n queries and m keys."""
    closed = _pairs_in_closed_form(mask, n, m)
    return _counted("pairs", mask, n, m) if closed is None else closed


def rows(mask: Mask, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
    """Return the number of queries that see at least one key."""
    if isinstance(mask, Band) and mask.left is not None and mask.right is not None:
        return _least(n, m + mask.right)
    if mask == CAUSAL:
        return _least(n, m)
    if (n == m and _sees_itself(mask)) or isinstance(mask, Global | Prefix | Random):
        return n
    return _counted("rows", mask, n, m)


def longest_row(mask: Mask, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
    """Return the largest number of keys that one query sees."""
    match mask:
        case Band(left=None, right=0):
            return m
        case Band(left=left, right=0) if left is not None:
            return _least(left + 1, m)
        case Band(left=left, right=right) if left is not None and right is not None and n == m:
            return _least(left + right + 1, m)
        case Prefix(count=count):
            return _least(count, m)
        case Chunked(chunk=chunk) if n == m:
            return _least(chunk, m)
        case Random(count=count):
            return _least(count, m)
        case Or(parts=parts) if n == m and any(isinstance(p, Global) for p in parts):
            return m
        case Global() if n == m:
            return m
    return _counted("longest_row", mask, n, m)


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


def mask_order(mask: Mask, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
    """Return an expression that the number of pairs grows no faster than; a union is bounded by the sum of its parts.

    >>> from attometer.masks.catalogue import causal, window
    >>> from attometer.sizes import size
    >>> mask_order(causal() & window("w"), size("n"), size("n"))
    n*w
    """
    match mask:
        case Or(parts=parts):
            return sympy.Add(*(mask_order(p, n, m) for p in parts))
        case And(parts=parts):
            return min((mask_order(p, n, m) for p in parts), key=lambda e: (e.as_powers_dict().get(n, 0), str(e)))
        case Band(left=left, right=right) if left is not None and right is not None:
            return sympy.expand(n * (left + right + 1))
        case Global(count=g):
            return n * g + m * g
        case Prefix(count=k) | Random(count=k) | Chunked(chunk=k):
            return n * k
        case Strided(stride=s):
            return n * m / s
        case Fixed(stride=s, summary=c):
            return n * s + n * m * c / s
    return n * m


def substitute(mask: Mask, sizes: dict[sympy.Expr, sympy.Expr]) -> Mask:
    """Replace size symbols in the parameters of `mask`.

    >>> from attometer.masks.catalogue import window
    >>> from attometer.sizes import size
    >>> print(substitute(window("w"), {size("w"): sympy.Integer(4)}))
    window(4)
    """
    changes: dict[str, Any] = {}
    for field in fields(mask):
        value = getattr(mask, field.name)
        if isinstance(value, sympy.Expr):
            changes[field.name] = _checked(value, value.xreplace(sizes), field.name, 0 if isinstance(mask, Band) else 1)
        elif isinstance(value, Mask):
            changes[field.name] = substitute(value, sizes)
        elif isinstance(value, tuple) and value and isinstance(value[0], Mask):
            changes[field.name] = tuple(substitute(part, sizes) for part in value)
    return replace(mask, **changes) if changes else mask


def _checked(value: sympy.Expr, new: sympy.Expr, name: str, least: int) -> Parameter:
    if new.is_number and not (new.is_Integer and new >= least):
        raise AttometerError(
            f'mask parameter {name} = "{value}" is {new} at these sizes; it must be an integer of at least {least}'
        )
    return int(new) if new.is_Integer else new


def symbols(mask: Mask) -> tuple[sympy.Symbol, ...]:
    """Return the size symbols in the parameters of `mask`, sorted by name."""
    found: set[sympy.Symbol] = set()
    for field in fields(mask):
        value = getattr(mask, field.name)
        if isinstance(value, sympy.Expr):
            found |= value.free_symbols
        elif isinstance(value, Mask):
            found |= set(symbols(value))
        elif isinstance(value, tuple):
            found |= {s for part in value if isinstance(part, Mask) for s in symbols(part)}
    return tuple(sorted(found, key=str))


def _pairs_in_closed_form(mask: Mask, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
    match mask:
        case Band(left=None, right=0):
            k = _least(n, m)
            return k * m - k * (k - 1) / 2
        case Band(left=left, right=0) if left is not None:
            return _newest(m, left + 1) - _newest(_positive(m - n), left + 1)
        case Prefix(count=count) | Random(count=count):
            return n * _least(count, m)
    return _square_pairs(mask, n) if n == m else None


def _square_pairs(mask: Mask, n: sympy.Expr) -> sympy.Expr | None:
    match mask:
        case Band(left=left, right=right) if left is not None and right is not None:
            return n + _diagonals(n, left) + _diagonals(n, right)
        case Global(count=count):
            k = _least(count, n)
            return 2 * n * k - k**2
        case Strided(stride=s):
            q, r = _quotient(n, s)
            return r * (q + 1) ** 2 + (s - r) * q**2
        case Chunked(chunk=c):
            q, r = _quotient(n, c)
            return q * c**2 + r**2
        case Fixed(stride=s, summary=c) if isinstance(s, int) and isinstance(c, int) and c <= s:
            q, r = _quotient(n, s)
            last = _positive(r - (s - c))
            return q * s**2 + r**2 + n * (q * c + last) - q * s * c - r * last
        case Or(parts=parts) if len(parts) == 2:
            return _square_union(parts, n)
        case And(parts=parts) if len(parts) == 2 and CAUSAL in parts:
            return _causal_square(parts[0] if parts[1] == CAUSAL else parts[1], n)
    return None


def _square_union(parts: tuple[Mask, ...], n: sympy.Expr) -> sympy.Expr | None:
    for one, other in (parts, parts[::-1]):
        match one, other:
            case Band(left=None, right=0), Prefix(count=count):
                k = _least(count, n)
                return n * (n + 1) / 2 + k * (k - 1) / 2
            case Global(count=count), Band(left=left, right=right) if left is not None and right is not None:
                g = _least(count, n)
                rest = n - g
                return 2 * n * g - g**2 + rest + _diagonals(rest, left) + _diagonals(rest, right)
    return None


def _causal_square(mask: Mask, n: sympy.Expr) -> sympy.Expr | None:
    match mask:
        case Band(left=left, right=_) if left is not None:
            return n + _diagonals(n, left)
        case Strided(stride=s):
            q, r = _quotient(n, s)
            return r * (q + 1) * (q + 2) / 2 + (s - r) * q * (q + 1) / 2
        case Chunked(chunk=c):
            q, r = _quotient(n, c)
            return q * c * (c + 1) / 2 + r * (r + 1) / 2
        case Fixed(stride=s, summary=c) if isinstance(s, int) and isinstance(c, int) and c <= s:
            q, r = _quotient(n, s)
            return q * Integer(s * (s + 1)) / 2 + r * (r + 1) / 2 + s * c * q * (q - 1) / 2 + r * c * q
        case Or(parts=parts) if len(parts) == 2:
            return _causal_union(parts, n)
    return None


def _causal_union(parts: tuple[Mask, ...], n: sympy.Expr) -> sympy.Expr | None:
    for one, other in (parts, parts[::-1]):
        match one, other:
            case Global(count=count), Band(left=left, right=_) if left is not None:
                g = _least(count, n)
                rest = n - g
                return g * (g + 1) / 2 + g * rest + rest + _diagonals(rest, left)
            case Band(left=left, right=0), Strided(stride=s) if left is not None and sympy.expand(left + 1 - s) == 0:
                q, r = _quotient(n, s)
                beyond = r * (q + 1) * (q + 2) / 2 + (s - r) * q * (q + 1) / 2 - n
                return n + _diagonals(n, left) + beyond
    return None


def _diagonals(n: sympy.Expr, k: Parameter) -> sympy.Expr:
    """Return the sum of max(n - t, 0) for t = 1 … k."""
    reach = _least(k, n)
    return n * reach - reach * (reach + 1) / 2


def _newest(x: sympy.Expr, w: Parameter) -> sympy.Expr:
    """Return the pairs of positions 0 … x-1, each with its w newest keys."""
    k = _least(w, x)
    return x * k - k * (k - 1) / 2


def _quotient(n: sympy.Expr, s: Parameter) -> tuple[sympy.Expr, sympy.Expr]:
    q = floor(n / sympy.sympify(s))
    return q, n - q * s


def _least(one: Any, other: Any) -> sympy.Expr:
    return Min(one, other)


def _positive(value: sympy.Expr) -> sympy.Expr:
    return Max(value, 0)


def _sees_itself(mask: Mask) -> bool:
    match mask:
        case And(parts=parts):
            return all(_sees_itself(p) for p in parts)
        case Or(parts=parts):
            return any(_sees_itself(p) for p in parts)
        case Band() | Strided() | Fixed() | Chunked():
            return True
    return False


_SUMMARIES: dict[str, Callable[[Any], Any]] = {"pairs": np.sum, "rows": np.count_nonzero, "longest_row": np.max}


@lru_cache(maxsize=1024)
def _counting_function(what: str, mask: Mask) -> Any:
    free = symbols(mask)

    def evaluate(cls: Any, *arguments: Any) -> Any:
        if not all(a.is_Integer for a in arguments):
            return None
        n, m = int(arguments[0]), int(arguments[1])
        if n <= 0 or m <= 0:
            return Integer(0)
        lengths = row_lengths(substitute(mask, dict(zip(free, arguments[2:], strict=True))), n, m)
        return Integer(int(_SUMMARIES[what](lengths)))

    def text(self: Any, printer: Any) -> str:
        return f"{what}[{mask}]({', '.join(printer._print(a) for a in self.args[:2])})"

    name = f"{what}_{abs(hash(mask)):x}"

    def code(self: Any, printer: Any) -> str:
        return f"{name}({', '.join(printer._print(a) for a in self.args)})"

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
            "_numpycode": code,
            "_lambdacode": code,
        },
    )


def _counted(what: str, mask: Mask, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
    return _counting_function(what, mask)(n, m, *symbols(mask))
