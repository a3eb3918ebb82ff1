"""How a model is spread over devices: the degrees of each kind of parallelism, and what they mean together."""

from dataclasses import dataclass, fields
from typing import Any

from attometer.errors import AttometerError, positive_int

ZERO = (0, 1, 2, 3)
"""What data-parallel ranks divide: nothing, optimizer state, gradients too, weights too (Rajbhandari et al. 2020; 3 is FSDP)."""
CP_METHODS = ("ring", "ulysses")


@dataclass(frozen=True)
class Placement:
    """Degrees of parallelism; `devices` is tp·pp·dp·cp, and experts spread over the tp·cp·dp ranks of a stage.

    Attributes:
        tp: ranks that share the heads and features of each layer.
        pp: stages of consecutive layers.
        ep: ranks that share the experts of each layer.
        dp: replicas, each with its part of the batch.
        cp: ranks that share the positions of each sequence, by `cp_method`.
        sp: sequence parallelism: what tensor-parallel ranks would hold alike they share by positions.
        zero: what replicas divide, 0 to 3.
        dp_replicate: groups of replicas that divide nothing between them (HSDP); `zero` acts inside each.
        interleave: pieces of consecutive layers that a stage holds (virtual stages).
        attention_dp: replicas of attention inside a tensor-parallel group, each with its part of the batch.
        expert_tp: ranks that share the hidden features of each expert; by default what `ep` leaves of tp.

    Raises AttometerError, naming the axis and the degree, for degrees that do not go together.

    >>> Placement(tp=8, pp=2, dp=4).devices
    64
    >>> Placement(tp=4, attention_dp=3)
    Traceback (most recent call last):
    attometer.errors.AttometerError: attention_dp 3 does not divide tp 4; allowed: 1, 2, 4
    """

    tp: int = 1
    pp: int = 1
    ep: int = 1
    dp: int = 1
    cp: int = 1
    sp: bool = False
    zero: int = 0
    interleave: int = 1
    attention_dp: int = 1
    dp_replicate: int = 1
    expert_tp: int | None = None
    cp_method: str = "ring"

    def __post_init__(self) -> None:
        for name in ("tp", "pp", "ep", "dp", "cp", "interleave", "attention_dp", "dp_replicate"):
            object.__setattr__(self, name, positive_int(name, getattr(self, name)))
        if self.zero not in ZERO or isinstance(self.zero, bool):
            raise AttometerError(f"zero must be one of {', '.join(map(str, ZERO))}, got {self.zero!r:.40}")
        if self.cp_method not in CP_METHODS:
            raise AttometerError(f'cp_method must be one of {", ".join(CP_METHODS)}, got "{self.cp_method!s:.40}"')
        if self.expert_tp is None:
            object.__setattr__(self, "expert_tp", self.tp // self.ep if self.tp % self.ep == 0 else 1)
        positive_int("expert_tp", self.expert_tp)
        _divides("attention_dp", self.attention_dp, "tp", self.tp)
        _divides("dp_replicate", self.dp_replicate, "dp", self.dp)
        over = self.tp * self.cp * self.dp
        _divides("ep x expert_tp", self.expert_ranks, f"tp {self.tp} x cp {self.cp} x dp {self.dp} =", over)
        if self.ep > 1 and self.expert_ranks < self.tp:
            raise AttometerError(
                f"ep {self.ep} x expert_tp {self.expert_tp} leaves ranks of tp {self.tp} without experts of their own"
            )
        if self.interleave > 1 and self.pp == 1:
            raise AttometerError(f"interleave {self.interleave} needs pp of at least 2, got pp 1")
        if self.sp and self.tp == 1:
            raise AttometerError("sp needs tp of at least 2, got tp 1")

    @property
    def devices(self) -> int:
        """How many devices it takes."""
        return self.tp * self.pp * self.dp * self.cp

    @property
    def attention_tp(self) -> int:
        """Ranks that share the heads of attention."""
        return self.tp // self.attention_dp

    @property
    def expert_ranks(self) -> int:
        """Ranks that hold all experts of a layer once."""
        return self.ep * int(self.expert_tp or 1)

    @property
    def dispatched(self) -> bool:
        """Whether tokens travel to their experts' ranks; else every rank of tp has all tokens and adds its experts' share."""
        return self.ep > 1 and (self.sp or self.attention_dp > 1 or self.expert_ranks > self.tp)

    @property
    def shards(self) -> int:
        """Ranks among which `zero` divides what replicas hold alike; expert weights have fewer replicas."""
        return self.dp * self.cp // self.dp_replicate

    @property
    def expert_shards(self) -> int:
        """Ranks that hold the same experts, among which `zero` divides them."""
        return max(1, self.tp * self.cp * self.dp // self.expert_ranks // self.dp_replicate)

    def to_dict(self) -> dict[str, Any]:
        """Return the degrees as plain values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __str__(self) -> str:
        """Return the degrees that are not the defaults, as a command line spells them.

        >>> str(Placement(tp=8, dp=8, zero=3)), str(Placement())
        ('tp 8 dp 8 zero 3', 'one device')
        """
        plain = {field.name: field.default for field in fields(self)} | {"expert_tp": 1}
        shown = [name for name in self.to_dict() if getattr(self, name) != plain[name]]
        if "expert_tp" in shown and self.ep == 1:
            shown.remove("expert_tp")
        return " ".join(n if getattr(self, n) is True else f"{n} {getattr(self, n)}" for n in shown) or "one device"


def _divides(name: str, degree: int, of: str, whole: int) -> None:
    if whole % degree:
        allowed = ", ".join(str(d) for d in range(1, min(whole, 4096) + 1) if whole % d == 0)
        raise AttometerError(f"{name} {degree} does not divide {of} {whole}; allowed: {allowed}")


def pipeline_stages(layers: int, pp: int, interleave: int = 1) -> tuple[tuple[int, ...], ...]:
    """Return the numbers of the layers of each stage, as even as they come: of what is left over, the stages before the
    last one hold one more each (as in vLLM); with `interleave`, each stage holds that many pieces in turn.

    >>> [len(stage) for stage in pipeline_stages(61, 16)][-4:], pipeline_stages(4, 2, 2)
    ([4, 4, 4, 3], ((0, 2), (1, 3)))
    """
    pieces = pp * interleave
    if layers < pieces:
        raise AttometerError(
            f"pp {pp} x interleave {interleave} needs at least {pieces} layers, the model has {layers}"
        )
    each, more = divmod(layers, pieces)
    counts = [each + (pieces - 1 - more <= k < pieces - 1) for k in range(pieces)]
    starts = [sum(counts[:k]) for k in range(pieces)]
    held = [range(start, start + count) for start, count in zip(starts, counts, strict=True)]
    return tuple(tuple(n for piece in held[stage::pp] for n in piece) for stage in range(pp))


@dataclass(frozen=True)
class LayerDegrees:
    """What of a placement one layer depends on."""

    tp: int = 1
    attention_tp: int = 1
    ep: int = 1
    expert_tp: int = 1
    sp: bool = False
    dispatched: bool = False


def layer_degrees(place: Placement) -> LayerDegrees:
    """Return what of a placement one layer depends on.

    >>> layer_degrees(Placement(tp=8, attention_dp=8)).attention_tp
    1
    """
    expert_tp = int(place.expert_tp or 1)
    return LayerDegrees(place.tp, place.attention_tp, place.ep, expert_tp, place.sp, place.dispatched)
