"""Speculative decoding: a draft proposes tokens, the model checks them in one step; what that saves at a given acceptance."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attometer.errors import AttometerError, positive_int
from attometer.plan.spread import Spread, spread
from attometer.schedule.placement import Placement
from attometer.view.numbers import seconds

if TYPE_CHECKING:
    from attometer.plan.planner import Planner


@dataclass(frozen=True)
class Speculation:
    """A draft beside a model while it decodes.

    Attributes:
        target: the planner of the model.
        draft: the planner of the draft, on the same devices.
        tokens: tokens proposed before each check.
        acceptance: the chance that a proposed token is accepted, given that those before it were.
        at: how the draft is spread, where the model is.
        devices: how many devices run both.
    """

    target: "Planner"
    draft: "Planner"
    tokens: int
    acceptance: float
    at: Spread | None = None
    devices: int = 1

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
        """Bytes of the draft's weights and of its cache, on the fullest rank."""
        o = self.target.options
        held = (self.draft if self.at is None else self.at).memory(o.context, o.batch)
        return held.weights + held.kv + held.state

    @property
    def seconds(self) -> float:
        """Datasheet seconds of a round, shared evenly by all devices: as many draft steps as tokens, and one check of them all."""
        o = self.target.options
        alone = self.tokens * self.draft.seconds(o.context, o.batch) + self.target.checking(self.tokens + 1)
        return alone / self.devices

    @property
    def speed(self) -> float:
        """Tokens per second over those without a draft, both by datasheet rates: an estimate."""
        o = self.target.options
        return self.per_check * self.target.seconds(o.context, o.batch) / self.devices / self.seconds

    def beside(self, at: Spread) -> "Speculation":
        """Return the same where the model is spread: the draft alike, or whole on one rank of each replica where it cannot be.

        Engines do either (vLLM's `draft_tensor_parallel_size` is that of the model, or 1).
        """
        o, place = at.planner.options, at.placement
        draft = self.draft.with_options(context=o.context, batch=o.batch)
        alike = Placement(tp=place.tp, pp=place.pp, dp=place.dp, attention_dp=place.attention_dp)
        try:
            own = spread(draft, at.devices.of(alike.devices), alike)
        except AttometerError:
            own = spread(draft, at.devices.of(place.dp), Placement(dp=place.dp))
        return replace(self, target=at.planner, draft=draft, at=own, devices=at.devices.count)

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
