"""What cutting an axis of a program does to it: collectives, offsets, and what is refused."""

import pytest

from attometer.errors import AttometerError
from attometer.program import parse
from attometer.schedule.sharding import Cut, shard_program

HEAD = "axis i: n, c: 8, o: 6\nweight W[c,o], B[o]\n"


def kinds(text: str, *cuts: Cut, **options: object) -> list[tuple[str, str]]:
    return [(c.kind, c.tensor) for c in shard_program(parse(text), cuts, **options).collectives]  # type: ignore[arg-type]


def test_features_that_come_out_need_nothing_and_those_summed_are_reduced() -> None:
    text = HEAD + "Y[b,i,o] = X[b,i,c] * W[c,o] + B[o]"
    assert kinds(text, Cut("o", 2)) == []
    assert kinds(text, Cut("c", 2)) == [("all_reduce", "Y")]


def test_a_bias_is_added_once() -> None:
    cut = shard_program(parse(HEAD + "Y[b,i,o] = X[b,i,c] * W[c,o] + B[o]"), [Cut("c", 2)])
    assert str(cut.local({"tp": 0})).endswith("Y[b,i,o] = X[b,i,c] * W[c,o] + B[o]")
    assert str(cut.local({"tp": 1})).endswith("Y[b,i,o] = X[b,i,c] * W[c,o] + 0 * B[o]")


def test_what_is_not_linear_waits_for_the_sum() -> None:
    text = HEAD + "H[b,i,o] = X[b,i,c] * W[c,o]\nY[b,i,o] = silu(H[b,i,o])"
    assert kinds(text, Cut("c", 2)) == [("all_reduce", "H")]


def test_a_look_up_finds_its_entry_on_one_rank() -> None:
    table = shard_program(
        parse("axis i: n, v: 10, c: 4\ninput T[b,i]\nweight W[v,c]\nY[b,i,c] = W[T[b,i], c]"),
        [Cut("v", 4, padded=True)],
    )
    assert table.program.shape("W") == (3, 4)
    assert "W[T[b,i] - 9, c]" in str(table.local({"tp": 3}))
    assert table.slice_of("v", {"tp": 3}) == (9, 10, 3)


def test_a_softmax_over_a_cut_axis_exchanges_its_maximum_and_its_sum() -> None:
    text = "axis i: n, v: 8\nP[b,i,v] = softmax[v](X[b,i,v])"
    assert kinds(text, Cut("v", 2)) == [("all_max", "P.max"), ("all_reduce", "P.sum")]


def test_few_key_heads_stand_on_several_ranks() -> None:
    text = "axis i: n, c: 8, g: 2, d: 4\nweight W[c,g,d]\nK[b,g,i,d] = X[b,i,c] * W[c,g,d]"
    cut = shard_program(parse(text), [Cut("g", 4, shared=True)])
    assert [cut.slice_of("g", {"tp": r})[:2] for r in range(4)] == [(0, 1), (0, 1), (1, 2), (1, 2)]
    assert cut.pieces("g") == 2


def test_positions_along_a_cut_axis_and_its_size_stay_the_whole_ones() -> None:
    cut = shard_program(parse("axis i: n, h: 8\nM[i,h] = X[i,h] * pow(2, -(pos(h) + 1) / h)"), [Cut("h", 2)])
    assert "pos(h) + 4 + 1) / 8" in str(cut.local({"tp": 1}))


def test_a_sequence_is_gathered_before_a_block_and_scattered_after_it() -> None:
    text = "input X[b,i,c]\n" + HEAD + "Y[b,i,o] = X[b,i,c] * W[c,o]"
    # What arrives in slices of c is no stream of the sequence.
    assert kinds(text, Cut("c", 2), sequence={"tp": "i"}) == [("reduce_scatter", "Y")]


@pytest.mark.parametrize(
    ("text", "cut", "message"),
    [
        (HEAD + "Y[b,i,o] = X[b,i,c] * W[c,o]", Cut("c", 3), 'tp 3 does not divide axis "c" of size 8'),
        ("axis i: n\nY[i] = exp(X[i])", Cut("i", 2), 'axis "i" has the size n; only an axis of known size is cut'),
        ("axis i: n, c: 8\nY[i,c] = rmsnorm[c](X[i,c])", Cut("c", 2), r'axis "c" is cut and rmsnorm\[c\] needs all of it'),
        ("axis i: n, x: 8, k: 2\nT[i,k] = topk[x, k](X[i,x])", Cut("x", 2), 'axis "x" is cut and ".*" needs all of it'),
        (
            "axis i: n, c: 2, o: 4\nY[i,o] = X[i,c] * W[c,o]", Cut("c", 4, shared=True),
            'axis "c" is summed and shorter than its pieces',
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_refused(text: str, cut: Cut, message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        shard_program(parse(text), [cut]).program  # noqa: B018
