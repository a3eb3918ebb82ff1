"""torch's scaled_dot_product_attention: structure is passed on where it can be, else as a dense mask."""

import torch
import torch.nn.functional as F

from attometer.program import Mask, causal
from attometer.run.biases import Terms
from attometer.run.mask_text import from_text
from attometer.run.tables import mask_matrix


def unsupported(q: torch.Tensor, bias: Terms, return_lse: bool) -> str | None:
    """Return the property of the call that this implementation lacks, or None."""
    if bias.cap is not None:
        return "a soft cap"
    if bias.sinks is not None:
        return "sinks"
    return "return_lse" if return_lse else None


def native_mask(mask: Mask | None, n: int, m: int) -> tuple[bool, bool]:
    """Return (the call needs no n × m mask, it is the kernel's own causal case).

    The kernel aligns is_causal top-left, attometer bottom-right: they agree only on squares.
    """
    if mask is None or (mask == causal() and n == 1):
        return True, False
    return (mask == causal() and n == m,) * 2


def run_sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float) -> torch.Tensor:
    """Run on checked arguments; materialises an n × m mask unless there is none, or it is causal on a square."""
    n, m = q.shape[2], k.shape[2]
    plain = bias.additive is None and bias.slopes is None
    free, is_causal = _native(mask, n, m)
    added = None if free and plain else _dense(q, mask, n, m, bias)
    if q.shape[1] != k.shape[1] and not is_causal and (added is None or n == 1):
        return packed_sdpa(q, k, v, added, scale)
    grouped = q.shape[1] != k.shape[1]
    output: torch.Tensor = F.scaled_dot_product_attention(
        q, k, v, attn_mask=added, is_causal=is_causal and plain, scale=scale, enable_gqa=grouped
    )
    return output


def packed_sdpa(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, added: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """Run torch's function with the query heads of a key head as rows of one block: keys and values are read once.

    `added` is a mask or bias [m], [1, m] or [b or 1, h or 1, n, m]; booleans say what is seen.
    """
    b, h, n, d = q.shape
    g = k.shape[1]
    rows = None if added is None else _packed_mask(added, h // g, n)
    output: torch.Tensor = F.scaled_dot_product_attention(
        q.reshape(b, g, h // g * n, d), k, v, attn_mask=rows, scale=scale
    )
    return output.reshape(b, h, n, v.shape[3])


def _packed_mask(added: torch.Tensor, r: int, n: int) -> torch.Tensor:
    m = added.shape[-1]
    added = added[None] if added.dim() == 3 else added
    if added.dim() == 2 or added.shape[1] == 1:
        return added.unsqueeze(-3).expand(*added.shape[:-2], r, n, m).flatten(-3, -2)
    return added.unflatten(1, (-1, r)).flatten(2, 3)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _native(mask: str, n: int, m: int) -> tuple[bool, bool]:
    return native_mask(from_text(mask), n, m)


def _dense(q: torch.Tensor, mask: str, n: int, m: int, bias: Terms) -> torch.Tensor:
    seen = mask_matrix(q.detach(), mask, n, m) if mask else None
    if bias.additive is None and bias.slopes is None and seen is not None:
        return seen
    added = q.new_zeros(n, m) if bias.additive is None else bias.additive.to(q.dtype)
    if bias.slopes is not None:
        distance = (torch.arange(n, device=q.device)[:, None] + m - n - torch.arange(m, device=q.device)).abs()
        slopes = torch.tensor(bias.slopes, dtype=torch.float64, device=q.device)[:, None, None]
        added = added - (slopes * distance).to(q.dtype)
    added = added if seen is None else added.masked_fill(~seen, -torch.inf)
    return added.expand(*added.shape[:-2], n, m)
