"""The search over placements: its terms against closed forms, its best against all of them, and its refusals."""

import pytest

from attometer.count.placement.collectives import Message
from attometer.count.placement.rank_cost import shard
from attometer.errors import AttometerError
from attometer.formats import uniform
from attometer.machine import cluster
from attometer.models import model
from attometer.plan.placement_links import on_links
from attometer.plan.placement_search import devices_needed, placements, search
from attometer.plan.placement_time import Evaluator, Load, checked
from attometer.schedule.placement import Placement


def evaluator(name: str, on: str, **load: object) -> Evaluator:
    return Evaluator(model(name), cluster(on), Load(**load))  # type: ignore[arg-type]


@pytest.mark.parametrize("goal", ["latency", "throughput", "fits"])
def test_the_best_is_the_best_of_all(goal: str) -> None:
    load = {"context": 4096, "batch": 16}
    found = search("mixtral-8x7b", "8x-h100-sxm", goal=goal, **load)
    every = evaluator("mixtral-8x7b", "8x-h100-sxm", **load)
    fitting = []
    for place in placements(every.cost, 8, every.load):
        try:
            placed = every.placed(place)
        except AttometerError:
            continue
        fitting += [placed] if placed.fits else []
    best = found.best[0]
    if goal == "fits":
        assert best.total == min(p.total for p in fitting)
    else:
        assert best.seconds == min(p.seconds for p in fitting)
    assert found.legal == len(fitting) + sum(n for why, n in found.lost.items() if why.startswith("does not fit"))


def test_zero_divides_what_its_paper_says() -> None:
    """Rajbhandari et al. 2020 (arXiv:1910.02054), figure 1: 2, 2 and K = 12 bytes per parameter over N replicas."""
    made = evaluator("llama-3.1-8b", "64x-h100-sxm", mode="train", context=128, batch=64)
    states = []
    for zero in range(4):
        memory = made.placed(Placement(dp=64, zero=zero), quick=True).memory
        states.append(memory["weights"] + memory["gradients"] + memory["optimizer"])
    p = made.cost.parameters
    assert states[:3] == pytest.approx([16 * p, 4 * p + 12 * p / 64, 2 * p + 14 * p / 64], rel=1e-6)
    # A layer that is gathered whole comes on top.
    assert states[3] == pytest.approx(16 * p / 64 + 2 * 525_340_672, rel=1e-3)


@pytest.mark.parametrize(("pieces", "batch"), [(1, 8), (1, 32), (2, 8)])
def test_the_bubble_of_a_pipeline(pieces: int, batch: int) -> None:
    """Narayanan et al. 2021, section 2.2: (p - 1)/(v m) of the time that the micro-batches take."""
    made = evaluator("llama-3.1-8b", "4x-h100-sxm", mode="train", context=1024, batch=batch)
    placed = made.placed(Placement(pp=4, interleave=pieces))
    slow = max(made._stage_time(stage, 1).seconds for stage in shard(made.cost, placed.placement).stages)
    assert placed.terms["bubble"] == pytest.approx(batch * slow * 3 / (pieces * batch))


def test_more_ranks_of_one_layer_move_fewer_bytes_each() -> None:
    made = evaluator("llama-3.1-70b", "8x-h100-sxm", context=8192, batch=1)
    placed = [made.placed(Placement(tp=tp)) for tp in (1, 2, 4, 8)]
    assert [p.terms["memory"] for p in placed] == sorted((p.terms["memory"] for p in placed), reverse=True)
    assert placed[0].terms["links"] == 0 < placed[1].terms["links"]


def test_a_part_takes_the_longer_of_computing_and_moving() -> None:
    """Weights of 70.6 billion parameters in bf16 over eight devices of 3.35 TB/s: 5.3 ms at least."""
    made = evaluator("llama-3.1-70b", "8x-h100-sxm", context=1, batch=1)
    placed = made.placed(Placement(tp=8))
    assert placed.terms["memory"] >= 2 * (70.55e9 - 128256 * 8192) / 8 / 3.35e12
    assert placed.terms["memory"] == pytest.approx(5.2e-3, rel=0.02)


@pytest.mark.parametrize(
    ("name", "form", "on", "least"),
    [
        # 141 GB of bf16 take two cards of 79.6 GiB; 405B in bf16 do not fit one node of eight, in fp8 they do.
        ("llama-3.1-70b", "bf16", "h100-sxm", 2),
        ("llama-3.1-70b", "fp8", "h100-sxm", 1),
        ("llama-3.1-405b", "bf16", "h100-sxm", 16),
        ("qwen3-235b-a22b", "bf16", "h200-sxm", 4),
    ],
)
def test_how_many_devices_are_needed(name: str, form: str, on: str, least: int) -> None:
    placed = devices_needed(name, on, context=8192, formats=uniform(form))
    assert placed is not None
    assert placed.placement.devices == least
    assert placed.fits


def test_a_longer_context_needs_another_placement() -> None:
    found = search("llama-3.1-8b", "4x-h100-sxm", goal="context", context=8192, batch=4)
    best, context = found.best[0], found.contexts[0]
    assert context is not None
    made = evaluator("llama-3.1-8b", "4x-h100-sxm", context=context, batch=4)
    assert made.placed(best.placement).fits
    assert not made.at(int(context * 1.01)).placed(best.placement).fits
    # 16 GB of weights leave some 250 of 318 GiB for 131,072 bytes a token.
    assert 4 * context * 131_072 > 240 * 2**30


def test_every_loser_is_told_why() -> None:
    found = search("deepseek-v3", "16x-h200-sxm", context=8192, batch=64, formats=uniform("fp8"))
    assert all(found.why(placed) for placed in found.best)
    assert found.why(found.best[0]) == "the best"
    assert found.legal == len(found.best) + sum(found.lost.values())
    assert "lost: does not fit" in str(found)


def test_where_none_fits_the_nearest_are_said() -> None:
    found = search("llama-3.1-405b", "2x-h100-sxm", context=1024)
    assert str(found).startswith("2 legal placements, none fits, the nearest:")
    assert "of 79.6, most of it weights" in found.why(found.best[0])


def test_refusals() -> None:
    with pytest.raises(AttometerError, match='unknown goal "speed"'):
        search("llama-3.1-8b", "2x-h100-sxm", goal="speed")
    with pytest.raises(AttometerError, match="holds devices of unlike kinds"):
        search("llama-3.1-8b", "1x-rtx-3090 + 1x-rtx-4090")
    with pytest.raises(AttometerError, match="context must be a positive integer, got 0"):
        search("llama-3.1-8b", "2x-h100-sxm", context=0)
    with pytest.raises(AttometerError, match="placement tp 4 takes 4 devices, 8x-h100-sxm has 8"):
        checked(model("llama-3.1-8b"), cluster("8x-h100-sxm"), Load(), Placement(tp=4))


def test_groups_of_replicas_exchange_their_shares() -> None:
    """HSDP on 8 nodes of 8: inside a node gradients are scattered and weights gathered, between nodes an eighth is added up."""
    made = evaluator("llama-3.1-8b", "64x-h100-sxm", mode="train", context=128, batch=64)
    whole, groups = (made.placed(Placement(dp=64, zero=3, dp_replicate=k)) for k in (1, 8))
    p = 2 * made.cost.parameters
    assert whole.links.sent == pytest.approx(3 * p * 63 / 64, rel=1e-6)
    assert groups.links.sent == pytest.approx(3 * p * 7 / 8 + 2 * p / 8 * 7 / 8, rel=1e-6)
    assert groups.memory["optimizer"] == pytest.approx(8 * whole.memory["optimizer"], rel=1e-6)
    # Eight rings, one for each rank of a node, share the network between nodes; the shards add up between nodes.
    assert whole.links.between == pytest.approx(whole.links.sent / 8)
    assert groups.links.between == pytest.approx(2 * p / 8 * 7 / 8, rel=1e-6)


def test_a_tensor_group_over_two_nodes_runs_at_the_pace_of_their_network() -> None:
    two = cluster("16x-h100-sxm")
    inside, across = (on_links([Message("all_reduce", "out", p, p, 1e9)], two) for p in (8, 16))
    assert inside.between == 0
    assert inside.seconds == pytest.approx(6 * 3e-6 + 2e9 * 7 / 8 / 450e9)
    assert across.between == pytest.approx(2e9 * 15 / 16 / 8)
    assert across.seconds == pytest.approx(8 * 8e-6 + across.between / 50e9)


def test_experts_over_two_nodes_send_half_their_rows_across() -> None:
    found = on_links([Message("all_to_all", "experts", 16, 16, 16e9)], cluster("16x-h100-sxm"))
    assert (found.inside, found.between) == pytest.approx((7e9, 8e9))
    assert found.seconds == pytest.approx(8e-6 + 8e9 / 50e9)
