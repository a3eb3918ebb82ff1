"""Programs on p processors: Brent's bounds on counted work and depth, and on those of the derived nest."""

import json

import pytest
from typer.testing import CliRunner

import attometer as am
from attometer.cli import app

SOFTMAX = am.mechanism("softmax").program


def test_the_curve_is_brents_on_the_counted_program() -> None:
    found = am.scale(SOFTMAX, [1, 64, 10**9], n=256, d=16, b=1, h=2)
    cost = am.count(SOFTMAX).at(n=256, d=16, b=1, h=2)
    assert (found.free.work, found.free.depth) == (cost.work, cost.depth)
    assert [int(p.lower) for p in found.free.points] == [cost.work, -(-cost.work // 64), cost.depth]
    assert found.nest is None


def test_a_limited_fast_memory_adds_work_and_depth() -> None:
    found = am.scale(SOFTMAX, [4], M=2000, n=256, d=16, b=1, h=2)
    assert found.nest is not None
    assert found.nest.work > found.free.work
    assert found.nest.depth > found.free.depth
    assert found.nest.parallelism < found.free.parallelism


def test_the_command_takes_amounts_and_gives_json() -> None:
    done = CliRunner().invoke(
        app, ["scale", "softmax", "-n", "64", "-d", "8", "--processors", "1,1k", "-M", "400", "--json"]
    )
    assert done.exit_code == 0, done.output
    points = json.loads(done.output)["nest"]["points"]
    assert [p["processors"] for p in points] == [1, 1024]


@pytest.mark.parametrize(
    ("processors", "sizes", "said"),
    [([], {}, "processors must name"), ([0], {}, "processors must be"), ([1], {"q": 1}, 'unknown size "q"')],
)
def test_bad_numbers_are_named(processors: list[int], sizes: dict[str, int], said: str) -> None:
    with pytest.raises(am.AttometerError) as error:
        am.scale(SOFTMAX, processors, **sizes)
    assert said in str(error.value)
