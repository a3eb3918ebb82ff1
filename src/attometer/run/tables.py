"""Tables that calls need and graphs cannot trace: seeded draws and monomials, as operators of no gradient."""

import math
from functools import lru_cache
from itertools import combinations_with_replacement

import torch

from attometer.run.mask_text import from_text


@torch.library.custom_op("attometer::seeded_normal", mutates_args=())  # type: ignore[untyped-decorator]
def seeded_normal(like: torch.Tensor, seed: int, rows: int, width: int) -> torch.Tensor:
    """Return standard normal numbers [rows, width], the same for the same seed, in the type and place of `like`."""
    return torch.randn(rows, width, generator=_generator(seed), dtype=torch.float64).to(like)


@seeded_normal.register_fake  # type: ignore[untyped-decorator]
def _(like: torch.Tensor, seed: int, rows: int, width: int) -> torch.Tensor:
    return like.new_empty(rows, width)


@torch.library.custom_op("attometer::seeded_integers", mutates_args=())  # type: ignore[untyped-decorator]
def seeded_integers(like: torch.Tensor, seed: int, below: int, count: int) -> torch.Tensor:
    """Return integers [b, h, count] below `below`, uniform, the same for the same seed; b and h are those of `like`."""
    return torch.randint(below, (*like.shape[:2], count), generator=_generator(seed)).to(like.device)


@seeded_integers.register_fake  # type: ignore[untyped-decorator]
def _(like: torch.Tensor, seed: int, below: int, count: int) -> torch.Tensor:
    return like.new_empty(*like.shape[:2], count, dtype=torch.int64)


@torch.library.custom_op("attometer::mask_matrix", mutates_args=())  # type: ignore[untyped-decorator]
def mask_matrix(like: torch.Tensor, mask: str, n: int, m: int) -> torch.Tensor:
    """Return the mask's text as booleans [n, m]; no text is no mask."""
    held = from_text(mask)
    if held is None:
        return torch.ones(n, m, dtype=torch.bool, device=like.device)
    return torch.tensor(held.matrix(n, m), device=like.device)


@mask_matrix.register_fake  # type: ignore[untyped-decorator]
def _(like: torch.Tensor, mask: str, n: int, m: int) -> torch.Tensor:
    return like.new_empty(n, m, dtype=torch.bool)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed % 2**63)


@torch.library.custom_op("attometer::monomials", mutates_args=())  # type: ignore[untyped-decorator]
def monomials(like: torch.Tensor, width: int, degree: int) -> torch.Tensor:
    """Return the coordinates of each monomial of that degree [C(width + degree - 1, degree), degree]."""
    return torch.tensor(_monomials(width, degree), device=like.device)


@monomials.register_fake  # type: ignore[untyped-decorator]
def _(like: torch.Tensor, width: int, degree: int) -> torch.Tensor:
    return like.new_empty(math.comb(width + degree - 1, degree), degree, dtype=torch.int64)


@torch.library.custom_op("attometer::monomial_weights", mutates_args=())  # type: ignore[untyped-decorator]
def monomial_weights(like: torch.Tensor, width: int, degree: int, factor: float) -> torch.Tensor:
    """Return sqrt(factor^degree / product of the multiplicities' factorials) of each monomial."""
    logs = [sum(math.lgamma(row.count(c) + 1) for c in set(row)) for row in _monomials(width, degree)]
    power = degree * math.log(factor) if factor > 0 else -math.inf
    return torch.exp((power - torch.tensor(logs, dtype=torch.float64)) / 2).to(like)


@monomial_weights.register_fake  # type: ignore[untyped-decorator]
def _(like: torch.Tensor, width: int, degree: int, factor: float) -> torch.Tensor:
    return like.new_empty(math.comb(width + degree - 1, degree))


@lru_cache(maxsize=16)
def _monomials(width: int, degree: int) -> tuple[tuple[int, ...], ...]:
    return tuple(combinations_with_replacement(range(width), degree))
