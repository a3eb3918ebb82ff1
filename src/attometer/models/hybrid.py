"""Decoders that mix attention with state-space or linear-attention layers."""

from dataclasses import dataclass

from attometer.models.blocks import (
    Heads,
    activation,
    attention,
    gated,
    linear,
    norm,
    plain,
    projections,
    residual,
    rotary,
)
from attometer.models.decoder import FULL, decoder, depth, divides, heads_of
from attometer.models.layer import Cache, Layer, Model
from attometer.models.llama import act, feed_forward, head_norms, without_prediction
from attometer.models.mamba import Dual, Selective, dual, selective, step_rank
from attometer.models.mixtral import mixture, routed, shared, sparse_layers
from attometer.models.mla import absorbed, expanded, latent_of
from attometer.models.moe import experts, router
from attometer.models.part import Part, program
from attometer.models.reading import Reading
from attometer.models.ssm import convolution, delta_rule, gated_norm

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
    def cache(self) -> Cache:
        """A d × e state per value head and the last inputs of the convolution."""
        return Cache(state=self.value_heads * self.d * self.e + (2 * self.keys + self.values) * (self.kernel - 1))


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
        _decay(a.value_heads),
        delta_rule(a.value_heads, a.d, a.e),
        gated_norm(a.value_heads, a.e),
        linear("out", a.values, width),
    )


def _decay(heads: int) -> Part:
    text = f"axis i: n, h: {heads}\ninput X[b,i,h]\nweight A[h], D[h]\nG[b,i,h] = exp(-exp(A[h]) * softplus(X[b,i,h] + D[h]))"
    return Part("decay", program(text))


def gated_attention(width: int, heads: Heads, bias: bool) -> tuple[Part, ...]:
    """Return full attention whose output is gated by a second half of the queries (Qwen3-Next)."""
    _, k, v, out = projections(width, heads, bias)
    q = linear("q and gate", width, 2 * heads.query * heads.d, bias)
    gate = activation("gate", heads.query * heads.e, "silu", True)
    return q, k, v, *head_norms(heads), *rotary(heads), attention(heads), gate, out


def _qwen_layer(width: int, mixing: tuple[Part, ...], feed: tuple[Part, ...], kind: str, cache: Cache) -> Layer:
    return Layer(kind, (norm(width), *mixing, norm(width, name="norm 2"), *feed, residual(width)), cache)


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
        _qwen_layer(width, line, feed, "linear", a.cache)
        if kind == LINEAR
        else _qwen_layer(width, full, feed, "full", heads.cache())
        for kind, feed in zip(_qwen_kinds(c, layers), feeds, strict=True)
    ]
    return decoder(c, family, width, made, tied=False, vocabulary=248320 if family != "qwen3_next" else 151936)


def _qwen_mixture(c: Reading) -> list[tuple[Part, ...]]:
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    feed = mixture(c, width, c.integer("moe_intermediate_size"), chosen) + shared(c, width)
    sparse = sparse_layers(c, layers, chosen.experts)
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


def jamba(c: Reading) -> Model:
    """Jamba: one attention layer in eight, experts in every other layer (Lieber et al. 2024, arXiv:2403.19887)."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads = heads_of(c, width, kv=8)
    a = Selective(
        width, c.integer("mamba_expand", default=2) * width, c.integer("mamba_d_state", default=16), step_rank(c, "mamba_dt_rank", width),
        c.integer("mamba_d_conv", default=4), c.flag("mamba_proj_bias", default=False), c.flag("mamba_conv_bias", default=True),
    )  # fmt: skip
    c.must("sliding_window", None, None)
    c.ignore(
        "use_mambapy",
        "use_associative_scan",
        "num_logits_to_keep",
        "calc_logits_for_entire_prompt",
        "mamba_inner_layernorms",
    )
    every, offset = c.integer("attn_layer_period", default=8), c.integer("attn_layer_offset", default=4, least=0)
    expert_every, expert_offset = (
        c.integer("expert_layer_period", default=2),
        c.integer("expert_layer_offset", default=1, least=0),
    )
    chosen, hidden = routed(c, 16, 2), c.integer("intermediate_size")
    q, k, v, out = projections(width, heads)
    mixes = {
        True: ("full", (q, k, v, attention(heads), out), heads.cache()),
        False: ("ssm", selective(a, norms=True), a.cache),
    }
    feeds = {
        True: mixture(c, width, hidden, chosen) if chosen.experts > 1 else feed_forward(c, width),
        False: feed_forward(c, width),
    }
    made = []
    for i in range(layers):
        kind, mixing, cache = mixes[i % every == offset % every]
        made.append(_qwen_layer(width, mixing, feeds[i % expert_every == expert_offset % expert_every], kind, cache))
    return decoder(c, "jamba", width, made, tied=False)


LETTERS = {"M": LINEAR, "E": "moe", "*": FULL, "-": "mlp"}


def nemotron_h(c: Reading) -> Model:
    """Nemotron-H and Nemotron 3: each layer is a Mamba 2 mixer, attention, a feed-forward layer or experts (arXiv:2504.03624)."""
    width = c.integer("hidden_size")
    kinds = _nemotron_kinds(c)
    c.must("use_bias", False, False)
    c.must("mamba_proj_bias", False, False)
    c.ignore(
        "num_logits_to_keep",
        "mamba_ssm_cache_dtype",
        "time_step_rank",
        "expand",
        "moe_shared_expert_overlap",
        "n_group",
        "topk_group",
        "n_shared_experts",
        "num_hidden_layers",
    )
    c.must("sliding_window", None, None)
    without_prediction(c)
    function = c.choice("mlp_hidden_act", options=("relu2", "silu", "gelu", "relu"), default="relu2")
    if "mlp" not in kinds:
        c.ignore("intermediate_size")
    build = {kind: _nemotron_part(c, width, kind, function) for kind in dict.fromkeys(kinds)}
    return decoder(c, "nemotron_h", width, [build[kind] for kind in kinds], tied=False, vocabulary=131072)


def _nemotron_kinds(c: Reading) -> list[str]:
    if c.has("layers_block_type") or c.has("layer_types"):
        key = "layers_block_type" if c.has("layers_block_type") else "layer_types"
        names = {"mamba": LINEAR, "attention": FULL} | {k: k for k in LETTERS.values()}
        value = c.values[key]
        found = c.each(key, len(value) if isinstance(value, list) else 0, names) or []
        kinds = [names[k] for k in found]
        c.ignore("hybrid_override_pattern")
    else:
        _, pattern = c.get(("hybrid_override_pattern",), None)
        if not isinstance(pattern, str) or set(pattern) - set(LETTERS):
            raise c.error(
                "hybrid_override_pattern",
                "must be a text of M (Mamba), E (experts), * (attention) and - (feed-forward)",
            )
        kinds = [LETTERS[letter] for letter in pattern]
    if not 0 < len(kinds) <= 10_000:
        raise c.error("hybrid_override_pattern", f"names {len(kinds)} layers")
    given = c.values.get("num_hidden_layers")
    if given is not None and given != len(kinds):
        raise c.error("num_hidden_layers", f"is {given!r}, but the pattern names {len(kinds)} layers")
    return kinds


def _nemotron_part(c: Reading, width: int, kind: str, function: str) -> Layer:
    if kind == LINEAR:
        a = _nemotron_dual(c, width)
        return Layer("ssm", (norm(width), *dual(a), residual(width, 1)), a.cache)
    if kind == FULL:
        heads = _nemotron_heads(c)
        q, k, v, out = projections(width, heads, c.flag("attention_bias", default=False))
        return Layer("full", (norm(width), q, k, v, attention(heads), out, residual(width, 1)), heads.cache())
    if kind == "mlp":
        feed = plain(width, c.integer("intermediate_size", default=21504), function, c.flag("mlp_bias", default=False))
        return Layer("feed-forward", (norm(width), *feed, residual(width, 1)))
    return Layer("experts", (norm(width), *_nemotron_experts(c, width, function), residual(width, 1)))


def _nemotron_heads(c: Reading) -> Heads:
    query, d = c.integer("num_attention_heads", default=32), c.integer("head_dim", "attention_head_dim", default=128)
    kv = c.optional("num_key_value_heads", default=8) or query
    divides(c, "num_attention_heads", query, "num_key_value_heads", kv)
    return Heads(query, kv, d, d)


def _nemotron_dual(c: Reading, width: int) -> Dual:
    heads, groups = c.integer("mamba_num_heads", default=128), c.integer("n_groups", "mamba_n_groups", default=8)
    divides(c, "mamba_num_heads", heads, "n_groups", groups)
    c.must("mamba_hidden_act", "silu", "silu")
    return Dual(
        width, heads, c.integer("mamba_head_dim", default=64), groups, c.integer("ssm_state_size", default=128),
        c.integer("conv_kernel", "mamba_d_conv", default=4), c.integer("chunk_size", "mamba_chunk_size", default=128),
        False, c.flag("use_conv_bias", "mamba_conv_bias", default=True),
    )  # fmt: skip


def _nemotron_experts(c: Reading, width: int, function: str) -> tuple[Part, ...]:
    chosen, bias = routed(c, 8, 2), c.flag("mlp_bias", default=False)
    latent = c.optional("moe_latent_size")
    inside = latent or width
    down, up = (linear("latent in", width, inside, bias),), (linear("latent out", inside, width, bias),)
    hidden = c.integer("moe_intermediate_size", default=7688)
    extra = plain(width, c.integer("moe_shared_expert_intermediate_size", default=7688), function, bias)
    beside = tuple(p.named(f"shared {p.name}") for p in extra)
    inner = experts(inside, hidden, chosen, function, gate=False)
    return router(width, chosen), *(down if latent else ()), *inner, *(up if latent else ()), *beside


def kimi_linear(c: Reading) -> Model:
    """Kimi Linear: three delta nets with a decay per channel to each MLA layer without rotation (arXiv:2510.26692)."""
    width, layers, a = c.integer("hidden_size"), depth(c), latent_of(c, None)
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
    line, state = _kimi_delta(width, heads, d, kernel), Cache(state=heads * d * d + 3 * heads * d * (kernel - 1))
    types = c.each("mlp_layer_types", layers, ("dense", "sparse"))
    if types is not None:
        c.ignore("first_k_dense_replace")
    first = c.integer("first_k_dense_replace", default=1, least=0) if types is None else 0
    sparse = [t == "sparse" for t in types] if types is not None else [i >= first for i in range(layers)]
    hidden = c.integer("moe_intermediate_size")
    extra = gated(
        width, hidden * c.integer("num_shared_experts", "n_shared_experts", default=1), act(c), prefix="shared "
    )
    feed, plain_feed = mixture(c, width, hidden, routed(c, 256, 8)) + extra, feed_forward(c, width)

    def layer(kind: str, own: tuple[Part, ...]) -> Layer:
        if kind == LINEAR:
            return _qwen_layer(width, line, own, "linear", state)
        step = _qwen_layer(width, absorbed(width, a, bias, turned=False), own, "mla", a.cache)
        return Layer(
            "mla",
            _qwen_layer(width, expanded(width, a, bias, turned=False), own, "mla", a.cache).parts,
            a.cache,
            step.parts,
        )

    made = [layer(k, feed if s else plain_feed) for k, s in zip(kinds, sparse, strict=True)]
    return decoder(c, "kimi_linear", width, made, tied=False)


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


def _kimi_delta(width: int, heads: int, d: int, kernel: int) -> tuple[Part, ...]:
    inner = heads * d
    return (
        linear("q", width, inner),
        linear("k", width, inner),
        linear("v", width, inner),
        convolution(3 * inner, kernel, False),
        linear("forget down", width, d),
        linear("forget up", d, inner),
        _channel_decay(heads, d),
        linear("beta", width, heads),
        delta_rule(heads, d, d, per_channel=True),
        linear("gate down", width, d),
        linear("gate up", d, inner),
        gated_norm(heads, d),
        linear("out", inner, width),
    )


def _channel_decay(heads: int, d: int) -> Part:
    axes = f"axis i: n, h: {heads}, d: {d}\ninput X[b,i,h,d]\nweight A[h], D[h,d]\n"
    return Part("decay", program(axes + "G[b,i,h,d] = -exp(A[h]) * softplus(X[b,i,h,d] + D[h,d])"))
