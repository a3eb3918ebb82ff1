"""The backward pass of whole models, from gradients of their parts, against PyTorch's counter of a training step."""

from typing import Any

import pytest
import sympy

import attometer as am
from attometer.count.backward import backward
from attometer.count.model_cost import model_cost
from attometer.count.part_cost import BACKWARD, part_cost
from attometer.models import from_values
from attometer.models.part import Part

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

BATCH, TOKENS = 2, 24
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 32,
    "vocab_size": 61,
    "n_positions": 64,
}
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 61,
}  # fmt: skip
MIXTRAL = LLAMA | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}


def watched(values: dict[str, Any], attention: str) -> tuple[int, int]:
    """Return what the counter sees of a forward pass, and of its backward pass."""
    own = {k: v for k, v in values.items() if k != "model_type"}
    config = transformers.AutoConfig.for_model(values["model_type"], **own)
    built = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    tokens = torch.randint(0, values["vocab_size"], (BATCH, TOKENS))
    with FlopCounterMode(display=False) as forward:
        logits = built(tokens).logits
    with FlopCounterMode(display=False) as back:
        logits.sum().backward()
    return forward.get_total_flops(), back.get_total_flops()


def counted(expression: sympy.Expr) -> int:
    return int(expression.xreplace({am.size("b"): BATCH, am.size("n"): TOKENS, am.size("m"): TOKENS}))


@pytest.mark.parametrize("values", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_a_training_step_is_what_torch_counts(values: dict[str, Any]) -> None:
    cost = model_cost(from_values(values), schedule="naive", causal="full")
    assert cost.without_gradient == ()
    assert (counted(cost.flops()), counted(cost.backward())) == watched(values, "eager")
    # Scores are kept: nothing is computed twice.
    assert counted(cost.computed_again()) == 0
    assert cost.backward() == 2 * cost.flops()


@pytest.mark.parametrize("values", [GPT2, LLAMA, MIXTRAL], ids=["gpt2", "llama", "mixtral"])
def test_a_kernel_that_keeps_no_scores_computes_them_again(values: dict[str, Any]) -> None:
    kept, flash = (model_cost(from_values(values), schedule=name, causal="full") for name in ("naive", "flash"))
    again = flash.computed_again()
    scores = values.get("n_layer", 2) * 2 * 32 * BATCH * TOKENS**2
    assert counted(again) == scores
    assert sympy.expand(flash.backward() - again - kept.backward()) == 0


def test_the_backward_pass_of_frozen_weights_is_what_torch_counts() -> None:
    own = {k: v for k, v in LLAMA.items() if k != "model_type"}
    config = transformers.AutoConfig.for_model("llama", **own)
    built = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").requires_grad_(False)
    logits = built(inputs_embeds=torch.randn(BATCH, TOKENS, 32, requires_grad=True)).logits
    with FlopCounterMode(display=False) as back:
        logits.sum().backward()
    cost = model_cost(from_values(LLAMA), schedule="naive", causal="full")
    assert counted(sympy.Add(*(times * p.frozen_flops for times, p in cost.parts()))) == back.get_total_flops()
    products = {p.name: p for _, p in cost.parts() if p.weights and p.flops != 0}
    assert all(sympy.expand(p.frozen_flops - p.flops) == 0 for p in products.values())


def test_weights_of_experts_have_the_gradient_of_a_product() -> None:
    parts = {p.name: p for _, p in model_cost(from_values(MIXTRAL)).parts()}
    for name in ("experts up", "experts down"):
        assert sympy.expand(parts[name].backward_flops - 2 * parts[name].flops) == 0
    assert parts["router"].backward is not None


def test_masks_halve_the_backward_pass_too() -> None:
    parts = {p.kind: p for _, p in model_cost(from_values(LLAMA), schedule="naive").parts()}
    attention = parts["attention"]
    assert sympy.expand(attention.backward_flops - 2 * attention.flops) == 0
    assert counted(attention.flops) == 2 * 2 * 32 * BATCH * TOKENS * (TOKENS + 1) // 2


def test_a_table_of_positions_has_no_gradient() -> None:
    parts = {p.name: p for _, p in model_cost(from_values(LLAMA)).parts()}
    rotary = parts["rotary q"].backward
    assert rotary is not None
    assert rotary.program is not None
    assert [t.name for t in rotary.program.outputs] == ["dX"]
    assert rotary.operations() == 0


def test_what_has_no_gradient_counts_twice_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "axis i: n, c: 4, o: 8\nweight W[c,o]\nY[b,i,o] = X[b,i,c] * W[c,o]"
    made = part_cost(Part("up", am.parse(text)))

    def none(*_: Any, **__: Any) -> None:
        raise am.AttometerError("no rule")

    monkeypatch.setattr("attometer.count.backward.gradient", none)
    backward.cache_clear()
    assert made.backward is None
    assert made.backward_flops == BACKWARD * made.flops
    backward.cache_clear()


def test_whole_numbers_pass_no_gradient() -> None:
    found = backward(am.parse("T[b,i,k] = topk[x, k](N[b,i,x])"))
    assert found is not None
    assert (found.program, found.operations(), found.ends) == (None, 0, 0)
