"""Llama 4: chunked attention, and experts in every other layer."""

from attometer.models.blocks import Heads, attention, gated, norm, projections, residual, rotary
from attometer.models.layer import Layer, Model
from attometer.models.part import Part
from attometer.models.readers.decoder import FULL, decoder, depth, heads_of
from attometer.models.readers.llama import (
    act,
    block,
)
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.readers.moe import dense_reference
from attometer.models.reading import Reading


def llama4(c: Reading) -> Model:
    """Llama 4: chunked layers with rotary positions, full ones without; experts in every `interleave_moe_layer_step`-th.

    In transformers all experts run on all tokens; the reference form says so, the program counts the chosen ones.
    """
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c, 16, 1)
    heads, bias = heads_of(c, width, kv=8, d=128), c.flag("attention_bias", default=False)
    c.ignore("use_qk_norm", "for_llm_compressor", "moe_layers", "layer_types", "no_rope_layers")
    hidden, dense = c.integer("intermediate_size"), c.integer("intermediate_size_mlp", default=16384)
    step = c.integer("interleave_moe_layer_step", default=1)
    listed = c.values.get("moe_layers")
    if listed is not None and not (isinstance(listed, list) and all(isinstance(x, int) for x in listed)):
        raise c.error("moe_layers", "must be a list of layer indices")
    with_experts = set(range(step - 1, layers, step)) if listed is None else set(listed)
    routed_parts = dense_reference(mixture(c, width, hidden, chosen, "sigmoid"), width, hidden, chosen)
    sparse = routed_parts + gated(width, hidden, act(c), prefix="shared ")
    chunks = _chunks(c, layers)
    made = [
        _chunked(width, heads, bias, chunk, sparse if i in with_experts else gated(width, dense, act(c)))
        for i, chunk in enumerate(chunks)
    ]
    return decoder(c, "llama4", width, made, tied=False)


def _chunks(c: Reading, layers: int) -> list[int | None]:
    chunk = c.integer("attention_chunk_size", default=8192)
    types = c.each("layer_types", layers, (FULL, "chunked_attention"))
    if types is not None:
        return [chunk if t == "chunked_attention" else None for t in types]
    if c.values.get("no_rope_layers"):
        return [chunk if rope else None for rope in c.each("no_rope_layers", layers, (0, 1)) or ()]
    step = c.integer("no_rope_layer_interval", default=4)
    return [chunk if (i + 1) % step else None for i in range(layers)]


def _chunked(width: int, heads: Heads, bias: bool, chunk: int | None, feed: tuple[Part, ...]) -> Layer:
    if chunk is None:
        q, k, v, out = projections(width, heads, bias)
        return block(width, heads, None, (q, k, v, attention(heads), out), feed)
    q, k, v, out = projections(width, heads, bias)
    core = attention(heads, f"causal(i, j) & chunked(i, j, {chunk})")
    parts = (norm(width), q, k, v, *rotary(heads), core, out, norm(width, name="norm 2"), *feed, residual(width))
    return Layer("chunked", parts, heads.cache(chunk))
