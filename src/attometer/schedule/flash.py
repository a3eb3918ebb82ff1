"""Schedules that fuse the two products of attention, so that scores never leave fast memory (FlashAttention)."""

from attometer.schedule.nest import ONE, Free, Load, Loop, New, Node, Schedule, Store, Tensor, Tile
from attometer.schedule.steps import (
    contract,
    divide,
    log_sum_exp,
    merge,
    online,
    online_normalised,
    score,
    shifted,
    statistics,
)
from attometer.sizes import size

B_r, B_c, B_d, B_e = size("B_r"), size("B_c"), size("B_d"), size("B_e")
AXES = (("z", size("z")), ("i", size("n")), ("j", size("m")), ("c", size("d")), ("x", size("e")))
Q, K, V = Tile("Q", ("i", "c")), Tile("K", ("j", "c")), Tile("V", ("j", "x"))
P, O = Tile("P", ("i", "j")), Tile("O", ("i", "x"))  # noqa: E741 - the field's name for the output
MAXIMUM, TOTAL = Tile("mx", ("i",)), Tile("l", ("i",))
INPUTS = (
    ("Q", Tensor(("z", "i", "c"), "input")),
    ("K", Tensor(("z", "j", "c"), "input")),
    ("V", Tensor(("z", "j", "x"), "input")),
)
OUTPUT = ("O", Tensor(("z", "i", "x"), "output"))
ROW_TENSOR = ("z", "i")
_MINUS_INFINITY = float("-inf")


def heads(*body: Node) -> Loop:
    """Run the body for each of the z independent problems (batch entries and key/value heads)."""
    return Loop("z", ONE, body, parallel=True)


def fresh_rows() -> tuple[New, New, New]:
    """Start the output rows and their statistics in fast memory."""
    return New(O), New(MAXIMUM, _MINUS_INFINITY), New(TOTAL)


def _scores() -> tuple[Node, ...]:
    """One tile of masked scores, K streamed in column panels."""
    panel = Loop("c", B_d, (Load(K), contract(P, Q, K), Free(K)))
    return New(P), panel, score(P)


def _key_step() -> tuple[Node, ...]:
    values = Loop("x", B_e, (Load(V), contract(O, P, V)), parallel=True)
    return (*_scores(), online(P, MAXIMUM, TOTAL, O), values)


def flash1() -> Schedule:
    """FlashAttention 1: keys and values outside, every query row and its output re-read for each tile of keys."""
    rows = (Load(Q), Load(O), Load(MAXIMUM), Load(TOTAL))
    step = (New(P), contract(P, Q, K), score(P), online_normalised(P, MAXIMUM, TOTAL, O), contract(O, P, V))
    back = (divide(O, TOTAL), Store(O), Store(MAXIMUM), Store(TOTAL))
    start = Loop("i", B_r, (*fresh_rows(), Store(O), Store(MAXIMUM), Store(TOTAL)), parallel=True)
    inner = Loop("i", B_r, (*rows, *step, *back), parallel=True, partner="j")
    return Schedule(
        "flash1",
        "FlashAttention 1, keys outside",
        "Dao et al. 2022, arXiv 2205.14135, Algorithm 1",
        AXES,
        (*INPUTS, OUTPUT, ("mx", Tensor(ROW_TENSOR, "output")), ("l", Tensor(ROW_TENSOR, "output"))),
        (heads(start), heads(Loop("j", B_c, (Load(K), Load(V), inner)))),
        ((B_r, "i"), (B_c, "j")),
    )


def flash2() -> Schedule:
    """FlashAttention 2: queries outside, output rows stay until done, K then V streamed; stores the log-sum-exp."""
    done = (divide(O, TOTAL), Store(O), log_sum_exp(MAXIMUM, TOTAL), Store(MAXIMUM, "L"))
    keys = Loop("j", B_c, _key_step(), partner="i")
    return Schedule(
        "flash2",
        "FlashAttention 2, queries outside",
        "Dao 2023, arXiv 2307.08691, Algorithm 1",
        AXES,
        (*INPUTS, OUTPUT, ("L", Tensor(ROW_TENSOR, "output"))),
        (heads(Loop("i", B_r, (Load(Q), *fresh_rows(), keys, *done), parallel=True)),),
        ((B_r, "i"), (B_c, "j"), (B_d, "c"), (B_e, "x")),
    )


def flash2_sliced() -> Schedule:
    """FlashAttention 2 with V in column panels and QK^T recomputed for each: fewer words when e > d."""
    keys = Loop("j", B_c, (*_scores(), online(P, MAXIMUM, TOTAL, O), Load(V), contract(O, P, V)), partner="i")
    panel = Loop("x", B_e, (*fresh_rows(), keys, divide(O, TOTAL), Store(O)), parallel=True)
    return Schedule(
        "flash2_sliced",
        "FlashAttention 2, V in column panels, scores recomputed per panel",
        "derived from Dao 2023, arXiv 2307.08691",
        AXES,
        (*INPUTS, OUTPUT),
        (heads(Loop("i", B_r, (Load(Q), panel), parallel=True)),),
        ((B_r, "i"), (B_c, "j"), (B_d, "c"), (B_e, "x")),
    )


def two_pass_recompute() -> Schedule:
    """The normaliser in a first pass over the keys, the output in a second: nothing is rescaled, QKᵀ is formed twice."""
    normaliser = Loop("j", B_c, (*_scores(), statistics(P, MAXIMUM, TOTAL)), partner="i")
    values = Loop("x", B_e, (Load(V), contract(O, P, V)), parallel=True)
    weighed = Loop("j", B_c, (*_scores(), shifted(P, MAXIMUM), values), partner="i")
    done = (divide(O, TOTAL), Store(O), log_sum_exp(MAXIMUM, TOTAL), Store(MAXIMUM, "L"))
    rows = (Load(Q), New(MAXIMUM, _MINUS_INFINITY), New(TOTAL), normaliser, New(O), weighed, *done)
    return Schedule(
        "two_pass_recompute",
        "row maxima and sums first, scores recomputed to weigh the values",
        "Milakov & Gimelshein 2018, arXiv 1805.02867, section 2, on FlashAttention 2's tiles",
        AXES,
        (*INPUTS, OUTPUT, ("L", Tensor(ROW_TENSOR, "output"))),
        (heads(Loop("i", B_r, rows, parallel=True)),),
        ((B_r, "i"), (B_c, "j"), (B_d, "c"), (B_e, "x")),
    )


def split_kv() -> Schedule:
    """Flash-decoding: the keys in chunks of t tiles that run independently, their partial results merged afterwards."""
    chunk = size("t") * B_c
    part = Tensor(ROW_TENSOR, "scratch", "s")
    partial = (Store(O, "O_part"), Store(MAXIMUM, "m_part"), Store(TOTAL, "l_part"))
    keys = Loop("j", B_c, _key_step(), partner="i")
    splits = Loop("j", chunk, (Load(Q), *fresh_rows(), keys, *partial), True, "i", "s")
    O2, m2, l2 = Tile("O_part", ("i", "x"), "s"), Tile("m_part", ("i",), "s"), Tile("l_part", ("i",), "s")
    joined = Loop("j", chunk, (Load(O2), Load(m2), Load(l2), merge(MAXIMUM, TOTAL, O, m2, l2, O2)), False, "i", "s")
    return Schedule(
        "split_kv",
        "keys split in chunks of t·B_c that run at once, partial results merged (flash-decoding)",
        "Dao, Haziza, Massa & Sizov 2023, Flash-Decoding",
        AXES,
        (
            *INPUTS,
            OUTPUT,
            ("O_part", Tensor(("z", "i", "x"), "scratch", "s")),
            ("m_part", part),
            ("l_part", part),
        ),
        (
            heads(Loop("i", B_r, (splits,), parallel=True)),
            heads(Loop("i", B_r, (*fresh_rows(), joined, divide(O, TOTAL), Store(O)), parallel=True)),
        ),
        ((B_r, "i"), (B_c, "j"), (size("t"), "j"), (B_d, "c"), (B_e, "x")),
        "tree",
    )
