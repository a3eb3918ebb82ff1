"""T5: an encoder over `s` source tokens, and a decoder that attends to it (Raffel et al. 2019, arXiv:1910.10683)."""

from attometer.mechanisms import positions as places
from attometer.models.blocks import (
    ACTIVATIONS,
    Heads,
    attention,
    embedding,
    gated,
    head,
    linear,
    norm,
    of_tokens,
    plain,
    residual,
)
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part
from attometer.models.readers.decoder import MOST_LAYERS, alike, architecture, bare, finish
from attometer.models.reading import Reading
from attometer.program import size


def t5(c: Reading) -> Model:
    """T5 and its version 1.1."""
    return _t5(c, "t5", 32128)


def mt5(c: Reading) -> Model:
    """mT5: T5 1.1 with a larger vocabulary (arXiv:2010.11934)."""
    return _t5(c, "mt5", 250112)


def umt5(c: Reading) -> Model:
    """UMT5: mT5 with a relative-position bias in every layer (arXiv:2304.09151)."""
    return _t5(c, "umt5", 250112, every=True)


def _t5(c: Reading, family: str, vocabulary: int, every: bool = False) -> Model:
    name = architecture(c)
    if name and not name.endswith(("ForConditionalGeneration", "WithLMHeadModel")) and not bare(name):
        raise c.error(
            "architectures",
            f"names {name[:80]}, which is not modelled; …ForConditionalGeneration, …Model, …EncoderModel are",
        )
    c.must("is_decoder", False, False)
    width = c.integer("d_model", default=512)
    # T5Config has 8 heads, MT5Config and UMT5Config 6.
    q, d = c.integer("num_heads", default=8 if family == "t5" else 6), c.integer("d_kv", default=64)
    heads, buckets = Heads(q, q, d, d), c.integer("relative_attention_num_buckets", default=32)
    layers = c.integer("num_layers")
    decoders = c.optional("num_decoder_layers") or layers
    if max(layers, decoders) > MOST_LAYERS:
        raise c.error("num_layers", f"is {max(layers, decoders)}; at most {MOST_LAYERS} layers are modelled")
    c.ignore("relative_attention_max_distance", "output_past", "scalable_attention")
    feed = {rows: _feed(c, width, rows, family) for rows in ("s", "n")}
    own = [every or i == 0 for i in range(layers)]
    if name.endswith("EncoderModel"):
        return _alone(c, family, width, heads, buckets, own, vocabulary)
    made = alike(own, lambda first: _encoder(width, heads, buckets, first, feed["s"]))
    made += alike(
        [every or i == 0 for i in range(decoders)], lambda first: _decoder(width, heads, buckets, first, feed["n"])
    )
    v = c.integer("vocab_size", default=vocabulary)
    if not c.flag("tie_word_embeddings", default=True):
        c.note(
            "the file unties the head; transformers 5 ties it all the same (and reads the key as the scaling of its outputs)"
        )
    words = embedding(v, width)
    source = Part("source embedding", embedding(v, width, rows="s").program, tied=True)
    before = (words, source, norm(width, name="encoder final norm", rows="s"))
    last = () if bare(name) else head(width, v, tied=True)
    return finish(c, family, width, made, before, (norm(width, name="final norm"), *last))


def _alone(c: Reading, family: str, width: int, heads: Heads, buckets: int, own: list[bool], vocabulary: int) -> Model:
    """The encoder without a decoder, as diffusion pipelines use it: its tokens are `n`; `own` says which layers have a bias."""
    c.ignore("num_decoder_layers", "tie_word_embeddings")
    feed = _feed(c, width, "n", family)
    made = alike(own, lambda first: _encoder(width, heads, buckets, first, feed, "n"))
    before = (embedding(c.integer("vocab_size", default=vocabulary), width),)
    return finish(c, family, width, made, before, (norm(width, name="final norm"),))


def _feed(c: Reading, width: int, rows: str, family: str) -> tuple[Part, ...]:
    name = c.choice(
        "feed_forward_proj",
        options=("relu", "gelu", "silu", "gated-gelu", "gated-silu"),
        default="relu" if family == "t5" else "gated-gelu",
    )
    # Diffusion pipelines ship T5 with these two and without `feed_forward_proj`: transformers obeys them over it.
    function = c.choice("dense_act_fn", options=ACTIVATIONS, default=name.removeprefix("gated-"))
    hidden = c.integer("d_ff", default=2048 if family == "t5" else 1024)
    double = c.flag("is_gated_act", default=name.startswith("gated-"))
    parts = gated(width, hidden, function) if double else plain(width, hidden, function, False)
    return tuple(of_tokens(p, n=rows) for p in parts)


def _mix(width: int, heads: Heads, buckets: int, first: bool, rows: str, keys: str, where: str) -> tuple[Part, ...]:
    inner = heads.query * heads.d
    bias, declare = (places.BUCKETS, places.BUCKET_TABLE) if first else (places.GIVEN, places.GIVEN_TABLE)
    core = attention(heads, where, rows, keys, scale=False, bias=bias, declare=declare)
    core = of_tokens(core, p=buckets)
    projected = tuple(linear(name, width, inner, rows=rows) for name in ("q", "k", "v"))
    return *projected, core, linear("out", inner, width, rows=rows)


def _encoder(width: int, heads: Heads, buckets: int, first: bool, feed: tuple[Part, ...], rows: str = "s") -> Layer:
    mixing = _mix(width, heads, buckets, first, rows, rows, "")
    parts = (norm(width, rows=rows), *mixing, norm(width, name="norm 2", rows=rows), *feed, residual(width, rows=rows))
    return Layer("encoder", parts)


def _decoder(width: int, heads: Heads, buckets: int, first: bool, feed: tuple[Part, ...]) -> Layer:
    inner = heads.query * heads.d
    mixing = _mix(width, heads, buckets, first, "n", "m", "causal(i, j)")
    source = linear("cross k", width, inner, rows="s"), linear("cross v", width, inner, rows="s")
    cross = (
        linear("cross q", width, inner),
        attention(heads, "", keys="s", scale=False).named("cross attention"),
        linear("cross out", inner, width),
    )
    start, end = (
        (norm(width), *mixing, norm(width, name="cross norm")),
        (*cross, norm(width, name="norm 2"), *feed, residual(width, 3)),
    )
    kept = CacheSize(heads.cache().kv + 2 * inner * size("s"))
    # One step of decoding finds the keys and values of the source in the cache.
    return Layer("cross", (*start, *source, *end), kept, (*start, *end))
