"""Attention by a schedule of the catalogue moves the words its nest is counted to move, with tiles for this machine."""

import pytest

import attometer as am
from attometer.count.evaluate import evaluate
from attometer.count.formulas import Compiled, Graph
from attometer.count.part_cost import PartCost
from attometer.count.traffic.words import traffic
from attometer.errors import AttometerError
from attometer.masks import causal, window
from attometer.plan import plan, planner
from attometer.plan.options import SCHEDULES
from attometer.schedule.catalogue import schedule

TILED = [name for name in SCHEDULES if name != "flash"]


def attention(name: str, how: str, kind: str, mode: str = "prefill") -> PartCost:
    rows = planner(name, "h100-sxm", schedule=how, mode=mode).cost.layers
    return next(p for row in rows if row.kind == kind for p in row.running if p.kind == "attention")


def at(part: PartCost, quantity: str, **sizes: int) -> int:
    g = Graph()
    (value,) = Compiled(g, {"x": g.exact(getattr(part, quantity))}, ("b", "n", "m")).scalar(
        sizes["b"], sizes["n"], sizes["m"]
    )
    return int(value)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (700, 700), (1000, 5000), (1, 4097)])
@pytest.mark.parametrize("how", TILED)
def test_words_are_those_of_the_nest(how: str, n: int, m: int) -> None:
    part = attention("llama-3.1-8b", how, "full")
    assert part.traffic is not None
    sizes = {"n": n, "m": m, "d": 128, "e": 128, **part.traffic.tiles}
    moves = traffic(schedule(how), sizes, causal(), copies=3 * 8, stack=4)
    assert at(part, "moved", b=3, n=n, m=m) + at(part, "cached", b=3, n=n, m=m) == int(moves.words)
    assert at(part, "cached", b=3, n=n, m=m) == int(moves.reads["K"] + moves.reads["V"])


def test_a_window_reads_its_tiles_of_keys() -> None:
    part = attention("mistral-7b", "flash2", "sliding")
    assert part.traffic is not None
    sizes = {"n": 6000, "m": 9000, "d": 128, "e": 128, **part.traffic.tiles}
    moves = traffic(schedule("flash2"), sizes, causal() & window(4096), copies=8, stack=4)
    assert at(part, "moved", b=1, n=6000, m=9000) + at(part, "cached", b=1, n=6000, m=9000) == int(moves.words)


def test_no_tiles_move_less_than_one_kernel_and_all_schedules_run_the_same_products() -> None:
    one = plan("llama-3.1-8b", context=8192)
    for how in TILED:
        tiled = plan("llama-3.1-8b", context=8192, schedule=how)
        assert tiled.time.flops == one.time.flops
        assert tiled.time.bytes_moved > one.time.bytes_moved
    # A token being decoded reads each key and value once, and its log-sum-exp is written: 32 heads × 32 layers.
    decode = [
        plan("llama-3.1-8b", context=8192, mode="decode", schedule=how).time.bytes_moved for how in ("flash", "flash2")
    ]
    assert decode[1] - decode[0] == 2 * 32 * 32


def test_by_hand_flash2_reads_keys_once_per_tile_of_rows() -> None:
    # 116,736 words of 16 bits in 228 KiB; 448 rows are 112 queries of 4 heads, so that 112 queries read each key once.
    part = attention("llama-3.1-8b", "flash2", "full")
    assert part.traffic is not None
    assert part.traffic.tiles["B_r"] == 448
    pairs = sum(k * 112 for k in range(1, 11))
    assert at(part, "cached", b=1, n=1120, m=1120) == 8 * 2 * 128 * pairs


def test_notes_say_the_tiles_and_what_does_not_run() -> None:
    notes = " ".join(plan("llama-3.1-8b", schedule="flash2", context=8192).notes)
    assert "counted for flash2 with the best tiles for the shared memory (116,736 words of bf16): B_r = 448" in notes
    notes = " ".join(plan("gpt-oss-20b", schedule="flash2", context=8192).notes)
    assert "flash2 does not run every attention of this model; those count as one kernel" in notes


def test_a_machine_without_fast_memory_is_told() -> None:
    whole = am.machine("h100-sxm")
    memory = whole.memory.model_copy(update={"shared_memory": None, "l2": None})
    bare = whole.model_copy(update={"id": "bare", "memory": memory})
    with pytest.raises(AttometerError, match='schedule "flash2" is tiled for a fast memory, and "bare" states neither'):
        planner("gpt2", bare, schedule="flash2")
    assert planner("gpt2", bare, schedule="naive").fast is None


def test_traffic_is_symbolic_too() -> None:
    part = attention("llama-3.1-8b", "flash1", "full")
    sizes = {"b": 2, "n": 300, "m": 300}
    assert evaluate(part.moved, sizes) == at(part, "moved", **sizes)
