"""A model with another attention: what its layers then hold, compute and keep, and what is refused by name."""

from pathlib import Path

import pytest
import sympy
from typer.testing import CliRunner

import attometer as am
from attometer.cli import app
from attometer.count.model_cost import model_cost
from attometer.models.mixer import with_attention

EXAMPLES = Path(__file__).parents[2] / "examples"
LLAMA = am.model("llama-3.1-8b")
HEAD = "axis i: n, j: n\ninput Q[b,h,i,d], K[b,{g},j,d], V[b,{g},j,e]\n"
GROUPED = HEAD.format(g="g") + (
    "S[b,h,i,j] = Q[b,h,i,d] * K[b, h // (h/g), j, d] / sqrt(d)   where causal(i, j)\n"
    "P[b,h,i,j] = softmax[j](S)\nO[b,h,i,e] = P[b,h,i,j] * V[b, h // (h/g), j, e]"
)


def test_the_same_attention_changes_nothing() -> None:
    mixed = with_attention(LLAMA, am.parse(GROUPED))
    assert mixed.check.notes == LLAMA.check.notes
    one, other = model_cost(LLAMA), model_cost(mixed)
    assert one.parameters == other.parameters
    assert sympy.expand(one.flops() - other.flops()) == 0
    assert (one.cache.kv, one.cache.state) == (other.cache.kv, other.cache.state)
    decoding = (
        model_cost(m, phase="decode").flops() for m in (LLAMA, with_attention(LLAMA, am.parse(GROUPED), decode=True))
    )
    assert len({sympy.expand(f) for f in decoding}) == 1


def test_projections_are_as_wide_as_the_text_says() -> None:
    mixed = with_attention(LLAMA, str(EXAMPLES / "differential.att"), h=16)
    D, d, h = 4096, 128, 16
    layer, was = model_cost(mixed).layers[0], model_cost(LLAMA).layers[0]
    # Q, R, K, L of 16 × 128, V of 16 × 256, lambda and a norm of 256; theirs were Q of 32 × 128, K and V of 8 × 128.
    ours, theirs = 4 * D * h * d + D * h * 2 * d + h + 2 * d, D * 32 * d + 2 * D * 8 * d
    assert layer.parameters - was.parameters == ours - theirs
    assert layer.kv == (2 * h * d + h * 2 * d) * am.size("m")
    assert "differential reads R: a projection of 4,096 × 2,048 more in each layer" in mixed.check.notes


def test_plan_takes_a_file() -> None:
    done = CliRunner().invoke(
        app, ["plan", "gpt2", "--attention", f"{EXAMPLES / 'soft_capped.att'}", "--mode", "decode"]
    )
    assert done.exit_code == 0, done.output
    assert "gpt2 with soft_capped" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("Y[b,i,d] = exp(X[b,i,d])", {}, "reads no Q and no K and no V"),
        (HEAD.format(g="h") + "input c\nP[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d] + c\nO[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]", {},
         "program reads c, which no model makes of its tokens; declare a weight"),
        (GROUPED.replace("causal(i, j)", "window(i, j, w)"), {}, "needs a number for w; write program.att,w="),
        (GROUPED, {"q": 4}, 'unknown size "q"'),
        (GROUPED.replace("b,", "").replace("[b, ", "["), {}, "has no batch: write Q, K, V with the index b"),
    ],
)  # fmt: skip
def test_what_is_lacking_is_said_by_name(text: str, options: dict[str, int], said: str) -> None:
    with pytest.raises(am.AttometerError) as error:
        with_attention(LLAMA, am.parse(text), **options)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [("gated_linear", "has no axis of keys apart from its queries'"), ("forgetting", "forgetting is no decode step")],
)
def test_what_cannot_decode_is_refused(name: str, said: str) -> None:
    file = str(EXAMPLES / f"{name}.att")
    assert with_attention(am.model("gpt2"), file).name == f"gpt2 with {name}"
    with pytest.raises(am.AttometerError) as error:
        with_attention(am.model("gpt2"), file, decode=True)
    assert said in str(error.value)


def test_a_model_without_such_attention_is_refused() -> None:
    with pytest.raises(am.AttometerError) as error:
        with_attention(am.model("deepseek-v3"), am.parse(GROUPED))
    assert 'the model has no projection "q" of its own to give program its Q' in str(error.value)
    with pytest.raises(am.AttometerError) as error:
        with_attention(am.model("mamba-2.8b"), am.parse(GROUPED))
    assert "has attention of Q, K and V to replace: " in str(error.value)
