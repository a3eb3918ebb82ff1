"""Softmax attention and its sharing of key/value heads: exact, and the base that masks and positions build on."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import flag, mask_parameter, size_parameter
from attometer.program import Mask, causal, size
from attometer.program.expression import Where
from attometer.program.printer import where_text

VASWANI = "Vaswani et al. 2017, Attention Is All You Need, arXiv:1706.03762"
VALUE_WIDTH = size_parameter("e", size("d"), "width of a value head")
KEYS = size_parameter("m", size("n"), "number of keys; the queries stand at the last n of them")
CAUSAL = flag("causal", "a query sees itself and what came before it")


def attention(where: str = "", heads: str = "h", key_head: str = "h") -> str:
    """Return the notation of softmax attention whose scores are restricted by `where`."""
    return f"""
        axis i: n, j: m
        input Q[b,h,i,d], K[b,{heads},j,d], V[b,{heads},j,e]
        S[b,h,i,j] = Q[b,h,i,d] * K[b,{key_head},j,d] / sqrt(d) {where}
        P[b,h,i,j] = softmax[j](S)
        O[b,h,i,e] = P[b,h,i,j] * V[b,{key_head},j,e]
    """


def restriction(causally: bool, mask: Mask | None = None) -> str:
    """Return the `where` clause of a causal flag and a mask over (i, j), or nothing.

    >>> restriction(True)
    'where causal(i, j)'
    """
    chosen = mask
    if causally:
        chosen = causal() if mask is None else causal() & mask
    return "" if chosen is None else f"where {where_text(Where(chosen, 'i', 'j'))}"


def _softmax(causal: bool, mask: Mask | None) -> str:
    return attention(restriction(causal, mask))


def _mqa(causal: bool, mask: Mask | None) -> str:
    return attention(restriction(causal, mask)).replace("K[b,h,j,d]", "K[b,j,d]").replace("V[b,h,j,e]", "V[b,j,e]")


def _gqa(causal: bool, mask: Mask | None) -> str:
    return attention(restriction(causal, mask), "g", "h // (h/g)")


SOFTMAX = Entry(
    "softmax",
    "multi-head softmax attention",
    _softmax,
    VASWANI,
    parameters=(CAUSAL, mask_parameter(), KEYS, VALUE_WIDTH),
)

CROSS_ATTENTION = Entry(
    "cross_attention",
    "multi-head softmax attention of n queries over m other tokens",
    attention(),
    VASWANI,
    parameters=(size_parameter("m", 1024, "number of keys"), VALUE_WIDTH),
)

MQA = Entry(
    "mqa",
    "multi-query attention: one key/value head for all query heads",
    _mqa,
    "Shazeer 2019, Fast Transformer Decoding: One Write-Head is All You Need, arXiv:1911.02150",
    parameters=(CAUSAL, mask_parameter(), KEYS, VALUE_WIDTH),
)

GQA = Entry(
    "gqa",
    "grouped-query attention: g key/value heads, each for h/g query heads",
    _gqa,
    "Ainslie et al. 2023, GQA: Training Generalized Multi-Query Transformer Models, arXiv:2305.13245",
    parameters=(
        size_parameter("g", 8, "key/value heads; h is a multiple of it"),
        CAUSAL,
        mask_parameter(),
        KEYS,
        VALUE_WIDTH,
    ),
    divides=(("h", "g"),),
)

DECODE = Entry(
    "decode",
    "one decode step: a query over a cache of m tokens, its own included",
    """
        axis i: 1, j: m
        input Q[b,h,i,d]
        cache K[b,g,j,d], V[b,g,j,e]
        S[b,h,i,j] = Q[b,h,i,d] * K[b,h // (h/g),j,d] / sqrt(d)
        P[b,h,i,j] = softmax[j](S)
        O[b,h,i,e] = P[b,h,i,j] * V[b,h // (h/g),j,e]
    """,
    "Pope et al. 2022, Efficiently Scaling Transformer Inference, arXiv:2211.05102",
    parameters=(
        size_parameter("m", 4096, "tokens in the cache"),
        size_parameter("g", size("h"), "key/value heads; h is a multiple of it"),
        VALUE_WIDTH,
    ),
    divides=(("h", "g"),),
)
