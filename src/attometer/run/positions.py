"""Positions that enter by rotation or by addition; ALiBi and other biases are in `biases`."""

import torch

from attometer.errors import AttometerError, positive_int

PAIRS = ("neighbours", "halves")


def rope(
    x: torch.Tensor, positions: torch.Tensor | None = None, *, base: float = 10000.0, pairs: str = "neighbours"
) -> torch.Tensor:
    """Rotate pairs of coordinates by position times base^(-2k/d); angles in float32 (float64 for float64).

    Args:
        x: queries or keys [b, h, n, d], d even.
        positions: [n] or [b, n]; None is 0 … n-1. In a decode step pass the place of the new token.
        base: the slowest angle is 1/base, nearly.
        pairs: "neighbours" (2k, 2k+1) as in the paper, or "halves" (k, k + d/2) as in Hugging Face's Llama.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        AttometerError: odd d, unknown pairs, or positions that do not fit.

    Source: Su et al. 2021, RoFormer, arXiv:2104.09864, equation 34.

    >>> x = torch.tensor([1.0, 0.0]).expand(1, 1, 2, 2)
    >>> rope(x)[0, 0, 1]
    tensor([0.5403, 0.8415])
    """
    n, d = x.shape[-2:]
    if d % 2:
        raise AttometerError(f"x: got width {d}, expected an even one")
    if pairs not in PAIRS:
        raise AttometerError(f'pairs: got "{pairs}", expected one of {", ".join(PAIRS)}')
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    places = torch.arange(n, device=x.device) if positions is None else positions
    if places.shape not in ((n,), (x.shape[0], n)):
        raise AttometerError(f"positions: got shape {list(places.shape)}, expected [{n}] or [{x.shape[0]}, {n}]")
    rate = base ** (-torch.arange(0, d, 2, device=x.device, dtype=torch.float64) / d)
    angle = (places.to(torch.float64)[..., None] * rate).to(wide)
    angle = angle if places.dim() == 1 else angle[:, None]
    one, other = x.to(wide).unflatten(-1, (-1, 2)).unbind(-1) if pairs == PAIRS[0] else x.to(wide).chunk(2, -1)
    turned = (one * angle.cos() - other * angle.sin(), other * angle.cos() + one * angle.sin())
    joined = torch.stack(turned, -1).flatten(-2) if pairs == PAIRS[0] else torch.cat(turned, -1)
    return joined.to(x.dtype)


def sinusoidal(n: int, width: int, *, base: float = 10000.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the table [n, width] that is added to the input: sines at even columns, cosines at odd ones.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.

    >>> sinusoidal(2, 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    for name, value in (("n", n), ("width", width)):
        positive_int(name, value)
    column = torch.arange(width, dtype=torch.float64)
    angle = torch.arange(n, dtype=torch.float64)[:, None] * base ** (-(column - column % 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).to(dtype)
