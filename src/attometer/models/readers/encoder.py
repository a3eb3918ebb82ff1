"""Encoders of text after BERT that differ in positions, norms, biases or heads: one recipe each."""

from collections.abc import Callable
from dataclasses import dataclass

from attometer.mechanisms import positions as places
from attometer.models.blocks import (
    Heads,
    activation,
    attention,
    embedding,
    gated,
    head,
    layernorm,
    linear,
    of_tokens,
    plain,
    projections,
    residual,
    rotary,
)
from attometer.models.layer import Layer, Model
from attometer.models.part import Part
from attometer.models.readers.bert import pooler
from attometer.models.readers.decoder import alike, architecture, bare, depth, divides, finish, labels
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
    "jina_embeddings_v3": Recipe(positions=False, spare=False),
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
