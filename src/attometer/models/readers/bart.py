"""Encoder–decoders with LayerNorm and plain feed-forward layers: BART and its descendants, and Whisper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from attometer.mechanisms import projections as products
from attometer.models.blocks import (
    Heads,
    attention,
    embedding,
    head,
    layernorm,
    of_tokens,
    plain,
    projections,
    residual,
)
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part, part
from attometer.models.readers.decoder import MOST_LAYERS, architecture, bare, depth, divides, finish
from attometer.models.readers.llama import act
from attometer.models.reading import Reading
from attometer.program import size
from attometer.sizes import Size


@dataclass(frozen=True)
class Recipe:
    """What differs between the descendants of BART: rows that a table of positions has beyond its limit, or None where
    positions are computed; whether embeddings are normed; whether each stack ends in a norm."""

    extra: int | None = 0
    embedding_norm: bool = False
    final_norm: bool = True


# Norms stand before or after what they norm: that changes no cost, and no entry here.
RECIPES = {
    "bart": Recipe(2, True, False),
    "blenderbot": Recipe(),
    "blenderbot-small": Recipe(0, True, False),
    "m2m_100": Recipe(None),
    "marian": Recipe(0, False, False),
    "mbart": Recipe(2, True),
    "pegasus": Recipe(),
    "plbart": Recipe(2, True, False),
}
ENDS = ("ForConditionalGeneration", "MTModel")


@dataclass(frozen=True)
class Side:
    """One stack: its layers, heads and feed-forward layer."""

    layers: int
    heads: Heads
    feed: tuple[Part, ...]


def seq2seq(family: str) -> Callable[[Reading], Model]:
    """Return the reader of a descendant of BART (Lewis et al. 2019, arXiv:1910.13461)."""
    recipe = RECIPES[family]

    def read(c: Reading) -> Model:
        width, limit = c.integer("d_model", "hidden_size"), c.integer("max_position_embeddings")
        v = c.integer("vocab_size")
        _common(c)
        if family == "marian":
            c.must("share_encoder_decoder_embeddings", True, True)
            if c.optional("decoder_vocab_size") not in (None, v):
                raise c.error("decoder_vocab_size", f"differs from vocab_size = {v}, which is not modelled")
        before = []
        for rows, name in (("s", "source "), ("n", "")):
            if recipe.extra is not None:
                before.append(embedding(limit + recipe.extra, width, f"{name}positions", rows))
            if recipe.embedding_norm:
                before.append(_norm(width, rows, f"{name}embedding norm"))
        return _finish(c, family, width, v, before, recipe.final_norm)

    read.__doc__ = (
        f"{family}: an encoder–decoder with LayerNorm and plain feed-forward layers, after BART (arXiv:1910.13461)."
    )
    return read


def whisper(c: Reading) -> Model:
    """Whisper: BART behind two convolutions over a mel spectrogram, keys without bias (Radford et al. 2022, arXiv:2212.04356)."""
    width, v = c.integer("d_model", "hidden_size"), c.integer("vocab_size")
    _common(c)
    mel, heard = c.integer("num_mel_bins"), c.integer("max_source_positions")
    c.ignore("median_filter_width", "use_weighted_layer_sum", "classifier_proj_size", "max_source_positions")
    before = (
        convolved("conv 1", mel, width, 3, 2 * heard),
        convolved("conv 2", width, width, 3, heard, 2),
        embedding(heard, width, "source positions", heard),
        embedding(c.integer("max_target_positions"), width, "positions"),
    )
    return _finish(c, "whisper", width, v, before, True, key_bias=False, heard=heard)


def heard(c: Reading) -> Model:
    """Whisper's encoder as a tower beside a text model: a token for every two frames of a spectrogram (arXiv:2212.04356)."""
    width, query = c.integer("d_model", "hidden_size"), c.integer("encoder_attention_heads", "num_attention_heads")
    divides(c, "d_model", width, "encoder_attention_heads", query)
    feed = plain(width, c.integer("encoder_ffn_dim", "intermediate_size"), act(c, key="activation_function"))
    side = Side(0, Heads(query, query, width // query, width // query), feed)
    mel, rows = c.integer("num_mel_bins"), size("n")
    limit = c.integer("max_source_positions")
    c.ignore("encoder_layerdrop", "layerdrop", "scale_embedding", "vocab_size")
    before = (
        convolved("conv 1", mel, width, 3, 2 * rows),
        convolved("conv 2", width, width, 3, rows, 2),
        embedding(limit, width, "positions"),
    )
    layer = _encoder(width, side, False, rows)
    layers = depth(c, "encoder_layers", "num_hidden_layers")
    model = finish(c, "audio", width, [layer] * layers, before, (layernorm(width, name="final norm"),))
    return replace(model, tokens=limit)


def convolved(
    name: str, inputs: int, outputs: int, kernel: int, rows: Size | str, stride: int = 1, bias: bool = True
) -> Part:
    """Return a convolution along the tokens, and its activation; `rows` are the tokens that leave it."""
    return part(name, products.convolution(stride, bias), D=inputs, F=outputs, u=kernel, n=rows)


def _common(c: Reading) -> None:
    name = architecture(c)
    if name and not name.endswith(ENDS) and not bare(name):
        raise c.error("architectures", f"names {name[:80]}, which is not modelled; …{', …'.join(ENDS)} and …Model are")
    for key, value in (("is_decoder", False), ("tie_word_embeddings", True), ("is_encoder_decoder", True)):
        c.must(key, value, value)
    c.ignore("encoder_layerdrop", "decoder_layerdrop", "scale_embedding", "num_hidden_layers", "init_std")
    c.ignore(
        "normalize_before",
        "normalize_embedding",
        "static_position_embeddings",
        "add_final_layer_norm",
        "add_bias_logits",
    )
    c.ignore("extra_pos_embeddings", "force_bos_token_to_be_generated", "max_source_positions", "max_target_positions")


def _side(c: Reading, width: int, name: str, function: str) -> Side:
    layers, query = c.integer(f"{name}_layers"), c.integer(f"{name}_attention_heads")
    if layers > MOST_LAYERS:
        raise c.error(f"{name}_layers", f"is {layers}; at most {MOST_LAYERS} layers are modelled")
    divides(c, "d_model", width, f"{name}_attention_heads", query)
    feed = plain(width, c.integer(f"{name}_ffn_dim"), function)
    return Side(layers, Heads(query, query, width // query, width // query), feed)


def _finish(
    c: Reading,
    family: str,
    width: int,
    v: int,
    before: Sequence[Part],
    final: bool,
    key_bias: bool = True,
    heard: int | None = None,
) -> Model:
    # What Whisper hears is padded to its 30 seconds; a text has the length that is asked for.
    source = size("s") if heard is None else heard
    function = act(c, "gelu", "activation_function")
    encoder, decoder = (_side(c, width, name, function) for name in ("encoder", "decoder"))
    made = [_encoder(width, encoder, key_bias, source)] * encoder.layers
    made += [_decoder(width, decoder, key_bias, source)] * decoder.layers
    words = embedding(v, width)
    said = () if heard else (Part("source embedding", embedding(v, width, rows="s").program, tied=True),)
    ends = (_norm(width, source, "encoder final norm"),) if final else ()
    last = () if bare(architecture(c)) and not architecture(c).endswith(ENDS) else head(width, v, tied=True)
    norms = (layernorm(width, name="final norm"),) if final else ()
    return finish(c, family, width, made, (words, *said, *before, *ends), (*norms, *last))


def _norm(width: int, rows: Size | str, name: str = "norm") -> Part:
    return of_tokens(layernorm(width, name=name), n=rows)


def _projected(width: int, heads: Heads, key_bias: bool) -> tuple[Part, Part, Part, Part]:
    q, k, v, out = projections(width, heads, True)
    return q, k if key_bias else projections(width, heads)[1], v, out


def _encoder(width: int, side: Side, key_bias: bool, source: Size) -> Layer:
    q, k, v, out = _projected(width, side.heads, key_bias)
    core = attention(side.heads, "", "n", "n")
    parts = (layernorm(width), q, k, v, core, out, layernorm(width, name="norm 2"), *side.feed, residual(width))
    return Layer("encoder", tuple(of_tokens(p, n=source) for p in parts))


def _decoder(width: int, side: Side, key_bias: bool, source: Size) -> Layer:
    projected = _projected(width, side.heads, key_bias)
    q, k, v, out = projected
    cross_q, cross_k, cross_v, cross_out = (p.named(f"cross {p.name}") for p in projected)
    heard = tuple(of_tokens(p, n=source) for p in (cross_k, cross_v))
    start = (layernorm(width), q, k, v, attention(side.heads), out, layernorm(width, name="cross norm"), cross_q)
    cross = attention(side.heads, "", keys=source).named("cross attention")
    end = (cross, cross_out, layernorm(width, name="norm 2"), *side.feed, residual(width, 3))
    kept = CacheSize(side.heads.cache().kv + 2 * width * source)
    # One step of decoding finds the keys and values of the source in the cache.
    return Layer("cross", (*start, *heard, *end), kept, (*start, *end))
