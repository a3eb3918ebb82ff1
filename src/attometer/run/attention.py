"""Softmax attention: one function, whatever runs it."""

from collections.abc import Callable
from typing import Any, Literal, overload

import torch

from attometer.errors import AttometerError
from attometer.program import Mask, parse_mask
from attometer.run import chunked, compiled, flex, kernels, sdpa, transforms, triton
from attometer.run.biases import Biases, Terms
from attometer.run.choice import IMPLEMENTATIONS, Choice, choose, chosen, chosen_in_graph, settled
from attometer.run.chunked import run_chunked
from attometer.run.dense import run_dense
from attometer.run.flex import run_flex
from attometer.run.front import MaskLike, asked
from attometer.run.kernels import run_kernels
from attometer.run.mask_text import to_text
from attometer.run.reference import run_reference
from attometer.run.sdpa import run_sdpa
from attometer.run.tiled.attention import run_tiled
from attometer.run.tiled.forward import NESTS
from attometer.run.validation import Call, check, check_name


@overload
def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, mask: MaskLike = None, bias: Biases = None,
    scale: float | torch.Tensor | None = None, impl: str = "auto", return_lse: Literal[False] = False, mesh: Any = None,
    dropout: float = 0.0, seed: int | None = None, layout: str = "bhnd", **others: Any,
) -> torch.Tensor: ...  # fmt: skip
@overload
def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, mask: MaskLike = None, bias: Biases = None,
    scale: float | torch.Tensor | None = None, impl: str = "auto", return_lse: Literal[True], mesh: Any = None,
    dropout: float = 0.0, seed: int | None = None, layout: str = "bhnd", **others: Any,
) -> tuple[torch.Tensor, torch.Tensor]: ...  # fmt: skip
def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    mask: MaskLike = None,
    bias: Biases = None,
    scale: float | torch.Tensor | None = None,
    impl: str = "auto",
    return_lse: bool = False,
    mesh: Any = None,
    dropout: float = 0.0,
    seed: int | None = None,
    layout: str = "bhnd",
    **others: Any,
) -> Any:
    """Return softmax(scale · q kᵀ + bias, over the keys that `mask` allows) v.

    Queries stand at the last n of the m positions (bottom-right): with `causal()` one query sees every key. A query that
    sees none gives 0, with finite gradients. A batch of 1 is that of the others; sums are formed in float32 or float64.

    Args:
        q: queries [b, h, n, d], any strides; float64, float32, bfloat16 or float16.
        k: keys [b, g, m, d]; g divides h, and query head x reads key head x // (h / g) (GQA; g = 1 is MQA).
        v: values [b, g, m, e]; e may differ from d.
        mask: a mask of the algebra such as `causal() & window(256)`, its text, a tensor that broadcasts to [b, h, n, m]
            (booleans, True is seen, or numbers added to the scores), or a tuple of masks that all hold; None sees all.
        bias: an additive tensor [b or 1, h or 1, n or 1, m or 1], `Additive`, `Alibi`, `SoftCap`, `Sinks`, or a tuple.
        scale: factor of the scores, a number or a tensor, () or [h], that may be learned; None is 1/sqrt(d).
        impl: "auto", or one of `IMPLEMENTATIONS`, which runs or raises.
        return_lse: also return the log of the softmax's denominator [b, h, n], sinks included; differentiable.
        mesh: a DeviceMesh whose ranks hold parts of the sequence (see `distributed`); impl is then "ring" or "ulysses".
        dropout: the probability with which a weight is dropped, the others growing by 1 / (1 - dropout).
        seed: of the dropout; the same drops the same weights. None draws one from torch's generator.
        layout: "bhnd", or "bnhd" where operands and output are [b, length, heads, width].
        others: names of other libraries (`front.FOREIGN`: is_causal, attn_mask, cu_seqlens, window_size, softcap, …).

    Returns:
        The output [b, h, n, e] in q's dtype, or (output, lse).

    Raises:
        AttometerError: arguments that do not fit, or a property that `impl` does not support.

    Source: Vaswani et al. 2017, arXiv:1706.03762; tiles as in Dao 2023, arXiv:2307.08691.

    >>> from attometer.program import causal
    >>> q = torch.randn(1, 8, 10, 16); k = v = torch.randn(1, 2, 30, 16)
    >>> attention(q, k, v, mask=causal()).shape
    torch.Size([1, 8, 10, 16])
    """
    if mesh is not None:
        return _on_mesh(q, k, v, mesh, mask, bias, scale, impl, return_lse, (dropout, layout, others))
    plain = (bias is None or (isinstance(bias, tuple) and not bias)) and layout == "bhnd" and not (return_lse or others)
    key = _signature(q, k, v, mask, scale, impl) if plain and dropout == 0 else None
    if key in _SETTLED:
        text, factor, taken = _SETTLED[key]
        return _RUN[taken](q, k, v, text, _NO_BIASES, factor)[0]
    made, structure, held = asked(q, k, v, mask, bias, scale, dropout, seed, layout, others)
    q, k, v = made.q, made.k, made.v
    check(Call(q, k, v, structure, held, made.scale))
    if impl != "auto":
        check_name("impl", impl, IMPLEMENTATIONS)
    text = to_text(structure)
    factor = q.shape[3] ** -0.5 if made.scale is None else float(made.scale)
    if min(q.shape[0], q.shape[1], q.shape[2], k.shape[2], v.shape[3]) == 0:
        output, found = run_tiled(q, k, v, text, held, factor, "flash2")
    else:
        taken = _automatic(q, k, v, text, held, return_lse) if impl == "auto" else impl
        _refuse(taken, q, k, v, text, held, return_lse)
        output, found = _RUN[taken](q, k, v, text, held if taken in _READ_SEEN else held.added(q), factor)
        if key is not None and (impl != "auto" or settled(taken, q, k, v, text)):
            _SETTLED[key] = text, factor, taken
            if len(_SETTLED) > MOST_SETTLED:
                del _SETTLED[next(iter(_SETTLED))]
    output = made.returned(output)
    return (output, None if found is None else made.returned(found)) if return_lse else output


MOST_SETTLED = 256
_SETTLED: dict[object, tuple[str, float, str]] = {}
"""Calls that came before, checked and chosen for: mask, scale, implementation. A step of decoding is shorter than that."""
_NO_BIASES = Terms()


def _signature(q: Any, k: Any, v: Any, mask: Any, scale: Any, impl: str) -> object | None:
    """Return all that the checks and the choice of a plain call depend on; None where values or modes matter, too."""
    if isinstance(mask, tuple):
        mask = mask[0] if len(mask) == 1 else None if mask == () else mask
    known = mask is None or isinstance(mask, Mask | str)
    if not known or not isinstance(scale, float | None) or torch.compiler.is_compiling() or transforms.active():
        return None
    operands = (q, k, v)
    if not all(type(x) is torch.Tensor and not x.is_meta for x in operands) or torch.is_autocast_enabled(q.device.type):
        return None
    leaves = tuple(x.requires_grad for x in operands) if torch.is_grad_enabled() else ()
    shapes = tuple((x.shape, x.dtype, x.device) for x in operands)
    return shapes, leaves, mask, scale, impl, kernels.registered(), compiled.setting()


def _on_mesh(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mesh: Any, mask: MaskLike, bias: Biases, scale: Any, impl: str,
    return_lse: bool, more: tuple[float, str, dict[str, Any]],
) -> Any:  # fmt: skip
    from attometer.run.distributed import distributed_attention

    if more != (0.0, "bhnd", {}):
        raise AttometerError('mesh: goes with q, k, v, mask, bias, scale, impl and return_lse alone, in layout "bhnd"')
    held: Any = parse_mask(mask) if isinstance(mask, str) else mask
    return distributed_attention(
        q, k, v, mesh=mesh, mask=held, bias=bias, scale=scale, impl=impl, return_lse=return_lse
    )


def _automatic(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, return_lse: bool) -> str:
    if torch.compiler.is_compiling():
        return chosen_in_graph(q, k, v, mask, bias, return_lse)
    return chosen(q, k, v, mask, bias, return_lse)


Run = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, str, Terms, float], tuple[torch.Tensor, torch.Tensor | None]]


def _tiled_as(schedule: str) -> Run:
    return lambda q, k, v, mask, bias, scale: run_tiled(q, k, v, mask, bias, scale, schedule)


_RUN: dict[str, Run] = {
    "reference": run_reference,
    "sdpa": lambda q, k, v, mask, bias, scale: (run_sdpa(q, k, v, mask, bias, scale), None),
    "sdpa_chunked": lambda q, k, v, mask, bias, scale: (run_chunked(q, k, v, mask, bias, scale), None),
    "flex": run_flex,
    "tiled": _tiled_as("flash2"),
    **{name: _tiled_as(name) for name in NESTS},
    "kernels": run_kernels,
    "compiled": compiled.run_compiled,
    "triton": triton.run_triton,
    "dense": run_dense,
}
_READ_SEEN = ("compiled", "dense")


_OF_TORCH = ("sdpa", "sdpa_chunked", "dense")


def _refuse(
    impl: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, return_lse: bool
) -> None:
    lacks = None if impl in _OF_TORCH else transforms.unsupported(impl)
    if lacks is not None:
        raise AttometerError(f'impl "{impl}" does not support {lacks}; use "dense" or "sdpa"')
    own, bias = bias, bias.outline()
    if impl == "reference" and q.is_meta:
        lacks = "meta tensors, which hold no values"
    elif impl == "sdpa":
        lacks = sdpa.unsupported(q, bias, return_lse)
    elif impl == "sdpa_chunked":
        lacks = chunked.unsupported(q, k, mask, bias, return_lse)
    elif impl == "flex":
        wanted = any(x.requires_grad for x in (q, k, v)) and torch.is_grad_enabled()
        lacks = flex.unsupported(q, wanted, bias, return_lse)
    elif impl == "kernels":
        lacks = kernels.unsupported(q, k, v, mask, bias)
    elif impl == "compiled":
        lacks = compiled.unsupported(q, own)
    elif impl == "triton":
        lacks = triton.unsupported(q)
    if bias.dropout and impl not in _READ_SEEN:
        raise AttometerError(f'impl "{impl}" does not support dropout; use "compiled" or "dense", or "auto" to choose')
    if lacks is not None:
        raise AttometerError(f'impl "{impl}" does not support {lacks}; use "tiled", or "auto" to choose')


def explain_choice(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    mask: MaskLike = None,
    bias: Biases = None,
    return_lse: bool = False,
) -> Choice:
    """Return what `attention(..., impl="auto")` would take for these arguments, with every candidate's predicted cost.

    Raises AttometerError as `attention` does.

    >>> from attometer.program import window
    >>> x = torch.zeros(1, 8, 4096, 64, dtype=torch.float64)
    >>> explain_choice(x, x, x, mask=window(256)).impl
    'sdpa_chunked'
    """
    made, structure, held = asked(q, k, v, mask, bias, None, 0.0, None, "bhnd", {})
    check(Call(made.q, made.k, made.v, structure, held, None))
    return choose(made.q, made.k, made.v, to_text(structure), held, return_lse)
