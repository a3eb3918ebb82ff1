"""Pre-norm decoders with RMSNorm, rotary positions, grouped queries and a gated feed-forward layer."""

from attometer.models.blocks import ACTIVATIONS, Heads, attention, gated, head_norm, norm, projections, rotary
from attometer.models.layer import Layer, Model
from attometer.models.part import Part
from attometer.models.readers.decoder import alike, attend, decoder, depth, heads_of, pre_norm, windows
from attometer.models.reading import Reading


def grouped(
    width: int,
    heads: Heads,
    window: int | None = None,
    bias: bool = False,
    out_bias: bool | None = None,
    norms: tuple[Part, ...] = (),
    sinks: bool = False,
    cap: float | None = None,
) -> tuple[Part, ...]:
    """Return rotary grouped-query attention with its projections; `norms` act on queries and keys, `cap` on scores."""
    q, k, v, out = projections(width, heads, bias, out_bias)
    return q, k, v, *norms, *rotary(heads), attention(heads, attend(heads, window)[1], sinks=sinks, cap=cap), out


def block(width: int, heads: Heads, window: int | None, mixing: tuple[Part, ...], feed: tuple[Part, ...]) -> Layer:
    """Return a pre-norm layer: norm, attention, norm, feed-forward."""
    kind, _, cache = attend(heads, window)
    return pre_norm(width, mixing, feed, kind, cache)


def head_norms(heads: Heads, kind: str = "rmsnorm", scale: str = "G[d]") -> tuple[Part, Part]:
    """Return the norms of each query head and each key head (Qwen3)."""
    return head_norm("norm q", heads.query, heads.d, kind, scale), head_norm("norm k", heads.kv, heads.d, kind, scale)


def wide_norms(heads: Heads) -> tuple[Part, Part]:
    """Return the norms over all query heads together and all key heads together (OLMo 2)."""
    return norm(heads.query * heads.d, name="norm q"), norm(heads.kv * heads.d, name="norm k")


def act(c: Reading, default: str = "silu", key: str = "hidden_act") -> str:
    """Read the activation function from `key`, the one of transformers' class, or from another name that stands alone."""
    names = (key, *(name for name in ("hidden_act", "hidden_activation", "activation_function") if name != key))
    given = next((name for name in names if c.has(name)), next((name for name in names if name in c.of_class), key))
    function = c.choice(given, options=ACTIVATIONS, default=default)
    c.ignore(*(name for name in names if name != given))
    return function


def feed_forward(c: Reading, width: int, bias: bool = False, default: str = "silu") -> tuple[Part, ...]:
    """Read a gated feed-forward layer of `intermediate_size`."""
    return gated(width, c.integer("intermediate_size"), act(c, default), bias)


def llama(c: Reading) -> Model:
    """Llama 1 to 3 (Touvron et al. 2023, arXiv:2302.13971)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    feed = feed_forward(c, width, c.flag("mlp_bias", default=False))
    layer = block(width, heads, None, grouped(width, heads, bias=bias), feed)
    return decoder(c, "llama", width, [layer] * depth(c), tied=False)


def granite(c: Reading) -> Model:
    """Granite: Llama with constant multipliers."""
    return llama(c)


def mistral(c: Reading) -> Model:
    """Mistral: every layer has the window (Jiang et al. 2023, arXiv:2310.06825)."""
    width = c.integer("hidden_size")
    heads, window = heads_of(c, width, kv=8), c.optional("sliding_window", default=4096)
    layer = block(width, heads, window, grouped(width, heads, window), feed_forward(c, width))
    return decoder(c, "mistral", width, [layer] * depth(c), tied=False)


def ministral3(c: Reading) -> Model:
    """Ministral 3: Mistral without a window unless the file has one."""
    width = c.integer("hidden_size")
    heads, window = heads_of(c, width, kv=8, d=128), c.optional("sliding_window")
    layer = block(width, heads, window, grouped(width, heads, window), feed_forward(c, width))
    return decoder(c, "ministral3", width, [layer] * depth(c), tied=False)


def ministral(c: Reading) -> Model:
    """Ministral: Mistral with full layers where `layer_types` says so."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, window, feed = heads_of(c, width, kv=8), c.optional("sliding_window", default=4096), feed_forward(c, width)
    found = windows(c, layers, lambda _: window is not None, window)
    made = alike(found, lambda w: block(width, heads, w, grouped(width, heads, w), feed))
    return decoder(c, "ministral", width, made, tied=False)


def phi3(c: Reading) -> Model:
    """Phi-3 and Phi-4: Llama with fused projections (Abdin et al. 2024, arXiv:2404.14219)."""
    width = c.integer("hidden_size")
    heads, window = heads_of(c, width), c.optional("sliding_window")
    c.must("attention_bias", False, False)
    c.must("mlp_bias", False, False)
    c.must("lm_head_bias", False, False)
    layer = block(width, heads, window, grouped(width, heads, window), feed_forward(c, width))
    return decoder(c, "phi3", width, [layer] * depth(c), tied=False)


def qwen_windows(c: Reading, layers: int) -> list[int | None]:
    """Return the windows of Qwen 2 and 3: none unless `use_sliding_window`, and then from `max_window_layers` on."""
    window = c.optional("sliding_window", default=4096) if c.flag("use_sliding_window", default=False) else None
    if window is None:
        c.ignore("sliding_window", "max_window_layers")
        return windows(c, layers, lambda _: False, None)
    first = c.integer("max_window_layers", default=28, least=0)
    return windows(c, layers, lambda i: i >= first, window)


def qwen2(c: Reading) -> Model:
    """Qwen 2 and 2.5: biases on q, k and v."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, feed = heads_of(c, width, kv=32), feed_forward(c, width)
    made = alike(qwen_windows(c, layers), lambda w: block(width, heads, w, grouped(width, heads, w, True, False), feed))
    return decoder(c, "qwen2", width, made, tied=False)


def without_prediction(c: Reading) -> None:
    """Note the multi-token prediction layers, which a forward pass of the main model does not run."""
    extra = c.optional("num_nextn_predict_layers", least=0)
    c.ignore("mtp_layers_block_type", "mtp_hybrid_override_pattern", "mtp_layer_types", "mtp_mlp_layer_types")
    if extra:
        c.note(f"{extra} multi-token prediction layer(s) are not modelled: transformers does not build them either")


def qwen3(c: Reading) -> Model:
    """Qwen 3: a norm of each query and key head (Yang et al. 2025, arXiv:2505.09388)."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, feed, bias = (
        heads_of(c, width, kv=32, d=128),
        feed_forward(c, width),
        c.flag("attention_bias", default=False),
    )
    norms = head_norms(heads)
    made = alike(
        qwen_windows(c, layers), lambda w: block(width, heads, w, grouped(width, heads, w, bias, norms=norms), feed)
    )
    return decoder(c, "qwen3", width, made, tied=False)
