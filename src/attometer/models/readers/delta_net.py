"""Qwen's hybrids: three gated delta nets to each gated attention."""

from dataclasses import dataclass

from attometer.models.blocks import (
    Heads,
    activation,
    attention,
    linear,
    projections,
    rotary,
)
from attometer.models.layer import CacheSize, Model
from attometer.models.part import Part
from attometer.models.readers.decoder import FULL, decoder, depth, divides, heads_of, pre_norm
from attometer.models.readers.llama import feed_forward, head_norms
from attometer.models.readers.mixtral import mixture, routed, shared, sparse_layers
from attometer.models.readers.ssm import convolution, decay, delta_rule, gated_norm
from attometer.models.reading import Reading

LINEAR = "linear_attention"


@dataclass(frozen=True)
class Delta:
    """Sizes of a gated delta net: key heads, value heads, their dimensions, kernel of the convolution."""

    key_heads: int
    value_heads: int
    d: int
    e: int
    kernel: int

    @property
    def keys(self) -> int:
        """Width of all keys."""
        return self.key_heads * self.d

    @property
    def values(self) -> int:
        """Width of all values."""
        return self.value_heads * self.e

    @property
    def cache(self) -> CacheSize:
        """A d × e state per value head and the last inputs of the convolution."""
        conv = (2 * self.keys + self.values) * (self.kernel - 1)
        return CacheSize(state=self.value_heads * self.d * self.e + conv, conv=conv)


def _delta_of(c: Reading, key_heads: int, value_heads: int) -> Delta:
    a = Delta(
        c.integer("linear_num_key_heads", default=key_heads),
        c.integer("linear_num_value_heads", default=value_heads),
        c.integer("linear_key_head_dim", default=128),
        c.integer("linear_value_head_dim", default=128),
        c.integer("linear_conv_kernel_dim", default=4),
    )
    divides(c, "linear_num_value_heads", a.value_heads, "linear_num_key_heads", a.key_heads)
    return a


def delta_net(width: int, a: Delta) -> tuple[Part, ...]:
    """Return a gated delta net: projections, a short convolution, the delta rule, a gated norm."""
    return (
        linear("qkv", width, 2 * a.keys + a.values),
        linear("z", width, a.values),
        linear("beta and decay", width, 2 * a.value_heads),
        convolution(2 * a.keys + a.values, a.kernel, False),
        decay(a.value_heads),
        delta_rule(a.value_heads, a.d, a.e),
        gated_norm(a.value_heads, a.e),
        linear("out", a.values, width),
    )


def gated_attention(width: int, heads: Heads, bias: bool) -> tuple[Part, ...]:
    """Return full attention whose output is gated by a second half of the queries (Qwen3-Next)."""
    _, k, v, out = projections(width, heads, bias)
    q = linear("q and gate", width, 2 * heads.query * heads.d, bias)
    gate = activation("gate", heads.query * heads.e, "sigmoid", True)
    return q, k, v, *head_norms(heads), *rotary(heads), attention(heads), gate, out


def _qwen_kinds(c: Reading, layers: int) -> list[str]:
    types = c.each("layer_types", layers, (FULL, LINEAR))
    if types is not None:
        c.ignore("full_attention_interval")
        return types
    step = c.integer("full_attention_interval", default=4)
    return [LINEAR if (i + 1) % step else FULL for i in range(layers)]


def _qwen_hybrid(c: Reading, family: str, a: Delta, feeds: list[tuple[Part, ...]], kv: int) -> Model:
    width, layers = c.integer("hidden_size"), depth(c)
    heads, bias = heads_of(c, width, query=16, kv=kv, d=256), c.flag("attention_bias", default=False)
    c.must("attn_output_gate", True, True)
    c.ignore("mamba_ssm_dtype", "output_gate_type")
    if c.has("mtp_num_hidden_layers"):
        c.note("the multi-token prediction layers are not modelled: transformers does not build them either")
    c.ignore("mtp_num_hidden_layers", "mtp_use_dedicated_embeddings")
    full, line = gated_attention(width, heads, bias), delta_net(width, a)
    made = [
        pre_norm(width, line, feed, "linear", a.cache)
        if kind == LINEAR
        else pre_norm(width, full, feed, "full", heads.cache())
        for kind, feed in zip(_qwen_kinds(c, layers), feeds, strict=True)
    ]
    return decoder(c, family, width, made, tied=False, vocabulary=248320 if family != "qwen3_next" else 151936)


def _qwen_mixture(c: Reading) -> list[tuple[Part, ...]]:
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    feed = mixture(c, width, c.integer("moe_intermediate_size"), chosen) + shared(c, width)
    sparse = sparse_layers(c, layers, chosen.num_experts)
    plain_feed = () if all(sparse) else feed_forward(c, width)
    if all(sparse):
        c.ignore("intermediate_size")
    return [feed if s else plain_feed for s in sparse]


def qwen3_next(c: Reading) -> Model:
    """Qwen3-Next: three gated delta nets to each gated attention, and a mixture of experts."""
    return _qwen_hybrid(c, "qwen3_next", _delta_of(c, 16, 32), _qwen_mixture(c), 2)


def qwen3_5(c: Reading) -> Model:
    """Qwen 3.5: three gated delta nets to each gated attention."""
    feed = feed_forward(c, c.integer("hidden_size"))
    return _qwen_hybrid(c, "qwen3_5", _delta_of(c, 16, 32), [feed] * depth(c), 4)


def qwen3_5_moe(c: Reading) -> Model:
    """Qwen 3.5 with a mixture of experts in every layer."""
    width, layers = c.integer("hidden_size"), depth(c)
    if c.values.get("mlp_only_layers"):
        raise c.error("mlp_only_layers", "is not empty: every layer of this family has experts")
    c.ignore("mlp_only_layers", "intermediate_size")
    feed = mixture(c, width, c.integer("moe_intermediate_size"), routed(c, 256, 8)) + shared(c, width)
    return _qwen_hybrid(c, "qwen3_5_moe", _delta_of(c, 16, 32), [feed] * layers, 2)
