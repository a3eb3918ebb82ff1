"""Speculative decoding: a draft proposes tokens, the model checks them in one step; what that saves at a given acceptance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attometer.errors import AttometerError, positive_int
from attometer.view.numbers import seconds

if TYPE_CHECKING:
    from attometer.plan.planner import Planner


@dataclass(frozen=True)
class Speculation:
    """A draft beside a model while it decodes.

    Attributes:
        target: the planner of the model.
        draft: the planner of the draft, on the same device.
        tokens: tokens proposed before each check.
        acceptance: the chance that a proposed token is accepted, given that those before it were.
    """

    target: "Planner"
    draft: "Planner"
    tokens: int
    acceptance: float

    def __post_init__(self) -> None:
        positive_int("draft_tokens", self.tokens, 64)
        if not 0 < self.acceptance < 1:
            raise AttometerError(f"acceptance must be above 0 and below 1, got {self.acceptance:g}")

    @property
    def per_check(self) -> float:
        """Tokens that a check is expected to yield: (1 - a^(k + 1)) / (1 - a) (Leviathan et al. 2023, arXiv:2211.17192)."""
        a = self.acceptance
        return float((1 - a ** (self.tokens + 1)) / (1 - a))

    @property
    def bytes(self) -> int:
        """Bytes of the draft's weights and of its cache."""
        o = self.target.options
        held = self.draft.memory(o.context, o.batch)
        return held.weights + held.kv + held.state

    @property
    def seconds(self) -> float:
        """Datasheet seconds of a round: as many draft steps as tokens, and one check of them all."""
        o = self.target.options
        return self.tokens * self.draft.seconds(o.context, o.batch) + self.target.checking(self.tokens + 1)

    @property
    def speed(self) -> float:
        """Tokens per second over those without a draft, both by datasheet rates: an estimate."""
        o = self.target.options
        return self.per_check * self.target.seconds(o.context, o.batch) / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.draft.model.name} proposes {self.tokens} tokens, accepted {self.acceptance:g} each: {self.per_check:.2f} tokens "
            f"a round of {seconds(self.seconds)}, {self.speed:.2f} × the speed, by datasheet rates"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON."""
        return {
            "draft": self.draft.model.name,
            "tokens": self.tokens,
            "acceptance": self.acceptance,
            "tokens_per_check": self.per_check,
            "seconds": self.seconds,
            "speed": self.speed,
            "bytes": self.bytes,
        }
