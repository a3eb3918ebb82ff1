"""What if: a mechanism in a real model's full layers, against eager attention with that mask written out."""

import pytest
import torch
from tiny_models import DECODERS, batch, error, model_of

from attometer.errors import AttometerError
from attometer.integrations.transformers import with_mechanism, without_mechanism
from attometer.integrations.transformers.narrowing import narrowing
from attometer.program import band, causal, fixed, global_, strided, window

LONG = 24
MASKS = {
    "sliding_window": ({"left": 3}, window(4)),
    "longformer": ({"w": 4, "t": 2}, causal() & (band(2, 2) | global_(2))),
    "sparse_transformer_strided": ({"l": 4}, causal() & (window(4) | strided(4))),
    "sparse_transformer_fixed": ({"l": 4, "c": 1}, causal() & fixed(4, 1)),
}


def ids_of(seed=3):
    torch.manual_seed(seed)
    return torch.randint(3, 97, (2, LONG))


def written_out(mask):
    seen = torch.tensor(mask.matrix(LONG, LONG))
    return torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None].expand(2, 1, -1, -1)


@pytest.mark.parametrize("name", MASKS)
@torch.no_grad()
def test_full_layers_get_the_mask(name):
    parameters, mask = MASKS[name]
    ids, model = ids_of(), model_of("llama")
    plain, wanted = model(ids).logits, model(ids, attention_mask=written_out(mask)).logits
    assert with_mechanism(model, name, **parameters) is model
    assert error(model(ids).logits, wanted) < 3e-6
    assert error(plain, wanted) > 1e-2
    assert without_mechanism(model) is model
    assert model.config._attn_implementation == "eager"
    assert torch.equal(model(ids).logits, plain)


@torch.no_grad()
def test_layers_with_a_window_keep_it():
    ids, model = ids_of(), model_of("gemma3_text", **DECODERS["gemma3_text"])
    masks = {"full_attention": written_out(window(3)), "sliding_attention": written_out(window(5))}
    wanted = model(ids, attention_mask=masks).logits
    assert error(with_mechanism(model, "sliding_window", left=2)(ids).logits, wanted) < 3e-6


@torch.no_grad()
def test_a_window_wider_than_the_text_changes_nothing():
    ids, model = ids_of(), model_of("llama")
    wanted = model(ids).logits
    assert error(with_mechanism(model, "sliding_window", left=1024)(ids).logits, wanted) < 3e-6


@torch.no_grad()
def test_encoders_get_both_sides():
    ids, model = ids_of(), model_of("bert")
    wanted = model(ids, attention_mask=written_out(band(2, 2)))[0]
    assert error(with_mechanism(model, "sliding_window", left=2)(ids)[0], wanted) < 3e-6
    wanted = without_mechanism(model)(ids, attention_mask=written_out(band(2, 1)))[0]
    assert error(with_mechanism(model, "sliding_window", left=2, right=1)(ids)[0], wanted) < 3e-6


@pytest.mark.parametrize("name", MASKS)
@torch.no_grad()
def test_positions_are_counted_from_the_first_real_token(name):
    """Left padding moves nothing: the padded sequence computes what it computes alone, in the prompt and in decoding."""
    ids, mask = batch("left")
    model = with_mechanism(model_of("llama"), name, **MASKS[name][0])
    alone = model(ids[:1, 4:]).logits
    place = (mask.cumsum(1) - 1).clamp(min=0)
    padded = model(ids, attention_mask=mask, position_ids=place)
    assert error(padded.logits[:1, 4:], alone) < 3e-6
    options = {"max_new_tokens": 5, "do_sample": False}
    wanted = model.generate(ids[:1, 4:], **options)
    assert torch.equal(model.generate(ids, attention_mask=mask, **options)[:1, 4:], wanted)


@torch.no_grad()
def test_decoding_with_a_cache_is_the_whole_sequence():
    ids = ids_of()
    model = with_mechanism(model_of("llama"), "sliding_window", left=3)
    whole = model(ids).logits
    first = model(ids[:, :-2], use_cache=True)
    rest = model(ids[:, -2:], past_key_values=first.past_key_values).logits
    assert error(rest, whole[:, -2:]) < 3e-6


@torch.no_grad()
def test_random_keys_need_a_whole_sequence():
    ids = ids_of()
    model = with_mechanism(model_of("llama"), "bigbird", w=4, t=1, r=2)
    first = model(ids, use_cache=True)
    with pytest.raises(AttometerError, match=r'"bigbird" draws keys for a whole sequence, got 1 queries of 25 keys'):
        model(ids[:, :1], past_key_values=first.past_key_values)


def test_mechanisms_may_be_changed_and_undone_once():
    model = model_of("llama")
    with_mechanism(with_mechanism(model, "sliding_window", left=7), "longformer", w=4)
    assert model.config._attn_implementation == "attometer_longformer(w=4)"
    assert without_mechanism(model).config._attn_implementation == "eager"
    with pytest.raises(AttometerError, match='model type "llama": it has no mechanism to undo'):
        without_mechanism(model)


def test_registered_names_stand_for_the_catalogue_s_defaults():
    assert str(narrowing("sliding_window").causal) == "window(256)"
    assert str(narrowing("longformer").full) == "band(256, 256) | global(1)"


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("sliding_windw", {}, 'unknown mechanism "sliding_windw"; did you mean "sliding_window"'),
        ("performer", {}, 'mechanism "performer" is not softmax attention over a mask'),
        ("sliding_window", {"left": -1}, "left must be an integer of at least 0, got -1"),
        ("sliding_window", {"left": 2.5}, "left must be an integer of at least 0, got 2.5"),
        ("sliding_window", {"right": 1}, "right: give left too"),
        ("sliding_window", {"left": 1, "wide": 2}, 'unknown parameter "wide"'),
        ("longformer", {"w": 5}, "needs w to be a multiple of 2"),
    ],
)
def test_wrong_mechanisms_are_named(name, parameters, message):
    with pytest.raises(AttometerError, match=message):
        with_mechanism(model_of("llama"), name, **parameters)


def test_models_of_several_stacks_are_refused():
    with pytest.raises(AttometerError, match='model type "t5" has several stacks of layers'):
        with_mechanism(model_of("t5"), "sliding_window", left=3)
