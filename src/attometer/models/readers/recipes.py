"""Decoders that differ from Llama in norms, biases, windows, sinks, gates or experts: one recipe each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from attometer.mechanisms import feed_forward as feeds
from attometer.mechanisms import projections as products
from attometer.mechanisms.projections import BIAS
from attometer.mechanisms.softmax import soft_cap
from attometer.models.blocks import (
    ACTIVATIONS,
    Heads,
    activation,
    attention,
    embedding,
    gated,
    head_norm,
    linear,
    norm,
    plain,
    projections,
    residual,
    rotary,
)
from attometer.models.layer import Layer, Model
from attometer.models.part import MoE, Part, part
from attometer.models.readers.decoder import alike, attend, decoder, depth, divides, heads_of, windows
from attometer.models.readers.llama import act, without_prediction
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.reading import Reading

Flag = bool | str


@dataclass(frozen=True)
class Experts:
    """Routed experts: the key of their width; of what stands beside them, as a number of experts or as a width of its
    own; how the chosen are weighed; whether the routing bias is a parameter; which layers have none.

    `dense` is the key of a number of first layers; layers may also be said by `mlp_layer_types` or `mlp_only_layers`.
    """

    width: str = "moe_intermediate_size"
    shared: str = ""
    beside: str = ""
    routing: str = "sigmoid"
    bias: bool = False
    dense: str = ""
    first: int = 0
    only: tuple[int, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What differs between decoders.

    Attributes:
        bias, out: of q, k and v, and of the output; a text is the key that says so.
        kind: rmsnorm, layernorm (with a bias), or bare (an RMSNorm without a scale).
        heads: a norm of each query and key head, of the same kind; a text is the key that says so.
        ends: norms after each branch as well; a text is the key that says so.
        inside: norms before the output projection and before the feed-forward's last product (BitNet).
        gate: the attention's result is gated by a projection of its own.
        sinks: one learned logit per head in each softmax.
        turned: rotary positions; else `places` rows more than the file's limit of learned ones, where it is not None.
        full: which layers see all keys where the file has no `layer_types`; None where all do, whatever it says.
        feed: gated, plain, or xielu; `feed_bias` its biases.
        experts: of a mixture, where there is one.
        entry: a norm after the embedding.
        score_cap, logit_cap: keys of soft caps.
    """

    bias: Flag = "attention_bias"
    out: Flag | None = None
    kind: str = "rmsnorm"
    heads: Flag = False
    ends: Flag = False
    inside: bool = False
    gate: bool = False
    sinks: bool = False
    turned: bool = True
    places: int | None = None
    full: Callable[[Reading, int, int], bool] | None = None
    feed: str = "gated"
    feed_bias: Flag = False
    experts: Experts | None = None
    entry: bool = False
    score_cap: str = ""
    logit_cap: str = ""


def _every(period: int, place: int = 0) -> Callable[[Reading, int, int], bool]:
    """Every `period`-th layer is full, from `place` on."""
    return lambda c, i, layers: i % period == place


def _by_key(key: str) -> Callable[[Reading, int, int], bool]:
    """The last of every so many layers is full."""
    return lambda c, i, layers: (i + 1) % c.integer(key) == 0


def _all(c: Reading, i: int, layers: int) -> bool:
    return True


def _flint(c: Reading, i: int, layers: int) -> bool:
    return i < 2 or i % 4 == 1 or i == layers - 1


RECIPES = {
    "afmoe": Recipe(
        heads=True, ends=True, gate=True, full=_by_key("global_attn_every_n_layers"),
        experts=Experts(shared="num_shared_experts", bias=True, dense="num_dense_layers"),
    ),
    "apertus": Recipe(heads=True, feed="xielu"),
    "biogpt": Recipe(bias=True, kind="layernorm", turned=False, places=2, feed="plain", feed_bias=True),
    "bitnet": Recipe(inside=True),
    "cwm": Recipe(bias=False, full=_every(4), feed_bias="mlp_bias"),
    "exaone_moe": Recipe(
        bias=False, heads=True, full=_by_key("sliding_window_pattern"),
        experts=Experts(shared="num_shared_experts", dense="first_k_dense_replace"),
    ),
    "flint": Recipe(
        heads=True, sinks=True, full=_flint, experts=Experts(beside="shared_expert_intermediate_size", routing="all", only=(0, 1)),
    ),
    "glm_ocr_text": Recipe(bias=False, out=False, ends=True),
    "glm4v_moe_text": Recipe(out=False, experts=Experts(shared="n_shared_experts", dense="first_k_dense_replace")),
    "glm4v_text": Recipe(bias=True, out=False, ends=True),
    "granite_swa": Recipe(sinks=True, full=_every(4), feed_bias="mlp_bias"),
    "granitemoe_swa": Recipe(
        sinks=True, full=_every(4), experts=Experts("intermediate_size", beside="shared_intermediate_size", routing="chosen"),
    ),
    "helium": Recipe(out=False, feed_bias="mlp_bias"),
    "hunyuan_v1_moe": Recipe(heads=True, experts=Experts("intermediate_size", beside="intermediate_size", routing="all")),
    "hy_v3": Recipe(heads=True, feed_bias="mlp_bias", experts=Experts(shared="num_shared_experts", first=1)),
    "hyperclovax": Recipe(ends="use_post_norm", feed_bias="mlp_bias"),
    "jais2": Recipe(kind="layernorm", feed="plain", feed_bias="mlp_bias"),
    "kolibri1": Recipe(
        bias=False, heads=True, ends=True, full=_every(5, 4), experts=Experts(beside="shared_expert_intermediate_size", routing="all"),
    ),
    "mellum": Recipe(heads=True, full=_all, experts=Experts(routing="all")),
    "nanochat": Recipe(kind="bare", heads=True, feed="plain", entry=True, logit_cap="final_logit_softcapping"),
    "persimmon": Recipe(bias=True, kind="layernorm", heads="qk_layernorm", feed="plain", feed_bias=True),
    "solar_open": Recipe(out=False, experts=Experts(shared="n_shared_experts")),
    "vaultgemma": Recipe(full=_every(2, 1), score_cap="attn_logit_softcapping", logit_cap="final_logit_softcapping"),
    "xglm": Recipe(bias=True, kind="layernorm", turned=False, feed="plain", feed_bias=True),
}  # fmt: skip


def by_recipe(family: str) -> Callable[[Reading], Model]:
    """Return the reader of a decoder by its recipe."""
    r = RECIPES[family]

    def read(c: Reading) -> Model:
        width, layers = c.integer("hidden_size", "d_model"), depth(c)
        heads = _heads(c, r, width)
        local = _windows(c, r, layers)
        feed = _feeds(c, r, width, layers)
        sides = list(zip(local, (id(f) for f in feed), strict=True))
        by_id = {id(f): f for f in feed}
        cap = _cap(c, r.score_cap)
        made = alike(sides, lambda side: _layer(c, r, width, heads, side[0], by_id[side[1]], cap))
        final, before = [_norm(r.kind, width, "final norm")], []
        if r.places is not None:
            before.append(embedding(c.integer("max_position_embeddings") + r.places, width, "positions"))
        if r.entry:
            before.append(_norm(r.kind, width, "embedding norm"))
        _quiet(c)
        model = decoder(c, family, width, made, c.flag("tie_word_embeddings", default=False), final, before)
        limit = _cap(c, r.logit_cap)
        return model if limit is None else _capped(model, limit)

    read.__doc__ = f"{family}: a decoder by its recipe of norms, biases, windows and experts."
    return read


def _quiet(c: Reading) -> None:
    c.ignore(
        "layer_rope_theta",
        "mup_enabled",
        "route_scale",
        "moe_routed_scaling_factor",
        "enable_moe_fp32_combine",
        "scale_embedding",
    )
    c.ignore(
        "sliding_window", "sliding_window_pattern", "global_attn_every_n_layers", "layerdrop", "n_group", "topk_group"
    )
    without_prediction(c)
    c.ignore("num_mtp_layers", "num_shared_experts", "init_std", "head_dim", "use_bidirectional_attention")


def _heads(c: Reading, r: Recipe, width: int) -> Heads:
    if "attention_heads" in c.of_class:
        query = c.integer("attention_heads", "num_attention_heads")
        divides(c, "d_model", width, "attention_heads", query)
        return Heads(query, query, width // query, width // query)
    heads = heads_of(c, width)
    if (r.out is False or r.inside) and heads.query * heads.d != width and r.experts is None:
        raise c.error(
            "head_dim",
            f"makes heads of {heads.query * heads.d} in all, and transformers reads hidden_size = {width} of them",
        )
    return heads


def _flag(c: Reading, key: Flag) -> bool:
    return key if isinstance(key, bool) else c.flag(key)


def _cap(c: Reading, key: str) -> float | None:
    return None if not key or c.get((key,), None)[1] is None else c.number(key)


def _capped(model: Model, limit: float) -> Model:
    last = [p for p in model.head if p.name == "head"]
    if not last:
        return model
    return replace(
        model, head=(*model.head, part("logit cap", soft_cap(limit), D=last[0].program.outputs[0].extents[-1]))
    )


def _windows(c: Reading, r: Recipe, layers: int) -> list[int | None]:
    if r.full is None:
        return [None] * layers
    full, window = r.full, c.optional("sliding_window")
    return windows(c, layers, lambda i: window is not None and not full(c, i, layers), window)


def _norm(kind: str, width: int, name: str = "norm") -> Part:
    return norm(width, "layernorm" if kind == "layernorm" else "rmsnorm", kind != "bare", kind == "layernorm", name)


def _head_norms(r: Recipe, heads: Heads) -> tuple[Part, ...]:
    kind, scale = ("layernorm", "G[d]") if r.kind == "layernorm" else ("rmsnorm", "" if r.kind == "bare" else "G[d]")
    pairs = (("norm q", heads.query), ("norm k", heads.kv))
    return tuple(head_norm(name, count, heads.d, kind, scale, r.kind == "layernorm") for name, count in pairs)


def _layer(
    c: Reading, r: Recipe, width: int, heads: Heads, window: int | None, feed: tuple[Part, ...], cap: float | None
) -> Layer:
    bias = _flag(c, r.bias)
    q, k, v, out = projections(width, heads, bias, bias if r.out is None else _flag(c, r.out))
    norms = _head_norms(r, heads) if _flag(c, r.heads) else ()
    kind, where, cache = attend(heads, window)
    core = attention(heads, where, sinks=r.sinks, cap=cap)
    inner = heads.query * heads.e
    after: tuple[Part, ...] = (
        (linear("gate", width, inner), activation("gate act", inner, "sigmoid", True)) if r.gate else ()
    )
    after += (norm(inner, name="inner norm"),) if r.inside else ()
    turn = rotary(heads) if r.turned else ()
    ends = (_norm(r.kind, width, "post norm"),) if _flag(c, r.ends) else ()
    first = (_norm(r.kind, width), q, k, v, *norms, *turn, core, *after, out, *ends)
    second = (_norm(r.kind, width, "norm 2"), *feed, *(p.named("post norm 2") for p in ends), residual(width))
    return Layer(kind, (*first, *second), cache)


def _feeds(c: Reading, r: Recipe, width: int, layers: int) -> Sequence[tuple[Part, ...]]:
    if r.experts is None:
        return [_dense(c, r, width)] * layers
    sparse = _sparse(c, r.experts, layers)
    mixed = _mixture(c, r.experts, width, _flag(c, r.feed_bias))
    if all(sparse):
        if r.experts.width != "intermediate_size":
            c.ignore("intermediate_size")
        return [mixed] * layers
    plain_feed = _dense(c, r, width)
    return [mixed if s else plain_feed for s in sparse]


def _sparse(c: Reading, e: Experts, layers: int) -> list[bool]:
    types = c.each("mlp_layer_types", layers, ("dense", "sparse")) if "mlp_layer_types" in c.of_class else None
    if types is not None:
        c.ignore(e.dense or "mlp_layer_types")
        return [t == "sparse" for t in types]
    if e.only:
        _, listed = c.get(("mlp_only_layers",), None)
        if listed is not None and not (isinstance(listed, list) and all(isinstance(i, int) for i in listed)):
            raise c.error("mlp_only_layers", "must be a list of layer indices")
        step, none = c.integer("decoder_sparse_step"), set(e.only if listed is None else listed)
        return [i not in none and (i + 1) % step == 0 for i in range(layers)]
    dense = c.integer(e.dense, least=0) if e.dense else e.first
    return [i >= dense for i in range(layers)]


def _mixture(c: Reading, e: Experts, width: int, beside_bias: bool) -> tuple[Part, ...]:
    hidden, chosen = c.integer(e.width), _routed(c)
    beside = c.optional(e.beside, least=0) if e.beside else hidden * c.integer(e.shared) if e.shared else 0
    more = gated(width, beside, act(c), beside_bias, "shared ") if beside else ()
    bias = (part("router bias", BIAS, D=chosen.num_experts),) if e.bias else ()
    return *mixture(c, width, hidden, chosen, e.routing), *bias, *more


def _routed(c: Reading) -> MoE:
    if "moe_topk" not in c.of_class:
        return routed(c)
    # Hunyuan's lists say it layer by layer.
    value = c.get(("moe_topk", "num_experts_per_tok"), None)[1]
    if isinstance(value, list):
        if not value or any(v != value[0] for v in value):
            raise c.error("moe_topk", "must be one number, or a list of the same number")
        value = value[0]
    count = c.integer("num_experts")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= count:
        raise c.error("moe_topk", f"must be between 1 and num_experts = {count}")
    return MoE(count, value)


def _dense(c: Reading, r: Recipe, width: int) -> tuple[Part, ...]:
    hidden, bias = c.integer("ffn_dim" if "ffn_dim" in c.of_class else "intermediate_size"), _flag(c, r.feed_bias)
    if r.feed == "xielu":
        function = c.choice("hidden_act", options=("xielu", *ACTIVATIONS))
        up, own, down = plain(width, hidden, "relu" if function == "xielu" else function, bias)
        return up, part("act", feeds.XIELU, F=hidden) if function == "xielu" else own, down
    if r.feed == "plain":
        return plain(width, hidden, act(c), bias)
    if not r.inside:
        return gated(width, hidden, act(c), bias)
    *start, last = gated(width, hidden, act(c), bias)
    return *start, norm(hidden, name="inner norm 2"), last


def laguna(c: Reading) -> Model:
    """Laguna: layers with numbers of query heads of their own, each head (or channel) gated, experts beside a shared one."""
    width, layers = c.integer("hidden_size"), depth(c)
    usual, bias = heads_of(c, width), c.flag("attention_bias")
    queries = c.each("num_attention_heads_per_layer", layers) or [usual.query] * layers
    for query in queries:
        if isinstance(query, bool) or not isinstance(query, int) or query < 1 or query % usual.kv:
            raise c.error("num_attention_heads_per_layer", f"must hold multiples of num_key_value_heads = {usual.kv}")
    gating = c.get(("gating",), True)[1]
    if gating not in (True, "per-head", "per-element"):
        raise c.error("gating", "must be true, per-head or per-element")
    r = Experts(beside="shared_expert_intermediate_size", bias=True, first=1)
    sparse = _sparse(c, r, layers)
    mixed, plain_feed = _mixture(c, r, width, False), gated(width, c.integer("intermediate_size"), act(c))
    found = windows(c, layers, lambda _: False, c.optional("sliding_window"))
    c.ignore(
        "sliding_window", "moe_routed_scaling_factor", "moe_router_logit_softcapping", "swa_attention_sink_enabled"
    )
    c.must("moe_apply_router_weight_on_input", False, False)

    def build(side: tuple[int, int | None, bool]) -> Layer:
        query, window, routed_here = side
        heads = Heads(query, usual.kv, usual.d, usual.e)
        q, k, v, out = projections(width, heads, bias)
        kind, where, cache = attend(heads, window)
        each = query if gating in (True, "per-head") else query * heads.e
        gate = linear("gate", width, each), part("gate act", products.HEAD_GATE, h=query, e=heads.e)
        norms = _head_norms(RECIPES["mellum"], heads)
        mix = (q, k, v, *norms, *rotary(heads), attention(heads, where), *gate, out)
        feed = mixed if routed_here else plain_feed
        return Layer(kind, (norm(width), *mix, norm(width, name="norm 2"), *feed, residual(width)), cache)

    made = alike(list(zip(queries, found, sparse, strict=True)), build)
    return decoder(c, "laguna", width, made, c.flag("tie_word_embeddings"))
