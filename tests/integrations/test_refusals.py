"""What would be silently wrong is refused, and says so by name."""

import pytest
import torch
import transformers as hf
from tiny_models import SHAPE, batch, error, implementation, model_of

from attometer.errors import AttometerError
from attometer.integrations.transformers import REFUSED, attach, refuse_model, register, registered_names

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
IGNORE = {
    "bloom": {"n_layer": 1, "n_head": 2},
    "mpt": {"d_model": 16, "n_heads": 2, "n_layers": 1, "expansion_ratio": 2, "max_seq_len": 32},
    "longformer": {"attention_window": [4], "intermediate_size": 16},
    "big_bird": {"intermediate_size": 16, "attention_type": "original_full"},
    "falcon": {"new_decoder_architecture": False},
    "gptj": {"n_embd": 16, "n_layer": 1, "n_head": 2, "rotary_dim": 4},
    "xlnet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16},
}


def small(name):
    torch.manual_seed(0)
    return hf.AutoModel.from_config(
        hf.AutoConfig.for_model(name, **(SMALL | IGNORE[name])), attn_implementation="eager"
    ).eval()


@pytest.mark.parametrize("name", IGNORE)
def test_model_types_that_ignore_registration_are_refused(name):
    with pytest.raises(AttometerError, match=f'model type "{name}" does not use a registered attention function: it'):
        attach(small(name))


@pytest.mark.parametrize("name", ["bloom", "mpt", "longformer", "big_bird"])
def test_they_are_refused_in_the_forward_too(name):
    """Without attach: transformers lets the name through, and the mask function is the first to know."""
    model = small(name)
    model.config._attn_implementation = "attometer"
    with pytest.raises(AttometerError, match=f'model type "{name}" does not use a registered attention function'):
        model(torch.randint(3, 50, (1, 8)), attention_mask=torch.ones(1, 8, dtype=torch.int64))


@torch.no_grad()
def test_a_model_that_is_not_listed_is_refused_when_it_adds_its_mask():
    config = hf.AutoConfig.for_model("gpt_neo", **SMALL, attention_types=[[["global"], 1]], num_layers=1, num_heads=2)
    model = hf.AutoModel.from_config(config, attn_implementation="eager").eval()
    model.config._attn_implementation = "attometer"
    assert "gpt_neo" not in REFUSED
    with pytest.raises(AttometerError, match=r'"gpt_neo" computes with its attention mask \(add\)'):
        model(torch.randint(3, 50, (1, 8)))


def test_the_list_is_of_known_model_types():
    assert set(REFUSED) <= set(hf.models.auto.configuration_auto.CONFIG_MAPPING_NAMES)


def test_code_that_never_asks_the_interface_is_refused_without_being_listed():
    config = hf.AutoConfig.for_model("fsmt", d_model=16, encoder_layers=1, decoder_layers=1, src_vocab_size=20)
    config.encoder_attention_heads = config.decoder_attention_heads = 2
    model = hf.models.fsmt.FSMTModel(config)
    assert "fsmt" not in REFUSED
    with pytest.raises(AttometerError, match=r'"fsmt" .* its code never asks transformers'):
        refuse_model(model)


def test_a_model_that_does_not_call_its_function_is_told_in_its_first_forward():
    model = attach(model_of("llama"))
    for layer in model.model.layers:
        layer.self_attn.forward = lambda hidden_states, **_: (hidden_states, None)
    with pytest.raises(AttometerError, match='model type "llama" ran its first forward without calling the attention'):
        model(batch("none")[0])


def test_the_first_forward_is_checked_once():
    model = attach(model_of("llama"))
    model(batch("none")[0])
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_another_implementation_may_be_set_before_the_first_forward():
    model = attach(model_of("llama"))
    model.set_attn_implementation("eager")
    model(batch("none")[0])
    assert not model._forward_hooks


def test_wrong_names_have_a_nearest_one():
    with pytest.raises(AttometerError, match='unknown attn_implementation "attometre"; did you mean "attometer"'):
        attach(model_of("llama"), "attometre")
    with pytest.raises(AttometerError, match='unknown impl "tilde"; did you mean "tiled"'):
        register("tilde")
    with pytest.raises(AttometerError, match="model: got Linear, expected a transformers PreTrainedModel"):
        attach(torch.nn.Linear(2, 2))
    assert "attometer_sliding_window" in registered_names()


def test_dropout_of_weights_in_training_follows_the_seed():
    model = attach(model_of("llama", attention_dropout=0.3))
    ids = batch("none")[0]
    whole = model(ids).logits
    model.train()

    def drawn():
        torch.manual_seed(0)
        return model(ids).logits

    found = drawn()
    assert torch.equal(found, drawn())
    assert not torch.allclose(found, whole)
    assert not torch.equal(found, model(ids).logits)
    found.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_attention_weights_are_refused():
    model = attach(model_of("llama"))
    call = model.model.layers[0].self_attn
    cos = sin = torch.ones(1, 4, 8)
    with pytest.raises(AttometerError, match="output_attentions=True is not supported"):
        call(torch.zeros(1, 4, SHAPE["hidden_size"]), (cos, sin), None, output_attentions=True)
    with pytest.raises(AttometerError, match="a mask over heads"):
        call(torch.zeros(1, 4, SHAPE["hidden_size"]), (cos, sin), None, head_mask=torch.ones(4))


def test_a_registration_without_masks_is_ambiguous_with_a_cache():
    """Layers called alone: without a mask, fewer queries than keys could stand at either end."""
    from attometer.integrations.transformers.attention_function import AttentionFunction

    layer = torch.nn.Linear(1, 1)
    q, k = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 5, 8)
    with pytest.raises(AttometerError, match="Linear: causal attention of 3 queries and 5 keys without a mask"):
        AttentionFunction()(layer, q, k, k, None)
    with pytest.raises(AttometerError, match="attention_mask: got 2 axes, expected 4"):
        AttentionFunction()(layer, q, k, k, torch.ones(1, 5))


@pytest.mark.parametrize("kind", ["boolean", "additive"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "bert"])
@torch.no_grad()
def test_a_user_s_own_mask_is_used_as_it_is(name, kind):
    ids, _ = batch("none")
    torch.manual_seed(2)
    seen = (torch.rand(2, 1, *[ids.shape[1]] * 2) < 0.5) | torch.eye(ids.shape[1], dtype=torch.bool)
    added = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
    model = model_of(name)
    given = {"full_attention": added, "sliding_attention": added} if name == "gemma2" else added
    wanted = model(ids, attention_mask=given)[0]
    mine = seen if kind == "boolean" else added
    given = {"full_attention": mine, "sliding_attention": mine} if name == "gemma2" else mine
    with implementation(model, "attometer"):
        found = model(ids, attention_mask=given)[0]
    assert error(found, wanted) < 2e-6
