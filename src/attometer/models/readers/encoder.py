"""Encoders of text after BERT that differ in positions, norms, biases or heads: one recipe each."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from attometer.mechanisms import positions as places
from attometer.mechanisms import projections as products
from attometer.models.blocks import (
    ACTIVATIONS,
    Heads,
    activation,
    attention,
    embedding,
    gated,
    head,
    layernorm,
    linear,
    norm,
    of_tokens,
    plain,
    projections,
    residual,
    rotary,
)
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part, part
from attometer.models.readers.bert import pooler
from attometer.models.readers.decoder import (
    alike,
    architecture,
    attend,
    bare,
    depth,
    divides,
    finish,
    heads_of,
    labels,
    windows,
)
from attometer.models.readers.llama import act
from attometer.models.reading import Reading


@dataclass(frozen=True)
class Recipe:
    """What differs between the descendants of BERT.

    Attributes:
        narrow: key of the width of the embeddings, where that is not the model's.
        positions, segments: whether there is a table of each; heads are rotated where there is no table of positions
            and no `buckets`, the key of a bias by distance.
        embedding_norm, final_norm: norms after the embeddings and after the layers.
        biases: of q, k and v, of out, of the feed-forward's first products, and of its last.
        gate: whether the feed-forward is gated.
        pooled: whether a bare model has a pooler.
        head: the masked language model's head: its dense layer, then a bias for each word; `spare` says that untying it
            leaves a second bias.
    """

    narrow: str = ""
    positions: bool = True
    segments: bool = True
    buckets: str = ""
    embedding_norm: bool = True
    final_norm: bool = False
    biases: tuple[bool, bool, bool, bool] = (True, True, True, True)
    gate: bool = False
    pooled: bool = True
    spare: bool = True


RECIPES = {
    "electra": Recipe(narrow="embedding_size", pooled=False, spare=False),
    "ernie": Recipe(),
    "gte": Recipe(positions=False, biases=(True, True, False, True), gate=True, pooled=False, spare=False),
    "jina_embeddings_v3": Recipe(positions=False),
    "mpnet": Recipe(segments=False, buckets="relative_attention_num_buckets"),
    "nomic_bert": Recipe(positions=False, biases=(False, False, False, False), gate=True, pooled=False),
    "roberta-prelayernorm": Recipe(final_norm=True),
    "xlm-roberta-xl": Recipe(embedding_norm=False, final_norm=True),
}
KNOWN = ("…Model", "…ForMaskedLM", "…ForSequenceClassification", "…ForTokenClassification", "…ForQuestionAnswering")


def encoder(family: str) -> Callable[[Reading], Model]:
    """Return the reader of a descendant of BERT (Devlin et al. 2018, arXiv:1810.04805)."""
    r = RECIPES[family]

    def read(c: Reading) -> Model:
        width = c.integer("hidden_size")
        inner = c.integer(r.narrow) if r.narrow else width
        query = c.integer("num_attention_heads")
        divides(c, "hidden_size", width, "num_attention_heads", query)
        heads = Heads(query, query, width // query, width // query)
        for key in ("is_decoder", "add_cross_attention"):
            c.must(key, False, False)
        c.must("position_embedding_type", "absolute", "absolute")
        c.must("head_dim", heads.d, heads.d)
        layers = alike([i == 0 for i in range(depth(c))], lambda start: _layer(c, r, width, heads, start))
        before = _embeddings(c, r, width, inner)
        return finish(c, family, width, layers, before, _head(c, r, width, inner))

    read.__doc__ = f"{family}: an encoder after BERT (arXiv:1810.04805)."
    return read


def _layer(c: Reading, r: Recipe, width: int, heads: Heads, start: bool) -> Layer:
    qkv, out_bias, up, down = r.biases
    q, k, v, out = projections(width, heads, qkv, out_bias)
    turn = () if r.positions else rotary(heads)
    core = biased(c, heads, c.integer(r.buckets), start) if r.buckets else attention(heads, "")
    hidden, function = c.integer("intermediate_size"), act(c)
    feed = gated(width, hidden, function, up) if r.gate else plain(width, hidden, function, up)
    if up != down:
        feed = (*feed[:-1], linear("down", hidden, width, down))
    ends = (layernorm(width), *feed, layernorm(width, name="norm 2"), residual(width))
    return Layer("encoder", (q, k, v, *turn, core, out, *ends))


def albert(c: Reading) -> Model:
    """ALBERT: narrow embeddings, and layers that share the weights of their group (Lan et al. 2019, arXiv:1909.11942)."""
    r, width, inner = Recipe(narrow="embedding_size"), c.integer("hidden_size"), c.integer("embedding_size")
    query, layers = c.integer("num_attention_heads"), depth(c)
    divides(c, "hidden_size", width, "num_attention_heads", query)
    heads = Heads(query, query, width // query, width // query)
    groups, times = c.integer("num_hidden_groups"), c.integer("inner_group_num")
    own = _layer(c, r, width, heads, True)
    again = replace(own, parts=tuple(replace(p, tied=bool(p.program.weights)) for p in own.parts))
    place = [int(i / (layers / groups)) for i in range(layers)]
    if len(set(place)) != groups:
        raise c.error("num_hidden_groups", f"is {groups}, more than the {layers} layers")
    fresh = [i == 0 or place[i] != place[i - 1] for i in range(layers)]
    made = [own if new else again for new in fresh for _ in range(times)]
    before = (
        *_embeddings(c, r, width, inner),
        *((linear("project in", inner, width, True),) if inner == width else ()),
    )
    c.ignore("net_structure_type", "gap_size", "num_memory_blocks", "down_scale_factor", "classifier_dropout_prob")
    return finish(c, "albert", width, made, before, _albert_head(c, width, inner))


def _albert_head(c: Reading, width: int, inner: int) -> tuple[Part, ...]:
    name = architecture(c) or "ForMaskedLM"
    if name.endswith("ForMaskedLM"):
        return masked(c, width, inner, act(c), True)
    c.ignore("tie_word_embeddings")
    if bare(name):
        return (pooler(width),)
    if name.endswith("ForSequenceClassification"):
        return pooler(width), pooler(width, "labels", labels(c))
    if name.endswith(("ForTokenClassification", "ForQuestionAnswering")):
        return (linear("labels", width, labels(c), True),)
    raise c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: {', '.join(KNOWN)}")


def rembert(c: Reading) -> Model:
    """RemBERT: narrow embeddings and a wider, separate output embedding (Chung et al. 2020, arXiv:2010.12821)."""
    r, width, inner = Recipe(narrow="input_embedding_size"), c.integer("hidden_size"), c.integer("input_embedding_size")
    query, outer = c.integer("num_attention_heads"), c.integer("output_embedding_size")
    divides(c, "hidden_size", width, "num_attention_heads", query)
    for key in ("is_decoder", "add_cross_attention", "tie_word_embeddings"):
        c.must(key, False, False)
    layer = _layer(c, r, width, Heads(query, query, width // query, width // query), True)
    before = (
        *_embeddings(c, r, width, inner),
        *((linear("project in", inner, width, True),) if inner == width else ()),
    )
    name = architecture(c)
    if name and not name.endswith("ForMaskedLM"):
        raise c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: …ForMaskedLM")
    dense = linear("head dense", width, outer, True), activation("head act", outer, act(c), False)
    last = (*dense, layernorm(outer, name="head norm"), *head(outer, c.integer("vocab_size"), True))
    return finish(c, "rembert", width, [layer] * depth(c), before, last)


def modernbert(c: Reading) -> Model:
    """ModernBERT: rotary positions, gated layers, two layers of three within a window (Warner et al. 2024, arXiv:2412.13663)."""
    return _modern(c, "modernbert", False)


def modernbert_decoder(c: Reading) -> Model:
    """ModernBERT as a causal decoder (Weller et al. 2025, Ettin, arXiv:2507.11412)."""
    return _modern(c, "modernbert-decoder", True)


def _modern(c: Reading, family: str, causal: bool) -> Model:
    width, layers, query = c.integer("hidden_size"), depth(c), c.integer("num_attention_heads")
    divides(c, "hidden_size", width, "num_attention_heads", query)
    heads, bias = Heads(query, query, width // query, width // query), c.flag("attention_bias")
    feed = gated(width, c.integer("intermediate_size"), act(c), c.flag("mlp_bias"))
    reach = c.integer("local_attention") // 2
    step = c.integer("global_attn_every_n_layers", default=3)
    c.must("sliding_window", reach, reach)
    scaled = norm(width, "layernorm", bias=c.flag("norm_bias"))
    found = windows(c, layers, lambda i: i % step != 0, reach)
    c.ignore(
        "global_rope_theta",
        "local_rope_theta",
        "deterministic_flash_attn",
        "reference_compile",
        "repad_logits_with_grad",
    )
    c.ignore("sparse_prediction", "sparse_pred_ignore_index", "embedding_dropout", "global_attn_every_n_layers")

    def build(side: tuple[int | None, bool]) -> Layer:
        window, start = side
        q, k, v, out = projections(width, heads, bias)
        if causal:
            kind, where, cache = attend(heads, window)
        else:
            kind, where, cache = (
                "full" if window is None else "sliding",
                "" if window is None else f"band(i, j, {reach}, {reach})",
                CacheSize(),
            )
        before = () if start else (scaled,)
        parts = (
            *before,
            q,
            k,
            v,
            *rotary(heads),
            attention(heads, where),
            out,
            scaled.named("norm 2"),
            *feed,
            residual(width),
        )
        return Layer(kind, parts, cache)

    made = alike([(w, i == 0) for i, w in enumerate(found)], build)
    words = embedding(c.integer("vocab_size"), width), scaled.named("embedding norm")
    last = _modern_head(c, width, scaled, "ForCausalLM" if causal else "ForMaskedLM")
    return finish(c, family, width, made, words, (scaled.named("final norm"), *last))


def _modern_head(c: Reading, width: int, scaled: Part, usual: str) -> tuple[Part, ...]:
    name, bias = architecture(c) or usual, c.flag("classifier_bias")
    c.ignore("classifier_pooling", "decoder_bias", "tie_word_embeddings")
    function = c.choice("classifier_activation", options=ACTIVATIONS)
    dense = (
        linear("head dense", width, width, bias),
        activation("head act", width, function, False),
        scaled.named("head norm"),
    )
    if bare(name):
        return ()
    if name.endswith(usual):
        tied, words = c.flag("tie_word_embeddings"), c.integer("vocab_size")
        return *dense, *head(width, words, c.flag("decoder_bias"), tied)
    if name.endswith("ForSequenceClassification") and usual == "ForMaskedLM":
        return *(of_tokens(p, n=1) for p in dense), pooler(width, "labels", labels(c))
    if name.endswith(("ForTokenClassification", "ForQuestionAnswering")) and usual == "ForMaskedLM":
        return *dense, linear("labels", width, labels(c), True)
    raise c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: {', '.join(KNOWN)}")


def eurobert(c: Reading) -> Model:
    """EuroBERT: Llama whose tokens see all others (Boizard et al. 2025, arXiv:2503.05500)."""
    width = c.integer("hidden_size")
    heads, bias, feed_bias = heads_of(c, width), c.flag("attention_bias"), c.flag("mlp_bias")
    q, k, v, out = projections(width, heads, bias)
    feed = gated(width, c.integer("intermediate_size"), act(c), feed_bias)
    name, words = architecture(c) or "ForMaskedLM", c.integer("vocab_size")
    if not bare(name) and not name.endswith("ForMaskedLM"):
        raise c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: …Model, …ForMaskedLM")
    parts = (
        norm(width),
        q,
        k,
        v,
        *rotary(heads),
        attention(heads, ""),
        out,
        norm(width, name="norm 2"),
        *feed,
        residual(width),
    )
    c.ignore("classifier_pooling", "tie_word_embeddings")
    last = () if bare(name) else head(width, words, feed_bias, c.flag("tie_word_embeddings"))
    layers = [Layer("encoder", parts)] * depth(c)
    return finish(c, "eurobert", width, layers, (embedding(words, width),), (norm(width, name="final norm"), *last))


def deberta_v2(c: Reading) -> Model:
    """DeBERTa 2 and 3: scores of content and of relative positions apart (He et al. 2020, arXiv:2006.03654)."""
    width, query = c.integer("hidden_size"), c.integer("num_attention_heads")
    divides(c, "hidden_size", width, "num_attention_heads", query)
    d = c.integer("attention_head_size", default=width // query)
    c.must("attention_head_size", width // query, width // query)
    heads, kinds = Heads(query, query, d, d), _position_kinds(c)
    span = _span(c) if c.flag("relative_attention") else 0
    if not span and kinds:
        raise c.error("pos_att_type", "names scores of positions, and relative_attention is false")
    q, k, v, out = projections(width, heads, True)
    core = attention(heads, "")
    if kinds:
        core = part("attention", places.disentangled("c2p" in kinds, "p2c" in kinds), p=span, **heads.sizes)
    shared = c.flag("share_att_key", default=False)
    more = tuple(
        replace(part(f"position {name}", places.POSITION_PROJECTION, D=width, h=query, d=d, p=span), tied=shared)
        for name, kind in (("k", "c2p"), ("q", "p2c"))
        if kind in kinds
    )
    hidden, function = c.integer("intermediate_size"), act(c)
    feed = layernorm(width), *plain(width, hidden, function), layernorm(width, name="norm 2"), residual(width)
    layer = Layer("encoder", (q, k, v, *more, core, out, *feed))
    kernel = c.integer("conv_kernel_size", default=0, least=0)
    made = [layer] * depth(c)
    if kernel:
        made = [replace(layer, parts=(*layer.parts, *_deberta_conv(c, width, kernel))), *made[1:]]
    return finish(c, "deberta-v2", width, made, _deberta_embeddings(c, width, span), _deberta_head(c, width))


def _position_kinds(c: Reading) -> set[str]:
    value = c.get(("pos_att_type",), None)[1]
    names = [x.strip() for x in value.lower().split("|")] if isinstance(value, str) else value or []
    if not isinstance(names, list) or any(name not in ("c2p", "p2c") for name in names):
        raise c.error("pos_att_type", "must hold c2p, p2c, or both")
    return set(names)


def _span(c: Reading) -> int:
    most, buckets = c.integer("max_relative_positions", least=-1), c.integer("position_buckets", default=-1, least=-1)
    if buckets > 0:
        return buckets
    return most if most > 0 else c.integer("max_position_embeddings")


def _deberta_conv(c: Reading, width: int, kernel: int) -> tuple[Part, ...]:
    c.must("conv_groups", 1, 1)
    function = c.choice("conv_act", options=("tanh", "gelu", "relu"), default="tanh")
    text = products.convolution(1, True, function)
    if kernel % 2 == 0:
        raise c.error("conv_kernel_size", f"must be odd, got {kernel}")
    return part("conv", text, D=width, F=width, u=kernel), layernorm(width, name="conv norm")


def _deberta_embeddings(c: Reading, width: int, span: int) -> tuple[Part, ...]:
    inner, limit = c.integer("embedding_size", default=width), c.integer("max_position_embeddings")
    parts = [embedding(c.integer("vocab_size"), inner)]
    if c.flag("position_biased_input"):
        parts.append(embedding(limit, inner, "positions"))
    if kinds := c.integer("type_vocab_size", least=0):
        parts.append(embedding(kinds, inner, "segments"))
    if inner != width:
        parts.append(linear("project in", inner, width))
    parts.append(layernorm(width, name="embedding norm"))
    if span:
        parts.append(embedding(2 * span, width, "relative positions", 2 * span))
        names = str(c.get(("norm_rel_ebd",), "none")[1]).lower()
        if "layer_norm" in [x.strip() for x in names.split("|")]:
            parts.append(of_tokens(layernorm(width, name="relative norm"), n=2 * span))
    c.ignore(
        "norm_rel_ebd", "position_buckets", "max_relative_positions", "padding_idx", "pooler_dropout", "cls_dropout"
    )
    return tuple(parts)


def _deberta_head(c: Reading, width: int) -> tuple[Part, ...]:
    name = architecture(c) or "ForMaskedLM"
    c.ignore("pooler_hidden_act", "pooler_hidden_size", "legacy")
    if bare(name):
        c.ignore("tie_word_embeddings")
        return ()
    if name.endswith("ForMaskedLM"):
        c.must("legacy", True, True)
        inner = c.integer("embedding_size", default=width)
        return masked(c, width, inner, act(c), True)
    if name.endswith("ForSequenceClassification"):
        c.must("pooler_hidden_size", width, width)
        return pooler(width), pooler(width, "labels", labels(c))
    if name.endswith(("ForTokenClassification", "ForQuestionAnswering")):
        return (linear("labels", width, labels(c), True),)
    raise c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: {', '.join(KNOWN)}")


def esm(c: Reading) -> Model:
    """ESM-2: BERT over amino acids with norms before and rotary positions (Lin et al. 2022, doi:10.1126/science.ade2574)."""
    width, query = c.integer("hidden_size"), c.integer("num_attention_heads")
    divides(c, "hidden_size", width, "num_attention_heads", query)
    heads, words = Heads(query, query, width // query, width // query), c.integer("vocab_size")
    for key in ("is_decoder", "add_cross_attention", "is_folding_model"):
        c.must(key, False, False)
    turned = c.choice("position_embedding_type", options=("absolute", "rotary")) == "rotary"
    q, k, v, out = projections(width, heads, True)
    feed = plain(width, c.integer("intermediate_size"), "gelu")
    c.ignore("hidden_act", "esmfold_config", "vocab_list")
    mix = (layernorm(width), q, k, v, *(rotary(heads) if turned else ()), attention(heads, ""), out)
    layer = Layer("encoder", (*mix, layernorm(width, name="norm 2"), *feed, residual(width)))
    before = [embedding(words, width)]
    before += [] if turned else [embedding(c.integer("max_position_embeddings"), width, "positions")]
    before += [layernorm(width, name="embedding norm")] if c.flag("emb_layer_norm_before") else []
    layers, name = depth(c), architecture(c) or "ForMaskedLM"
    contact = replace(linear("contacts", layers * query, 1, True), idle=True)
    if bare(name):
        c.ignore("tie_word_embeddings")
        last: tuple[Part, ...] = (pooler(width),)
    elif name.endswith("ForMaskedLM"):
        tied = c.flag("tie_word_embeddings")
        last = (
            linear("head dense", width, width, True),
            activation("head act", width, "gelu", False),
            layernorm(width, name="head norm"),
            *head(width, words, True, tied),
        )
    elif name.endswith("ForSequenceClassification"):
        last = pooler(width, "head dense"), pooler(width, "labels", labels(c))
    elif name.endswith("ForTokenClassification"):
        last = (linear("labels", width, labels(c), True),)
    else:
        raise c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: {', '.join(KNOWN)}")
    return finish(c, "esm", width, [layer] * layers, before, (layernorm(width, name="final norm"), contact, *last))


def biased(c: Reading, heads: Heads, buckets: int, start: bool) -> Part:
    """Return attention with a learned bias by bucket of distances, which the first layer looks up for all."""
    bias, declare = (places.BUCKETS, places.BUCKET_TABLE) if start else (places.GIVEN, places.GIVEN_TABLE)
    return of_tokens(attention(heads, "", bias=bias, declare=declare), p=buckets)


def _embeddings(c: Reading, r: Recipe, width: int, inner: int) -> tuple[Part, ...]:
    parts = [embedding(c.integer("vocab_size"), inner)]
    if r.positions:
        parts.append(embedding(c.integer("max_position_embeddings"), inner, "positions"))
    kinds = c.integer("type_vocab_size", least=0) if r.segments else 0
    if kinds:
        parts.append(embedding(kinds, inner, "segments"))
    if c.of_class.get("use_task_id") is not None and c.flag("use_task_id"):
        parts.append(embedding(c.integer("task_type_vocab_size"), inner, "tasks"))
    c.ignore("task_type_vocab_size")
    if r.embedding_norm:
        parts.append(layernorm(inner, name="embedding norm"))
    return (*parts, linear("project in", inner, width, True)) if inner != width else tuple(parts)


def _head(c: Reading, r: Recipe, width: int, inner: int) -> tuple[Part, ...]:
    name = architecture(c) or "ForMaskedLM"
    final = (layernorm(width, name="final norm"),) if r.final_norm else ()
    c.ignore(
        "summary_type",
        "summary_use_proj",
        "summary_activation",
        "summary_last_dropout",
        "num_choices",
        "lora_adaptations",
    )
    if bare(name):
        c.ignore("tie_word_embeddings")
        return (*final, pooler(width)) if r.pooled else final
    if name.endswith("ForMaskedLM"):
        return *final, *masked(c, width, inner, "gelu" if r.narrow or r.segments is False else act(c), r.spare)
    if name.endswith("ForSequenceClassification"):
        return *final, pooler(width, "head dense"), pooler(width, "labels", labels(c))
    if name.endswith(("ForTokenClassification", "ForQuestionAnswering")):
        return *final, linear("labels", width, labels(c), True)
    raise c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: {', '.join(KNOWN)}")


def masked(c: Reading, width: int, inner: int, function: str, spare: bool) -> tuple[Part, ...]:
    """Return the masked language model's head: a dense layer, its norm, a score and a bias for each word."""
    tied, words = c.flag("tie_word_embeddings"), c.integer("vocab_size")
    dense = linear("head dense", width, inner, True), activation("head act", inner, function, False)
    last = head(inner, words, True, tied)
    more = (Part("spare bias", head(inner, words, True, True)[1].program, idle=True),) if spare and not tied else ()
    return *dense, layernorm(inner, name="head norm"), *last, *more
