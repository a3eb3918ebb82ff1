"""Decoders with routed experts and grouped-query attention."""

from attometer.models.blocks import gated, layernorm, residual
from attometer.models.layer import Layer, Model
from attometer.models.part import MoE, Part
from attometer.models.readers.decoder import alike, attend, decoder, depth, heads_of, windows
from attometer.models.readers.llama import (
    act,
    block,
    feed_forward,
    grouped,
    head_norms,
    wide_norms,
)
from attometer.models.readers.moe import experts, router, shared_gate
from attometer.models.reading import Reading


def routed(c: Reading, experts_default: int | None = None, chosen_default: int | None = None) -> MoE:
    """Read the number of experts and how many of them each token uses."""
    keys = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    count = c.integer(*keys) if experts_default is None else c.integer(*keys, default=experts_default)
    names = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_top_k", "moe_k")
    chosen = c.integer(*names) if chosen_default is None else c.integer(*names, default=chosen_default)
    if chosen > count:
        raise c.error(
            next((k for k in names if k in c.values), names[0]), f"is {chosen}, more than the {count} experts"
        )
    return MoE(count, chosen)


def mixture(
    c: Reading,
    width: int,
    hidden: int,
    chosen: MoE,
    routing: str = "chosen",
    gate_bias: bool = False,
    bias: bool = False,
) -> tuple[Part, ...]:
    """Return a router and its gated experts; `routing` says how the chosen ones are weighted (`ROUTINGS`)."""
    return router(width, chosen, gate_bias, routing), *experts(width, hidden, chosen, act(c), bias=bias)


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


def granitemoeshared(c: Reading) -> Model:
    """Granite MoE with a shared expert beside the routed ones."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    hidden = c.integer("shared_intermediate_size", default=0, least=0)
    beside = gated(width, hidden, act(c), prefix="shared ") if hidden else ()
    feed = mixture(c, width, c.integer("intermediate_size"), routed(c, 8, 2)) + beside
    layer = block(width, heads, None, grouped(width, heads, bias=bias), feed)
    return decoder(c, "granitemoeshared", width, [layer] * depth(c), tied=False)


# The experts of OlmoeConfig and FlexOlmoConfig where the file says nothing.
OLMOE, FLEX = MoE(64, 8), MoE(7, 5)


def flex_olmo(c: Reading) -> Model:
    """FlexOlmo: OLMoE with norms after attention and experts, and FlexOlmoConfig's own number of experts."""
    return olmoe(c, FLEX)


def olmoe(c: Reading, default: MoE = OLMOE) -> Model:
    """OLMoE: norms over all queries and keys (Muennighoff et al. 2024, arXiv:2409.02060)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    feed = mixture(c, width, c.integer("intermediate_size"), routed(c, default.num_experts, default.top_k), "all")
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


def _moe_windows(c: Reading, layers: int) -> list[int | None]:
    """Qwen2MoeConfig's rule, which is not Qwen 2's: every other of the layers below `max_window_layers` slides."""
    if not c.flag("use_sliding_window", default=False):
        c.ignore("sliding_window", "max_window_layers")
        return windows(c, layers, lambda _: False, None)
    below = c.integer("max_window_layers", default=28, least=0)
    return windows(c, layers, lambda i: i % 2 == 0 and i < below, c.optional("sliding_window", default=4096))


def qwen2_moe(c: Reading) -> Model:
    """Qwen 1.5 and 2 MoE: a shared expert with a gate beside the routed ones."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    heads, bias = heads_of(c, width, kv=16), c.flag("qkv_bias", default=True)
    feed = mixture(c, width, c.integer("moe_intermediate_size"), chosen, "all") + shared(c, width)
    sparse, found = sparse_layers(c, layers, chosen.num_experts), _moe_windows(c, layers)
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
    # Qwen3VLMoeTextConfig has no `use_sliding_window`: its layers see all keys, its cache obeys a window all the same.
    if c.values.get("model_type") in ("qwen3_vl_moe_text", "qwen3_omni_moe_text"):
        c.must("sliding_window", None, None)
    c.ignore("sliding_window", "max_window_layers")
    mix = grouped(width, heads, window, bias, norms=head_norms(heads))
    feed, sparse = (
        mixture(c, width, c.integer("moe_intermediate_size"), chosen),
        sparse_layers(c, layers, chosen.num_experts),
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
    heads, bias = heads_of(c, width, kv=8, d=64), c.flag("attention_bias", default=True)
    c.ignore("swiglu_alpha", "swiglu_limit", "experts_per_token", "initial_context_length")
    feed = mixture(c, width, c.integer("intermediate_size"), chosen, gate_bias=True, bias=True)
    found = windows(c, layers, lambda i: (i + 1) % 2 == 1, c.optional("sliding_window", default=128))
    made = alike(found, lambda w: block(width, heads, w, grouped(width, heads, w, bias, sinks=True), feed))
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
    feed = mixture(c, width, c.integer("intermediate_size"), routed(c, 256, 8), "sigmoid")
    layer = block(width, heads, None, grouped(width, heads, norms=wide_norms(heads)), feed)
    return decoder(c, "minimax_m2", width, [layer] * layers, tied=False)


def phimoe(c: Reading) -> Model:
    """Phi-3.5 MoE: Mixtral with LayerNorm and biases (Abdin et al. 2024, arXiv:2404.14219)."""
    width = c.integer("hidden_size")
    heads, window = heads_of(c, width, kv=8), c.optional("sliding_window")
    bias, head_bias = c.flag("attention_bias", default=False), c.flag("lm_head_bias", default=False)
    # transformers' sparse mixer chooses two experts, whatever the file says.
    c.must("num_experts_per_tok", 2, 2)
    feed = mixture(c, width, c.integer("intermediate_size"), routed(c, 16, 2))
    kind, _, cache = attend(heads, window)
    mix = grouped(width, heads, window, bias)
    layer = Layer(kind, (layernorm(width), *mix, layernorm(width, name="norm 2"), *feed, residual(width)), cache)
    final = (layernorm(width, name="final norm"),)
    return decoder(c, "phimoe", width, [layer] * depth(c), False, final, head_bias=head_bias)
