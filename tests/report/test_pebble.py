"""The report, the animation and the figure of a pebbling."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from attometer.errors import AttometerError
from attometer.report.pebble.figure import figure
from attometer.report.pebble.play import frames, play
from attometer.report.pebble.report import PebbleReport, pebble
from attometer.simulate import referee
from attometer.simulate.pebble.program import program_dag


@pytest.fixture(scope="module")
def report() -> PebbleReport:
    return pebble("softmax", M=5, n=2, d=1)


def test_the_report_says_cost_bounds_orders_and_moves(report: PebbleReport) -> None:
    text = str(report)
    assert text.startswith("softmax at n = 2, m = 2, d = 1, e = 1, M = 5: words moved and held\nsoftmax attention")
    assert max(map(len, text.splitlines())) <= 80
    assert "cost: 11 words, proved least (9 loads, 2 stores; 0 computed again; compulsory 8)" in text
    assert "order: FlashAttention-2, 1 query rows: 12 words, 1.09 times" in text
    assert len(report.moves.rows) == len(report.pebbling.moves)
    assert report.moves.rows[0][:3] == (1, "load", "Q[0,0]")


def test_the_report_converts_to_json(report: PebbleReport) -> None:
    values = json.loads(json.dumps(report.to_dict()))
    assert (values["cost"], values["lower_bound"], values["loads"], values["stores"]) == (11, 11, 9, 2)
    assert values["orders"][0] == {"order": "FlashAttention-2, 1 query rows", "cost": 12}
    assert len(values["labels"]) == values["vertices"] == 18


def test_a_stopped_search_says_so() -> None:
    stopped = pebble("softmax", M=4, seconds=0, n=2, d=1)
    assert "the search stopped at its limit" in str(stopped)
    assert stopped.pebbling.lower_bound < stopped.pebbling.cost


@pytest.mark.parametrize(("rule", "M", "cost"), [("place", 5, 14), ("slide", 4, 14)])
def test_matrix_products_under_both_rules(rule: str, M: int, cost: int) -> None:
    answer = pebble("matmul", M, slide=rule == "slide", m=2, n=2, k=2)
    assert answer.pebbling.cost == cost
    assert all(order >= cost for _, order in answer.orders)
    assert answer.moves.rows


def test_trees_have_no_usual_order() -> None:
    assert pebble("matmul-tree", M=6, m=2, n=2, k=2).orders == ()


@pytest.mark.parametrize("name", ["linear", "softmax_row", "sum"])
def test_a_mechanism_of_the_catalogue_is_pebbled_operation_by_operation(name: str) -> None:
    from attometer.mechanisms import mechanism

    sizes = {str(symbol): 1 if str(symbol) in "bhd" else 2 for symbol in mechanism(name).program.symbols}
    dag = program_dag(mechanism(name).program, sizes)
    answer = pebble(name, dag.smallest_memory() + 2, seconds=5, **sizes)
    assert referee(dag, answer.pebbling.moves, answer.pebbling.M).cost == answer.pebbling.cost
    assert dag.compulsory <= answer.pebbling.lower_bound <= answer.pebbling.cost


def test_every_operation_of_a_program_is_a_vertex() -> None:
    from attometer.program import parse
    from attometer.simulate import graph, matmul_dag

    program = parse("C[i,k] = A[i,j] * B[j,k]")
    dag = program_dag(program, {"i": 2, "j": 2, "k": 2})
    assert len(dag.computed) == graph(program, {"i": 2, "j": 2, "k": 2}).work
    assert len(dag) == len(matmul_dag(2, 2, 2, tree=True))
    assert [dag.labels[vertex] for vertex in dag.outputs] == ["C[0,0]", "C[0,1]", "C[1,0]", "C[1,1]"]


@pytest.mark.parametrize(
    ("name", "sizes", "M", "message"),
    [
        ("softmaxx", {"n": 2}, 5, r'unknown calculation to pebble "softmaxx"; did you mean "softmax"\?'),
        ("softmax", {"n": 2, "q": 2}, 5, r'softmax has no size "q"; known: d, e, m, n'),
        ("softmax", {"n": 2}, 5, r"softmax needs size d, e; give --sizes n=2,m=2,d=2,e=2"),
        ("softmax", {"n": 2, "d": 0}, 5, r"^d must be a positive integer, got 0$"),
        ("softmax", {"n": 2, "d": 1}, 3, r"M=3 is too small for any pebbling.*the smallest feasible M is 4"),
        ("softmax", {"n": 8, "d": 4}, 9, r"dag has 696 vertices .* takes at most 62.* at least \d+ words"),
    ],
)
def test_bad_input_is_named(name: str, sizes: dict[str, int], M: int, message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        pebble(name, M, **sizes)


def test_the_animation_has_a_frame_for_every_move(report: PebbleReport) -> None:
    pictures = [picture.plain for picture in frames(report)]
    assert len(pictures) == len(report.pebbling.moves) + 1
    assert "move   0 of" in pictures[0]
    assert "held □□□□□ 0 of 5   moved 0 of 11 words" in pictures[0]
    assert "moved 11 of 11 words (9 loads, 2 stores)" in pictures[-1]
    assert all(f"move {number:3d} of" in picture for number, picture in enumerate(pictures))


def test_the_animation_prints_frames_where_there_is_no_terminal(report: PebbleReport) -> None:
    out = io.StringIO()
    play(report, delay=0, console=Console(file=out, force_terminal=False, width=120))
    assert out.getvalue().count("softmax at n = 2") == len(report.pebbling.moves) + 1


def test_the_animation_runs_in_a_terminal(report: PebbleReport) -> None:
    out = io.StringIO()
    play(report, delay=0, console=Console(file=out, force_terminal=True, width=120))
    assert "11 of 11 words" in out.getvalue()


@pytest.mark.parametrize(("name", "start"), [("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF")])
def test_the_figure_is_written_whole(report: PebbleReport, tmp_path: Path, name: str, start: bytes) -> None:
    assert figure(report, tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_figure_of_no_known_format_is_refused(report: PebbleReport, tmp_path: Path) -> None:
    with pytest.raises(AttometerError, match=r"must end in \.png, \.svg or \.pdf"):
        figure(report, tmp_path / "p.gif")


def test_frames_tell_the_states_apart_by_shape_and_step_waits_for_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    report = pebble("softmax", M=4, n=1, m=2, d=1)
    pictures = [picture.plain for picture in frames(report)]
    assert "○ Q[0,0]" in pictures[0]
    assert "▣ " in pictures[1]
    assert "■ fast memory" in pictures[0]
    asked: list[str] = []
    screen = Console(force_terminal=True, file=io.StringIO(), width=100)
    monkeypatch.setattr(screen, "input", asked.append)
    play(report, console=screen, step=True)
    assert len(asked) == len(pictures)
