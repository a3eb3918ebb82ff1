"""Degrees that a question leaves open: which follow, which are searched, and that the plan says so."""

import pytest

from attometer.errors import AttometerError
from attometer.machine import cluster
from attometer.plan import plan
from attometer.plan.degrees import settled
from attometer.plan.placement_search import search
from attometer.schedule.placement import Placement


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"tp": 4, "pp": 2}, Placement(tp=4, pp=2, dp=2)),
        ({"zero": 3}, Placement(dp=16, zero=3)),
        ({"tp": 16, "ep": 8}, Placement(tp=16, ep=8)),
        ({"tp": 3}, Placement(tp=3)),
        ({"ep": 8}, None),
        ({"tp": 8}, None),
    ],
)
def test_what_is_given_settles_the_rest_or_not(given: dict[str, int], place: Placement | None) -> None:
    assert settled(given, cluster("16x-h100-sxm")) == place


def test_experts_alone_do_not_make_ranks_of_one_layer_across_nodes() -> None:
    """Ranks over two nodes sent each layer between them, and left all positions of 40,960 tokens on each: 232 GB of 86."""
    asked = {"context": 40960, "mode": "train", "placement": {"ep": 8}}
    made = plan("qwen3-30b-a3b", "16x-h100-sxm", engine="megatron", **asked)  # type: ignore[arg-type]
    assert made.fits
    assert made.at is not None
    assert made.filled is not None
    place = made.at.placement
    assert place.ep == 8
    assert place.tp <= 8
    assert made.filled.given == {"ep": 8}
    assert {name: getattr(place, name) for name in made.filled.degrees} == made.filled.degrees
    assert made.to_dict()["filled"] == made.filled.to_dict()
    assert str(made.filled) in made.notes
    assert "given ep 8; filled in" in str(made.filled)
    # What helps is of the same step, of as many sequences.
    assert all(lever.seconds_saved < made.seconds / 2 for lever in made.levers)


def test_the_search_keeps_what_is_given() -> None:
    load = {"context": 4096, "batch": 16}
    every, some = (search("mixtral-8x7b", "8x-h100-sxm", best=99, given=g, **load) for g in (None, {"tp": 2, "ep": 2}))
    wanted = [each.placement for each in every.best if (each.placement.tp, each.placement.ep) == (2, 2)]
    assert [each.placement for each in some.best] == wanted
    assert 0 < some.legal < every.legal


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ep": 4}, "with ep 4: it has no routed experts"),
        ({"tp": 0}, "tp must be a positive"),
        ({"tq": 2}, 'unknown degree of parallelism "tq"'),
        ({"tp": 3}, "tp 3 takes 3 devices"),
    ],
)
def test_degrees_that_cannot_be_are_named(given: dict[str, int], said: str) -> None:
    with pytest.raises(AttometerError, match=said):
        plan("llama-3.1-8b", "8x-h100-sxm", context=1024, mode="decode", placement=given)


def test_replicas_that_train_have_alike_many_sequences() -> None:
    found = search("llama-3.1-8b", "8x-h100-sxm", best=99, mode="train", context=1024, batch=12)
    assert {each.placement.dp for each in found.best} <= {1, 2, 4}
