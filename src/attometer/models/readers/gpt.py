"""Decoders with LayerNorm and learned or ALiBi positions: GPT-2 and its descendants."""

from attometer.models.blocks import (
    Heads,
    attention,
    embedding,
    head_norm,
    layernorm,
    linear,
    plain,
    projections,
    residual,
    rotary,
)
from attometer.models.blocks import alibi as alibi_attention
from attometer.models.layer import Layer, Model
from attometer.models.part import Part
from attometer.models.readers.decoder import alike, attend, decoder, depth, divides
from attometer.models.readers.llama import act, head_norms
from attometer.models.reading import Reading


def mixing(
    width: int,
    heads: Heads,
    bias: bool,
    out_bias: bool,
    turned: bool = False,
    window: int | None = None,
    norms: tuple[Part, ...] = (),
    alibi: bool = False,
    scale: bool = True,
) -> tuple[Part, ...]:
    """Return attention with its projections, with rotary positions where `turned`, with ALiBi where `alibi`; GPT-Neo does not `scale`."""
    q, k, v, out = projections(width, heads, bias, out_bias)
    core = alibi_attention(heads) if alibi else attention(heads, attend(heads, window)[1], scale=scale)
    return q, k, v, *norms, *(rotary(heads) if turned else ()), core, out


def serial(
    width: int,
    heads: Heads,
    mix: tuple[Part, ...],
    feed: tuple[Part, ...],
    window: int | None = None,
    bias: bool = True,
) -> Layer:
    """Return a pre-norm layer with LayerNorm."""
    kind, _, cache = attend(heads, window)
    return Layer(kind, (layernorm(width, bias), *mix, layernorm(width, bias, "norm 2"), *feed, residual(width)), cache)


def parallel(
    width: int,
    heads: Heads,
    mix: tuple[Part, ...],
    feed: tuple[Part, ...],
    norms: int = 1,
    window: int | None = None,
    bias: bool = True,
) -> Layer:
    """Return a layer whose attention and feed-forward read the same input, after one norm or one norm each."""
    kind, _, cache = attend(heads, window)
    return Layer(kind, (layernorm(width, bias).times(norms), *mix, *feed, residual(width)), cache)


def _positions(c: Reading, width: int, *keys: str, default: int = 1024, extra: int = 0) -> Part:
    return embedding(c.integer(*keys, default=default) + extra, width, "positions")


def equal_heads(c: Reading, width: int) -> Heads:
    """As many key/value heads as query heads, whatever the file says of the former."""
    query = c.integer("num_attention_heads", "n_head", "num_heads")
    divides(c, "hidden_size", width, "num_attention_heads", query)
    c.ignore("num_key_value_heads", "head_dim")
    return Heads(query, query, width // query, width // query)


def gpt2(c: Reading) -> Model:
    """GPT-2 (Radford et al. 2019)."""
    width = c.integer("n_embd", "hidden_size")
    heads, hidden = equal_heads(c, width), c.optional("n_inner") or 4 * width
    c.must("add_cross_attention", False, False)
    feed = plain(width, hidden, act(c, "gelu_new", "activation_function"))
    layer = serial(width, heads, mixing(width, heads, True, True), feed)
    before = _positions(c, width, "n_positions", "max_position_embeddings")
    return decoder(c, "gpt2", width, [layer] * depth(c), True, (layernorm(width, name="final norm"),), (before,))


def gpt_bigcode(c: Reading) -> Model:
    """GPT-BigCode: GPT-2 with one key/value head (StarCoder, arXiv:2305.06161)."""
    width = c.integer("n_embd", "hidden_size")
    q = c.integer("n_head", "num_attention_heads")
    divides(c, "n_embd", width, "n_head", q)
    heads = Heads(q, 1 if c.flag("multi_query", default=True) else q, width // q, width // q)
    c.must("add_cross_attention", False, False)
    hidden = c.optional("n_inner") or 4 * width
    layer = serial(
        width,
        heads,
        mixing(width, heads, True, True),
        plain(width, hidden, act(c, "gelu_pytorch_tanh", "activation_function")),
    )
    before = _positions(c, width, "n_positions", "max_position_embeddings")
    return decoder(c, "gpt_bigcode", width, [layer] * depth(c), True, (layernorm(width, name="final norm"),), (before,))


def gpt_neo(c: Reading) -> Model:
    """GPT-Neo: global and local layers in turn (Black et al. 2021)."""
    width, layers = c.integer("hidden_size"), depth(c)
    q = c.integer("num_heads", "num_attention_heads", default=16)
    divides(c, "hidden_size", width, "num_heads", q)
    heads, window = Heads(q, q, width // q, width // q), c.integer("window_size", default=256)
    hidden = c.optional("intermediate_size") or 4 * width
    feed = plain(width, hidden, act(c, "gelu_new", "activation_function"))
    found = [window if t == "local" else None for t in _neo_kinds(c, layers)]
    c.ignore("resid_dropout", "embed_dropout", "attention_layers")
    if any(found):
        c.note("the cache of local layers keeps their window; transformers' keeps every token")
    made = alike(
        found, lambda w: serial(width, heads, mixing(width, heads, False, True, window=w, scale=False), feed, w)
    )
    before = _positions(c, width, "max_position_embeddings", default=2048)
    return decoder(c, "gpt_neo", width, made, True, (layernorm(width, name="final norm"),), (before,))


def _neo_kinds(c: Reading, layers: int) -> list[str]:
    _, types = c.get(("attention_types",), [[["global", "local"], layers // 2]])
    try:
        kinds = [kind for names, times in types for _ in range(min(times, layers)) for kind in names]
    except (TypeError, ValueError):
        raise c.error("attention_types", "must be a list of [[names], times]") from None
    if len(kinds) != layers or any(kind not in ("global", "local") for kind in kinds):
        raise c.error("attention_types", f"must name {layers} layers, each global or local")
    return kinds


def gpt_neox(c: Reading) -> Model:
    """GPT-NeoX and Pythia: rotary positions, a parallel or serial residual (arXiv:2204.06745)."""
    width = c.integer("hidden_size")
    heads, bias = equal_heads(c, width), c.flag("attention_bias", default=True)
    feed = plain(width, c.integer("intermediate_size"), act(c, "gelu"))
    # One layer either way: the residual changes what the second norm reads, not how many norms there are.
    build = "parallel" if c.flag("use_parallel_residual", default=True) else "serial"
    c.note(f"the residual is {build}")
    layer = serial(width, heads, mixing(width, heads, bias, bias, True), feed)
    return decoder(c, "gpt_neox", width, [layer] * depth(c), False, (layernorm(width, name="final norm"),))


def gptj(c: Reading) -> Model:
    """GPT-J: one norm, attention and feed-forward in parallel, a biased head."""
    width = c.integer("n_embd", "hidden_size")
    heads, hidden = equal_heads(c, width), c.optional("n_inner") or 4 * width
    layer = parallel(
        width,
        heads,
        mixing(width, heads, False, False, True),
        plain(width, hidden, act(c, "gelu_new", "activation_function")),
    )
    c.ignore("n_positions")
    return decoder(c, "gptj", width, [layer] * depth(c), False, (layernorm(width, name="final norm"),), head_bias=True)


def phi(c: Reading) -> Model:
    """Phi 1, 1.5 and 2: one norm, attention and feed-forward in parallel, biases everywhere (arXiv:2309.05463)."""
    width = c.integer("hidden_size", "n_embd")
    heads = _phi_heads(c, width)
    norms: tuple[Part, ...] = ()
    if c.flag("qk_layernorm", default=False):
        norms = (
            _biased(head_norms(heads, "layernorm")[0], heads.query, heads.d),
            _biased(head_norms(heads, "layernorm")[1], heads.kv, heads.d),
        )
    # PhiConfig says 8192; the older remote code of phi-msft four times the width.
    hidden = c.optional("n_inner", "intermediate_size") or 4 * width
    if c.values.get("model_type") == "phi":
        hidden = c.integer("intermediate_size", "n_inner", default=8192)
    layer = parallel(
        width, heads, mixing(width, heads, True, True, True, norms=norms), plain(width, hidden, act(c, "gelu_new"))
    )
    c.ignore("flash_attn", "flash_rotary", "fused_dense", "img_processor", "n_head_kv", "attn_pdrop")
    layers = [layer] * depth(c)
    return decoder(c, "phi", width, layers, False, (layernorm(width, name="final norm"),), head_bias=True)


def _phi_heads(c: Reading, width: int) -> Heads:
    q = c.integer("num_attention_heads", "n_head")
    g = c.optional("num_key_value_heads", "n_head_kv") or q
    divides(c, "num_attention_heads", q, "num_key_value_heads", g)
    divides(c, "hidden_size", width, "num_attention_heads", q)
    return Heads(q, g, width // q, width // q)


def _biased(part: Part, heads: int, d: int) -> Part:
    return head_norm(part.name, heads, d, "layernorm", bias=True)


def opt(c: Reading) -> Model:
    """OPT: learned positions, two of them unused (Zhang et al. 2022, arXiv:2205.01068)."""
    width = c.integer("hidden_size")
    heads, bias = equal_heads(c, width), c.flag("enable_bias", default=True)
    c.must("layer_norm_elementwise_affine", True, True)
    feed = plain(width, c.integer("ffn_dim"), act(c, "relu", "activation_function"), bias)
    layer = serial(width, heads, mixing(width, heads, bias, bias), feed)
    inner = c.optional("word_embed_proj_dim") or width
    into = () if inner == width else (linear("project in", inner, width),)
    back = () if inner == width else (linear("project out", width, inner),)
    pre = c.flag("do_layer_norm_before", default=True) and not c.flag("_remove_final_layer_norm", default=False)
    final = (layernorm(width, name="final norm"),) if pre else ()
    before = (*into, _positions(c, width, "max_position_embeddings", default=2048, extra=2))
    return decoder(c, "opt", width, [layer] * depth(c), True, (*final, *back), before, vocabulary=50272, head_in=inner)


def openai_gpt(c: Reading) -> Model:
    """GPT: norms after attention and feed-forward, no final one (Radford et al. 2018)."""
    width = c.integer("n_embd", "hidden_size")
    heads = equal_heads(c, width)
    feed = plain(width, 4 * width, c.choice("afn", options=("gelu", "relu", "silu", "swish")))
    kept = Layer(
        "full",
        (*mixing(width, heads, True, True), layernorm(width), *feed, layernorm(width, name="norm 2"), residual(width)),
        heads.cache(),
    )
    c.ignore("summary_activation", "summary_last_dropout")
    before = _positions(c, width, "n_positions", "max_position_embeddings", default=512)
    return decoder(c, "openai-gpt", width, [kept] * depth(c), True, (), (before,))
