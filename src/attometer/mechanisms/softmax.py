"""Softmax attention and its sharing of key/value heads: one text, which masks, positions, sinks and models build on."""

from collections.abc import Callable

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import flag, mask_parameter, size_parameter
from attometer.program import Mask, causal, size
from attometer.program.expression import Where
from attometer.program.printer import where_text

VASWANI = "Vaswani et al. 2017, Attention Is All You Need, arXiv:1706.03762"
VALUE_WIDTH = size_parameter("e", size("d"), "width of a value head")
KEYS = size_parameter("m", size("n"), "number of keys; the queries stand at the last n of them")
CAUSAL = flag("causal", "a query sees itself and what came before it")
GROUPS = size_parameter("g", 8, "key/value heads; h is a multiple of it")
# How keys are declared and read: one head for each query head, for each group of them, or for all.
SHARING = {"h": ("b,h", "b,h"), "g": ("b,g", "b, h // (h/g)"), "": ("b", "b")}
WEIGHTS = ("P[b,h,i,j] = softmax[j](S)",)
# Softmax over the scores and one learned logit z[h] per head, which then takes no value.
WITH_SINK = (
    "L[b,h,i] = logsumexp[j](S)",
    "N[b,h,i] = L[b,h,i] + softplus(z[h] - L[b,h,i])",
    "P[b,h,i,j] = exp(S[b,h,i,j] - N[b,h,i])",
)


def attention(
    mask: str = "",
    kv: str = "h",
    *,
    role: str = "input",
    rows: str = "n",
    scale: bool = True,
    cap: float | None = None,
    bias: str = "",
    declare: str = "",
    sinks: bool = False,
) -> str:
    """Return the notation of softmax attention over the pairs that `mask` allows.

    Args:
        mask: a mask clause over (i, j), such as `causal(i, j)`; all pairs when empty.
        kv: whose keys and values: `h` those of each query head, `g` of each group, empty the same for all.
        role: `input`, or `cache` where keys and values are kept from earlier tokens.
        rows: number of queries.
        scale: divide the scores by √d (T5 and GPT-Neo do not).
        cap: bound the scores to ±cap by cap·tanh(S / cap) (Gemma 2).
        bias: a term for each score, as `- M[h] * pos(j)`, with `declare` for its tensors.
        sinks: one learned logit per head takes part in each softmax.
    """
    declared, read = SHARING[kv]
    where = f"   where {mask}" if mask else ""
    scores = f"Q[b,h,i,d] * K[{read},j,d]{' / sqrt(d)' if scale else ''}"
    capped = f"{cap:g} * tanh(A[b,h,i,j] / {cap:g})" if cap else ""
    lines = (
        f"axis i: {rows}, j: m",
        "input Q[b,h,i,d]",
        f"{role} K[{declared},j,d], V[{declared},j,e]",
        "weight z[h]" if sinks else "",
        declare,
        f"A[b,h,i,j] = {scores}{where}" if cap else "",
        f"S[b,h,i,j] = {f'{capped}{bias}' if cap else f'{scores}{bias}{where}'}",
        *(WITH_SINK if sinks else WEIGHTS),
        f"O[b,h,i,e] = P[b,h,i,j] * V[{read},j,e]",
    )
    return "\n".join(line for line in lines if line)


def soft_cap(cap: float) -> str:
    """Return the bound of logits to ±cap by cap·tanh(x / cap), as Gemma 2's head has it."""
    return f"axis i: n, c: D\nY[b,i,c] = {cap:g} * tanh(X[b,i,c] / {cap:g})"


def restriction(causally: bool, mask: Mask | None = None) -> str:
    """Return the mask clause of a causal flag and a mask over (i, j), or nothing.

    >>> restriction(True)
    'causal(i, j)'
    """
    chosen = mask
    if causally:
        chosen = causal() if mask is None else causal() & mask
    return "" if chosen is None else where_text(Where(chosen, "i", "j"))


def _sharing(kv: str, sinks: bool = False) -> Callable[..., str]:
    return lambda causal, mask: attention(restriction(causal, mask), kv, sinks=sinks)


SOFTMAX = Entry(
    "softmax",
    "multi-head softmax attention",
    _sharing("h"),
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
    _sharing(""),
    "Shazeer 2019, Fast Transformer Decoding: One Write-Head is All You Need, arXiv:1911.02150",
    parameters=(CAUSAL, mask_parameter(), KEYS, VALUE_WIDTH),
)

GQA = Entry(
    "gqa",
    "grouped-query attention: g key/value heads, each for h/g query heads",
    _sharing("g"),
    "Ainslie et al. 2023, GQA: Training Generalized Multi-Query Transformer Models, arXiv:2305.13245",
    parameters=(GROUPS, CAUSAL, mask_parameter(), KEYS, VALUE_WIDTH),
    divides=(("h", "g"),),
)

SINKS = Entry(
    "attention_sinks",
    "grouped-query attention whose softmax has one learned logit more for each head",
    _sharing("g", sinks=True),
    "OpenAI 2025, gpt-oss-120b and gpt-oss-20b Model Card, arXiv:2508.10925; sinks of Xiao et al. 2023, arXiv:2309.17453",
    parameters=(GROUPS, CAUSAL, mask_parameter(), KEYS, VALUE_WIDTH),
    divides=(("h", "g"),),
    notes="z holds the logits; a sink takes weight and no value.",
)

DECODE = Entry(
    "decode",
    "one decode step: a query over a cache of m tokens, its own included",
    attention(kv="g", role="cache", rows="1"),
    "Pope et al. 2022, Efficiently Scaling Transformer Inference, arXiv:2211.05102",
    parameters=(
        size_parameter("m", 4096, "tokens in the cache"),
        size_parameter("g", size("h"), "key/value heads; h is a multiple of it"),
        VALUE_WIDTH,
    ),
    divides=(("h", "g"),),
)
