"""Gemma 1 to 4: wide heads, norms before and after, sliding layers between full ones."""

from dataclasses import replace

from attometer.mechanisms.feed_forward import ROUTER_AXES, ROUTER_SCALE
from attometer.mechanisms.softmax import soft_cap
from attometer.models.blocks import (
    Heads,
    attention,
    embedding,
    gated,
    head_norm,
    linear,
    norm,
    projections,
    residual,
    rotary,
)
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part, part
from attometer.models.readers.decoder import FULL, SLIDING, alike, attend, decoder, depth, divides, heads_of, windows
from attometer.models.readers.llama import act, block, grouped, head_norms
from attometer.models.readers.mixtral import routed
from attometer.models.readers.moe import experts, router
from attometer.models.reading import Reading

GELU = "gelu_pytorch_tanh"


def gemma(c: Reading) -> Model:
    """Gemma (arXiv:2403.08295)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width, kv=16, d=256), c.flag("attention_bias", default=False)
    feed = gated(width, c.integer("intermediate_size"), _act(c))
    return decoder(
        c, "gemma", width, [block(width, heads, None, grouped(width, heads, bias=bias), feed)] * depth(c), tied=True
    )


def _act(c: Reading) -> str:
    # Gemma's first files say "gelu" and transformers runs the tanh form: both are one activation per element.
    if c.values.get("hidden_activation") is None:
        return act(c, GELU)
    c.ignore("hidden_act")
    return c.choice("hidden_activation", options=(GELU, "gelu", "gelu_new"), default=GELU)


def _sandwich(
    width: int,
    mixing: tuple[Part, ...],
    feed: tuple[Part, ...],
    kind: str,
    cache: CacheSize,
    after: tuple[Part, ...] = (),
) -> Layer:
    """A layer with a norm before and after both attention and feed-forward."""
    first, second = (norm(width), *mixing, norm(width, name="post norm")), (norm(width, name="norm 2"), *feed)
    return Layer(kind, (*first, *second, norm(width, name="post norm 2"), *after, residual(width)), cache)


def gemma2(c: Reading) -> Model:
    """Gemma 2: sliding and full layers in turn, soft caps (arXiv:2408.00118)."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, bias = heads_of(c, width, query=8, kv=4, d=256), c.flag("attention_bias", default=False)
    feed = gated(width, c.integer("intermediate_size"), _act(c))
    c.ignore("sliding_window_size", "use_bidirectional_attention")
    cap = _cap(c, "attn_logit_softcapping", 50.0)
    found = windows(
        c, layers, lambda i: (i + 1) % 2 == 1, c.optional("sliding_window", "sliding_window_size", default=4096)
    )
    made = alike(found, lambda w: _layer(width, heads, w, bias, (), feed, cap))
    return _capped(c, decoder(c, "gemma2", width, made, tied=True), 30.0)


def _cap(c: Reading, key: str, default: float | None) -> float | None:
    """Read a soft cap; null is none."""
    return None if c.get((key,), default)[1] is None else c.number(key, default=default)


def _capped(c: Reading, model: Model, default: float | None = None) -> Model:
    """The model with a soft cap on its logits, where the file or its class has one."""
    cap = _cap(c, "final_logit_softcapping", default)
    last = [p for p in model.head if p.name == "head"]
    if cap is None or not last:
        return model
    (vocabulary,) = (p.program.outputs[0].extents[-1] for p in last)
    return replace(model, head=(*model.head, part("logit cap", soft_cap(cap), D=vocabulary)))


def _layer(
    width: int,
    heads: Heads,
    window: int | None,
    bias: bool,
    norms: tuple[Part, ...],
    feed: tuple[Part, ...],
    cap: float | None,
) -> Layer:
    kind, _, cache = attend(heads, window)
    return _sandwich(width, grouped(width, heads, window, bias, norms=norms, cap=cap), feed, kind, cache)


def gemma3(c: Reading) -> Model:
    """Gemma 3 text: five sliding layers to each full one, a norm of each query and key head (arXiv:2503.19786)."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, bias = heads_of(c, width, query=8, kv=4, d=256), c.flag("attention_bias", default=False)
    feed = gated(width, c.integer("intermediate_size"), _act(c))
    c.ignore("use_res_clamp")
    c.must("use_bidirectional_attention", False, False)
    cap = _cap(c, "attn_logit_softcapping", None)
    step = _period(c)
    window = c.optional("sliding_window", "sliding_window_attention_size", default=4096)
    found = windows(c, layers, lambda i: (i + 1) % step != 0, window)
    made = alike(found, lambda w: _layer(width, heads, w, bias, head_norms(heads), feed, cap))
    return _capped(c, decoder(c, "gemma3", width, made, tied=True, vocabulary=262208))


def _period(c: Reading) -> int:
    pattern = c.values.get("global_local_attention_pattern")
    step = c.integer("sliding_window_pattern", "_sliding_window_pattern", default=6)
    if pattern is not None:
        c.get(("global_local_attention_pattern",), None)
        agrees = isinstance(pattern, list) and len(pattern) == step and pattern[-1] == "GLOBAL"
        if not agrees or any(entry != "SLIDING_LOCAL" for entry in pattern[:-1]):
            raise c.error(
                "global_local_attention_pattern", f"does not agree with {c.where}.sliding_window_pattern = {step}"
            )
    return step


def gemma4(c: Reading) -> Model:
    """Gemma 4 text: full layers with wider heads and shared K = V, layers that reuse the cache of earlier ones,
    per-layer embeddings, and a mixture of experts beside the dense feed-forward layer."""
    width, layers = c.integer("hidden_size"), depth(c)
    local, bias = heads_of(c, width, query=8, kv=4, d=256), c.flag("attention_bias", default=False)
    window, same = c.integer("sliding_window", default=512), c.flag("attention_k_eq_v", default=False)
    own = c.overrides(layers, ("head_dim", "num_key_value_heads"))
    full = _global_heads(c, local, same)
    if c.values.get("use_bidirectional_attention") not in (None, "vision", False):
        raise c.error("use_bidirectional_attention", "is not modelled; only vision and null are")
    c.ignore("use_bidirectional_attention", "attn_logit_softcapping", "max_window_layers")
    reused = layers - c.integer("num_kv_shared_layers", default=0, least=0)
    types = c.each("layer_types", layers, (FULL, SLIDING))
    kinds = types if types is not None else [FULL if (i + 1) % 6 == 0 else SLIDING for i in range(layers)]
    # transformers makes the last layer full whatever the file says.
    kinds = [*kinds[:-1], FULL]
    feeds = _feeds(c, width)
    tables, each = _per_layer(c, width, layers)
    made = []
    for index, kind in enumerate(kinds):
        heads, w = (full, None) if kind == FULL else (local, window)
        if "per_layer_config" in c.values:
            heads = _own_heads(c, local, own.get(index, {}))
        shared = index >= reused
        mixing = _mixing(width, heads, w, bias, same and kind == FULL, shared)
        name, _, cache = attend(heads, w)
        made.append(_sandwich(width, mixing, feeds[shared], name, CacheSize() if shared else cache, each))
    return replace(_capped(c, decoder(c, "gemma4", width, made, tied=True, before=tables)), modules=BESIDE_MLP)


BESIDE_MLP = (
    ("router", "router.proj"), ("experts up", "experts.gate_up_proj"), ("experts down", "experts.down_proj"),
)  # fmt: skip
"""Gemma 4 keeps its experts and their router beside the dense `mlp`, so that what is said of `mlp` is not said of them."""


def gemma4_unified(c: Reading) -> Model:
    """Gemma 4 unified text: Gemma 4 without per-layer embeddings."""
    c.must("hidden_size_per_layer_input", 0, 0)
    c.values = {**c.values, "hidden_size_per_layer_input": 0}
    return gemma4(c)


def _own_heads(c: Reading, local: Heads, own: dict[str, int]) -> Heads:
    """The heads of a layer in a file saved by transformers 5.23, whose `per_layer_config` says what differs."""
    d, kv = own.get("head_dim", local.d), own.get("num_key_value_heads", local.kv)
    divides(c, "num_attention_heads", local.query, "per_layer_config: num_key_value_heads", kv)
    return Heads(local.query, kv, d, d)


def _global_heads(c: Reading, local: Heads, same: bool) -> Heads:
    if "per_layer_config" in c.values:
        c.ignore("global_head_dim", "num_global_key_value_heads")
        return local
    d = c.integer("global_head_dim", default=512)
    kv = c.optional("num_global_key_value_heads") if same else None
    c.ignore("num_global_key_value_heads")
    g = local.kv if kv is None else kv
    divides(c, "num_attention_heads", local.query, "num_global_key_value_heads", g)
    return Heads(local.query, g, d, d)


def _mixing(width: int, heads: Heads, window: int | None, bias: bool, same: bool, shared: bool) -> tuple[Part, ...]:
    q, k, v, out = projections(width, heads, bias)
    norm_q, norm_k = head_norms(heads)
    norm_v = head_norm("norm v", heads.kv, heads.e, scale="")
    turn_q, turn_k = rotary(heads)
    core = attention(heads, attend(heads, window)[1])
    if shared:
        return q, norm_q, turn_q, core, out
    return q, k, *(() if same else (v,)), norm_q, norm_k, norm_v, turn_q, turn_k, core, out


def _feeds(c: Reading, width: int) -> dict[bool, tuple[Part, ...]]:
    """The feed-forward of layers with their own cache (False) and of those that reuse one (True)."""
    hidden, function = c.integer("intermediate_size"), _act(c)
    wide = 2 * hidden if c.flag("use_double_wide_mlp", default=False) else hidden
    extra: tuple[Part, ...] = ()
    if c.flag("enable_moe_block", default=False):
        extra = _mixture(c, width, function)
    else:
        c.ignore("num_experts", "top_k_experts", "moe_intermediate_size", "expert_intermediate_size")
    return {False: gated(width, hidden, function) + extra, True: gated(width, wide, function) + extra}


def _mixture(c: Reading, width: int, function: str) -> tuple[Part, ...]:
    chosen, hidden = routed(c), c.integer("moe_intermediate_size", "expert_intermediate_size")
    scaled = part("router scale", f"{ROUTER_AXES}\n{ROUTER_SCALE}", D=width, E=chosen.num_experts)
    ends = norm(width, name="expert norm"), norm(width, name="expert post norm"), norm(width, name="dense post norm")
    return scaled, router(width, chosen), *experts(width, hidden, chosen, function), *ends


def _per_layer(c: Reading, width: int, layers: int) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """The per-layer embeddings: their table and projection before the layers, and what each layer does with its share."""
    size = c.integer("hidden_size_per_layer_input", default=256, least=0)
    if size == 0:
        c.ignore("vocab_size_per_layer_input")
        return (), ()
    vocabulary = c.integer("vocab_size_per_layer_input", default=262144)
    before = (
        embedding(vocabulary, layers * size, "per-layer embedding"),
        linear("per-layer projection", width, layers * size),
        head_norm("per-layer norm", layers, size),
    )
    gate = linear("per-layer gate", width, size)
    return before, (gate, linear("per-layer out", size, width), norm(width, name="per-layer post norm"))
