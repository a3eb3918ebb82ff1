"""Decoders whose sliding layers have heads of their own: MiMo-V2 and Step 3.5."""

from attometer.models.blocks import Heads, activation, gated, linear
from attometer.models.layer import Model
from attometer.models.part import Part
from attometer.models.readers.decoder import decoder, depth, divides, heads_of, windows
from attometer.models.readers.llama import (
    act,
    block,
    feed_forward,
    grouped,
    head_norms,
    without_prediction,
)
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.reading import Reading


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
    feed, plain = mixture(c, width, c.integer("moe_intermediate_size"), chosen, "sigmoid"), feed_forward(c, width)
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
    bias = c.flag("attention_bias", default=False)
    hidden, thick = c.integer("moe_intermediate_size", default=1280), c.flag("mlp_bias", default=False)
    extra = gated(
        width, c.integer("share_expert_dim", "share_expert_dims", default=1280), act(c), bias=thick, prefix="shared "
    )
    feed, plain = mixture(c, width, hidden, chosen, "sigmoid") + extra, feed_forward(c, width, thick)
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
        for s, w, h in zip(sparse, found, _step_heads(c, full, found), strict=True)
    ]
    return decoder(c, "step3p5", width, made, tied=False)


def _step_heads(c: Reading, full: Heads, found: list[int | None]) -> list[Heads]:
    """The heads of each layer: those of the sliding ones have a key, or `per_layer_config` says what differs."""
    own, local = c.overrides(len(found), ("num_attention_heads",)), _step_local(c, full)
    if "per_layer_config" not in c.values:
        return [full if window is None else local for window in found]
    queries = [own.get(i, {}).get("num_attention_heads", full.query) for i in range(len(found))]
    for query in queries:
        divides(c, "per_layer_config: num_attention_heads", query, "num_key_value_heads", full.kv)
    return [Heads(query, full.kv, full.d, full.e) for query in queries]


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
    scale = activation("gate", heads.query * heads.e, "sigmoid", True)
    return *grouped(width, heads, window, bias, norms=head_norms(heads)), gate, scale
