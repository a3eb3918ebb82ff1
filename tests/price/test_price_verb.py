"""`am.price`: the datasheet roofline of a counted cost."""

import pytest

import attometer as am
from attometer.errors import AttometerError

SOFTMAX = am.count(am.mechanism("softmax"))


def test_time_is_flops_over_the_peak_and_the_least_words_over_the_bandwidth() -> None:
    h100 = am.machine("h100-sxm")
    time = am.price(SOFTMAX, h100, h=2, n=1024, d=64)
    assert time.flops == 4 * 2 * 1024**2 * 64
    assert time.bytes_moved == 4 * 2 * 1024 * 64 * 2  # Q, K, V and O once, in bf16
    assert time.compute_seconds == time.flops / 989e12
    assert time.memory_seconds == time.bytes_moved / h100.bandwidth


def test_a_schedule_moves_more_than_the_least_and_bytes_follow_the_type() -> None:
    least = am.price(SOFTMAX, h=2, n=1024, d=64)
    flash = am.price(am.count(am.mechanism("softmax"), "flash2"), h=2, n=1024, d=64, B_r=64)
    # flash2 reads Q once and K and V once per block of rows, and writes O and one logsumexp a row.
    assert flash.bytes_moved == 2 * 2 * (2 * 1024 * 64 + 2 * 1024 * 64 * (1024 // 64) + 1024)
    assert flash.bytes_moved > least.bytes_moved
    assert am.price(SOFTMAX, dtype="fp8", h=2, n=1024, d=64).bytes_moved == least.bytes_moved // 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 8, "d": 4, "h": 1, "B_r": 2}, 'unknown size "B_r"'),
        ({"n": 0, "d": 4, "h": 1}, 'size "n" must be '),
        ({"n": 8, "h": 1}, 'size "d" is missing'),
        ({"n": 8, "d": 4, "h": 1, "dtype": "bf17"}, 'unknown data type "bf17"; did you mean "bf16"?'),
        ({"n": 8, "d": 4, "h": 1, "on": "h1000"}, 'unknown hardware "h1000"'),
    ],
)
def test_refusals(given: dict[str, object], said: str) -> None:
    with pytest.raises(AttometerError) as error:
        am.price(SOFTMAX, **given)
    assert said in str(error.value)


def test_only_a_cost_is_priced() -> None:
    with pytest.raises(AttometerError, match="price takes the Cost that count returns, got str"):
        am.price("softmax")


def test_a_model_is_priced_as_an_engine_runs_it() -> None:
    gpt2 = am.model("gpt2")
    step = am.price(gpt2, "h100-sxm", engine="vllm", n=1, m=512)
    assert step.seconds == pytest.approx(sum(step.terms.values()))
    assert str(step).startswith("predicted ")
    assert am.price(gpt2, "h100-sxm", engine="vllm", n=1, m=512, b=64).seconds > step.seconds
    for given, said in (
        ({}, "name one, as in engine='vllm'"),
        ({"engine": "vlm"}, 'unknown engine with predicted times "vlm"; did you mean "vllm"'),
        ({"engine": "vllm", "q": 3}, 'unknown size of a model\'s pass "q"'),
    ):
        with pytest.raises(AttometerError, match=said):
            am.price(gpt2, "h100-sxm", **given)
    with pytest.raises(AttometerError, match='engine "vllm" runs a model or its cost; got Cost'):
        am.price(SOFTMAX, engine="vllm", n=8)
