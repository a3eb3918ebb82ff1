"""Outputs, log-sum-exps and gradients on several processes equal those of one; what was sent equals what was counted."""

from typing import Any

import pytest
from distributed_cases import CASES, LARGE, Case

from attometer.count.traffic.communication import ring_communication, ulysses_communication
from attometer.count.traffic.sequence_split import sequence_split
from attometer.run.distributed.agreement import HEADER_BYTES
from attometer.run.distributed.attention import choose

BYTES = {"float64": (8, 8), "float32": (4, 4), "bfloat16": (2, 4)}
CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def fits(case: Case, ranks: int) -> bool:
    """Say whether Ulysses can cut the heads."""
    return case.method != "ulysses" or (case.h % ranks == 0 and (case.g % ranks == 0 or case.replicate_kv))


def check_results(case: Case, results: Any) -> None:
    errors = results["cases"][case.name]["errors"]
    assert errors.keys() == {"output", "dq", "dk", "dv"} | ({"lse"} if case.with_lse else set())
    for name, (error, allowed, dtype) in errors.items():
        assert error <= allowed, f"{name}: error {error:.2e}, allowed {allowed:.2e}"
        wide = "float32" if case.dtype == "bfloat16" else case.dtype
        assert dtype == f"torch.{wide if name == 'lse' else case.dtype}"


def check_law(case: Case, results: Any, ranks: int) -> None:
    """Counted bytes, rank by rank and phase by phase, are the predicted ones."""
    element, accumulator = BYTES[case.dtype]
    split = sequence_split(
        ranks=ranks,
        b=case.b,
        h=case.h,
        g=case.g,
        n=case.n,
        m=case.keys,
        d=case.d,
        e=case.e,
        element=element,
        accumulator=accumulator,
        layout=case.layout,
        mask=case.mask,
    )
    method = choose(case.h, case.g, ranks) if case.method == "auto" else case.method
    for rank, sent in enumerate(results["cases"][case.name]["sent"]):
        ulysses = ulysses_communication(split, rank, return_lse=case.with_lse)
        predicted = ring_communication(split, rank) if method == "ring" else ulysses
        assert sent["forward"].pop("agreement") == HEADER_BYTES * (ranks - 1)
        assert sum(sent["forward"].values()) == predicted.forward
        assert sum(sent["backward"].values()) == predicted.backward


@CASE
def test_two_processes_give_what_one_gives(case: Case, on_two: Any) -> None:
    check_results(case, on_two)


@CASE
def test_counted_bytes_are_the_predicted_ones(case: Case, on_two: Any) -> None:
    check_law(case, on_two, 2)


@pytest.mark.slow
@CASE
def test_four_processes_give_what_one_gives(case: Case, on_four: Any) -> None:
    check_results(case, on_four)
    check_law(case, on_four, 4)


@pytest.mark.slow
@pytest.mark.parametrize("case", LARGE, ids=lambda case: case.name)
def test_long_sequences_on_four_processes(case: Case, large_on_four: Any) -> None:
    check_results(case, large_on_four)
    check_law(case, large_on_four, 4)


def test_gradients_of_bf16_do_not_lose_by_travelling(on_two: Any) -> None:
    """Accumulators travel in float32: a gradient is rounded to bf16 once, so its error is at most that of one rounding."""
    for name in ("ring causal bfloat16", "ulysses one key head, replicated bfloat16"):
        for result in ("dq", "dk", "dv"):
            error, allowed, _ = on_two["cases"][name]["errors"][result]
            assert error < allowed / 1.5


@pytest.mark.parametrize("method", ["ring", "ulysses"])
def test_empty_sequences_nan_inf_and_checkpoints(method: str, on_two: Any) -> None:
    assert on_two["edges"][method] == {
        "no queries": [1, 4, 0, 2],
        "no keys": [0.0, 0.0],
        "finite": [True] * 6 + [False] * 2,
        "inf": True,
        "nan": True,
        "checkpoint": True,
    }


SAID = {
    "width": ("k: got width of queries and keys 8 on rank 0, 6 on rank 1, expected the same on every rank",) * 2,
    "dtype": ("q: got a different dtype on rank 1 than on rank 0, expected the same on every rank",) * 2,
    "own": (
        "rank 1 refused its arguments; its own error says why, and no rank computes",
        "v: got length 3, expected k's 4",
    ),
    "mask": ("mask: got a different mask on rank 1 than on rank 0, expected the same on every rank",) * 2,
    "scale": (
        "options: got a different choice of scale, bias, impl or layout on rank 1 than on rank 0, expected the same on "
        "every rank",
    )
    * 2,
    "grad": ("q: got gradient wanted 0 on rank 0, 1 on rank 1, expected the same on every rank",) * 2,
    "lengths": (
        'q: got lengths (1, 3) on the ranks, expected (2, 2) of layout "zigzag" for 4 positions; cut the sequence with '
        "shard_sequence",
    )
    * 2,
    "heads": ('q: got 3 heads, expected a multiple of the 2 ranks for impl="ulysses"; impl="ring" takes any number',)
    * 2,
    "key heads": (
        'k: got 1 key/value heads, expected a multiple of the 2 ranks for impl="ulysses"; pass replicate_kv=True to send '
        "each to several ranks",
    )
    * 2,
    "bias": ("bias: got alibi, expected None or a soft cap on several processes",) * 2,
    "impl": ('unknown impl "rings"; did you mean "ring"?',) * 2,
    "mesh": ("mesh: got 2 dimensions ('data', 'sequence'), expected 1; pass mesh[\"sequence\"]",) * 2,
    "layout": ('unknown layout "zig-zag"; did you mean "zigzag"?',) * 2,
}


@pytest.mark.parametrize("name", SAID)
def test_a_wrong_call_on_some_rank_is_an_error_on_every_rank(name: str, on_two: Any) -> None:
    assert tuple(said[name] for said in on_two["refusals"]) == SAID[name]
