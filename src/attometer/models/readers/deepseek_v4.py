"""DeepSeek V4: one shared key = value head, compressed keys beside a sliding window, hyper-connections between layers."""

from dataclasses import dataclass, replace

import sympy

from attometer.mechanisms import compressed, projections, selection
from attometer.models.blocks import gated, head_norm, linear, norm, of_tokens
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part, part
from attometer.models.readers.decoder import decoder, depth, divides
from attometer.models.readers.deepseek import Indexer
from attometer.models.readers.llama import act, without_prediction
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.reading import Reading
from attometer.program import size

CSA, HCA, SLIDING = "compressed_sparse_attention", "heavily_compressed_attention", "sliding_attention"
NAMES = {CSA: "sparse", HCA: "compressed", SLIDING: "sliding"}
# Which compressed keys the attention of a layer reads.
COMPRESSED_KEYS = {CSA: "k", HCA: "t", SLIDING: ""}


@dataclass(frozen=True)
class Compressed:
    """Sizes of an attention layer of DeepSeek V4."""

    width: int
    heads: int
    d: int
    q_lora_rank: int
    o_groups: int
    o_lora_rank: int
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
    # transformers builds one shared expert, whatever the file says.
    c.must("n_shared_experts", 1, 1)
    beside = gated(width, hidden, act(c), prefix="shared ")
    feed = mixture(c, width, hidden, routed(c, 256, 6), "softplus") + beside
    c.note("compressed keys are counted for every query: their causal half is not subtracted")
    built = {kind: _layer(a, kind, rates.get(kind, 1), streams, feed) for kind in dict.fromkeys(kinds)}
    collapse = part("collapse streams", compressed.COLLAPSE, D=width, r=streams)
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
        kept += sympy.floor(m / rate) * (a.d + (a.index.head_dim if kind == CSA else 0))
    return Layer(NAMES[kind], parts, CacheSize(kept))


def _queries(a: Compressed) -> tuple[Part, ...]:
    return (
        linear("q down", a.width, a.q_lora_rank),
        norm(a.q_lora_rank, name="norm q"),
        linear("q up", a.q_lora_rank, a.heads * a.d),
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
        *_pool("index ", a.width, x.head_dim, rate, 2),
        linear("index q", a.q_lora_rank, x.num_heads * x.head_dim),
        linear("index weights", a.width, x.num_heads),
        _index_scores(x, rate),
    )


def _pool(prefix: str, width: int, d: int, rate: int, series: int) -> tuple[Part, ...]:
    return (
        linear(f"{prefix}compress kv", width, series * d),
        linear(f"{prefix}compress gate", width, series * d),
        part(f"{prefix}pool", compressed.pool(), c=rate, d=series * d),
        of_tokens(norm(d, name=f"{prefix}compress norm"), n=sympy.floor(size("n") / rate)),
    )


def _index_scores(x: Indexer, rate: int) -> Part:
    # The sum over heads is element-wise in transformers: a reduction and no matrix product.
    return part("index scores", selection.indexer("t: m // c", "", "t", product=False), c=rate, **x.sizes)


def _core(a: Compressed, kind: str, rate: int) -> Part:
    """Attention over the window and the compressed keys, in one softmax with a sink; the reference is over all of them."""
    text, whole = compressed.compressed(COMPRESSED_KEYS[kind]), compressed.whole(kind != SLIDING)
    core = part("attention", text, whole, h=a.heads, d=a.d, w=a.window, c=rate, k=a.index.top_k)
    # While fewer keys are compressed than the indexer may choose, it chooses all of them.
    return replace(core, short=(a.index.top_k * rate, _core(a, HCA, rate).program)) if kind == CSA else core


def _out(a: Compressed) -> tuple[Part, ...]:
    """The grouped low-rank output projection: a block-diagonal matrix, then a dense one."""
    down = part("out down", projections.GROUPED_PROJECTION, G=a.o_groups, h=a.heads, d=a.d, F=a.o_lora_rank)
    return down, linear("out up", a.o_groups * a.o_lora_rank, a.width)


def _streams(width: int, streams: int) -> tuple[Part, ...]:
    """Manifold-constrained hyper-connections (arXiv:2512.24880): weights to collapse, expand and mix the streams."""
    texts = {"stream weights": compressed.STREAM_WEIGHTS, "streams": compressed.STREAMS}
    return tuple(part(name, text, D=width, r=streams) for name, text in texts.items())
