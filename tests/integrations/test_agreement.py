"""Eager and attometer agree: both are compared with a float64 oracle, and attometer may err 1.5 times as much as eager.

The factor is the referee's; so the bound follows from what the type can do on each model, and not from a guess.
"""

from functools import lru_cache

import pytest
import torch
import transformers as hf
from tiny_models import DECODERS, ENCODERS, LENGTH, MORE_DECODERS, SHAPE, batch, error, implementation, model_of
from torch.utils._python_dispatch import TorchDispatchMode

from attometer.integrations.transformers import attach, register

FACTOR = 1.5
QUICK = {"llama", "gemma2", "gpt_oss", "modernbert", "t5"}  # plain, window and soft cap, sinks, both sides, bias
PADDINGS = ("none", "left", "right")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def families(names, quick=QUICK):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@lru_cache(maxsize=4)
def models(name, dtype):
    return model_of(name, dtype), model_of(name, torch.float64)


def three(name, dtype, measure):
    """Return what `measure(model)` gives for eager, attometer and the float64 oracle."""
    model, wide = models(name, dtype)
    eager = measure(model)
    with implementation(model, "attometer"):
        ours = measure(model)
    with implementation(wide, "oracle"):
        return eager, ours, measure(wide)


def assert_as_good(eager, ours, wanted):
    assert torch.isfinite(ours).all()
    assert error(ours, wanted) <= FACTOR * error(eager, wanted)


def arguments(name, padding):
    ids, mask = batch(padding)
    if name == "vit":
        torch.manual_seed(5)
        return {"pixel_values": torch.randn(2, 3, 12, 12)}, slice(None)
    if name in ("t5", "bart"):
        return {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": batch("none")[0][:, :9]}, slice(None)
    return {"input_ids": ids, "attention_mask": mask}, mask.bool()


def forward(model, name, padding):
    given, kept = arguments(name, padding)
    given = {k: v.to(model.dtype) if v.is_floating_point() else v for k, v in given.items()}
    return model(**given)[0][kept]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", families([*DECODERS, *ENCODERS]))
@torch.no_grad()
def test_whole_sequences(name, padding, dtype):
    assert_as_good(*three(name, DTYPES[dtype], lambda model: forward(model, name, padding)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", families(DECODERS, {"gemma2", "gpt_oss"}))
@torch.no_grad()
def test_cached_decoding(name, padding, dtype):
    """A prompt, then two tokens at once (fewer queries than keys), then one by one."""
    ids, mask = batch(padding)
    place = (mask.cumsum(1) - 1).clamp(min=0)

    def steps(model):
        cache, found = None, []
        for start, stop in ((0, 8), (8, 10), (10, 11), (11, 12)):
            out = model(
                ids[:, start:stop],
                attention_mask=mask[:, :stop],
                position_ids=place[:, start:stop],
                past_key_values=cache,
                use_cache=True,
            )
            cache = out.past_key_values
            found.append(out.logits)
        return torch.cat(found, 1)[mask.bool()]

    assert_as_good(*three(name, DTYPES[dtype], steps))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", families([*DECODERS, "t5", "bart"], {"gemma2"}))
@torch.no_grad()
def test_generated_tokens(name, padding, dtype):
    ids, mask = batch(padding)
    model, wide = models(name, DTYPES[dtype])
    options = {"max_new_tokens": 6, "do_sample": False, "attention_mask": mask}
    eager = model.generate(ids, **options)
    with implementation(model, "attometer"):
        ours = model.generate(ids, **options)
    assert ours.shape == eager.shape
    for row in range(len(ids)):
        if padding == "right" and name in DECODERS and not mask[row, -1]:
            continue  # goes on from a padding token, whose own row is unspecified; transformers warns against it
        differ = (ours[row] != eager[row]).nonzero()
        if len(differ):
            assert dtype == "bf16", f"token {int(differ[0])} of sequence {row} differs"
            assert_tied(name, model, wide, (ids, mask), eager, ours, row, int(differ[0]))


def assert_tied(name, model, wide, prompt, eager, ours, row, at):
    """Assert that the two tokens are as likely as eager's own error lets one tell: greedy decoding then picks either."""
    ids, mask = prompt
    if name in ("t5", "bart"):
        given = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": eager[:, :at]}
    else:
        given = {"input_ids": eager[:, :at], "attention_mask": torch.nn.functional.pad(mask, (0, at - LENGTH), value=1)}
    rounded = model(**given).logits[row, -1].double()
    with implementation(wide, "oracle"):
        exact = wide(**given).logits[row, -1]
    margin = (exact[eager[row, at]] - exact[ours[row, at]]).abs()
    assert margin <= 2 * FACTOR * (rounded - exact).abs().max()


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", families([*DECODERS, *ENCODERS], {"gpt_oss", "t5"}))
def test_gradients(name, padding):
    def grads(model):
        model.zero_grad(set_to_none=True)
        found = forward(model, name, padding)
        torch.manual_seed(13)
        (found * torch.randn(found.shape).to(found)).mean().backward()
        held = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        model.zero_grad(set_to_none=True)
        return torch.cat(held)

    eager, ours, wanted = three(name, torch.float32, grads)
    assert len(ours) == len(eager) == len(wanted)
    held = error(eager, wanted)
    if name in ("gemma2", "gpt_oss"):
        # Torch's fused backward, whose error bounds ours elsewhere, runs neither; it has 1.6 times eager's where it does. Here
        # machine code has 0.78 to 1.30 times eager's (gemma2) and 1.32 to 1.46 (gpt_oss; AVX2).
        held *= 1.6 / FACTOR
    else:
        with implementation(models(name, torch.float32)[0], "sdpa") as model:
            held = max(held, error(grads(model), wanted))
    assert torch.isfinite(ours).all()
    assert error(ours, wanted) <= FACTOR * held


@pytest.mark.parametrize("impl", ["tiled", "sdpa", "reference"])
@pytest.mark.parametrize("padding", PADDINGS)
@torch.no_grad()
def test_any_implementation_of_run_may_be_registered(impl, padding):
    register(impl)
    try:
        assert_as_good(*three("mistral", torch.float32, lambda model: forward(model, "mistral", padding)))
    finally:
        register()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", families(["llama", "mistral", "bert", "t5"], {"mistral"}))
@torch.no_grad()
def test_padding_with_gaps(name, dtype):
    """Keys hidden in the middle of a sequence: no span of real keys, so they are hidden one by one."""
    ids, mask = batch("left")
    mask[0, 6:8] = mask[1, 3] = mask[1, -1] = 0
    given = {"input_ids": ids, "attention_mask": mask} | ({"decoder_input_ids": ids} if name == "t5" else {})
    kept = slice(None) if name == "t5" else mask.bool()
    assert_as_good(*three(name, DTYPES[dtype], lambda model: model(**given)[0][kept]))


@pytest.mark.parametrize("padding", ["none", "left"])
@pytest.mark.parametrize("name", ["mistral"])
@torch.no_grad()
def test_static_caches(name, padding):
    """A static cache hands over more keys than were written; its masks are made by generate and travel as handles."""
    ids, mask = batch(padding)
    model, _ = models(name, torch.float32)
    options = {"max_new_tokens": 6, "do_sample": False, "attention_mask": mask}
    eager = model.generate(ids, **options)
    with implementation(model, "attometer"):
        ours = model.generate(ids, cache_implementation="static", **options)
    assert torch.equal(eager, ours)


@pytest.mark.slow
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", MORE_DECODERS)
@torch.no_grad()
def test_further_decoder_types(name, padding):
    ids, mask = batch(padding)
    model = model_of(name)
    eager = model(ids, attention_mask=mask).logits[mask.bool()]
    options = {"max_new_tokens": 5, "do_sample": False, "attention_mask": mask}
    tokens = model.generate(ids, **options)
    attach(model)
    assert error(model(ids, attention_mask=mask).logits[mask.bool()], eager) < 2e-6
    real = mask[:, -1].bool()
    assert torch.equal(model.generate(ids, **options)[real], tokens[real])


class Largest(TorchDispatchMode):
    """Remembers the number of entries of the largest tensor that any operation returned."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else (found,):
            if isinstance(one, torch.Tensor):
                self.entries = max(self.entries, one.untyped_storage().nbytes() // one.element_size())
        return found


@pytest.mark.parametrize("padded", [False, True])
@torch.no_grad()
def test_no_tensor_has_queries_times_keys(padded):
    length = 2048
    model = model_of("mistral", sliding_window=16, max_position_embeddings=length).model
    ids = torch.randint(3, 97, (1, length))
    mask = torch.ones_like(ids)
    mask[:, : 500 * padded] = 0
    seen = {}
    register("tiled")  # auto may take torch's fused attention on a dense mask where that is predicted to be faster
    try:
        for name in ("sdpa", "attometer"):
            with implementation(model, name), Largest() as largest:
                model(ids, attention_mask=mask, use_cache=False)
            seen[name] = largest.entries
    finally:
        register()
    assert seen["sdpa"] >= length * length
    assert seen["attometer"] <= length * 97


@pytest.mark.parametrize("name", ["llama", "mistral"])
@torch.no_grad()
def test_packed_sequences(name):
    """Several sequences in one row, told by position ids alone."""
    ids, _ = batch("none")
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]])
    given = {"position_ids": positions, "use_cache": False}
    eager, ours, wanted = three(name, torch.float32, lambda model: model(ids, **given).logits)
    assert_as_good(eager, ours, wanted)
    model, _ = models(name, torch.float32)
    with implementation(model, "attometer"):
        alone = model(ids[:1, 4:]).logits
    assert error(ours[:1, 4:], alone) < 2e-6


def images(name):
    """Return a tiny model that reads images among text, and inputs of both."""
    seen = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    seen |= {"image_size": 8, "patch_size": 4, "model_type": "siglip_vision_model"}
    ids, mask = batch("left")
    kinds = torch.zeros_like(ids)
    torch.manual_seed(0)
    if name == "gemma3":
        text = SHAPE | DECODERS["gemma3_text"]
        numbers = {"image_token_index": 90, "boi_token_index": 91, "eoi_token_index": 92, "mm_tokens_per_image": 4}
        config = hf.Gemma3Config(text_config=text, vision_config=seen, **numbers)
        model = hf.Gemma3ForConditionalGeneration._from_config(config, attn_implementation="eager")
        kinds[:, 5:9] = 1  # the image
    else:
        text = SHAPE | {"head_dim": 8, "model_type": "gemma"}
        config = hf.PaliGemmaConfig(
            text_config=text, vision_config=seen | {"projection_dim": 32}, projection_dim=32, image_token_index=90
        )
        model = hf.PaliGemmaForConditionalGeneration._from_config(config, attn_implementation="eager")
        kinds[:, 9:] = 1  # what follows the prefix
    ids[:, 5:9] = 90
    pixels = torch.randn(2, 3, 8, 8)
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds, "pixel_values": pixels}
    return model.eval(), given, mask.bool()


@pytest.mark.parametrize("name", ["gemma3", "paligemma"])
@torch.no_grad()
def test_images_and_prefixes_are_seen_from_both_sides(name):
    model, given, kept = images(name)
    eager = model(**given).logits[kept]
    found = attach(model)(**given).logits[kept]
    assert error(found, eager) < 2e-6


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_beams": 2, "cache_implementation": "static"}])
@torch.no_grad()
def test_beam_search(options):
    ids, mask = batch("left")
    model, _ = models("llama", torch.float32)
    options = {"max_new_tokens": 6, "do_sample": False, "attention_mask": mask, **options}
    eager = model.generate(ids, **options)
    with implementation(model, "attometer"):
        assert torch.equal(model.generate(ids, **options), eager)


@torch.no_grad()
def test_compiled_models_break_their_graph_at_the_mask_and_agree():
    ids, mask = batch("left")
    model, _ = models("llama", torch.float32)
    eager = model(ids, attention_mask=mask).logits[mask.bool()]
    with implementation(model, "attometer"):
        compiled = torch.compile(model, backend="eager")
        found = compiled(ids, attention_mask=mask, use_cache=False).logits[mask.bool()]
    torch.compiler.reset()
    assert error(found, eager) < 2e-6


def test_gradient_checkpointing_carries_the_mask():
    model, _ = models("mistral", torch.float32)
    with implementation(model, "attometer"):
        wanted = forward(model, "mistral", "left")
        model.train()
        for reentrant in (False, True):
            model.activation_checkpointing_enable({"use_reentrant": reentrant})
            ids, mask = batch("left")
            embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
            found = model(inputs_embeds=embedded, attention_mask=mask).logits[mask.bool()]
            assert error(found, wanted) < 1e-6
            found.sum().backward()
            assert torch.isfinite(embedded.grad).all()
            assert embedded.grad.abs().sum() > 0
        model.activation_checkpointing_disable()
        model.eval()
