"""Linformer: softmax attention over k mixtures of the m keys and values."""

import torch

from attometer.errors import AttometerError
from attometer.run.attention import attention
from attometer.run.validation import check, check_tensors, plain


def linformer_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    key_mix: torch.Tensor,
    value_mix: torch.Tensor,
    scale: float | None = None,
    impl: str = "auto",
) -> torch.Tensor:
    """Return attention of q over key_mix k and value_mix v; there is no causal form, for a mixture sees all tokens.

    Args:
        q: queries [b, h, n, d].
        k: keys [b, g, m, d]; g divides h.
        v: values [b, g, m, e].
        key_mix: the paper's E [k, m], shared by the heads.
        value_mix: the paper's F [k, m].
        scale: factor of the scores; None is 1/sqrt(d).
        impl: as in `attention`.

    Returns:
        The output [b, h, n, e] in q's dtype.

    Raises:
        AttometerError: arguments that do not fit.

    Source: Wang et al. 2020, arXiv:2006.04768, equation 7.

    >>> x, mix = torch.randn(1, 2, 100, 8), torch.randn(16, 100) / 4
    >>> linformer_attention(x, x, x, key_mix=mix, value_mix=mix).shape
    torch.Size([1, 2, 100, 8])
    """
    check(plain(q, k, v, scale))
    check_tensors(key_mix=key_mix, value_mix=value_mix)
    for name, mix in (("key_mix", key_mix), ("value_mix", value_mix)):
        if mix.dim() != 2 or mix.shape[1] != k.shape[2] or mix.dtype != q.dtype:
            raise AttometerError(
                f"{name}: got {mix.dtype} of shape {list(mix.shape)}, expected {q.dtype} [k, {k.shape[2]}]"
            )
    return attention(q, key_mix @ k, value_mix @ v, scale=scale, impl=impl)
