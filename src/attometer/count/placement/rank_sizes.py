"""Which of a batch's tokens a rank works on, by what it does."""

from dataclasses import dataclass
from functools import cached_property

from attometer.count.placement.rank_layer import RankPart
from attometer.schedule.placement import Placement


@dataclass(frozen=True)
class RankSizes:
    """`batch` sequences of `new` tokens over `keys` keys, on one rank of a placement of a model of so much `width`.

    Shares that do not divide are rounded up: the rank that has most.
    """

    placement: Placement
    width: int
    batch: int
    new: int
    keys: int

    @cached_property
    def b(self) -> int:
        """Sequences of the rank's replica."""
        return -(-self.batch // self.placement.dp)

    @cached_property
    def n(self) -> int:
        """New tokens of each sequence on the rank's share of its positions."""
        return -(-self.new // self.placement.cp)

    @cached_property
    def attention_b(self) -> int:
        """Sequences that the rank's attention works on."""
        return -(-self.b // self.placement.attention_dp)

    @cached_property
    def stream_tokens(self) -> int:
        """Tokens of the residual stream that stand on the rank."""
        if self.placement.sp:
            return -(-self.b * self.n // self.placement.tp)
        return self.attention_b * self.n

    @cached_property
    def own_tokens(self) -> int:
        """Tokens that no other rank of the tensor-parallel group sends to experts."""
        return max(1, -(-self.b * self.n // self.placement.tp))

    @cached_property
    def routed_tokens(self) -> int:
        """Tokens that the ranks which hold all experts once have together."""
        return self.own_tokens * self.placement.expert_ranks if self.placement.dispatched else self.b * self.n

    def rows(self, top_k: int) -> int:
        """Return the rows that reach one rank's experts when experts are used alike, rounded up."""
        return max(1, -(-self.routed_tokens * top_k // self.placement.ep))

    def of(self, part: RankPart) -> tuple[int, int, int]:
        """Return b, n and m of a part."""
        if part.where == "experts":
            return self.rows(_top_k(part)), 1, self.keys
        if part.where == "attention":
            if part.kind == "attention":
                # Its pairs are shared by the ranks of cp, as even as a zigzag makes them.
                return self.attention_b, self.new, self.keys
            # What is made of each key (MLA's expansion) is made where the key stands.
            keys = -(-self.keys // self.placement.cp) if part.of_keys else self.keys
            return self.attention_b, self.n, keys
        if part.where == "stream":
            return self.stream_tokens, 1, self.keys
        return self.b, self.n, self.keys

    def spread(self, part: RankPart) -> int:
        """Return among how many ranks of cp the part's figures are shared evenly."""
        return self.placement.cp if part.kind == "attention" else 1


def _top_k(part: RankPart) -> int:
    return int(dict(part.whole.program.axes)["k"])
