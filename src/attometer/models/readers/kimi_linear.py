"""Kimi Linear: delta nets with a decay per channel, and latent attention."""

from attometer.models.blocks import (
    gated,
    linear,
)
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part
from attometer.models.readers.decoder import FULL, decoder, depth, pre_norm
from attometer.models.readers.delta_net import LINEAR
from attometer.models.readers.llama import act, feed_forward, without_prediction
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.readers.mla import Latent, absorbed, expanded, latent_of
from attometer.models.readers.ssm import convolution, decay, delta_rule, gated_norm
from attometer.models.reading import Reading

# KimiLinearConfig's values for missing keys.
KIMI = Latent(32, None, 512, 128, 64, 128)


def kimi_linear(c: Reading) -> Model:
    """Kimi Linear: three delta nets with a decay per channel to each MLA layer without rotation (arXiv:2510.26692)."""
    width, layers, a = c.integer("hidden_size"), depth(c), latent_of(c, KIMI)
    for key in ("attn_res_block_size", "latent_moe_use_norm", "routed_expert_hidden_size", "mla_use_output_gate"):
        if c.values.get(key):
            raise c.error(
                key, "is not modelled: it changes the layer, and no reference implementation of it is at hand"
            )
    bias = c.flag("attention_bias", default=False)
    kinds, heads, d, kernel = _kimi_linear_layers(c, layers)
    c.ignore(
        "num_key_value_heads",
        "head_dim",
        "mla_use_nope",
        "num_expert_group",
        "n_group",
        "topk_group",
        "topk_method",
        "rope_scaling",
        "model_max_length",
    )
    c.must("moe_layer_freq", 1, 1)
    without_prediction(c)
    line, state = _kimi_delta(width, heads, d, kernel), _delta_cache(heads, d, kernel)
    types = c.each("mlp_layer_types", layers, ("dense", "sparse"))
    if types is not None:
        c.ignore("first_k_dense_replace")
    first = c.integer("first_k_dense_replace", default=1, least=0) if types is None else 0
    sparse = [t == "sparse" for t in types] if types is not None else [i >= first for i in range(layers)]
    hidden = c.integer("moe_intermediate_size")
    extra = gated(
        width, hidden * c.integer("num_shared_experts", "n_shared_experts", default=1), act(c), prefix="shared "
    )
    feed, plain_feed = mixture(c, width, hidden, routed(c, 256, 8), "sigmoid") + extra, feed_forward(c, width)

    def layer(kind: str, own: tuple[Part, ...]) -> Layer:
        if kind == LINEAR:
            return pre_norm(width, line, own, "linear", state)
        step = pre_norm(width, absorbed(width, a, bias, turned=False), own, "mla", a.cache)
        return Layer(
            "mla",
            pre_norm(width, expanded(width, a, bias, turned=False), own, "mla", a.cache).parts,
            a.cache,
            step.parts,
        )

    made = [layer(k, feed if s else plain_feed) for k, s in zip(kinds, sparse, strict=True)]
    return decoder(c, "kimi_linear", width, made, tied=None)


def _kimi_linear_layers(c: Reading, layers: int) -> tuple[list[str], int, int, int]:
    if not c.has("linear_attn_config"):
        kinds = c.each("layer_types", layers, (FULL, LINEAR)) or [
            FULL if i and i % 4 == 0 else LINEAR for i in range(layers)
        ]
        return (
            kinds,
            c.integer("linear_num_heads", default=32),
            c.integer("linear_head_dim", default=128),
            c.integer("linear_conv_kernel_dim", default=4),
        )
    s = c.section("linear_attn_config")
    _, full = s.get(("full_attn_layers",), [])
    _, line = s.get(("kda_layers",), [])
    if (
        not isinstance(full, list)
        or not isinstance(line, list)
        or sorted(map(repr, [*full, *line])) != sorted(map(repr, range(1, layers + 1)))
    ):
        raise s.error("full_attn_layers", f"and kda_layers must together name the layers 1 to {layers} once each")
    s.must("use_full_rank_gate", False, False)
    s.ignore("gate_lower_bound")
    numbers = (
        s.integer("num_heads", default=32),
        s.integer("head_dim", default=128),
        s.integer("short_conv_kernel_size", default=4),
    )
    s.close()
    return [FULL if i + 1 in full else LINEAR for i in range(layers)], *numbers


def _delta_cache(heads: int, d: int, kernel: int) -> CacheSize:
    conv = 3 * heads * d * (kernel - 1)
    return CacheSize(state=heads * d * d + conv, conv=conv)


def _kimi_delta(width: int, heads: int, d: int, kernel: int) -> tuple[Part, ...]:
    inner = heads * d
    return (
        linear("q", width, inner),
        linear("k", width, inner),
        linear("v", width, inner),
        convolution(3 * inner, kernel, False),
        linear("forget down", width, d),
        linear("forget up", d, inner),
        decay(heads, d),
        linear("beta", width, heads),
        delta_rule(heads, d, d, per_channel=True),
        linear("gate down", width, d),
        linear("gate up", d, inner),
        gated_norm(heads, d),
        linear("out", inner, width),
    )
