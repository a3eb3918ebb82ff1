"""Schedules that write the score matrix to slow memory and read it back: best when fast memory is small, M < d^2."""

from attometer.schedule.flash import AXES, INPUTS, MAXIMUM, OUTPUT, ROW_TENSOR, TOTAL, K, Q, V, heads
from attometer.schedule.nest import ONE, Load, Loop, New, Node, Schedule, Store, Tensor, Tile
from attometer.schedule.steps import (
    contract,
    divide,
    exponential,
    normalise,
    row_sum,
    score,
    shifted,
    statistics,
)
from attometer.sizes import size

B = size("B")
A_r, A_c, A_i, A_x = size("A_r"), size("A_c"), size("A_i"), size("A_x")
S, U = Tile("S", ("i", "j")), Tile("O", ("i", "x"))
_MINUS_INFINITY = float("-inf")
_MATRIX = Tensor(("z", "i", "j"), "scratch")
_ROWS = Tensor(ROW_TENSOR, "scratch")
_SAHA_YE = "Saha & Ye 2024, arXiv 2402.07443, Algorithm 1"


def _rows(rowmax: bool) -> tuple[Tile, ...]:
    return (MAXIMUM, TOTAL) if rowmax else (TOTAL,)


def _fresh(rowmax: bool) -> tuple[Node, ...]:
    return tuple(New(t, _MINUS_INFINITY if t is MAXIMUM else 0.0) for t in _rows(rowmax))


def _weigh(rowmax: bool) -> tuple[Node, ...]:
    """Finish one tile of scores: with a row maximum store the scores, without one store their exponentials."""
    if rowmax:
        return score(S), statistics(S, MAXIMUM, TOTAL), Store(S)
    return score(S), exponential(S), Store(S), row_sum(TOTAL, S)


def _tensors(rowmax: bool) -> tuple[tuple[str, Tensor], ...]:
    names = ["S", *(t.name for t in _rows(rowmax))]
    return (*INPUTS, OUTPUT, *((name, _MATRIX if name == "S" else _ROWS) for name in names))


def two_pass(rowmax: bool = False) -> Schedule:
    """Square tiles of the score matrix, then square tiles of the output (SquareTilingAttention)."""
    tile = Loop("c", B, (Load(Q), Load(K), contract(S, Q, K)))
    first = Loop("j", B, (New(S), tile, *_weigh(rowmax)), partner="i")
    read = (Load(S), *((shifted(S, MAXIMUM),) if rowmax else ()), Load(V), contract(U, S, V))
    second = Loop("x", B, (New(U), Loop("j", B, read, partner="i"), divide(U, TOTAL), Store(U)), parallel=True)
    stats = _rows(rowmax)
    return Schedule(
        "two_pass_rowmax" if rowmax else "two_pass",
        "square tiles, scores through slow memory" + (", with the row maximum" if rowmax else ""),
        _SAHA_YE + (" with the row maximum added" if rowmax else ""),
        AXES,
        _tensors(rowmax),
        (
            heads(Loop("i", B, (*_fresh(rowmax), first, *map(Store, stats)), parallel=True)),
            heads(Loop("i", B, (*map(Load, stats), second), parallel=True)),
        ),
        ((B, "i"),),
        clipped=True,
        notes=() if rowmax else ("no row maximum: exp overflows on large scores, as in the paper",),
    )


def _outer_scores() -> Loop:
    """Scores as a sum of outer products: one word of Q against a column of K at a time."""
    return Loop("c", ONE, (Load(K), Loop("i", ONE, (Load(Q), contract(S, Q, K)), parallel=True)))


def _outer_output(load: tuple[Node, ...], partner: str | None) -> Loop:
    """Output rows as a sum of outer products: one weight against a row panel of V at a time."""
    word = Loop("i", ONE, (Load(S), *load, contract(U, S, V)), parallel=True, partner="j" if partner else None)
    return Loop("j", ONE, (Load(V), word), partner=partner)


def two_pass_outer(rowmax: bool = False) -> Schedule:
    """The two passes with outer-product accumulators: half the traffic of square tiles."""
    first = Loop("j", A_c, (New(S), _outer_scores(), *_weigh(rowmax)), partner="i")
    inner = _outer_output((shifted(S, MAXIMUM),) if rowmax else (), "i")
    second = Loop("x", A_x, (New(U), inner, divide(U, TOTAL), Store(U)), parallel=True)
    stats = _rows(rowmax)
    return Schedule(
        "two_pass_outer_rowmax" if rowmax else "two_pass_outer",
        "outer-product accumulators, scores through slow memory" + (", with the row maximum" if rowmax else ""),
        "derived from Saha & Ye 2024, Algorithm 1, and Kwasniewski et al. 2019, Listing 1",
        AXES,
        _tensors(rowmax),
        (
            heads(Loop("i", A_r, (*_fresh(rowmax), first, *map(Store, stats)), parallel=True)),
            heads(Loop("i", A_i, (*map(Load, stats), second), parallel=True)),
        ),
        ((A_r, "i"), (A_c, "j"), (A_i, "i"), (A_x, "x")),
    )


def naive() -> Schedule:
    """Each operation on its own: scores, softmax, weighted sum; the whole matrix is formed, masked or not."""
    product = Loop("j", A_c, (New(S), _outer_scores(), score(S), Store(S)), parallel=True)
    level = Loop("j", ONE, (Load(S), statistics(S, MAXIMUM, TOTAL)))
    weights = Loop("j", ONE, (Load(S), normalise(S, MAXIMUM, TOTAL), Store(S, "P")), parallel=True)
    P = Tile("P", ("i", "j"))
    word = Loop("i", ONE, (Load(P), contract(U, P, V)), parallel=True)
    output = Loop("x", A_x, (New(U), Loop("j", ONE, (Load(V), word)), Store(U)), parallel=True)
    return Schedule(
        "naive",
        "each operation on its own, every intermediate in slow memory",
        "the baseline of Dao et al. 2022, Algorithm 0, with optimally tiled products",
        AXES,
        (*INPUTS, OUTPUT, ("S", _MATRIX), ("P", _MATRIX)),
        (
            heads(Loop("i", A_r, (product,), parallel=True)),
            heads(Loop("i", ONE, (New(MAXIMUM, _MINUS_INFINITY), New(TOTAL), level, weights), parallel=True)),
            heads(Loop("i", A_i, (output,), parallel=True)),
        ),
        ((A_r, "i"), (A_c, "j"), (A_i, "i"), (A_x, "x")),
        notes=("a mask saves nothing here: masked scores are formed and set to -inf",),
    )


def naive_rows() -> Schedule:
    """As `naive`, with a softmax that keeps one row in fast memory: one read and one write per score."""
    base = naive()
    row = (New(MAXIMUM, _MINUS_INFINITY), New(TOTAL), Load(S), statistics(S, MAXIMUM, TOTAL))
    softmax = Loop("i", ONE, (*row, normalise(S, MAXIMUM, TOTAL), Store(S, "P")), parallel=True)
    return Schedule(
        "naive_rows",
        "each operation on its own, softmax on whole rows",
        "Dao et al. 2022, Algorithm 0, with optimally tiled products",
        base.axes,
        base.tensors,
        (base.phases[0], heads(softmax), base.phases[2]),
        base.tiles,
        notes=base.notes,
    )
