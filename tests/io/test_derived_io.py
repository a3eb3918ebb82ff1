"""`io` of any Program: the derived nest, its words by tensor, bounds by product, the nest executed, the picture."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import attometer as am
from attometer.cli import app
from attometer.report.io.derived import derived_io
from attometer.report.io.verify import Verification, small_sizes, verify_nest
from attometer.schedule.nest import Schedule

EXAMPLES = Path(__file__).parents[2] / "examples"
HEADS = str(EXAMPLES / "talking_heads.att")


def test_words_bounds_and_run_of_a_file() -> None:
    done = CliRunner().invoke(
        app, ["io", HEADS, "-n", "512", "-d", "16", "-M", "2048", "--bounds", "--verify", "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["sizes"] == {"d": 16, "e": 16, "h": 1, "n": 512}
    moved = found["traffic"]
    assert sum(int(w) for side in ("reads", "writes") for w in moved[side].values()) == found["words"]
    assert found["verified"]["counted"] == found["verified"]["simulated"] > 0
    assert found["verified"]["holds"]
    assert {name.partition(",")[0] for name in (b["name"] for b in found["bounds"])} >= {"S.product", "T", "U", "O"}
    assert max(b["words"] for b in found["bounds"]) * found["ratio"] == pytest.approx(found["words"])
    assert all(b["words"] <= found["words"] for b in found["bounds"])


def test_text_on_stdin_prints_the_nest_and_what_was_not_given() -> None:
    done = CliRunner().invoke(app, ["io", "-", "-M", "300", "--verify"], input="Y[i,k] = A[i,j] * B[j,k]")
    assert done.exit_code == 0, done.output
    assert "Y[i,k] += A[i,j] * B[j,k]" in done.output
    assert "sizes that were not given: i = 64, j = 64, k = 64" in done.output
    assert "== simulated" in done.output


def test_a_wrong_count_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = am.parse("Y[i,k] = A[i,j] * B[j,k]")
    found = am.derive(text, 300, i=64, j=64, k=64)
    right = verify_nest(text, found.schedule, found.sizes, found.tiles)
    assert isinstance(right, Verification)
    assert right.holds

    def less(nest: Schedule, sizes: object) -> object:
        return SimpleNamespace(words=right.counted - 1)

    monkeypatch.setattr("attometer.report.io.verify.traffic", less)
    wrong = verify_nest(text, found.schedule, found.sizes, found.tiles)
    assert isinstance(wrong, Verification)
    assert not wrong.holds
    assert "!=" in str(wrong)


def test_a_wrong_result_is_said_and_is_plain_json() -> None:
    wrong = Verification("derived", {"n": 3}, 8, 8, float("inf"))
    assert not wrong.holds
    assert "the result is wrong" in str(wrong)
    assert json.loads(json.dumps(wrong.to_dict(), allow_nan=False))["error"] is None


def test_a_convolution_over_masked_scores_holds_its_halo_and_runs() -> None:
    report = am.io(str(EXAMPLES / "multi_token.att"), M=8192, n=32, d=8, u=3, v=5, verify=True)
    assert isinstance(report.checked, Verification)
    assert report.checked.holds
    assert "A.product'[b,h,i-u,j-v] =" in str(report)


def test_the_gradient_of_a_program_is_bounded_and_run() -> None:
    report = am.io(am.parse("Y[i,k] = tanh(A[i,j] * B[j,k])"), M=200, i=20, j=30, k=10, backward=True, verify=True)
    assert report.name == "gradient of program"
    assert isinstance(report.checked, Verification)
    assert report.checked.holds
    assert report.ratio >= 1


def test_the_picture_has_the_nest_and_its_bounds(tmp_path: Path) -> None:
    made = derived_io(am.mechanism("matmul"), M=300, sizes={"n": 32})
    text = made.plot(tmp_path / "io.svg").read_text()
    assert "derived nest" in text
    assert "lower bound, any summation tree" in text


def test_small_sizes_satisfy_what_the_text_asks() -> None:
    text = am.parse(
        "axis c: n / B, t: B, i: n, j: n\ninput X[i,d], S[i,j]\nY[c,t,d] = X[c * B + t, d]\nT[i,r] = topk[j, r](S)"
    )
    small = small_sizes(text)
    assert small is not None
    assert small["n"] % small["B"] == 0
    assert small["r"] <= small["n"]
    assert small_sizes(am.parse("axis c: n - 9\nY[c] = exp(X[c])")) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--schedule", "flash2"], "schedule: a schedule runs softmax attention"),
        (["--mask", "causal"], "write the mask in the text"),
        (["--sizes", "k=4"], 'unknown size "k"'),
        (["-M", "1"], "fits into M"),
    ],
)
def test_refusals(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["io", HEADS, "-n", "64", "-d", "8", "-M", "40", *options])
    assert done.exit_code
    assert said in str(done.exception)


def test_chunks_are_asked_for_by_number_axis_or_processors() -> None:
    def derive(*how: str) -> dict[str, Any]:
        asked = ["derive", "decode", "-M", "98304", "--at", "m=65536,d=64", *how, "--json"]
        done = CliRunner().invoke(app, asked, catch_exceptions=False)
        return dict(json.loads(done.stdout))

    four = derive("--splits", "4")
    assert four["schedule"]["accumulators"] == "tree"
    assert four["merge"].startswith("P.max = max(P.max_1, P.max_2)")
    assert four["words"] == derive("--splits", "j=4")["words"] == derive("--processors", "16384")["words"]
    assert derive("--processors", "1")["merge"] is None


def test_a_nest_of_gradients_is_derived() -> None:
    asked = ["derive", "linear_causal", "--gradient", "-M", "500", "--at", "n=48,d=6", "--json"]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    program = am.gradient(am.mechanism("linear_causal").program)
    assert json.loads(done.stdout)["words"] == am.derive(program, M=500, n=48, d=6).words
