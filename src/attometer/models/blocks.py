"""The pieces that most models share, as parts: each is a mechanism of `mechanisms/` at the model's numbers."""

from dataclasses import dataclass, replace
from typing import Any

import sympy

from attometer.mechanisms import feed_forward, norms, softmax
from attometer.mechanisms import positions as places
from attometer.mechanisms import projections as products
from attometer.models.layer import CacheSize
from attometer.models.part import Part, over, part, parts
from attometer.program import size
from attometer.sizes import Size


@dataclass(frozen=True)
class Heads:
    """Attention sizes: query heads, key/value heads, head dimension of Q and K, and of V."""

    query: int
    kv: int
    d: int
    e: int

    def cache(self, window: int | None = None) -> CacheSize:
        """Return the K and V elements kept per sequence, at most `window` tokens of them."""
        kept = size("m") if window is None else sympy.Min(size("m"), window)
        return CacheSize(self.kv * (self.d + self.e) * kept)

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes by their symbols."""
        return {"h": self.query, "g": self.kv, "d": self.d, "e": self.e}

    @property
    def sharing(self) -> str:
        """Whose keys and values a query head reads: its own, or its group's."""
        return "h" if self.query == self.kv else "g"


def linear(name: str, inputs: int, outputs: int, bias: bool = False, rows: Size | str = "n") -> Part:
    """Return `Y = X W (+ B)` for `rows` tokens."""
    return part(name, products.projection(bias), D=inputs, F=outputs, n=rows)


def norm(
    width: int,
    kind: str = "rmsnorm",
    scale: bool = True,
    bias: bool = False,
    name: str = "norm",
    rows: Size | str = "n",
) -> Part:
    """Return a norm over the width, `kind` one of rmsnorm and layernorm, with its learned scale and bias."""
    return part(name, norms.norm(kind, scale, bias), D=width, n=rows)


def layernorm(width: int, bias: bool = True, name: str = "norm") -> Part:
    """Return LayerNorm with a learned scale and, by default, bias."""
    return norm(width, "layernorm", bias=bias, name=name)


def head_norm(name: str, heads: int, d: int, kind: str = "rmsnorm", scale: str = "G[d]", bias: bool = False) -> Part:
    """Return a norm of each head over its dimension; `scale` is `G[d]` (shared by the heads), `G[h,d]` or nothing."""
    return part(name, norms.head_norm(kind, scale, bias), h=heads, d=d)


def residual(width: int, count: int = 2, rows: Size | str = "n") -> Part:
    """Return the additions to the residual stream."""
    return part("residual", products.RESIDUAL, D=width, n=rows).times(count)


def embedding(vocabulary: int, width: int, name: str = "embedding", rows: Size | str = "n") -> Part:
    """Return the lookup of one row of a table per token."""
    return part(name, products.LOOKUP, V=vocabulary, D=width, n=rows)


def head(width: int, vocabulary: int, bias: bool = False, tied: bool = False) -> tuple[Part, ...]:
    """Return the projection onto the vocabulary; a tied one reads the embedding's weights, its bias is its own."""
    if not (tied and bias):
        return (replace(linear("head", width, vocabulary, bias), tied=tied),)
    own = part("head bias", products.BIAS, D=vocabulary)
    return replace(linear("head", width, vocabulary), tied=True), own


def projections(
    width: int, heads: Heads, bias: bool = False, out_bias: bool | None = None
) -> tuple[Part, Part, Part, Part]:
    """Return the projections q, k, v and out."""
    stages = products.projections(bias, bias if out_bias is None else out_bias)
    q, k, v, out = parts(products.AXES, stages, D=width, **heads.sizes)
    return q, k, v, out


def rotary(heads: Heads, rotated: int | None = None) -> tuple[Part, Part]:
    """Return the rotation of the first `rotated` dimensions of queries and keys (Su et al. 2021, arXiv:2104.09864)."""
    d = heads.d if rotated is None else rotated
    # Pairs are turned: an odd width has one more.
    wide = d + d % 2
    return part("rotary q", places.ROTATION, h=heads.query, d=wide), part(
        "rotary k", places.ROTATION, h=heads.kv, d=wide
    )


def attention(
    heads: Heads, where: str = "causal(i, j)", rows: Size | str = "n", keys: Size | str = "m", **options: Any
) -> Part:
    """Return scores, softmax and values of grouped-query attention over the pairs that `where` allows.

    `options` are those of `mechanisms.softmax.attention`: sinks, a bias, a soft cap, unscaled scores.
    """
    text = softmax.attention(where, heads.sharing, role="cache", **options)
    return part("attention", text, n=rows, m=keys, **heads.sizes)


def alibi(heads: Heads) -> Part:
    """Return causal attention with the bias of ALiBi."""
    return part("attention", places.alibi("causal(i, j)", heads.sharing, "cache"), **heads.sizes)


def activation(name: str, width: int, function: str, gated: bool) -> Part:
    """Return the activation of a feed-forward layer, times the other half where it is gated."""
    return part(name, f"axis i: n, f: F\n{feed_forward.activation(function, gated)}", F=width)


ACTIVATIONS = feed_forward.ACTIVATIONS


def plain(width: int, hidden: int, function: str, bias: bool = True, prefix: str = "") -> tuple[Part, ...]:
    """Return a feed-forward layer of two matrices."""
    return parts(feed_forward.AXES, feed_forward.plain(function, bias), prefix, D=width, F=hidden)


def gated(width: int, hidden: int, function: str = "silu", bias: bool = False, prefix: str = "") -> tuple[Part, ...]:
    """Return a gated feed-forward layer of three matrices (Shazeer 2020, arXiv:2002.05202)."""
    return parts(feed_forward.AXES, feed_forward.gated(function, bias), prefix, D=width, F=hidden)


def of_tokens(one: Part, **sizes: Size | str) -> Part:
    """Return the same part over other tokens, as `n` the source's."""
    return replace(one, program=over(one.program, **sizes))
