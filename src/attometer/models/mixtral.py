"""Decoders with routed experts and grouped-query attention."""

from attometer.models.blocks import Heads, activation, attention, gated, linear, norm, projections, residual, rotary
from attometer.models.decoder import FULL, decoder, depth, divides, heads_of, windows
from attometer.models.layer import Layer, Model
from attometer.models.llama import (
    act,
    block,
    feed_forward,
    grouped,
    head_norms,
    qwen_windows,
    wide_norms,
    without_prediction,
)
from attometer.models.moe import dense_reference, experts, router, shared_gate
from attometer.models.part import Part, Routed
from attometer.models.reading import Reading


def routed(c: Reading, experts_default: int | None = None, chosen_default: int | None = None) -> Routed:
    """Read the number of experts and how many of them each token uses."""
    keys = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    count = c.integer(*keys) if experts_default is None else c.integer(*keys, default=experts_default)
    names = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_top_k")
    chosen = c.integer(*names) if chosen_default is None else c.integer(*names, default=chosen_default)
    if chosen > count:
        raise c.error(
            next((k for k in names if k in c.values), names[0]), f"is {chosen}, more than the {count} experts"
        )
    return Routed(count, chosen)


def mixture(
    c: Reading, width: int, hidden: int, chosen: Routed, gate_bias: bool = False, bias: bool = False
) -> tuple[Part, ...]:
    """Return a router and its gated experts."""
    return router(width, chosen, gate_bias), *experts(width, hidden, chosen, act(c), bias=bias)


def mixtral(c: Reading) -> Model:
    """Mixtral (Jiang et al. 2024, arXiv:2401.04088)."""
    width = c.integer("hidden_size")
    heads, window = heads_of(c, width, kv=8), c.optional("sliding_window")
    feed = mixture(c, width, c.integer("intermediate_size"), routed(c, 8, 2))
    layer = block(width, heads, window, grouped(width, heads, window), feed)
    return decoder(c, "mixtral", width, [layer] * depth(c), tied=False)


def granitemoe(c: Reading) -> Model:
    """Granite MoE: Mixtral with `attention_bias`."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    feed = mixture(c, width, c.integer("intermediate_size"), routed(c, 8, 2))
    layer = block(width, heads, None, grouped(width, heads, bias=bias), feed)
    return decoder(c, "granitemoe", width, [layer] * depth(c), tied=False)


def olmoe(c: Reading) -> Model:
    """OLMoE: norms over all queries and keys (Muennighoff et al. 2024, arXiv:2409.02060)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    feed = mixture(c, width, c.integer("intermediate_size"), routed(c, 64, 8))
    layer = block(width, heads, None, grouped(width, heads, bias=bias, norms=wide_norms(heads)), feed)
    return decoder(c, "olmoe", width, [layer] * depth(c), tied=False)


def sparse_layers(c: Reading, layers: int, experts_count: int) -> list[bool]:
    """Say which layers have experts: `decoder_sparse_step` and `mlp_only_layers` (Qwen)."""
    step = c.integer("decoder_sparse_step", default=1)
    _, dense = c.get(("mlp_only_layers",), None)
    if dense is not None and not (isinstance(dense, list) and all(isinstance(x, int) for x in dense)):
        raise c.error("mlp_only_layers", "must be a list of layer indices")
    listed = set(dense or ())
    return [i not in listed and experts_count > 0 and (i + 1) % step == 0 for i in range(layers)]


def shared(c: Reading, width: int) -> tuple[Part, ...]:
    """Return Qwen's shared expert and its gate."""
    hidden = c.integer("shared_expert_intermediate_size")
    return *gated(width, hidden, act(c), prefix="shared "), shared_gate(width)


def qwen2_moe(c: Reading) -> Model:
    """Qwen 1.5 and 2 MoE: a shared expert with a gate beside the routed ones."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    heads, bias = heads_of(c, width, kv=16), c.flag("qkv_bias", default=True)
    feed = mixture(c, width, c.integer("moe_intermediate_size"), chosen) + shared(c, width)
    sparse, found = sparse_layers(c, layers, chosen.experts), qwen_windows(c, layers)
    if not all(sparse):
        plain = feed_forward(c, width)
    else:
        plain = ()
        c.ignore("intermediate_size")
    made = [
        block(width, heads, w, grouped(width, heads, w, bias, False), feed if s else plain)
        for s, w in zip(sparse, found, strict=True)
    ]
    return decoder(c, "qwen2_moe", width, made, tied=False)


def qwen3_moe(c: Reading) -> Model:
    """Qwen 3 MoE: Qwen 3 with routed experts and no shared one."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    heads, bias = heads_of(c, width, kv=4), c.flag("attention_bias", default=False)
    window = c.optional("sliding_window", default=4096) if c.flag("use_sliding_window", default=False) else None
    c.ignore("sliding_window", "max_window_layers")
    mix = grouped(width, heads, window, bias, norms=head_norms(heads))
    feed, sparse = (
        mixture(c, width, c.integer("moe_intermediate_size"), chosen),
        sparse_layers(c, layers, chosen.experts),
    )
    plain = () if all(sparse) else feed_forward(c, width)
    if all(sparse):
        c.ignore("intermediate_size")
    return decoder(
        c, "qwen3_moe", width, [block(width, heads, window, mix, feed if s else plain) for s in sparse], tied=False
    )


def gpt_oss(c: Reading) -> Model:
    """gpt-oss: sliding and full layers in turn, attention sinks, biases everywhere (arXiv:2508.10925)."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    heads, bias = heads_of(c, width, kv=8), c.flag("attention_bias", default=True)
    c.ignore("swiglu_limit", "experts_per_token", "initial_context_length")
    feed = mixture(c, width, c.integer("intermediate_size"), chosen, gate_bias=True, bias=True)
    found = windows(c, layers, lambda i: (i + 1) % 2 == 1, c.optional("sliding_window", default=128))
    made = [block(width, heads, w, grouped(width, heads, w, bias, sinks=True), feed) for w in found]
    return decoder(c, "gpt_oss", width, made, tied=False)


def minimax_m2(c: Reading) -> Model:
    """MiniMax-M2: norms over all queries and all keys, sigmoid routing."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads = heads_of(c, width, kv=8, d=128)
    c.must("use_qk_norm", True, True)
    c.must("qk_norm_type", "per_layer", "per_layer")
    kinds = c.each("attn_type_list", layers, (1,)) if "attn_type_list" in c.values else None
    if kinds is None:
        c.ignore("attn_type_list")
    c.must("shared_intermediate_size", 0, 0)
    c.must("sliding_window", None, None)
    c.ignore(
        "use_mtp", "num_mtp_modules", "mtp_transformer_layers", "use_routing_bias", "layernorm_full_attention_beta"
    )
    if c.values.get("use_mtp"):
        c.note("the multi-token prediction modules are not modelled: transformers does not build them either")
    feed = mixture(c, width, c.integer("intermediate_size"), routed(c, 256, 8))
    layer = block(width, heads, None, grouped(width, heads, norms=wide_norms(heads)), feed)
    return decoder(c, "minimax_m2", width, [layer] * layers, tied=False)


def glm4_moe(c: Reading) -> Model:
    """GLM-4.5: dense first layers, shared experts, optional norms of query and key heads."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    heads, bias = heads_of(c, width, kv=8), c.flag("attention_bias", default=False)
    norms = head_norms(heads) if c.flag("use_qk_norm", default=False) else ()
    mix, hidden = grouped(width, heads, None, bias, False, norms), c.integer("moe_intermediate_size")
    extra = gated(width, hidden * c.integer("n_shared_experts", default=1), act(c), prefix="shared ")
    first = c.integer("first_k_dense_replace", default=1, least=0)
    sparse, plain = mixture(c, width, hidden, chosen) + extra, feed_forward(c, width)
    c.ignore("n_group", "topk_group")
    without_prediction(c)
    return decoder(
        c,
        "glm4_moe",
        width,
        [block(width, heads, None, mix, plain if i < first else sparse) for i in range(layers)],
        tied=False,
    )


def deepseek(c: Reading) -> Model:
    """DeepSeek MoE, version 1: Llama attention, dense first layers, shared experts (Dai et al. 2024, arXiv:2401.06066)."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    hidden, step = c.integer("moe_intermediate_size"), c.integer("moe_layer_freq", default=1)
    extra = c.optional("n_shared_experts", least=0)
    beside = gated(width, hidden * extra, act(c), prefix="shared ") if extra else ()
    first = c.integer("first_k_dense_replace", default=0, least=0)
    mix, plain, sparse = (
        grouped(width, heads, None, bias),
        feed_forward(c, width),
        mixture(c, width, hidden, chosen) + beside,
    )
    made = [block(width, heads, None, mix, sparse if i >= first and i % step == 0 else plain) for i in range(layers)]
    return decoder(c, "deepseek", width, made, tied=False)


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
    routed_parts = dense_reference(mixture(c, width, hidden, chosen), width, hidden, chosen)
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


def mimo_v2_flash(c: Reading) -> Model:
    """MiMo-V2-Flash: full and sliding layers with their own heads, sinks in the sliding ones, no shared expert."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c, 256, 8)
    bias = c.flag("attention_bias", default=False)
    full = _with_values(c, heads_of(c, width, kv=4, d=192), "v_head_dim", 128)
    local = _swa_heads(c, full)
    # transformers takes `sliding_window_size` as the keys before a query, and the window as those and itself.
    window = (
        c.integer("sliding_window_size") + 1
        if c.has("sliding_window_size")
        else c.integer("sliding_window", default=129)
    )
    c.ignore("sliding_window", "attention_chunk_size")
    c.must("n_shared_experts", None, None)
    c.must("add_full_attention_sink_bias", False, False)
    c.must("add_swa_attention_sink_bias", True, True)
    pattern = c.each("hybrid_layer_pattern", layers, (0, 1))
    is_local = (
        [bool(x) for x in pattern]
        if pattern is not None
        else [w is not None for w in windows(c, layers, lambda i: i != 0 and (i + 1) % 6 != 0, window)]
    )
    feed, plain = mixture(c, width, c.integer("moe_intermediate_size"), chosen), feed_forward(c, width)
    sparse = _sparse(c, layers, 1)
    c.ignore("n_group", "topk_group")
    made = [
        block(width, h, w, grouped(width, h, w, bias, False, sinks=w is not None), feed if s else plain)
        for s, h, w in ((s, local if x else full, window if x else None) for s, x in zip(sparse, is_local, strict=True))
    ]
    return decoder(c, "mimo_v2_flash", width, made, tied=False)


def _with_values(c: Reading, heads: Heads, key: str, default: int) -> Heads:
    return Heads(heads.query, heads.kv, heads.d, c.integer(key, default=default))


def _swa_heads(c: Reading, full: Heads) -> Heads:
    query = c.integer("swa_num_attention_heads", default=full.query)
    kv = c.integer("swa_num_key_value_heads", default=2 * full.kv)
    divides(c, "swa_num_attention_heads", query, "swa_num_key_value_heads", kv)
    return Heads(query, kv, c.integer("swa_head_dim", default=full.d), c.integer("swa_v_head_dim", default=full.e))


def _sparse(c: Reading, layers: int, dense_first: int) -> list[bool]:
    """Say which layers have experts, from `mlp_layer_types` or `moe_layer_freq`, else all but the first ones."""
    types = c.each("mlp_layer_types", layers, ("dense", "sparse"))
    if types is not None:
        return [t == "sparse" for t in types]
    if isinstance(c.values.get("moe_layer_freq"), list):
        return [bool(x) for x in c.each("moe_layer_freq", layers, (0, 1)) or ()]
    return [i >= dense_first for i in range(layers)]


def step3p5(c: Reading) -> Model:
    """Step 3.5 and 3.7: full and sliding layers with their own query heads, each gated, a norm per head, a shared expert."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    groups = c.integer("num_attention_groups", "num_key_value_heads", default=8)
    full = Heads(
        c.integer("num_attention_heads"), groups, c.integer("head_dim", default=128), c.integer("head_dim", default=128)
    )
    local, bias = _step_local(c, full), c.flag("attention_bias", default=False)
    hidden = c.integer("moe_intermediate_size", default=1280)
    extra = gated(width, c.integer("share_expert_dim", "share_expert_dims", default=1280), act(c), prefix="shared ")
    feed, plain = mixture(c, width, hidden, chosen) + extra, feed_forward(c, width)
    sparse = _step_sparse(c, layers)
    found = windows(c, layers, lambda _: False, c.optional("sliding_window"))
    c.ignore(
        "use_moe_router_bias",
        "swiglu_limits",
        "swiglu_limits_shared",
        "use_head_wise_attn_gate",
        "n_shared_experts",
        "yarn_only_types",
    )
    without_prediction(c)
    made = [
        block(width, h, w, _gated_heads(width, h, w, bias), feed if s else plain)
        for s, w, h in ((s, w, full if w is None else local) for s, w in zip(sparse, found, strict=True))
    ]
    return decoder(c, "step3p5", width, made, tied=False)


def _step_local(c: Reading, full: Heads) -> Heads:
    query = full.query
    if c.has("num_sliding_attention_heads"):
        query = c.integer("num_sliding_attention_heads")
    elif c.has("attention_other_setting"):
        query = c.section("attention_other_setting").integer("num_attention_heads", default=full.query)
    divides(c, "num_attention_heads", full.query, "num_key_value_heads", full.kv)
    divides(c, "num_sliding_attention_heads", query, "num_key_value_heads", full.kv)
    return Heads(query, full.kv, full.d, full.e)


def _step_sparse(c: Reading, layers: int) -> list[bool]:
    listed = c.values.get("moe_layers_enum")
    if listed is None or c.has("mlp_layer_types"):
        return _sparse(c, layers, c.integer("first_k_dense_replace", default=3, least=0))
    entries = listed.split(",") if isinstance(listed, str) else listed
    if not isinstance(entries, list) or not all(str(e).strip().isdigit() for e in entries):
        raise c.error("moe_layers_enum", "must list layer indices")
    c.get(("moe_layers_enum",), None)
    chosen = {int(e) for e in entries}
    return [i in chosen for i in range(layers)]


def _gated_heads(width: int, heads: Heads, window: int | None, bias: bool) -> tuple[Part, ...]:
    gate = linear("head gate", width, heads.query)
    scale = activation("gate", heads.query * heads.e, "silu", True)
    return *grouped(width, heads, window, bias, norms=head_norms(heads)), gate, scale
