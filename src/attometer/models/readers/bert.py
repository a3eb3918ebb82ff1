"""Encoders: BERT, RoBERTa, Longformer and BigBird, with the head that `architectures` names."""

from dataclasses import dataclass, replace

import sympy

from attometer.errors import AttometerError
from attometer.mechanisms import blocks_of_keys
from attometer.mechanisms import projections as products
from attometer.models.blocks import (
    Heads,
    activation,
    attention,
    embedding,
    head,
    layernorm,
    linear,
    plain,
    projections,
    residual,
)
from attometer.models.layer import Layer, Model
from attometer.models.part import Part, at, over, part
from attometer.models.readers.decoder import architecture, bare, depth, divides, finish, labels
from attometer.models.readers.llama import act
from attometer.models.reading import Reading
from attometer.program import size


@dataclass(frozen=True)
class Defaults:
    """The values of a configuration class of transformers for missing keys."""

    vocabulary: int
    positions: int = 512
    width: int = 768
    heads: int = 12
    hidden: int = 3072


# By family; BertConfig, LongformerConfig, XLMRobertaConfig and CamembertConfig have the same.
BERT, ROBERTA, MEGATRON = Defaults(30522), Defaults(50265), Defaults(29056, width=1024, heads=16, hidden=4096)
BIG_BIRD = Defaults(50358, positions=4096)


def bert(c: Reading) -> Model:
    """BERT (Devlin et al. 2018, arXiv:1810.04805)."""
    return _encoder(c, "bert", BERT)


def megatron_bert(c: Reading) -> Model:
    """Megatron-BERT: BERT with its norms before (Shoeybi et al. 2019, arXiv:1909.08053)."""
    return _encoder(c, "megatron-bert", MEGATRON)


def roberta(c: Reading) -> Model:
    """RoBERTa (Liu et al. 2019, arXiv:1907.11692)."""
    return _encoder(c, "roberta", ROBERTA)


def xlm_roberta(c: Reading) -> Model:
    """XLM-RoBERTa and CamemBERT: RoBERTa, whose classes take BERT's vocabulary for a missing one (arXiv:1911.02116)."""
    return _encoder(c, "roberta", BERT)


def _encoder(c: Reading, family: str, default: Defaults) -> Model:
    width = c.integer("hidden_size", default=default.width)
    heads = _heads(c, width, default)
    c.must("is_decoder", False, False)
    c.must("add_cross_attention", False, False)
    _absolute(c)
    q, k, v, out = projections(width, heads, True)
    layer = _layer(c, width, default, "encoder", (q, k, v, attention(heads, ""), out))
    before = _embeddings(c, width, default)
    return finish(c, family, width, [layer] * depth(c), before, _heads_of_file(c, width, before[0], family))


def distilbert(c: Reading) -> Model:
    """DistilBERT: BERT without segments and pooler (Sanh et al. 2019, arXiv:1910.01108)."""
    width = c.integer("dim", "hidden_size", default=768)
    query = c.integer("n_heads", "num_attention_heads", default=12)
    divides(c, "dim", width, "n_heads", query)
    heads = Heads(query, query, width // query, width // query)
    function, hidden = (
        c.choice("activation", options=("gelu", "relu"), default="gelu"),
        c.integer("hidden_dim", default=3072),
    )
    q, k, v, out = projections(width, heads, True)
    feed = (layernorm(width), *plain(width, hidden, function), layernorm(width, name="norm 2"), residual(width))
    layer = Layer("encoder", (q, k, v, attention(heads, ""), out, *feed))
    words = embedding(c.integer("vocab_size", default=30522), width)
    places = embedding(c.integer("max_position_embeddings", default=512), width, "positions")
    c.ignore("sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout", "tie_weights_")
    last = _distil_head(c, width, int(words.program.weights[0].extents[0]), function)
    before = (words, places, layernorm(width, name="embedding norm"))
    return finish(c, "distilbert", width, [layer] * depth(c, "n_layers", "num_hidden_layers"), before, last)


def _distil_head(c: Reading, width: int, vocabulary: int, function: str) -> tuple[Part, ...]:
    name = architecture(c) or "ForMaskedLM"
    tied = c.flag("tie_word_embeddings", default=True)
    if bare(name):
        return ()
    if name.endswith("ForMaskedLM"):
        return _masked_head(width, vocabulary, tied, function)
    first = pooler(width, "head dense")
    if name.endswith("ForSequenceClassification"):
        return first, pooler(width, "labels", labels(c))
    if name.endswith("ForMultipleChoice"):
        return first, pooler(width, "choice", 1)
    if name.endswith(("ForTokenClassification", "ForQuestionAnswering")):
        return (linear("labels", width, labels(c), True),)
    raise _other_head(c, name)


def _other_head(c: Reading, name: str) -> AttometerError:
    return c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: {', '.join(ENDS)}")


ENDS = (
    "…Model", "…ForMaskedLM", "…ForPreTraining", "…ForSequenceClassification", "…ForTokenClassification",
    "…ForQuestionAnswering", "…ForMultipleChoice", "…ForNextSentencePrediction",
)  # fmt: skip


def _heads(c: Reading, width: int, default: Defaults = BERT) -> Heads:
    query = c.integer("num_attention_heads", default=default.heads)
    divides(c, "hidden_size", width, "num_attention_heads", query)
    return Heads(query, query, width // query, width // query)


def _absolute(c: Reading) -> None:
    c.choice("position_embedding_type", options=("absolute",), default="absolute")


def _layer(c: Reading, width: int, default: Defaults, kind: str, mixing: tuple[Part, ...]) -> Layer:
    feed = plain(width, c.integer("intermediate_size", default=default.hidden), act(c, "gelu"))
    return Layer(kind, (*mixing, layernorm(width), *feed, layernorm(width, name="norm 2"), residual(width)))


def _embeddings(c: Reading, width: int, default: Defaults) -> tuple[Part, ...]:
    return (
        embedding(c.integer("vocab_size", default=default.vocabulary), width),
        embedding(c.integer("max_position_embeddings", default=default.positions), width, "positions"),
        embedding(c.integer("type_vocab_size", default=2), width, "segments"),
        layernorm(width, name="embedding norm"),
    )


# Families whose classifier has a dense layer of its own and reads no pooler; BigBird's has both.
DENSE = frozenset({"roberta", "longformer", "big_bird"})


def _heads_of_file(c: Reading, width: int, words: Part, family: str) -> tuple[Part, ...]:
    """The head of the class that `architectures` names: none but a pooler, or the masked language model's."""
    name = architecture(c) or "ForMaskedLM"
    c.ignore("num_choices", "classifier_dropout", "summary_type")
    tied = c.flag("tie_word_embeddings", default=True)
    vocabulary = int(words.program.weights[0].extents[0])
    pooled = (pooler(width),)
    both = pooled if family == "big_bird" else ()
    if bare(name):
        c.ignore("tie_word_embeddings")
        return pooled
    if name.endswith(("ForMaskedLM", "LMHeadModel", "ForCausalLM")):
        return *both, *_masked_head(width, vocabulary, tied, act(c, "gelu"), spare=True)
    if name.endswith("ForPreTraining"):
        masked = _masked_head(width, vocabulary, tied, act(c, "gelu"), spare=True)
        return *pooled, *masked, pooler(width, "next sentence", 2)
    if name.endswith("ForNextSentencePrediction"):
        return *pooled, pooler(width, "next sentence", 2)
    if name.endswith("ForSequenceClassification"):
        first = (*both, pooler(width, "head dense")) if family in DENSE else pooled
        return *first, pooler(width, "labels", labels(c))
    if name.endswith("ForMultipleChoice"):
        return *pooled, pooler(width, "choice", 1)
    if name.endswith("ForTokenClassification") or (name.endswith("ForQuestionAnswering") and family != "big_bird"):
        return *both, linear("labels", width, labels(c), True)
    raise _other_head(c, name)


def pooler(width: int, name: str = "pooler", outputs: int | None = None) -> Part:
    """Return a dense layer on the first token."""
    return part(name, products.POOLER, D=width, F=outputs or width)


def _masked_head(width: int, vocabulary: int, tied: bool, function: str, spare: bool = False) -> tuple[Part, ...]:
    """The masked language model's head; where it is untied, `spare` says that transformers keeps a second bias unused."""
    dense, norm = linear("head dense", width, width, True), layernorm(width, name="head norm")
    more = (
        (Part("spare bias", head(width, vocabulary, True, True)[1].program, idle=True),) if spare and not tied else ()
    )
    return dense, activation("head act", width, function, False), norm, *head(width, vocabulary, True, tied), *more


def longformer(c: Reading) -> Model:
    """Longformer: a symmetric window; global tokens have projections of their own (Beltagy et al. 2020, arXiv:2004.05150).

    The window of w sees w / 2 tokens on each side. Counted without global tokens; transformers pads the tokens to a
    multiple of the widest window and works in overlapping chunks, which is the reference form.
    """
    width, layers = c.integer("hidden_size", default=768), depth(c)
    heads = _heads(c, width)
    _absolute(c)
    sizes = _windows(c, layers)
    pad = padded(max(sizes))
    c.ignore(
        "attention_mode", "autoregressive", "ignore_attention_mask", "onnx_export", "attention_dilation", "sep_token_id"
    )
    c.note("counted without global tokens; their projections are weights that such a pass does not use")
    built = {w: _local_layer(c, width, heads, w, pad, max(sizes)) for w in dict.fromkeys(sizes)}
    before = _embeddings(c, width, BERT)
    return finish(
        c, "longformer", width, [built[w] for w in sizes], before, _heads_of_file(c, width, before[0], "longformer")
    )


def _windows(c: Reading, layers: int) -> list[int]:
    if isinstance(c.values.get("attention_window"), list):
        sizes = c.each("attention_window", layers) or []
        if len(c.values["attention_window"]) != layers or not all(
            isinstance(w, int) and 0 < w < 10**9 and w % 2 == 0 for w in sizes
        ):
            raise c.error("attention_window", "must be an even number, or one for each layer")
        return sizes
    size = c.integer("attention_window", default=512, least=2)
    if size % 2:
        raise c.error("attention_window", f"must be even, got {size}")
    return [size] * layers


def _local_layer(c: Reading, width: int, heads: Heads, window: int, pad: sympy.Expr, multiple: int) -> Layer:
    half = window // 2
    core = attention(heads, f"band(i, j, {half}, {half})", keys="n")
    core = replace(core, reference=at(blocks_of_keys.OVERLAPPING_CHUNKS, **heads.sizes, w=half, n=pad))
    projected = projections(width, heads, True)
    q, k, v, out = projected
    unused = tuple(Part(f"global {p.name}", p.program, idle=True) for p in (q, k, v))
    return _padded(_layer(c, width, BERT, "sliding", (q, k, v, *unused, core, out)), pad)


def _padded(layer: Layer, pad: sympy.Expr) -> Layer:
    """The same layer, with projections whose reference runs over padded tokens."""
    return replace(
        layer, parts=tuple(_over(p, pad) if p.name in ("q", "k", "v", "out", "up", "down") else p for p in layer.parts)
    )


def _over(part: Part, pad: sympy.Expr) -> Part:
    return replace(part, reference=over(part.program, n=pad))


def padded(multiple: int) -> sympy.Expr:
    """Return the number of tokens, rounded up to a multiple."""
    return sympy.floor((size("n") + multiple - 1) / multiple) * multiple


def big_bird(c: Reading) -> Model:
    """BigBird: blocks of a window, of random and of global keys (Zaheer et al. 2020, arXiv:2007.14062).

    For inputs too short for its blocks transformers runs full attention, and so does the model here.
    """
    width = c.integer("hidden_size", default=768)
    heads = _heads(c, width)
    c.must("is_decoder", False, False)
    c.must("add_cross_attention", False, False)
    _absolute(c)
    c.ignore("rescale_embeddings")
    bias = c.flag("use_bias", default=True)
    q, k, v, out = projections(width, heads, bias, True)
    full = attention(heads, "", keys="n")
    sparse = (
        c.choice("attention_type", options=("block_sparse", "original_full"), default="block_sparse") == "block_sparse"
    )
    core = _blocks(c, heads, full) if sparse else full
    if not sparse:
        c.ignore("block_size", "num_random_blocks")
    layer = _layer(c, width, BIG_BIRD, "block-sparse" if sparse else "encoder", (q, k, v, core, out))
    if core.short is not None:
        block = c.integer("block_size", default=64)
        layer = _short(_padded(layer, padded(block)), core.short[0])
    before = _embeddings(c, width, BIG_BIRD)
    return finish(c, "big_bird", width, [layer] * depth(c), before, _heads_of_file(c, width, before[0], "big_bird"))


def _short(layer: Layer, limit: int) -> Layer:
    """Up to `limit` tokens nothing is padded."""
    return replace(
        layer,
        parts=tuple(replace(p, short=(limit, p.program)) if p.reference and not p.short else p for p in layer.parts),
    )


def _blocks(c: Reading, heads: Heads, full: Part) -> Part:
    """Blocks of queries: the first and last see all keys, the second ones 4 + r blocks, the others 5 + r blocks."""
    block, chosen = c.integer("block_size", default=64), c.integer("num_random_blocks", default=3)
    sizes = {"h": heads.query, "d": heads.d, "x": block, "r": chosen}
    program, run = (at(blocks_of_keys.block_sparse(), n=n, **sizes) for n in (size("n"), padded(block)))
    return replace(full, program=program, reference=run, short=((5 + 2 * chosen) * block, full.program))
