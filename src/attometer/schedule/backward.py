"""Schedules of the gradients dQ, dK, dV of attention, with the scores recomputed from the stored log-sum-exp L."""

from attometer.schedule.flash import AXES, ROW_TENSOR, B_c, B_r, K, P, Q, V, heads
from attometer.schedule.nest import ONE, Load, Loop, New, Node, Schedule, Store, Tensor, Tile
from attometer.schedule.steps import contract, row_dot, score, score_gradient, shifted
from attometer.sizes import size

B_i, B_j = size("B_i"), size("B_j")
dO, O = Tile("dO", ("i", "x")), Tile("O", ("i", "x"))  # noqa: E741 - the field's name for the output
dQ, dK, dV = Tile("dQ", ("i", "c")), Tile("dK", ("j", "c")), Tile("dV", ("j", "x"))
dS, L, D = Tile("dS", ("i", "j")), Tile("L", ("i",)), Tile("D", ("i",))
_TENSORS = (
    ("Q", Tensor(("z", "i", "c"), "input")),
    ("K", Tensor(("z", "j", "c"), "input")),
    ("V", Tensor(("z", "j", "x"), "input")),
    ("O", Tensor(("z", "i", "x"), "input")),
    ("dO", Tensor(("z", "i", "x"), "input")),
    ("L", Tensor(ROW_TENSOR, "input")),
    ("D", Tensor(ROW_TENSOR, "scratch")),
    ("dQ", Tensor(("z", "i", "c"), "output")),
    ("dK", Tensor(("z", "j", "c"), "output")),
    ("dV", Tensor(("z", "j", "x"), "output")),
)


def _row_dots(by_word: bool = False) -> Loop:
    """D = rowsum(dO O), a pass of its own, one row at a time or, where a row may not fit, one word."""
    step: tuple[Node, ...] = (Load(dO), Load(O), row_dot(D, dO, O))
    inner: tuple[Node, ...] = (Loop("x", ONE, step),) if by_word else step
    return heads(Loop("i", ONE, (New(D), *inner, Store(D)), parallel=True))


def _weights() -> tuple[Node, ...]:
    return New(P), contract(P, Q, K), score(P), shifted(P, L)


def _gradient() -> tuple[Node, ...]:
    return New(dS), contract(dS, dO, V), score_gradient(dS, P, D)


_ROWS = (Load(Q), Load(dO), Load(L), Load(D))


def flash_backward_fused() -> Schedule:
    """One kernel, keys outside: dK and dV stay, dQ is read and written for each tile of keys."""
    start = Loop("i", B_r, (New(dQ), Store(dQ)), parallel=True)
    updates = (*_weights(), contract(dV, P, dO), *_gradient(), contract(dQ, dS, K), contract(dK, dS, Q))
    rows = Loop("i", B_r, (*_ROWS, Load(dQ), *updates, Store(dQ)), partner="j")
    keys = Loop("j", B_c, (Load(K), Load(V), New(dK), New(dV), rows, Store(dK), Store(dV)))
    return Schedule(
        "flash_backward_fused",
        "gradients in one kernel, keys outside, dQ accumulated in slow memory",
        "Dao 2023, arXiv 2307.08691, Algorithm 2",
        AXES,
        _TENSORS,
        (_row_dots(), heads(start), heads(keys)),
        ((B_r, "i"), (B_c, "j")),
        backward=True,
    )


def flash_backward_two_kernels() -> Schedule:
    """Two kernels: queries outside for dQ, keys outside for dK and dV; nothing is accumulated in slow memory."""
    key_step = (Load(K), *_weights(), Load(V), *_gradient(), contract(dQ, dS, K))
    first = Loop("i", B_r, (*_ROWS, New(dQ), Loop("j", B_c, key_step, partner="i"), Store(dQ)), parallel=True)
    query_step = (*_ROWS, *_weights(), contract(dV, P, dO), *_gradient(), contract(dK, dS, Q))
    rows = Loop("i", B_i, query_step, partner="j")
    second = Loop("j", B_j, (Load(K), Load(V), New(dK), New(dV), rows, Store(dK), Store(dV)), parallel=True)
    return Schedule(
        "flash_backward_two_kernels",
        "gradients in two kernels: queries outside for dQ, keys outside for dK and dV",
        "Triton FlashAttention tutorial; Dao 2023, arXiv 2307.08691",
        AXES,
        _TENSORS,
        (_row_dots(), heads(first), heads(second)),
        ((B_r, "i"), (B_c, "j"), (B_i, "i"), (B_j, "j")),
        backward=True,
    )


def _sum_over_rows(out: Tile, weights: Tile, values: Tile) -> Loop:
    """out[j] += sum over queries of weights[i,j] values[i], one weight against a row of values at a time."""
    word = Loop("j", ONE, (Load(weights), contract(out, weights, values)), parallel=True, partner="i")
    return Loop("i", ONE, (Load(values), word), partner="j")


def _sum_over_keys(out: Tile, weights: Tile, values: Tile) -> Loop:
    """out[i] += sum over keys of weights[i,j] values[j], one weight against a row of values at a time."""
    word = Loop("i", ONE, (Load(weights), contract(out, weights, values)), parallel=True, partner="j")
    return Loop("j", ONE, (Load(values), word), partner="i")


def _outer(out: Tile, rows: Tile, columns: Tile, axis: str) -> Loop:
    """A tile of scores or of their gradients as a sum of outer products along `axis`."""
    return Loop(axis, ONE, (Load(columns), Loop("i", ONE, (Load(rows), contract(out, rows, columns)), parallel=True)))


def backward_passes() -> Schedule:
    """P and dS through slow memory, five products with outer-product accumulators: for M below d²."""
    weights = (New(P), _outer(P, Q, K, "c"), score(P), shifted(P, L), Store(P))
    word = Loop("j", ONE, (Load(P), score_gradient(dS, P, D)), parallel=True, partner="i")
    gradients = (New(dS), _outer(dS, dO, V, "x"), Loop("i", ONE, (word,), parallel=True), Store(dS))
    panels = {
        "dV": Loop("x", size("C_x"), (New(dV), _sum_over_rows(dV, P, dO), Store(dV)), parallel=True),
        "dQ": Loop("c", size("G_c"), (New(dQ), _sum_over_keys(dQ, dS, K), Store(dQ)), parallel=True),
        "dK": Loop("c", size("H_c"), (New(dK), _sum_over_rows(dK, dS, Q), Store(dK)), parallel=True),
    }
    passes = (
        Loop("i", size("A_r"), (Load(L), Loop("j", size("A_c"), weights, True, "i")), parallel=True),
        Loop("j", size("C_j"), (panels["dV"],), parallel=True),
        Loop("i", size("E_r"), (Load(D), Loop("j", size("E_c"), gradients, True, "i")), parallel=True),
        Loop("i", size("G_i"), (panels["dQ"],), parallel=True),
        Loop("j", size("H_j"), (panels["dK"],), parallel=True),
    )
    matrix = Tensor(("z", "i", "j"), "scratch")
    named = "A_r i, A_c j, C_j j, C_x x, E_r i, E_c j, G_i i, G_c c, H_j j, H_c c"
    tiles = [entry.split() for entry in named.split(", ")]
    return Schedule(
        "backward_passes",
        "gradients with P and dS through slow memory, outer-product accumulators",
        "the small-cache regime of Li et al. 2024, arXiv 2410.09397",
        AXES,
        (*_TENSORS, ("P", matrix), ("dS", matrix)),
        (_row_dots(by_word=True), *map(heads, passes)),
        tuple((size(name), axis) for name, axis in tiles),
        backward=True,
    )
