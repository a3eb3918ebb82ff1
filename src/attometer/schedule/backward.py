"""Schedules of the gradients dQ, dK, dV of attention, with the scores recomputed from the stored log-sum-exp L."""

from attometer.program.sizes import size
from attometer.schedule.flash import AXES, ROW_TENSOR, B_c, B_r, K, P, Q, V, heads
from attometer.schedule.nest import ONE, Load, Loop, New, Node, Schedule, Store, Tensor, Tile
from attometer.schedule.steps import contract, row_dot, score, score_gradient, shifted

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


def _row_dots() -> Loop:
    """D = rowsum(dO O), a pass of its own, one row at a time."""
    return heads(Loop("i", ONE, (New(D), Load(dO), Load(O), row_dot(D, dO, O), Store(D)), parallel=True))


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
