"""Compute steps that are expressions of a Program: their text, their scalar operations and their depth."""

from dataclasses import replace

import sympy

from attometer.program.expression import Binary, Call, Expression, Negative, Number, Position, Ref, Where, children
from attometer.program.indices import index_names
from attometer.program.printer import expression_text
from attometer.schedule.nest import Compute, Formula, Tile
from attometer.sizes import clog2

_FOLDS = {"sum": "{out} += {term}", "prod": "{out} *= {term}"}


def axes_of(node: Expression) -> tuple[str, ...]:
    """Return the axes that an expression over tiles varies along, in order of first use."""
    match node:
        case Ref(indices=indices):
            return tuple(dict.fromkeys(name for part in indices for name in index_names(part)))
        case Position(index=index):
            return (index,)
    return tuple(dict.fromkeys(axis for child in children(node) for axis in axes_of(child)))


def operations(node: Expression) -> list[tuple[int, tuple[str, ...]]]:
    """Return one entry per scalar operation of an expression: how many, and the axes it is done along.

    Constants are folded before anything runs, as everywhere.

    >>> from attometer.program.expression import Name
    >>> operations(Binary("*", Ref("A", (Name("i"),)), Call("exp", (Ref("r", ()),))))
    [(1, ('i',)), (1, ())]
    """
    if not isinstance(node, Binary | Call | Negative) or not varies(node):
        return []
    return [(1, axes_of(node)), *(entry for child in children(node) for entry in operations(child))]


def varies(node: Expression) -> bool:
    """Return whether an expression reads a tile or a position; what does not is a constant."""
    return isinstance(node, Ref | Position) or (
        isinstance(node, Binary | Call | Negative) and any(map(varies, children(node)))
    )


def levels(node: Expression) -> int:
    """Return the longest chain of scalar operations in an expression."""
    if not isinstance(node, Binary | Call | Negative) or not varies(node):
        return 0
    return 1 + max(map(levels, children(node)))


def evaluate(out: Tile, expression: Expression, tiles: tuple[Tile, ...], where: Where | None = None) -> Compute:
    """`out = expression`; entries that the mask forbids are 0."""
    formula = Formula("set", expression, out.axes, where)
    text = f"{out} = {expression_text(expression)}" + (", 0 where masked" if where else "")
    return Compute("formula", (out,), tiles, text, tuple(operations(expression)), (levels(expression), ()), formula)


def fold(
    out: Tile,
    kind: str,
    term: Expression,
    tiles: tuple[Tile, ...],
    axes: tuple[str, ...],
    where: Where | None = None,
    carried: tuple[tuple[Tile, Expression], ...] = (),
) -> Compute:
    """Fold a term into `out` over `axes`; every further accumulator is corrected by its factor."""
    over = tuple(dict.fromkeys((*out.axes, *axes)))
    reduced = tuple(axis for axis in over if axis not in out.axes)
    factors = [len(operations(factor)) for factor in dict.fromkeys(factor for _, factor in carried)]
    work = [
        *operations(term),
        (1, over),
        *((ops, out.axes) for ops in factors if ops),
        *((1, t.axes) for t, _ in carried),
    ]
    late = max((levels(factor) + 1 for _, factor in carried), default=0)
    text = _FOLDS.get(kind, "{out} = {kind}({out}, {term})").format(out=out, term=expression_text(term), kind=kind)
    for tile, factor in carried:
        text += f"; {tile} *= {expression_text(factor)}".replace("old[]", f"old {out.name}").replace("new[]", out.name)
    text += ", masked ones left out" if where else ""
    formula = Formula(kind, term, over, where, tuple(factor for _, factor in carried))
    outputs, depth = (out, *(t for t, _ in carried)), levels(term) + 1
    return Compute("formula", outputs, tiles, text, tuple(work), (depth, reduced), formula, late)


def move(out: Tile, level: Ref, tile: Tile, carried: tuple[tuple[Tile, Expression], ...]) -> Compute:
    """Set a partial result to the level that all of them have, and correct what was summed with it."""
    moved = replace(fold(out, "max", level, (tile,), (), None, carried), depth=(0, ()))
    assert moved.formula is not None
    text = moved.text.replace(f"max({out}, {expression_text(level)})", expression_text(level))
    work = moved.work[1:]  # nothing is compared
    return replace(moved, text=text, work=work, formula=replace(moved.formula, kind="move"))


def sort(
    out: Tile,
    kind: str,
    key: Expression,
    tiles: tuple[Tile, ...],
    along: str,
    length: sympy.Expr,
    where: Where | None = None,
) -> Compute:
    """Positions that sort a key along an axis, ascending, or the largest first ("topk"): a bitonic network over it."""
    over = (*(a for a in out.axes if a in axes_of(key)), along)
    levels_of = clog2(length)
    each = 2**levels_of * levels_of * (levels_of + 1) / 4
    work = (*operations(key), (each, over[:-1]))
    text = f"{out} = {kind}[{along}]({expression_text(key)})" + (", masked ones last" if where else "")
    depth = levels(key) + levels_of * (levels_of + 1) / 2
    return Compute("formula", (out,), tiles, text, work, (depth, ()), Formula(kind, key, over, where))


def scatter(
    out: Tile,
    term: Expression,
    tiles: tuple[Tile, ...],
    summed: tuple[str, ...],
    places: tuple[tuple[str, Expression], ...],
    where: Where | None = None,
) -> Compute:
    """Add terms into the places of `out` that other tiles name; it counts as if all fell into one."""
    chosen = dict(places)
    kept = tuple(a for a in out.axes if a not in chosen)
    over = tuple(dict.fromkeys((*kept, *summed)))
    at = ",".join(expression_text(chosen[a]) if a in chosen else a for a in out.axes)
    text = f"{out.name}[{at}] += {expression_text(term)}" + (", masked ones left out" if where else "")
    work = (*operations(term), (1, over))
    formula = Formula("scatter", term, over, where, (), places)
    return Compute("formula", (out,), tiles, text, work, (levels(term) + 1, summed), formula)


def scale(out: Tile, factor: Expression, tiles: tuple[Tile, ...]) -> Compute:
    """Multiply a finished sum by a factor, or divide it where the factor is 1 / x; what nothing was added to stays 0."""
    formula, divisor = Formula("scale", factor, out.axes), reciprocal(factor)
    sign, by = ("*", factor) if divisor is None else ("/", divisor)
    text = f"{out} {sign}= {expression_text(by)}"
    return Compute("formula", (out,), tiles, text, (*operations(by), (1, out.axes)), (levels(by) + 1, ()), formula)


def reciprocal(factor: Expression) -> Expression | None:
    """Return x of 1 / x."""
    return factor.right if isinstance(factor, Binary) and (factor.op, factor.left) == ("/", Number(1)) else None


def settle(out: Tile, empty: Expression) -> Compute:
    """Set the extreme of rows that see nothing, which is still `empty`, to 0."""
    text = f"{out} = 0 where nothing was seen"
    return Compute("formula", (out,), (), text, (), (0, ()), Formula("settle", empty, out.axes))
