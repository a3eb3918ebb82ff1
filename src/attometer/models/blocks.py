"""The pieces that most models share, as Programs: projections, norms, embeddings, heads, attention, feed-forward."""

from dataclasses import dataclass

import sympy

from attometer.models.layer import Cache
from attometer.models.part import Part, program
from attometer.program import Program, size


@dataclass(frozen=True)
class Heads:
    """Attention sizes: query heads, key/value heads, head dimension of Q and K, and of V."""

    query: int
    kv: int
    d: int
    e: int

    def cache(self, window: int | None = None) -> Cache:
        """Return the K and V elements kept per sequence, at most `window` tokens of them."""
        kept = size("m") if window is None else sympy.Min(size("m"), window)
        return Cache(self.kv * (self.d + self.e) * kept)


def linear(name: str, inputs: int, outputs: int, bias: bool = False, rows: str = "n") -> Part:
    """Return `Y = X W (+ B)` for `rows` tokens."""
    return Part(name, _linear(inputs, outputs, bias, rows))


def _linear(inputs: int, outputs: int, bias: bool, rows: str) -> Program:
    weight, plus = ("weight W[o,c], B[o]", " + B[o]") if bias else ("weight W[o,c]", "")
    return program(f"axis i: {rows}, c: {inputs}, o: {outputs}\n{weight}\nY[b,i,o] = X[b,i,c] * W[o,c]{plus}")


def norm(
    width: int, kind: str = "rmsnorm", scale: bool = True, bias: bool = False, name: str = "norm", rows: str = "n"
) -> Part:
    """Return a norm over the width, `kind` one of rmsnorm and layernorm, with its learned scale and bias."""
    weights = ", ".join(["W[c]"] * scale + ["B[c]"] * bias)
    declared = f"\nweight {weights}" if weights else ""
    value = "N[b,i,c]" + " * W[c]" * scale + " + B[c]" * bias
    apply = f"\nY[b,i,c] = {value}" if weights else ""
    return Part(name, program(f"axis i: {rows}, c: {width}\ninput X[b,i,c]{declared}\nN[b,i,c] = {kind}[c](X){apply}"))


def layernorm(width: int, bias: bool = True, name: str = "norm") -> Part:
    """Return LayerNorm with a learned scale and, by default, bias."""
    return norm(width, "layernorm", bias=bias, name=name)


def head_norm(name: str, heads: int, d: int, kind: str = "rmsnorm", scale: str = "W[d]", bias: bool = False) -> Part:
    """Return a norm of each head over its dimension; `scale` is `W[d]` (shared by the heads), `W[h,d]` or nothing."""
    weights = ", ".join([scale] * bool(scale) + ["B[d]"] * bias)
    declared = f"\nweight {weights}" if weights else ""
    value = "N[b,h,i,d]" + f" * {scale}" * bool(scale) + " + B[d]" * bias
    apply = f"\nY[b,h,i,d] = {value}" if weights else ""
    text = f"axis h: {heads}, i: n, d: {d}\ninput X[b,h,i,d]{declared}\nN[b,h,i,d] = {kind}[d](X){apply}"
    return Part(name, program(text))


def residual(width: int, count: int = 2, rows: str = "n") -> Part:
    """Return the additions to the residual stream."""
    return Part("residual", program(f"axis i: {rows}, c: {width}\nY[b,i,c] = X[b,i,c] + R[b,i,c]"), count)


def embedding(vocabulary: int, width: int, name: str = "embedding", rows: str = "n") -> Part:
    """Return the lookup of one row of a table per token."""
    text = f"axis i: {rows}, v: {vocabulary}, c: {width}\ninput T[b,i]\nweight W[v,c]\nY[b,i,c] = W[T[b,i], c]"
    return Part(name, program(text))


def head(width: int, vocabulary: int, bias: bool = False, tied: bool = False) -> tuple[Part, ...]:
    """Return the projection onto the vocabulary; a tied one reads the embedding's weights, its bias is its own."""
    if not (tied and bias):
        return (Part("head", _linear(width, vocabulary, bias, "n"), tied=tied),)
    plus = program(f"axis i: n, o: {vocabulary}\nweight B[o]\nY[b,i,o] = X[b,i,o] + B[o]")
    return Part("head", _linear(width, vocabulary, False, "n"), tied=True), Part("head bias", plus)


def projections(
    width: int, heads: Heads, bias: bool = False, out_bias: bool | None = None
) -> tuple[Part, Part, Part, Part]:
    """Return the projections q, k, v and out."""
    return (
        linear("q", width, heads.query * heads.d, bias),
        linear("k", width, heads.kv * heads.d, bias),
        linear("v", width, heads.kv * heads.e, bias),
        linear("out", heads.query * heads.e, width, bias if out_bias is None else out_bias),
    )


def rotary(heads: Heads, rotated: int | None = None) -> tuple[Part, Part]:
    """Return the rotation of the first `rotated` dimensions of queries and keys (Su et al. 2021, arXiv:2104.09864)."""
    d = heads.d if rotated is None else rotated
    return _rotation("rotary q", heads.query, d), _rotation("rotary k", heads.kv, d)


def _rotation(name: str, heads: int, d: int) -> Part:
    text = f"axis h: {heads}, i: n, d: {d}\ninput C[b,i,d], Z[b,i,d]\n"
    return Part(
        name, program(text + f"Y[b,h,i,d] = X[b,h,i,d] * C[b,i,d] + X[b, h, i, (d + {d // 2}) % {d}] * Z[b,i,d]")
    )


def attention(
    heads: Heads,
    where: str = "causal(i, j)",
    sinks: bool = False,
    add: str = "",
    declare: str = "",
    rows: str = "n",
    keys: str = "m",
) -> Part:
    """Return scores, softmax and values of grouped-query attention over the pairs that `where` allows.

    `add` is added to each score (a position bias, with `declare` for its tensors); `sinks` adds one learned logit per
    head to each softmax.
    """
    group = heads.query // heads.kv
    shared = "h" if group == 1 else f"h // {group}"
    mask = f"   where {where}" if where else ""
    lines = [
        f"axis h: {heads.query}, g: {heads.kv}, i: {rows}, j: {keys}, d: {heads.d}, e: {heads.e}",
        "input Q[b,h,i,d]\ncache K[b,g,j,d], V[b,g,j,e]"
        if group > 1
        else "input Q[b,h,i,d]\ncache K[b,h,j,d], V[b,h,j,e]",
        declare,
        f"S[b,h,i,j] = Q[b,h,i,d] * K[b, {shared}, j, d] / sqrt(d){add}{mask}",
        *(_with_sink() if sinks else ["P[b,h,i,j] = softmax[j](S)"]),
        f"O[b,h,i,e] = P[b,h,i,j] * V[b, {shared}, j, e]",
    ]
    return Part("attention", program("\n".join(line for line in lines if line)))


def _with_sink() -> list[str]:
    """Softmax over the scores and one learned logit z[h] per head, which then takes no value (gpt-oss)."""
    return [
        "weight z[h]",
        "L[b,h,i] = logsumexp[j](S)",
        "T[b,h,i] = L[b,h,i] + softplus(z[h] - L[b,h,i])",
        "P[b,h,i,j] = exp(S[b,h,i,j] - T[b,h,i])",
    ]


def activation(name: str, width: int, function: str, gated: bool, extra: str = "") -> Part:
    """Return the activation of a feed-forward layer, times the other half where it is gated."""
    value = f"{ACTIVATIONS[function]}" + " * U[{i}]" * gated
    at = f"b,i,{extra}f"
    body = value.replace("{x}", f"G[{at}]").replace("{i}", at)
    chosen = f", {extra.strip(',')}: " if extra else ""
    return Part(name, program(f"axis i: n, f: {width}{chosen}\nY[{at}] = {body}"))


ACTIVATIONS = {
    "silu": "silu({x})",
    "swish": "silu({x})",
    "swiglu": "silu({x})",
    "gelu": "gelu({x})",
    "gelu_accurate": "gelu({x})",
    "gelu_new": "gelu({x})",
    "gelu_tanh": "gelu({x})",
    "quick_gelu": "gelu({x})",
    "gelu_fast": "gelu({x})",
    "gelu_pytorch_tanh": "gelu({x})",
    "gelu_python": "gelu({x})",
    "relu": "relu({x})",
    "relu2": "square(relu({x}))",
    "tanh": "tanh({x})",
}
"""Activation functions by their name in a configuration, as notation."""


def plain(width: int, hidden: int, function: str, bias: bool = True) -> tuple[Part, Part, Part]:
    """Return a feed-forward layer of two matrices."""
    return (
        linear("up", width, hidden, bias),
        activation("act", hidden, function, False),
        linear("down", hidden, width, bias),
    )


def gated(width: int, hidden: int, function: str = "silu", bias: bool = False, prefix: str = "") -> tuple[Part, ...]:
    """Return a gated feed-forward layer of three matrices (Shazeer 2020, arXiv:2002.05202)."""
    return (
        linear(f"{prefix}gate", width, hidden, bias),
        linear(f"{prefix}up", width, hidden, bias),
        activation(f"{prefix}act", hidden, function, True),
        linear(f"{prefix}down", hidden, width, bias),
    )
