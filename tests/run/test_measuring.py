"""Measuring: every mechanism runs, a killed run continues, and the summary is arithmetic on the samples."""

from dataclasses import replace

import pytest
import torch

from attometer.errors import AttometerError
from attometer.run import Setting, measure, summarise
from attometer.run.bench.measuring import GEMM, RUNNERS, Sample, load

SMALL = Setting(h=2, d=8)


def sample(mechanism, n, seconds):
    return Sample(
        mechanism, n, 1, 2, 8, "float32", False, "auto", seconds, seconds / 2, 1024, 1, "here", "cpu", "2", "sdpa"
    )


@pytest.mark.parametrize("backward", [False, True])
def test_every_mechanism_runs(backward):
    found = list(measure(list(RUNNERS), [256], setting=replace(SMALL, backward=backward), rounds=1))
    assert [s.mechanism for s in found] == [GEMM, *RUNNERS]
    assert all(s.seconds > 0 and s.backward is backward for s in found)


def test_rounds_are_interleaved():
    found = [(s.mechanism, s.n) for s in measure(["linear", "softmax"], [16, 32], setting=SMALL, rounds=2)]
    assert found[: len(found) // 2] == found[len(found) // 2 :]
    assert found[1:5] == [("linear", 16), ("softmax", 16), ("linear", 32), ("softmax", 32)]


def test_a_killed_run_continues(tmp_path, monkeypatch):
    results = tmp_path / "results.jsonl"
    run = measure(["linear"], [16, 32], setting=SMALL, rounds=2, results=results)
    first = [next(run) for _ in range(4)]
    with results.open("a") as file:
        file.write('{"mechanism": "lin')  # killed while writing
    assert load(results) == first
    whole = list(measure(["linear"], [16, 32], setting=SMALL, rounds=2, results=results))
    assert whole[:4] == first
    assert load(results) == whole
    monkeypatch.setattr("attometer.run.bench.measuring._once", None)  # nothing is left to run
    assert list(measure(["linear"], [16, 32], setting=SMALL, rounds=2, results=results)) == whole
    other = replace(SMALL, dtype=torch.bfloat16)
    with pytest.raises(TypeError):
        list(measure(["linear"], [16], setting=other, rounds=1, results=results))


def test_summary():
    times = {
        ("softmax", 100): 1.0,
        ("softmax", 200): 4.0,
        ("linear", 100): 2.0,
        ("linear", 200): 4.0,
        ("linear", 400): 8.0,
    }
    times |= {("softmax", 400): 16.0}
    samples = [sample(m, n, t * jitter) for (m, n), t in times.items() for jitter in (0.5, 1.0, 7.0)]
    made = summarise(samples, predicted={("linear", 200): 1.5})
    assert made.exponents == pytest.approx({"softmax": 2.0, "linear": 1.0})
    rows = {(r.mechanism, r.n): r for r in made.rows}
    assert [rows["linear", n].speedup for n in (100, 200, 400)] == [0.5, 1.0, 2.0]
    assert rows["linear", 200].predicted == 1.5
    assert rows["linear", 200].samples == 3
    assert made.crossover("linear") == 400
    assert "linear: grows as n^1.00" in str(made)
    assert "2.00x" in str(made)


def test_words():
    with pytest.raises(AttometerError, match='unknown mechanism to measure "lineal"; did you mean "linear"'):
        measure(["lineal"], [16])
    with pytest.raises(AttometerError, match=r"^length must be a positive integer, got 0$"):
        measure(["linear"], [0])
    with pytest.raises(AttometerError, match=r"^rounds must be a positive integer, got 0$"):
        measure(["linear"], [16], rounds=0)
