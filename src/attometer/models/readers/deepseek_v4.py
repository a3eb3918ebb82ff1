"""DeepSeek V4: one shared key = value head, compressed keys beside a sliding window, hyper-connections between layers."""

from dataclasses import dataclass, replace

import sympy

from attometer.models.blocks import gated, head_norm, linear, norm
from attometer.models.layer import Cache, Layer, Model
from attometer.models.part import Part, program
from attometer.models.readers.decoder import decoder, depth, divides
from attometer.models.readers.deepseek import Indexer
from attometer.models.readers.llama import act, without_prediction
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.reading import Reading
from attometer.program import size

CSA, HCA, SLIDING = "compressed_sparse_attention", "heavily_compressed_attention", "sliding_attention"
NAMES = {CSA: "sparse", HCA: "compressed", SLIDING: "sliding"}


@dataclass(frozen=True)
class Compressed:
    """Sizes of an attention layer of DeepSeek V4."""

    width: int
    heads: int
    d: int
    query_rank: int
    groups: int
    out_rank: int
    window: int
    index: Indexer


def deepseek_v4(c: Reading) -> Model:
    """DeepSeek V4: layers that see a window and every 4th or 128th key, compressed, the former through an indexer."""
    width, layers = c.integer("hidden_size"), depth(c)
    a = _sizes(c, width)
    streams = c.integer("hc_mult", default=4)
    c.must("num_key_value_heads", 1, 1)
    c.must("attention_bias", False, False)
    c.must("mlp_bias", False, False)
    c.ignore(
        "hc_sinkhorn_iters",
        "swiglu_limit",
        "compress_rope_theta",
        "qk_rope_head_dim",
        "expert_dtype",
        "partial_rotary_factor",
        "topk_method",
    )
    c.ignore("mlp_layer_types", "num_hash_layers")
    without_prediction(c)
    kinds, rates = _kinds(c, layers)
    hidden = _hidden(c)
    beside = gated(width, hidden * c.integer("n_shared_experts", default=1), act(c), prefix="shared ")
    feed = mixture(c, width, hidden, routed(c, 256, 6)) + beside
    c.note("compressed keys are counted for every query: their causal half is not subtracted")
    built = {kind: _layer(a, kind, rates.get(kind, 1), streams, feed) for kind in dict.fromkeys(kinds)}
    collapse = _head_streams(width, streams)
    return decoder(
        c,
        "deepseek_v4",
        width,
        [built[kind] for kind in kinds],
        tied=False,
        final=(collapse, norm(width, name="final norm")),
    )


def _hidden(c: Reading) -> int:
    # transformers maps one key onto the other, so that two values contradict one another.
    hidden = c.integer("moe_intermediate_size", "intermediate_size", default=2048)
    if c.values.get("intermediate_size", hidden) != hidden:
        raise c.error(
            "intermediate_size",
            f"is {c.values['intermediate_size']!r}, but moe_intermediate_size is {hidden}: they are one size",
        )
    c.ignore("intermediate_size")
    return hidden


def _sizes(c: Reading, width: int) -> Compressed:
    heads, d = c.integer("num_attention_heads", default=64), c.integer("head_dim", default=512)
    groups = c.integer("o_groups", default=8)
    divides(c, "num_attention_heads", heads, "o_groups", groups)
    index = Indexer(
        c.integer("index_n_heads", default=64),
        c.integer("index_head_dim", default=128),
        c.integer("index_topk", default=512),
    )
    rank, out = c.integer("q_lora_rank", default=1024), c.integer("o_lora_rank", default=1024)
    return Compressed(width, heads, d, rank, groups, out, c.integer("sliding_window", default=128), index)


def _kinds(c: Reading, layers: int) -> tuple[list[str], dict[str, int]]:
    rates = {CSA: 4, HCA: 128}
    if c.has("compress_rates"):
        s = c.section("compress_rates")
        rates = {kind: s.integer(kind, default=rate) for kind, rate in rates.items()}
        s.close()
    types = c.each("layer_types", layers, NAMES)
    if types is not None:
        c.ignore("compress_ratios")
        return types, rates
    ratios = c.each("compress_ratios", layers, (0, *rates.values()))
    if ratios is not None:
        named = {0: SLIDING} | {rate: kind for kind, rate in rates.items()}
        return [named[r] for r in ratios], rates
    return [HCA] * min(layers, 2) + [CSA if i % 2 else HCA for i in range(max(layers - 2, 0))], rates


def _layer(a: Compressed, kind: str, rate: int, streams: int, feed: tuple[Part, ...]) -> Layer:
    around, m = _streams(a.width, streams), size("m")
    mixing = (
        *_queries(a),
        *(_compressor(a, rate, kind == CSA) if kind != SLIDING else ()),
        _core(a, kind, rate),
        *_out(a),
    )
    parts = (*around, norm(a.width), *mixing, *around, norm(a.width, name="norm 2"), *feed)
    kept = sympy.Min(m, a.window) * a.d
    if kind != SLIDING:
        kept += sympy.floor(m / rate) * (a.d + (a.index.d if kind == CSA else 0))
    return Layer(NAMES[kind], parts, Cache(kept))


def _queries(a: Compressed) -> tuple[Part, ...]:
    return (
        linear("q down", a.width, a.query_rank),
        norm(a.query_rank, name="norm q"),
        linear("q up", a.query_rank, a.heads * a.d),
        head_norm("norm heads", a.heads, a.d, scale=""),
        linear("kv", a.width, a.d),
        norm(a.d, name="norm kv"),
    )


def _compressor(a: Compressed, rate: int, indexed: bool) -> tuple[Part, ...]:
    """Weighted means of `rate` tokens; with an indexer two overlapping series, and the choice of keys."""
    series = 2 if indexed else 1
    main = _pool("", a.width, a.d, rate, series)
    if not indexed:
        return main
    x = a.index
    return (
        *main,
        *_pool("index ", a.width, x.d, rate, 2),
        linear("index q", a.query_rank, x.heads * x.d),
        linear("index weights", a.width, x.heads),
        _index_scores(x, rate),
    )


def _pool(prefix: str, width: int, d: int, rate: int, series: int) -> tuple[Part, ...]:
    axes = f"axis t: n // {rate}, r: {rate}, d: {series * d}\ninput K[b,t,r,d], G[b,t,r,d]\nweight B[r,d]\n"
    text = "A[b,t,r,d] = G[b,t,r,d] + B[r,d]\nP[b,t,r,d] = softmax[r](A)\nM[b,t,r,d] = P[b,t,r,d] * K[b,t,r,d]\nY[b,t,d] = sum[r](M)"
    return (
        linear(f"{prefix}compress kv", width, series * d),
        linear(f"{prefix}compress gate", width, series * d),
        Part(f"{prefix}pool", program(axes + text)),
        norm(d, name=f"{prefix}compress norm", rows=f"n // {rate}"),
    )


def _index_scores(x: Indexer, rate: int) -> Part:
    # The sum over heads is element-wise in transformers: a reduction and no matrix product.
    text = "\n".join(
        (
            f"axis x: {x.heads}, i: n, t: m // {rate}, d: {x.d}",
            "input Q[b,i,x,d], G[b,i,x]\ncache K[b,t,d]",
            "S[b,i,x,t] = Q[b,i,x,d] * K[b,t,d]",
            "R[b,i,x,t] = relu(S[b,i,x,t]) * G[b,i,x]",
            "I[b,i,t] = sum[x](R)",
            f"Z[b,i,r] = topk[t, {x.keep}](I)",
        )
    )
    return Part("index scores", program(text.replace("axis ", f"axis r: {x.keep}, ")))


def _core(a: Compressed, kind: str, rate: int) -> Part:
    """Attention over the window and the compressed keys, in one softmax with a sink; the reference is over all of them."""
    window = f"window(i, j, {a.window})"
    lines = [
        f"axis h: {a.heads}, i: n, j: m, d: {a.d}",
        "input Q[b,h,i,d]\ncache K[b,j,d]\nweight z[h]",
        f"S[b,h,i,j] = Q[b,h,i,d] * K[b,j,d] / sqrt(d)   where {window}",
    ]
    over = ""
    if kind == HCA:
        lines[0] += f", t: m // {rate}"
        lines += ["cache C[b,t,d]", "T[b,h,i,t] = Q[b,h,i,d] * C[b,t,d] / sqrt(d)"]
        over = "t"
    if kind == CSA:
        lines[0] += f", t: m // {rate}, r: {a.index.keep}"
        lines += ["cache C[b,t,d]", "input Z[b,i,r]", "T[b,h,i,r] = Q[b,h,i,d] * C[b, Z[b,i,r], d] / sqrt(d)"]
        over = "r"
    lines += _joint(over)
    full = [f"axis h: {a.heads}, i: n, j: m{f' + m // {rate}' if over else ''}, d: {a.d}"]
    full += ["S[b,h,i,j] = Q[b,h,i,d] * K[b,j,d]", "O[b,h,i,d] = S[b,h,i,j] * K[b,j,d]"]
    part = Part("attention", program("\n".join(lines)), reference=program("\n".join(full)))
    # While fewer keys are compressed than the indexer may choose, it chooses all of them.
    return replace(part, short=(a.index.keep * rate, _core(a, HCA, rate).program)) if kind == CSA else part


def _joint(over: str) -> list[str]:
    """One softmax over the window, the compressed keys and the sink: log-sum-exps are joined by log-add-exp."""
    head = ["L[b,h,i] = logsumexp[j](S)", "E[b,h,i] = L[b,h,i] + softplus(z[h] - L[b,h,i])"]
    if not over:
        return [*head, "P[b,h,i,j] = exp(S[b,h,i,j] - E[b,h,i])", "O[b,h,i,d] = P[b,h,i,j] * K[b,j,d]"]
    value = "C[b,t,d]" if over == "t" else "C[b, Z[b,i,r], d]"
    return [
        *head,
        f"F[b,h,i] = logsumexp[{over}](T)",
        "N[b,h,i] = E[b,h,i] + softplus(F[b,h,i] - E[b,h,i])",
        "P[b,h,i,j] = exp(S[b,h,i,j] - N[b,h,i])",
        f"W[b,h,i,{over}] = exp(T[b,h,i,{over}] - N[b,h,i])",
        f"O[b,h,i,d] = P[b,h,i,j] * K[b,j,d] + W[b,h,i,{over}] * {value}",
    ]


def _out(a: Compressed) -> tuple[Part, ...]:
    """The grouped low-rank output projection: a block-diagonal matrix, then a dense one."""
    inside = a.heads * a.d // a.groups
    text = (
        f"axis i: n, g: {a.groups}, c: {inside}, o: {a.out_rank}\nweight W[g,o,c]\nY[b,i,g,o] = X[b,i,g,c] * W[g,o,c]"
    )
    return Part("out down", program(text)), linear("out up", a.groups * a.out_rank, a.width)


def _streams(width: int, streams: int) -> tuple[Part, ...]:
    """Manifold-constrained hyper-connections (arXiv:2512.24880): weights to collapse, expand and mix the streams."""
    total = (2 + streams) * streams
    weights = "\n".join(
        (
            f"axis i: n, r: {streams}, c: {width}, o: {total}, x: 3\ninput X[b,i,r,c]\nweight W[o,r,c], B[o], s[x]",
            "F[b,i,o] = X[b,i,r,c] * W[o,r,c]",
            f"Y[b,i,o] = F[b,i,o] * s[o // {-(-total // 3)}] + B[o]",
        )
    )
    mix = "\n".join(
        (
            f"axis i: n, r: {streams}, k: {streams}, c: {width}\ninput X[b,i,r,c], P[b,i,r], Q[b,i,k], A[b,i,r,k], Z[b,i,c]",
            "M[b,i,r,c] = X[b,i,r,c] * P[b,i,r]\nY[b,i,c] = sum[r](M)",
            "R[b,i,k,c] = A[b,i,r,k] * X[b,i,r,c]\nO[b,i,k,c] = R[b,i,k,c] + Q[b,i,k] * Z[b,i,c]",
        )
    )
    return Part("stream weights", program(weights)), Part("streams", program(mix))


def _head_streams(width: int, streams: int) -> Part:
    text = "\n".join(
        (
            f"axis i: n, r: {streams}, c: {width}, o: {streams}\ninput X[b,i,r,c]\nweight W[o,r,c], B[o], s",
            "F[b,i,o] = X[b,i,r,c] * W[o,r,c]",
            "G[b,i,o] = sigmoid(F[b,i,o] * s + B[o])",
            "M[b,i,o,c] = G[b,i,o] * X[b,i,o,c]\nY[b,i,c] = sum[o](M)",
        )
    )
    return Part("collapse streams", program(text))
