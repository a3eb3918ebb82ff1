"""The forward pass over tiles: four loop nests of `attometer.schedule` over the same steps, under the nests' names.

`flash2` keeps a row tile until done (Dao 2023, arXiv:2307.08691, Algorithm 1); `flash1` walks keys outside and re-reads
normalised rows (Dao et al. 2022, arXiv:2205.14135, Algorithm 1); `two_pass_recompute` finds the normaliser first and rescales
nothing (Milakov and Gimelshein 2018, arXiv:1805.02867, section 2); `split_kv` runs ranges of keys apart and merges them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from attometer.run.operands import Operands
from attometer.run.tiled.plan import RowTile, Step, TilePlan
from attometer.run.tiled.scores import Scratch, score_tile, values_of, weigh

SPLIT = 4  # ranges of keys of split_kv


@dataclass
class Rows:
    """The state of a row tile: maximum and total [Z, r, R, 1], unnormalised output [Z, r, R, e]."""

    maximum: torch.Tensor
    total: torch.Tensor
    output: torch.Tensor
    poison: torch.Tensor | None = None

    def finish(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return output and log-sum-exp; a row that saw nothing gives 0 and -inf."""
        empty = self.total == 0
        output = (self.output / self.total.masked_fill(empty, 1.0)).masked_fill_(empty, 0.0)
        if self.poison is not None:
            output = output + _poisoned(self.poison)
        return output, (self.maximum + self.total.log()).masked_fill_(empty, -torch.inf)


def _poisoned(seen: torch.Tensor) -> torch.Tensor:
    nan, above, below = seen.chunk(3, dim=-1)
    mark = torch.where(above > 0, torch.inf, 0.0) + torch.where(below > 0, -torch.inf, 0.0)
    return torch.where(nan > 0, torch.nan, mark)


def fresh(x: Operands, rows: int) -> Rows:
    """Return the state before any key: a sink is a key without a value."""
    z, r = x.q.shape[:2]
    maximum = x.q.new_full((z, r, rows, 1), -torch.inf)
    total = x.q.new_zeros(z, r, rows, 1)
    if x.sinks is not None:
        maximum, total = maximum.copy_(x.sinks), total.fill_(1.0)
    poison = None if x.poison is None else x.q.new_zeros(z, r, rows, x.poison.shape[-1])
    return Rows(maximum, total, x.q.new_zeros(z, r, rows, x.v.shape[-1]), poison)


def queries_of(x: Operands, tile: RowTile) -> torch.Tensor:
    """Return the tile's queries [Z, r, R, d], contiguous."""
    return x.q[:, :, tile.start : tile.stop].contiguous()


def absorb(
    x: Operands, queries: torch.Tensor, tile: RowTile, step: Step, state: Rows, scratch: Scratch, values: bool = True
) -> None:
    """Take one step's keys into `state`; without `values` only the maximum and the total move."""
    made = score_tile(x, queries, tile, step, scratch)
    part = state if made.rows is None else _picked(state, made.rows)
    highest = torch.maximum(part.maximum, made.scores.amax(-1, keepdim=True))
    shift = highest.masked_fill(highest == -torch.inf, 0.0)
    if part.poison is not None and values:
        visible = (made.scores != -torch.inf).to(made.scores.dtype)
        part.poison += weigh(visible, values_of(x.poison, made))
    weights = made.scores.sub_(shift).exp_()
    decay = torch.exp(part.maximum - shift)
    part.total.mul_(decay).add_(weights.sum(-1, keepdim=True))
    if values:
        part.output.mul_(decay)
        _add_product(part.output, weights, values_of(x.v, made))
    part.maximum.copy_(highest)
    if made.rows is not None:
        _put_back(state, part, made.rows)


def _add_product(output: torch.Tensor, weights: torch.Tensor, values: torch.Tensor) -> None:
    if values.dim() == 3 and output.is_contiguous():
        z, r, rows, width = weights.shape
        output.flatten(1, 2).baddbmm_(weights.view(z, r * rows, width), values)
    else:
        output.add_(weigh(weights, values))


def _picked(state: Rows, rows: torch.Tensor) -> Rows:
    poison = None if state.poison is None else state.poison.index_select(2, rows)
    maximum, total, output = (x.index_select(2, rows) for x in (state.maximum, state.total, state.output))
    return Rows(maximum, total, output, poison)


def _put_back(state: Rows, part: Rows, rows: torch.Tensor) -> None:
    for field in ("maximum", "total", "output", "poison"):
        if getattr(state, field) is not None:
            getattr(state, field).index_copy_(2, rows, getattr(part, field))


Result = tuple[torch.Tensor, torch.Tensor]


def flash2(x: Operands, plan: TilePlan, output: torch.Tensor, lse: torch.Tensor) -> None:
    """Each row tile meets its keys once; its state never leaves."""
    scratch = Scratch()
    for tile in plan.tiles:
        state, queries = fresh(x, tile.stop - tile.start), queries_of(x, tile)
        for step in tile.steps:
            absorb(x, queries, tile, step, state, scratch)
        _store(state.finish(), tile, output, lse)


def two_pass_recompute(x: Operands, plan: TilePlan, output: torch.Tensor, lse: torch.Tensor) -> None:
    """The normaliser in a first pass over the keys, the output in a second."""
    scratch = Scratch()
    for tile in plan.tiles:
        state, queries = fresh(x, tile.stop - tile.start), queries_of(x, tile)
        for step in tile.steps:
            absorb(x, queries, tile, step, state, scratch, values=False)
        known = Rows(state.maximum, state.total, state.output, state.poison)
        for step in tile.steps:
            _weigh_known(x, queries, tile, step, known, scratch)
        _store(known.finish(), tile, output, lse)


def _weigh_known(x: Operands, queries: torch.Tensor, tile: RowTile, step: Step, known: Rows, scratch: Scratch) -> None:
    made = score_tile(x, queries, tile, step, scratch)
    part = known if made.rows is None else _picked(known, made.rows)
    if part.poison is not None:
        visible = (made.scores != -torch.inf).to(made.scores.dtype)
        part.poison += weigh(visible, values_of(x.poison, made))
    weights = made.scores.sub_(part.maximum.masked_fill(part.maximum == -torch.inf, 0.0)).exp_()
    _add_product(part.output, weights, values_of(x.v, made))
    if made.rows is not None:
        _put_back(known, part, made.rows)


def flash1(x: Operands, plan: TilePlan, output: torch.Tensor, lse: torch.Tensor) -> None:
    """Keys outside: rows are read, updated and written back, normalised, for every tile of keys."""
    scratch = Scratch()
    whole = fresh(x, x.q.shape[2])
    _store(whole.finish(), RowTile(0, x.q.shape[2], ()), output, lse)
    visits = sorted(
        ((step.start, k, step) for k, tile in enumerate(plan.tiles) for step in tile.steps), key=lambda v: v[:2]
    )
    seen = whole.poison
    for _, k, step in visits:
        tile = plan.tiles[k]
        state = _read(tile, output, lse)
        if seen is not None:
            state.poison = seen[:, :, tile.start : tile.stop]
        absorb(x, queries_of(x, tile), tile, step, state, scratch)
        kept, state.poison = state.poison, None
        if seen is not None and kept is not None:
            seen[:, :, tile.start : tile.stop] = kept
        _store(state.finish(), tile, output, lse)
    if seen is not None:
        output += _poisoned(seen)


def _read(tile: RowTile, output: torch.Tensor, lse: torch.Tensor) -> Rows:
    """Return normalised rows as a state: total 1 at a maximum of log-sum-exp, or nothing yet."""
    maximum = lse[:, :, tile.start : tile.stop, None].clone()
    return Rows(maximum, (maximum != -torch.inf).to(lse.dtype), output[:, :, tile.start : tile.stop].clone())


def split_kv(x: Operands, plan: TilePlan, output: torch.Tensor, lse: torch.Tensor) -> None:
    """Ranges of keys apart, each with a state of its own, merged at the end (flash-decoding)."""
    scratch = Scratch()
    for tile in plan.tiles:
        queries = queries_of(x, tile)
        merged = fresh(x, tile.stop - tile.start)
        for steps in _ranges(tile.steps):
            state = fresh(x, tile.stop - tile.start)
            state.maximum.fill_(-torch.inf), state.total.zero_()  # the sink is counted once, in `merged`
            for step in steps:
                absorb(x, queries, tile, step, state, scratch)
            _merge(merged, state)
        _store(merged.finish(), tile, output, lse)


def _ranges(steps: tuple[Step, ...]) -> Iterable[tuple[Step, ...]]:
    each = max(1, -(-len(steps) // SPLIT))
    return [steps[k : k + each] for k in range(0, len(steps), each)]


def _merge(into: Rows, part: Rows) -> None:
    highest = torch.maximum(into.maximum, part.maximum)
    shift = highest.masked_fill(highest == -torch.inf, 0.0)
    one, other = torch.exp(into.maximum - shift), torch.exp(part.maximum - shift)
    into.total = into.total * one + part.total * other
    into.output = into.output * one + part.output * other
    into.maximum = highest
    if into.poison is not None and part.poison is not None:
        into.poison = into.poison + part.poison


def _store(done: Result, tile: RowTile, output: torch.Tensor, lse: torch.Tensor) -> None:
    output[:, :, tile.start : tile.stop] = done[0]
    lse[:, :, tile.start : tile.stop] = done[1][..., 0]


NESTS: dict[str, Callable[[Operands, TilePlan, torch.Tensor, torch.Tensor], None]] = {
    "flash2": flash2,
    "flash1": flash1,
    "two_pass_recompute": two_pass_recompute,
    "split_kv": split_kv,
}
"""What executes each loop nest of `attometer.schedule`, by the nest's name."""
