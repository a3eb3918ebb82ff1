"""Hybrids of attention and short convolutions, delta nets or state spaces: LFM2, OLMo Hybrid, Falcon-H1."""

from collections.abc import Sequence

from attometer.mechanisms import projections as products
from attometer.models.blocks import activation, attention, gated, linear, norm, projections, residual, rotary
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part, part
from attometer.models.readers.decoder import FULL, alike, decoder, depth, divides, heads_of, pre_norm
from attometer.models.readers.delta_net import LINEAR, Delta, delta_net
from attometer.models.readers.llama import act, grouped, head_norms, wide_norms
from attometer.models.readers.mamba import Dual
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.readers.ssm import convolution, gated_norm, mamba2_scan
from attometer.models.reading import Reading


def lfm2(c: Reading) -> Model:
    """LFM2: gated short convolutions, attention in a few layers (arXiv:2511.23404)."""
    width = c.integer("hidden_size")
    hidden = c.integer("block_ff_dim", "intermediate_size")
    if c.flag("block_auto_adjust_ff_dim"):
        hidden = int(2 * hidden / 3)
        if c.get(("block_ffn_dim_multiplier",), None)[1] is not None:
            multiple = c.integer("block_multiple_of")
            hidden = multiple * -(-int(c.number("block_ffn_dim_multiplier") * hidden) // multiple)
    else:
        c.ignore("block_ffn_dim_multiplier", "block_multiple_of")
    layers = depth(c)
    return _lfm2(c, "lfm2", width, [gated(width, hidden)] * layers)


def lfm2_moe(c: Reading) -> Model:
    """LFM2 MoE: LFM2 with routed experts after the first layers."""
    width, dense = c.integer("hidden_size"), c.integer("num_dense_layers", least=0)
    plain = gated(width, c.integer("intermediate_size"))
    sparse = mixture(c, width, c.integer("moe_intermediate_size"), routed(c), "sigmoid")
    c.ignore("use_expert_bias")
    return _lfm2(c, "lfm2_moe", width, [plain if i < dense else sparse for i in range(depth(c))])


def _lfm2(c: Reading, family: str, width: int, feeds: Sequence[tuple[Part, ...]]) -> Model:
    layers, kernel, bias = depth(c), c.integer("conv_L_cache"), c.flag("conv_bias")
    heads = heads_of(c, width)
    full = ("full", grouped(width, heads, norms=head_norms(heads)), heads.cache())
    gates = part("gates", products.PRODUCT, D=width).times(2)
    conv = (
        linear("in", width, 3 * width, bias),
        convolution(width, kernel, bias, ""),
        gates,
        linear("out", width, width, bias),
    )
    short = ("conv", conv, CacheSize(state=width * (kernel - 1)))
    kinds = _lfm2_kinds(c, layers)
    sides = [(kind, id(feed)) for kind, feed in zip(kinds, feeds, strict=True)]
    by_id = {id(feed): feed for feed in feeds}

    def build(side: tuple[str, int]) -> Layer:
        kind, mixing, cache = full if side[0] == FULL else short
        return pre_norm(width, mixing, by_id[side[1]], kind, cache)

    c.ignore(
        "full_attn_idxs", "theta", "block_dim", "conv_dim", "conv_dim_out", "block_use_swiglu", "block_use_xavier_init"
    )
    c.ignore(
        "block_mlp_init_scale",
        "block_out_init_scale",
        "block_norm_eps",
        "conv_use_xavier_init",
        "use_pos_enc",
        "num_heads",
    )
    tied = c.flag("tie_embedding", "tie_word_embeddings") if c.has("tie_embedding") else c.flag("tie_word_embeddings")
    c.values = {**c.values, "tie_word_embeddings": tied}
    return decoder(c, family, width, alike(sides, build), tied)


def _lfm2_kinds(c: Reading, layers: int) -> list[str]:
    types = c.each("layer_types", layers, (FULL, "conv"))
    if types is not None:
        return types
    if "full_attn_idxs" not in c.of_class:
        raise c.error("layer_types", "is missing, and nothing certain stands for it")
    listed = c.get(("full_attn_idxs",), None)[1]
    if listed is not None and not (isinstance(listed, list) and all(isinstance(i, int) for i in listed)):
        raise c.error("full_attn_idxs", "must be a list of layer indices")
    return [FULL if listed is None or i in listed else "conv" for i in range(layers)]


def olmo_hybrid(c: Reading) -> Model:
    """OLMo Hybrid: three gated delta nets to each layer of OLMo 2's attention."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, bias = heads_of(c, width), c.flag("attention_bias")
    key_heads = c.optional("linear_num_key_heads") or heads.query
    d = c.optional("linear_key_head_dim") or int(0.75 * width / key_heads)
    a = Delta(
        key_heads, c.optional("linear_num_value_heads") or heads.query, d, c.optional("linear_value_head_dim") or 2 * d,
        c.integer("linear_conv_kernel_dim"),
    )  # fmt: skip
    divides(c, "linear_num_value_heads", a.value_heads, "linear_num_key_heads", a.key_heads)
    feed = gated(width, c.integer("intermediate_size"), act(c))
    types = c.each("layer_types", layers, (FULL, LINEAR))
    if types is None:
        types = [FULL if i % 4 == 3 else LINEAR for i in range(layers)]
        types = types if FULL in types else [*types[:-1], FULL]
    c.ignore(
        "linear_a_log_min",
        "linear_a_log_max",
        "linear_dt_min",
        "linear_dt_max",
        "linear_dt_init_floor",
        "linear_allow_neg_eigval",
    )
    mix = grouped(width, heads, bias=bias, norms=wide_norms(heads))
    ends = (*mix, norm(width), *feed, norm(width, name="norm 2"), residual(width))
    full, line = Layer("full", ends, heads.cache()), pre_norm(width, delta_net(width, a), feed, "linear", a.cache)
    return decoder(c, "olmo_hybrid", width, [full if t == FULL else line for t in types], c.flag("tie_word_embeddings"))


def falcon_h1(c: Reading) -> Model:
    """Falcon-H1: attention and a Mamba 2 mixer side by side in every layer (arXiv:2507.22448)."""
    width, heads = c.integer("hidden_size"), heads_of(c, c.integer("hidden_size"))
    inner = c.optional("mamba_d_ssm") or c.integer("mamba_expand") * width
    count, groups = c.integer("mamba_n_heads"), c.integer("mamba_n_groups")
    divides(c, "mamba_d_ssm", inner, "mamba_n_heads", count)
    divides(c, "mamba_n_heads", count, "mamba_n_groups", groups)
    if c.has("mamba_d_head") and c.values["mamba_d_head"] != "auto" and c.integer("mamba_d_head") * count != inner:
        raise c.error("mamba_d_head", f"must make {inner} channels with {count} heads")
    c.ignore("mamba_d_head", "mamba_expand")
    a = Dual(
        width, count, inner // count, groups, c.integer("mamba_d_state"), c.integer("mamba_d_conv"), c.integer("mamba_chunk_size"),
        c.flag("mamba_proj_bias"), c.flag("mamba_conv_bias"),
    )  # fmt: skip
    q, k, v, out = projections(width, heads, c.flag("attention_bias"))
    mixing = (*_parallel(c, a, inner), q, k, v, *rotary(heads), attention(heads), out)
    feed = gated(width, c.integer("intermediate_size"), act(c), c.flag("mlp_bias"))
    kept = CacheSize(heads.cache().kv, a.cache.state)
    for name in ("lm_head", "embedding", "key", "attention_out", "attention_in", "ssm_in", "ssm_out"):
        c.ignore(f"{name}_multiplier")
    c.ignore(
        "mlp_multipliers",
        "ssm_multipliers",
        "num_logits_to_keep",
        "mamba_norm_before_gate",
        "mamba_use_mlp",
        "attn_layer_indices",
    )
    return decoder(
        c, "falcon_h1", width, [pre_norm(width, mixing, feed, "hybrid", kept)] * depth(c), c.flag("tie_word_embeddings")
    )


def _parallel(c: Reading, a: Dual, inner: int) -> tuple[Part, ...]:
    end = gated_norm(1, inner) if c.flag("mamba_rms_norm") else activation("ssm gate", inner, "silu", True)
    return (
        linear("in", a.width, inner + a.channels + a.heads, a.bias),
        convolution(a.channels, a.kernel, a.conv_bias),
        mamba2_scan(a.heads, a.d, a.groups, a.states, a.chunk),
        end,
        linear("ssm out", inner, a.width, c.flag("projectors_bias")),
    )
