"""What all decoder-only models have around their layers, and how their common keys are read."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from attometer.models.blocks import Heads, embedding, head, linear, norm, residual
from attometer.models.layer import CacheSize, Layer, Model, stacks
from attometer.models.part import Part
from attometer.models.reading import REQUIRED, Reading

# Five times the deepest published model; a larger number is a broken file, and slow to read where every layer differs.
MOST_LAYERS = 1_000

LIMITS = (
    "max_position_embeddings",
    "n_positions",
    "max_target_positions",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
    "model_max_length",
)
K = TypeVar("K", bound=Hashable)
SLIDING = "sliding_attention"
FULL = "full_attention"


def heads_of(c: Reading, width: int, query: int | None = None, kv: int | None = None, d: int | None = None) -> Heads:
    """Read grouped-query heads: `num_attention_heads`, `num_key_value_heads`, `head_dim`.

    The arguments are transformers' values for missing keys; None means that the usual rule holds: as many key/value
    heads as query heads, and head_dim = hidden_size / num_attention_heads.
    """
    q = c.integer("num_attention_heads", "n_head", "n_heads", "num_heads", default=REQUIRED if query is None else query)
    found = c.optional("num_key_value_heads", default=kv)
    g = q if found is None else found
    divides(c, "num_attention_heads", q, "num_key_value_heads", g)
    dim = c.optional("head_dim", default=d)
    if dim is None:
        divides(c, "hidden_size", width, "num_attention_heads", q)
        dim = width // q
    return Heads(q, g, dim, dim)


def divides(c: Reading, key: str, value: int, other: str, divisor: int) -> None:
    """Refuse a `value` of `key` that `divisor`, the value of `other`, does not divide."""
    if value % divisor:
        raise c.error(key, f"is {value}, which is not a multiple of {c.where}.{other} = {divisor}")


def depth(c: Reading, *keys: str) -> int:
    """Read the number of layers."""
    names = keys or ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    layers = c.integer(*names)
    if layers > MOST_LAYERS:
        raise c.error(
            next(k for k in names if k in c.values), f"is {layers}; at most {MOST_LAYERS} layers are modelled"
        )
    return layers


def windows(
    c: Reading,
    layers: int,
    default: Callable[[int], bool],
    window: int | None,
    options: Sequence[str] = (FULL, SLIDING),
) -> list[int | None]:
    """Return each layer's window: from `layer_types` where the file has it, else where `default(index)` says so."""
    types = c.each("layer_types", layers, options)
    local = [t == SLIDING for t in types] if types is not None else [default(i) for i in range(layers)]
    if any(local) and window is None:
        raise c.error("sliding_window", "is missing or null, but some layers are sliding")
    return [window if is_local else None for is_local in local]


def alike(keys: Sequence[K], build: Callable[[K], Layer]) -> list[Layer]:
    """Return the layer of each key, built once per key: thousands of layers are of a few kinds."""
    built = {key: build(key) for key in dict.fromkeys(keys)}
    return [built[key] for key in keys]


def attend(heads: Heads, window: int | None) -> tuple[str, str, CacheSize]:
    """Return the kind, the mask and the cache of a causal layer with or without a window."""
    if window is None:
        return "full", "causal(i, j)", heads.cache()
    return "sliding", f"window(i, j, {window})", heads.cache(window)


def pre_norm(width: int, mixing: Sequence[Part], feed: Sequence[Part], kind: str, cache: CacheSize) -> Layer:
    """Return a layer of two RMSNorms: one before what mixes the tokens, one before the feed-forward."""
    return Layer(kind, (norm(width), *mixing, norm(width, name="norm 2"), *feed, residual(width)), cache)


def decoder(
    c: Reading,
    family: str,
    width: int,
    layers: Sequence[Layer],
    tied: bool | None,
    final: Sequence[Part] | None = None,
    before: Sequence[Part] = (),
    head_bias: bool = False,
    vocabulary: int | None = None,
    head_in: int | None = None,
) -> Model:
    """Put the embedding before the layers and the final norm and the head after them.

    `tied` is transformers' default of `tie_word_embeddings` in this family, None where its class has no tied weights and
    ignores the key; `before` follows the embedding; `final`
    stands for the final RMSNorm; `head_in` is the width that the embedding and the head have where it is not `width`.
    """
    c.must("add_cross_attention", False, False)
    c.must("is_encoder_decoder", False, False)
    v = c.integer("vocab_size", default=REQUIRED if vocabulary is None else vocabulary)
    tie = _tie(c, tied)
    inside = head_in or width
    after = (norm(width, name="final norm"),) if final is None else tuple(final)
    last = _last(c, inside, head(inside, v, head_bias, tie))
    return finish(c, family, width, layers, (embedding(v, inside), *before), (*after, *last))


def _tie(c: Reading, tied: bool | None) -> bool:
    tie = c.flag("tie_word_embeddings", default=bool(tied))
    if tie and tied is None:
        c.note("the file ties the head; transformers' class ties no weights, and keeps a head of its own")
    return tie and tied is not None


def architecture(c: Reading) -> str:
    """Return the class that `architectures` names, or nothing."""
    names = c.values.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def bare(name: str) -> bool:
    """Whether a class returns hidden states: `…Model`, but no `…LMHeadModel` and no `…ForRewardModel`."""
    return name.endswith("Model") and not name.endswith(("HeadModel", "HeadsModel")) and "For" not in name


def labels(c: Reading) -> int:
    """Read the number of labels: those named in `id2label`, else `num_labels`, else two."""
    names = c.values.get("id2label")
    if isinstance(names, dict) and names:
        c.get(("id2label",), None)
        c.ignore("num_labels", "_num_labels")
        return len(names)
    return c.integer("num_labels", default=2)


def _last(c: Reading, width: int, words: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return what the class that `architectures` names has after the final norm; a head not known is refused."""
    name = architecture(c)
    if not name or name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        return words
    if bare(name):
        c.note(f"{name} has no head: it returns hidden states")
        return ()
    if name.endswith("ForSequenceClassification"):
        return (linear("score", width, labels(c)),)
    if name.endswith("ForTokenClassification"):
        return (linear("score", width, labels(c), True),)
    if name.endswith("ForQuestionAnswering"):
        # transformers' own classes have a start and an end, GPT-J as many as there are labels.
        return (linear("answer span", width, labels(c) if name.startswith("GPTJ") else 2, True),)
    raise c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: {', '.join(ENDS)}")


ENDS = ("…ForCausalLM", "…Model", "…ForSequenceClassification", "…ForTokenClassification", "…ForQuestionAnswering")


def finish(
    c: Reading,
    family: str,
    width: int,
    layers: Sequence[Layer],
    embedding_parts: Sequence[Part],
    head_parts: Sequence[Part],
) -> Model:
    """Make the model of its parts, with the keys that describe it and the account of all keys."""
    if c.values.get("pruned_heads"):
        raise c.error("pruned_heads", "is not empty: layers with fewer heads are not modelled")
    # Names of one limit that files give different values; the first one is transformers'.
    limits = [key for key in LIMITS if c.values.get(key) is not None]
    context = c.integer(limits[0]) if limits else None
    c.ignore(*LIMITS)
    dtype = c.values.get("dtype", c.values.get("torch_dtype"))
    quantization = c.values.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    return Model(
        name=family,
        family=family,
        layers=stacks(list(layers)),
        embedding=tuple(embedding_parts),
        head=tuple(head_parts),
        width=width,
        context=context,
        dtype=dtype if isinstance(dtype, str) else None,
        quantization=method if isinstance(method, str) else None,
    )
