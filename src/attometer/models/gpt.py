"""Decoders with LayerNorm and learned or ALiBi positions: GPT-2 and its descendants."""

from attometer.models.blocks import (
    Heads,
    attention,
    embedding,
    gated,
    head_norm,
    layernorm,
    linear,
    norm,
    plain,
    projections,
    residual,
    rotary,
)
from attometer.models.decoder import attend, decoder, depth, divides, heads_of, windows
from attometer.models.layer import Layer, Model
from attometer.models.llama import act, head_norms
from attometer.models.part import Part
from attometer.models.reading import Reading

ALIBI = " + A[h] * pos(j)"
ALIBI_SLOPES = "input A[h]"


def mixing(
    width: int,
    heads: Heads,
    bias: bool,
    out_bias: bool,
    turned: bool = False,
    window: int | None = None,
    norms: tuple[Part, ...] = (),
    alibi: bool = False,
) -> tuple[Part, ...]:
    """Return attention with its projections, with rotary positions where `turned`, with ALiBi where `alibi`."""
    q, k, v, out = projections(width, heads, bias, out_bias)
    core = attention(heads, attend(heads, window)[1], add=ALIBI if alibi else "", declare=ALIBI_SLOPES if alibi else "")
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


def _equal_heads(c: Reading, width: int) -> Heads:
    """As many key/value heads as query heads, whatever the file says of the former."""
    query = c.integer("num_attention_heads", "n_head", "num_heads")
    divides(c, "hidden_size", width, "num_attention_heads", query)
    c.ignore("num_key_value_heads", "head_dim")
    return Heads(query, query, width // query, width // query)


def gpt2(c: Reading) -> Model:
    """GPT-2 (Radford et al. 2019)."""
    width = c.integer("n_embd", "hidden_size")
    heads, hidden = _equal_heads(c, width), c.optional("n_inner") or 4 * width
    c.must("add_cross_attention", False, False)
    feed = plain(width, hidden, act(c, "gelu_new"))
    layer = serial(width, heads, mixing(width, heads, True, True), feed)
    before = _positions(c, width, "n_positions", "max_position_embeddings", "n_ctx")
    return decoder(c, "gpt2", width, [layer] * depth(c), True, (layernorm(width, name="final norm"),), (before,))


def gpt_bigcode(c: Reading) -> Model:
    """GPT-BigCode: GPT-2 with one key/value head (StarCoder, arXiv:2305.06161)."""
    width = c.integer("n_embd", "hidden_size")
    q = c.integer("n_head", "num_attention_heads")
    divides(c, "n_embd", width, "n_head", q)
    heads = Heads(q, 1 if c.flag("multi_query", default=True) else q, width // q, width // q)
    c.must("add_cross_attention", False, False)
    hidden = c.optional("n_inner") or 4 * width
    layer = serial(width, heads, mixing(width, heads, True, True), plain(width, hidden, act(c, "gelu_pytorch_tanh")))
    before = _positions(c, width, "n_positions", "max_position_embeddings")
    return decoder(c, "gpt_bigcode", width, [layer] * depth(c), True, (layernorm(width, name="final norm"),), (before,))


def gpt_neo(c: Reading) -> Model:
    """GPT-Neo: global and local layers in turn (Black et al. 2021)."""
    width, layers = c.integer("hidden_size"), depth(c)
    q = c.integer("num_heads", "num_attention_heads", default=16)
    divides(c, "hidden_size", width, "num_heads", q)
    heads, window = Heads(q, q, width // q, width // q), c.integer("window_size", default=256)
    hidden = c.optional("intermediate_size") or 4 * width
    feed = plain(width, hidden, act(c, "gelu_new"))
    found = [window if t == "local" else None for t in _neo_kinds(c, layers)]
    c.ignore("resid_dropout", "embed_dropout", "attention_layers")
    made = [serial(width, heads, mixing(width, heads, False, True, window=w), feed, w) for w in found]
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
    heads, bias = _equal_heads(c, width), c.flag("attention_bias", default=True)
    feed = plain(width, c.integer("intermediate_size"), act(c, "gelu"))
    # One layer either way: the residual changes what the second norm reads, not how many norms there are.
    build = "parallel" if c.flag("use_parallel_residual", default=True) else "serial"
    c.note(f"the residual is {build}")
    layer = serial(width, heads, mixing(width, heads, bias, bias, True), feed)
    return decoder(c, "gpt_neox", width, [layer] * depth(c), False, (layernorm(width, name="final norm"),))


def gptj(c: Reading) -> Model:
    """GPT-J: one norm, attention and feed-forward in parallel, a biased head."""
    width = c.integer("n_embd", "hidden_size")
    heads, hidden = _equal_heads(c, width), c.optional("n_inner") or 4 * width
    layer = parallel(width, heads, mixing(width, heads, False, False, True), plain(width, hidden, act(c, "gelu_new")))
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
    hidden = c.optional("intermediate_size", "n_inner") or 4 * width
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
    heads, bias = _equal_heads(c, width), c.flag("enable_bias", default=True)
    c.must("layer_norm_elementwise_affine", True, True)
    feed = plain(width, c.integer("ffn_dim"), act(c, "relu"), bias)
    layer = serial(width, heads, mixing(width, heads, bias, bias), feed)
    inner = c.optional("word_embed_proj_dim") or width
    into = () if inner == width else (linear("project in", inner, width),)
    back = () if inner == width else (linear("project out", width, inner),)
    pre = c.flag("do_layer_norm_before", default=True) and not c.flag("_remove_final_layer_norm", default=False)
    final = (layernorm(width, name="final norm"),) if pre else ()
    before = (*into, _positions(c, width, "max_position_embeddings", default=2048, extra=2))
    return decoder(c, "opt", width, [layer] * depth(c), True, (*final, *back), before, vocabulary=50272, head_in=inner)


def bloom(c: Reading) -> Model:
    """BLOOM: ALiBi, a norm after the embedding (arXiv:2211.05100)."""
    width = c.integer("hidden_size", "n_embed")
    heads = _equal_heads(c, width)
    layer = serial(width, heads, mixing(width, heads, True, True, alibi=True), plain(width, 4 * width, "gelu"))
    final = (layernorm(width, name="final norm"),)
    c.ignore(
        "offset_alibi",
        "masked_softmax_fusion",
        "bias_dropout_fusion",
        "skip_bias_add",
        "skip_bias_add_qkv",
        "unk_token_id",
    )
    before = (layernorm(width, name="embedding norm"),)
    return decoder(c, "bloom", width, [layer] * depth(c), True, final, before, vocabulary=250880)


def mpt(c: Reading) -> Model:
    """MPT: ALiBi, no biases, fused q, k and v."""
    width = c.integer("d_model", "hidden_size")
    q = c.integer("n_heads", "num_attention_heads")
    divides(c, "d_model", width, "n_heads", q)
    heads = Heads(q, _mpt_kv(c, q), width // q, width // q)
    c.must("no_bias", True, True)
    c.must("norm_type", "low_precision_layernorm", "low_precision_layernorm")
    hidden = _ratio(c, width)
    layer = serial(
        width, heads, mixing(width, heads, False, False, alibi=True), plain(width, hidden, "gelu", False), bias=False
    )
    c.ignore(
        "learned_pos_emb",
        "logit_scale",
        "verbose",
        "embedding_fraction",
        "init_config",
        "tokenizer_name",
        "use_norm_bias",
    )
    return decoder(c, "mpt", width, [layer] * depth(c), True, (layernorm(width, False, "final norm"),))


def _mpt_kv(c: Reading, q: int) -> int:
    if not c.has("attn_config"):
        return q
    inner = c.section("attn_config")
    inner.must("attn_type", "multihead_attention", "multihead_attention")
    inner.must("qk_ln", False, False)
    inner.must("prefix_lm", False, False)
    inner.must("alibi", True, True)
    inner.ignore(
        "attn_impl", "alibi_bias_max", "attn_uses_sequence_id", "softmax_scale", "clip_qkv", "attn_pdrop", "model_type"
    )
    inner.close()
    return q


def _ratio(c: Reading, width: int) -> int:
    # transformers builds four times the width whatever the file says.
    c.must("expansion_ratio", 4, 4)
    return 4 * width


def falcon(c: Reading) -> Model:
    """Falcon: multi-query (7B), grouped (40B and later) or multi-head (RW) attention (arXiv:2311.16867)."""
    width = c.integer("hidden_size")
    q = c.integer("num_attention_heads", "n_head")
    divides(c, "hidden_size", width, "num_attention_heads", q)
    new, bias = c.flag("new_decoder_architecture", default=False), c.flag("bias", default=False)
    kv = _falcon_kv(c, q, new)
    heads = Heads(q, kv, width // q, width // q)
    alibi, hidden = c.flag("alibi", default=False), c.optional("ffn_hidden_size") or 4 * width
    mix = mixing(width, heads, bias, bias, not alibi, alibi=alibi)
    feed = plain(
        width,
        hidden,
        act(c, "gelu") if "activation" not in c.values else c.choice("activation", options=("gelu", "relu")),
        bias,
    )
    beside = c.flag("parallel_attn", default=True)
    norms = c.optional("num_ln_in_parallel_attn") or (2 if new else 1)
    c.ignore("apply_residual_connection_post_layernorm")
    layer = parallel(width, heads, mix, feed, norms if new else 1) if beside or new else serial(width, heads, mix, feed)
    return decoder(
        c, "falcon", width, [layer] * depth(c), True, (layernorm(width, name="final norm"),), vocabulary=65024
    )


def _falcon_kv(c: Reading, q: int, new: bool) -> int:
    if new:
        kv = c.optional("num_kv_heads", "n_head_kv") or q
        divides(c, "num_attention_heads", q, "num_kv_heads", kv)
        c.ignore("multi_query")
        return kv
    c.ignore("num_kv_heads", "n_head_kv")
    return 1 if c.flag("multi_query", default=True) else q


def stablelm(c: Reading) -> Model:
    """StableLM 2: LayerNorm and a gated feed-forward layer, part of each head rotated."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width, kv=32), c.flag("use_qkv_bias", default=False)
    norms = head_norms(heads, "layernorm", "W[h,d]") if c.flag("qk_layernorm", default=False) else ()
    feed = gated(width, c.integer("intermediate_size"), act(c))
    mix = mixing(width, heads, bias, False, True, norms=norms)
    build = parallel if c.flag("use_parallel_residual", default=False) else serial
    return decoder(
        c, "stablelm", width, [build(width, heads, mix, feed)] * depth(c), False, (layernorm(width, name="final norm"),)
    )


def orion(c: Reading) -> Model:
    """Orion 14B: Llama with LayerNorm."""
    width = c.integer("hidden_size")
    heads = heads_of(c, width)
    c.must("attention_bias", False, False)
    layer = serial(
        width, heads, mixing(width, heads, False, False, True), gated(width, c.integer("intermediate_size"), act(c))
    )
    return decoder(c, "orion", width, [layer] * depth(c), False, (layernorm(width, name="final norm"),))


def starcoder2(c: Reading) -> Model:
    """StarCoder 2: LayerNorm, rotary positions, grouped queries, biases (arXiv:2402.19173)."""
    width = c.integer("hidden_size")
    heads, bias, window = heads_of(c, width, kv=2), c.flag("use_bias", default=True), c.optional("sliding_window")
    c.must("norm_type", "layer_norm", "layer_norm")
    c.must("mlp_type", "default", "default")
    feed = plain(width, c.integer("intermediate_size"), act(c, "gelu_pytorch_tanh"), bias)
    layer = serial(width, heads, mixing(width, heads, bias, bias, True, window), feed, window)
    return decoder(c, "starcoder2", width, [layer] * depth(c), True, (layernorm(width, name="final norm"),))


def olmo(c: Reading) -> Model:
    """OLMo 1: LayerNorm without weights (arXiv:2402.00838)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    bare = norm(width, "layernorm", scale=False)
    mix = mixing(width, heads, bias, bias, True)
    feed = gated(width, c.integer("intermediate_size"), act(c))
    layer = Layer("full", (bare, *mix, bare.named("norm 2"), *feed, residual(width)), heads.cache())
    return decoder(c, "olmo", width, [layer] * depth(c), False, (bare.named("final norm"),))


def cohere(c: Reading) -> Model:
    """Command R and Aya: one LayerNorm without bias, attention and feed-forward in parallel."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    norms = head_norms(heads, "layernorm", "W[h,d]") if c.flag("use_qk_norm", default=False) else ()
    mix = mixing(width, heads, bias, bias, True, norms=norms)
    layer = parallel(width, heads, mix, gated(width, c.integer("intermediate_size"), act(c)), bias=False)
    return decoder(
        c, "cohere", width, [layer] * depth(c), True, (layernorm(width, False, "final norm"),), vocabulary=256000
    )


def cohere2(c: Reading) -> Model:
    """Command R7B and A: three sliding layers with rotary positions to each full one without."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    feed = gated(width, c.integer("intermediate_size"), act(c))
    step = c.integer("sliding_window_pattern", "_sliding_window_pattern", default=4)
    c.ignore(
        "order_of_interleaved_layers",
        "layer_switch",
        "rotary_pct",
        "position_embedding_type",
        "use_gated_activation",
        "use_parallel_block",
        "use_parallel_embedding",
        "use_embedding_sharing",
    )
    c.must("use_qk_norm", False, False)
    found = windows(c, layers, lambda i: (i + 1) % step != 0, c.optional("sliding_window", default=4096))
    made = [
        parallel(width, heads, mixing(width, heads, bias, bias, w is not None, w), feed, window=w, bias=False)
        for w in found
    ]
    return decoder(c, "cohere2", width, made, True, (layernorm(width, False, "final norm"),), vocabulary=256000)
