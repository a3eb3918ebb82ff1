"""The catalogue: every mechanism by name, explicitly."""

import re

from attometer.errors import AttometerError, unknown
from attometer.masks import MASKS
from attometer.mechanisms import (
    feed_forward,
    hashing,
    latent,
    linear,
    low_rank,
    norms,
    positions,
    primitives,
    projections,
    recurrent,
    selection,
    softmax,
    sparse,
    state_space,
)
from attometer.mechanisms.mechanism import Entry, Mechanism, build

_ENTRIES: dict[str, Entry] = {
    "softmax": softmax.SOFTMAX,
    "cross_attention": softmax.CROSS_ATTENTION,
    "mqa": softmax.MQA,
    "gqa": softmax.GQA,
    "attention_sinks": softmax.SINKS,
    "decode": softmax.DECODE,
    "mla": latent.MLA,
    "mla_absorbed": latent.MLA_ABSORBED,
    "sliding_window": sparse.SLIDING_WINDOW,
    "longformer": sparse.LONGFORMER,
    "bigbird": sparse.BIGBIRD,
    "sparse_transformer_strided": sparse.SPARSE_TRANSFORMER_STRIDED,
    "sparse_transformer_fixed": sparse.SPARSE_TRANSFORMER_FIXED,
    "topk": selection.TOPK,
    "linformer": low_rank.LINFORMER,
    "performer": linear.PERFORMER,
    "polynomial": linear.POLYNOMIAL,
    "linear": linear.LINEAR,
    "linear_causal": linear.LINEAR_CAUSAL,
    "linear_chunked": linear.LINEAR_CHUNKED,
    "hyperattention": hashing.HYPERATTENTION,
    "alibi": positions.ALIBI,
    "relative_bias": positions.RELATIVE_BIAS,
    "disentangled": positions.DISENTANGLED,
    "rope": positions.ROPE,
    "sinusoidal": positions.SINUSOIDAL,
    "rnn": recurrent.RNN,
    "lstm": recurrent.LSTM,
    "gru": recurrent.GRU,
    "ssm": state_space.SSM,
    "mamba": state_space.MAMBA,
    "mamba2": state_space.MAMBA2,
    "wkv": state_space.RWKV,
    "short_convolution": state_space.CONVOLUTION,
    "gated_delta": state_space.GATED_DELTA,
    "projection": projections.PROJECTION,
    "projections": projections.PROJECTIONS,
    "embedding": projections.EMBEDDING,
    "attention_layer": projections.ATTENTION_LAYER,
    "layernorm": norms.LAYERNORM,
    "rmsnorm": norms.RMSNORM,
    "head_norm": norms.HEAD_NORM,
    "ffn": feed_forward.FFN,
    "gated_ffn": feed_forward.GATED_FFN,
    "moe": feed_forward.MOE,
    "elementwise": primitives.ELEMENTWISE,
    "sum": primitives.SUM,
    "tensor_product": primitives.TENSOR_PRODUCT,
    "matmul": primitives.MATMUL,
    "softmax_row": primitives.SOFTMAX_ROW,
}

MECHANISMS: tuple[str, ...] = tuple(_ENTRIES)
"""The names of the catalogue, attention first."""


_MEANT = dict.fromkeys(
    (
        "attention",
        "self_attention",
        "mha",
        "multi_head_attention",
        "multihead_attention",
        "sdpa",
        "full",
        "vanilla",
        "selfattention",
        "scaled_dot_product_attention",
    ),
    "softmax",
) | {
    "grouped_query_attention": "gqa",
    "multi_query_attention": "mqa",
    "swa": "sliding_window",
    "local": "sliding_window",
    "s6": "mamba",
    "s4": "ssm",
    "gated_deltanet": "gated_delta",
    "rwkv": "wkv",
    "swiglu": "gated_ffn",
    "mlp": "ffn",
    "gemm": "matmul",
    "mixture_of_experts": "moe",
}
"""What people call a mechanism of the catalogue."""
_WRITTEN = {
    "gla": "gated_linear",
    "nsa": "native_sparse",
    "diff": "differential",
    "deltanet": "delta_rule_chunked",
    "fox": "forgetting",
    "nystromformer": "nystrom",
    "lightning_attention": "lightning",
    "talking": "talking_heads",
    "stickbreaking": "stick_breaking",
    "cos": "cosformer",
}
"""What is written out in `examples`, by another name for it."""


def mechanisms() -> tuple[str, ...]:
    """Return the names of the catalogue, attention first.

    >>> mechanisms()[0]
    'softmax'
    """
    return MECHANISMS


def mechanism(name: str, /, **parameters: object) -> Mechanism:
    """Return a mechanism of the catalogue.

    Args:
        name: one of `MECHANISMS`.
        **parameters: sizes as positive integers or symbols, and choices such as `causal=True`; see the result's
            `parameters` for their names, defaults and meaning.

    Returns:
        The mechanism; sizes that were not given stay symbols, with numbers for them in `defaults`.

    Raises:
        AttometerError: unknown name or parameter, with the nearest; or a bad value.

    >>> print(mechanism("sliding_window", w=128).program)
    axis i: n, j: n, e: d
    input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
    S[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d] / sqrt(d)   where window(i, j, 128)
    P[b,h,i,j] = softmax[j](S)
    O[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]
    """
    if isinstance(name, str) and name not in _ENTRIES:
        word = name.lower().replace("-", "_").replace(" ", "_")
        if re.fullmatch(r"flash.*|fa[123]?", word.replace("_", "")):
            raise AttometerError(
                f'"{name}" is a schedule of softmax attention, which it computes exactly: show softmax, or io softmax for what it moves'
            )
        if word in _WRITTEN or word in _WRITTEN.values():
            raise AttometerError(
                f'"{name}" is not in the catalogue; its notation is examples/{_WRITTEN.get(word, word)}.att of the source'
            )
        if word in MASKS:
            raise AttometerError(f'"{name}" is a mask, not a mechanism: io softmax --mask {word}')
        name = next((w for w in (_MEANT.get(word, word), word.removesuffix("_attention")) if w in _ENTRIES), word)
    if not isinstance(name, str) or name not in _ENTRIES:
        raise unknown("mechanism", name, _ENTRIES)
    return build(_ENTRIES[name], parameters)
