"""Decoders with norms after attention and feed-forward: OLMo 2 and 3, EXAONE 4, GLM-4 0414."""

from attometer.models.blocks import Heads, norm, residual
from attometer.models.layer import Layer, Model
from attometer.models.part import Part
from attometer.models.readers.decoder import alike, attend, decoder, depth, heads_of, windows
from attometer.models.readers.llama import block, feed_forward, grouped, head_norms, wide_norms
from attometer.models.reading import Reading


def glm4(c: Reading) -> Model:
    """GLM-4 0414: norms before and after attention and feed-forward; biases on q, k and v."""
    return _glm(c, "glm4", after=True)


def glm(c: Reading) -> Model:
    """GLM-4: biases on q, k and v."""
    return _glm(c, "glm", after=False)


def _glm(c: Reading, family: str, after: bool) -> Model:
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width, kv=2, d=128), c.flag("attention_bias", default=True)
    mix, feed = grouped(width, heads, None, bias, False), feed_forward(c, width)
    ends = (norm(width, name="post norm"),) if after else ()
    layer = block(width, heads, None, (*mix, *ends), (*feed, *ends))
    return decoder(c, family, width, [layer] * depth(c), tied=False)


def olmo2(c: Reading) -> Model:
    """OLMo 2: norms after attention and feed-forward, and over all queries and keys (arXiv:2501.00656)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    return decoder(
        c, "olmo2", width, [_post_norm(c, width, heads, None, bias, wide_norms(heads))] * depth(c), tied=False
    )


def olmo3(c: Reading) -> Model:
    """OLMo 3: OLMo 2 with three sliding layers to each full one."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    found = windows(c, layers, lambda i: (i + 1) % 4 != 0, c.optional("sliding_window", default=4096))
    return decoder(
        c, "olmo3", width, alike(found, lambda w: _post_norm(c, width, heads, w, bias, wide_norms(heads))), tied=False
    )


def exaone4(c: Reading) -> Model:
    """EXAONE 4: post-norms, a norm of each query and key head, and sliding layers between full ones."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, window = heads_of(c, width, kv=32), c.optional("sliding_window", default=4096)
    pattern = c.values.get("sliding_window_pattern", 4)
    if isinstance(pattern, str):
        if len(pattern) > 100 or not pattern or set(pattern) - {"L", "G"}:
            raise c.error("sliding_window_pattern", f"is {pattern[:100]!r}; only L and G are modelled")
        letters = pattern
        c.ignore("sliding_window_pattern")
        found = windows(c, layers, lambda i: letters[i % len(letters)] == "L" and window is not None, window)
    else:
        step = c.integer("sliding_window_pattern", default=4)
        found = windows(c, layers, lambda i: window is not None and (i + 1) % step != 0, window)
    return decoder(
        c,
        "exaone4",
        width,
        alike(found, lambda w: _post_norm(c, width, heads, w, False, head_norms(heads))),
        tied=False,
    )


def _post_norm(c: Reading, width: int, heads: Heads, window: int | None, bias: bool, norms: tuple[Part, ...]) -> Layer:
    kind, _, cache = attend(heads, window)
    parts = (
        *grouped(width, heads, window, bias, norms=norms),
        norm(width),
        *feed_forward(c, width),
        norm(width, name="norm 2"),
    )
    return Layer(kind, (*parts, residual(width)), cache)
