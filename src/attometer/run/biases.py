"""What is added to or done to the scores before the softmax: an additive tensor, ALiBi, a soft cap, sinks.

Applied in this order, as Gemma 2 and FlashAttention do: soft cap, then additive and ALiBi, then sinks.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import torch

from attometer.errors import AttometerError, positive_int


@dataclass(frozen=True, eq=False)
class Additive:
    """A tensor [b or 1, h or 1, n or 1, m or 1] added to the scores; -inf hides a key. A plain tensor means the same."""

    values: torch.Tensor


@dataclass(frozen=True)
class Alibi:
    """Subtract `slopes[head] * |p - j|` from the scores, p = i + m - n (Press et al. 2021, arXiv:2108.12409).

    >>> Alibi(alibi(4)).slopes
    (0.25, 0.0625, 0.015625, 0.00390625)
    """

    slopes: tuple[float, ...]


@dataclass(frozen=True)
class SoftCap:
    """Replace each scaled score s by `cap * tanh(s / cap)` (Gemma 2, arXiv:2408.00118, section 2).

    >>> SoftCap(0)
    Traceback (most recent call last):
    attometer.errors.AttometerError: soft cap must be above 0, got 0
    """

    cap: float

    def __post_init__(self) -> None:
        if not self.cap > 0:
            raise AttometerError(f"soft cap must be above 0, got {self.cap}")


@dataclass(frozen=True, eq=False)
class Sinks:
    """One logit per head [h] that takes part in the softmax and carries no value (gpt-oss, arXiv:2508.10925)."""

    logits: torch.Tensor


Bias: TypeAlias = torch.Tensor | Additive | Alibi | SoftCap | Sinks
Biases: TypeAlias = "Bias | tuple[Bias, ...] | None"


@dataclass(frozen=True, eq=False)
class Terms:
    """The biases of one call, at most one of each kind; which keys a mask tensor shows; what is dropped of the weights."""

    additive: torch.Tensor | None = None
    slopes: tuple[float, ...] | None = None
    cap: float | None = None
    sinks: torch.Tensor | None = None
    seen: torch.Tensor | None = None  # booleans [b or 1, h or 1, n or 1, m or 1]
    dropout: float = 0.0
    seed: int = 0

    def names(self) -> tuple[str, ...]:
        """Return the kinds that are present, as errors name them."""
        held = {"additive": self.additive, "alibi": self.slopes, "softcap": self.cap, "sinks": self.sinks}
        return tuple(name for name, value in held.items() if value is not None)

    def outline(self) -> "Terms":
        """Return the same with the mask tensor in place of the additive bias, for questions that ask not for values."""
        return self if self.seen is None else replace(self, additive=self.seen, seen=None)

    def added(self, like: torch.Tensor) -> "Terms":
        """Return the same with the mask tensor as 0 and -inf, in the additive bias.

        >>> Terms(seen=torch.tensor([True, False])).added(torch.zeros(1)).additive
        tensor([0., -inf])
        """
        if self.seen is None:
            return self
        wide = torch.float64 if like.dtype == torch.float64 else torch.float32
        hides = torch.zeros(self.seen.shape, dtype=wide, device=self.seen.device).masked_fill_(~self.seen, -torch.inf)
        own = self.additive
        # Not a sum: a bias of NaN at a hidden key stays out.
        both = hides if own is None else torch.where(self.seen, own, torch.tensor(-torch.inf).to(own))
        return replace(self, additive=both if own is not None else hides.to(like.dtype), seen=None)


_FIELDS: dict[type, tuple[str, str]] = {
    Additive: ("additive", "values"),
    Alibi: ("slopes", "slopes"),
    SoftCap: ("cap", "cap"),
    Sinks: ("sinks", "logits"),
}


def terms(bias: "Bias | tuple[Bias, ...] | None") -> Terms:
    """Sort the biases by kind.

    Raises AttometerError for something that is no bias, or two of one kind.

    >>> terms((SoftCap(30.0), Alibi((0.5,)))).names()
    ('alibi', 'softcap')
    """
    given = () if bias is None else bias if isinstance(bias, tuple) else (bias,)
    found: dict[str, object] = {}
    for one in given:
        held = Additive(one) if isinstance(one, torch.Tensor) else one
        if type(held) not in _FIELDS:
            raise AttometerError(
                f"bias: got {type(one).__name__}, expected a tensor, Additive, Alibi, SoftCap, Sinks, or a tuple of them"
            )
        field, attribute = _FIELDS[type(held)]
        if field in found:
            raise AttometerError(
                f"bias: got two of kind {type(held).__name__}, expected at most one; add them up first"
            )
        found[field] = getattr(held, attribute)
    return Terms(**found)  # type: ignore[arg-type]


def alibi(heads: int) -> tuple[float, ...]:
    """Return ALiBi's slope of each head: 2^(-8k/heads) for a power of two, else the paper's interleaving.

    Source: Press et al. 2021, arXiv:2108.12409, and the authors' code for other numbers of heads.

    >>> alibi(2)
    (0.0625, 0.00390625)
    """
    positive_int("heads", heads)
    power = 1 << (heads.bit_length() - 1)
    own = [2.0 ** (-8 * (k + 1) / power) for k in range(power)]
    between = [2.0 ** (-4 * (2 * k + 1) / power) for k in range(heads - power)]
    return tuple(own + between)


def key_padding(start: torch.Tensor, stop: torch.Tensor, m: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the bias [b, 1, 1, m] that hides the keys outside start <= j < stop of each sequence: O(m), not O(n m).

    >>> key_padding(torch.tensor([1]), torch.tensor([3]), 4)
    tensor([[[[-inf, 0., 0., -inf]]]])
    """
    key = torch.arange(m, device=start.device)
    seen = (key >= start[:, None]) & (key < stop[:, None])
    return torch.zeros(seen.shape, dtype=dtype, device=start.device).masked_fill_(~seen, -torch.inf)[:, None, None]
