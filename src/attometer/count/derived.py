"""A derived nest: its phases in one Schedule, what it stores, and why it has its passes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy

from attometer.count.bounds.program import Bounds, bounds
from attometer.count.nest_search import Chosen, Search, Split, tile_of
from attometer.count.traffic.walk import Problem
from attometer.count.traffic.words import Traffic, held, moved
from attometer.count.work.schedule_work import depth, work
from attometer.program.program import Program
from attometer.schedule.cascade import Cascade
from attometer.schedule.fused import BLOCK, ONCE, PART, Phase
from attometer.schedule.merging import Merge, merge_of
from attometer.schedule.nest import Load, Loop, New, Schedule, Tensor, loops
from attometer.sizes import size
from attometer.view.printed import Printed


@dataclass(frozen=True)
class Derived(Printed):
    """A derived schedule with the tiles chosen at `sizes` for `M` words: `words` moved, `footprint` words held.

    `forced` lists (reduction, what waited for it) for every pass beyond the first; `considered` counts the phases tried.
    `merge` is the operator that merges partial results, where an axis is cut into chunks that run at once.
    """

    program: Program
    schedule: Schedule
    sizes: Mapping[str, int]
    tiles: Mapping[str, int]
    M: int
    words: int
    footprint: int
    stored: tuple[str, ...]
    passes: tuple[int, ...]
    forced: tuple[tuple[str, str], ...]
    considered: int
    notes: tuple[str, ...] = ()
    merge: Merge | None = None

    @cached_property
    def bounds(self) -> Bounds:
        """The lower bounds of the program at the sizes and M."""
        return bounds(self.program, self.M, **self.sizes)

    @property
    def names(self) -> set[str]:
        """Names of the sizes and tiles of the schedule."""
        return {s.name for s in self.schedule.symbols} | set(self.schedule.tile_names)

    @property
    def ratio(self) -> float:
        """Words moved over the strongest bound for its class: one accumulator per sum, or any tree where chunks merge."""
        return self.words / self.bounds.best(self.schedule.accumulators).words

    @cached_property
    def depth(self) -> int:
        """The longest chain of scalar operations, masks aside: tiles of parallel loops overlap, others follow one another."""
        return int(depth(self.schedule, self._numbers))

    @cached_property
    def work(self) -> int:
        """The scalar operations, those that are done again among them."""
        return int(work(self.schedule, self._numbers))

    @property
    def _numbers(self) -> dict[str, int]:
        return {k: v for k, v in {**self.sizes, **self.tiles}.items() if k in self.names}

    @property
    def traffic(self) -> Traffic:
        """Words moved per tensor at the sizes."""
        where = Problem({**self.sizes, **self.tiles})
        moves = moved(self.schedule, self.schedule.phases, where)
        return Traffic(moves.reads, moves.writes, self.footprint)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        rows = {k: getattr(self, k) for k in ("M", "words", "footprint", "work", "depth", "considered")}
        return {
            **rows,
            "sizes": dict(self.sizes),
            "tiles": dict(self.tiles),
            "stored": list(self.stored),
            "passes": list(self.passes),
            "forced": [list(pair) for pair in self.forced],
            "traffic": self.traffic.to_dict(),
            "bound": vars(self.bounds.best(self.schedule.accumulators)),
            "ratio": self.ratio,
            "notes": list(self.notes),
            "merge": None if self.merge is None else str(self.merge),
            "schedule": self.schedule.to_dict(),
        }

    def __str__(self) -> str:
        tiles = ", ".join(f"{k} = {v:,}" for k, v in self.tiles.items()) or "no tiles"
        at = ", ".join(f"{k} = {v:,}" for k, v in self.sizes.items())
        bound = self.bounds.best(self.schedule.accumulators)
        lines = [
            str(self.schedule),
            "",
            f"at {at}: {tiles}; moves {self.words:,} words, holds {self.footprint:,} of M = {self.M:,}",
            f"depth {self.depth:,}: operations in its longest chain, with a fast memory for each tile of a parallel loop",
            f"{self.ratio:.3f} × the lower bound of {bound.words:,} words ({bound.name}; {bound.status})",
            *self.notes,
        ]
        return "\n".join(lines)


def derived_of(search: Search, best: list[Chosen]) -> Derived:
    """Return the nest of phases in their order."""
    phases: list[Loop] = []
    tiles, chosen = list[tuple[sympy.Symbol, str]](), dict[str, int]()
    forced: list[tuple[str, str]] = []
    passes: list[int] = []
    kept = set[str]()
    for number, found in enumerate(best, 1):
        tile = tile_of(str(number) if len(best) > 1 else "")
        run = size(f"t{number if len(best) > 1 else ''}")
        chunk = run * tile(found.plan.stream or "")
        if found.plan.kept:
            chunk = size(f"B_{min(found.plan.kept)}")
            chosen[chunk.name] = found.width
            tiles += [(chunk, str(found.plan.stream))] if found.passes.kept else []
            kept |= found.plan.kept
        phase = Phase(found.passes, found.plan, tile, chunk=chunk)
        phases += phase.loops()
        for axis in (found.plan.row, found.plan.panel, *found.plan.streams):
            if axis and axis not in found.passes.along:
                tiles.append((tile(axis), axis))
                width = found.width if axis == found.plan.stream else 1
                chosen[tile(axis).name] = found.tiles.get(tile_of("")(axis).name, width)
        if found.plan.split and found.plan.stream:
            tiles.append((run, found.plan.stream))
            chosen[run.name] = found.run
        passes.append(max([1, *(r.done for r in phase.running.values())]))
        later = {r.passed: r.forced for r in reversed([*phase.running.values()]) if r.forced}
        forced += [later[number] for number in sorted(later)]
    cut = {t for found in best for t in found.plan.targets} - kept
    stored = tuple(s.name for s in search.cascade.steps if s.name in cut - set(search.cascade.outputs))
    merge = merge_of(r for f in best if f.plan.split for r in f.passes.running_for_targets.values())
    reason = _reason(stored, passes, forced, search.split if merge.parts else None, merge)
    again = [found for found in best if found.passes.kept]
    reason = (*reason, *map(_kept_note, again))
    once = ((ONCE, sympy.Integer(1)),) if any(p.axis == ONCE for p in phases) else ()
    images = {axis: search.cascade.images[axis] for axis in _seen(phases) if axis in search.cascade.images}
    axes = (*search.cascade.axes, *((axis, image.extent) for axis, image in images.items()), *once)
    schedule = Schedule(
        "derived", _title(best), "derived from the program's text", axes, _tensors(search.cascade, cut, best),
        tuple(phases), tuple(tiles), "tree" if merge.parts else "accumulator", notes=reason, copies=None, images=images,
    )  # fmt: skip
    where = Problem({**search.sizes, **chosen})
    words = int(moved(schedule, schedule.phases, where).words)
    need = int(held(schedule, schedule.phases, where))
    return Derived(
        search.program, schedule, search.sizes, chosen, search.M, words, need, stored, tuple(passes), tuple(forced),
        search.considered, (*reason, *search.notes), merge if merge.parts else None,
    )  # fmt: skip


def _seen(phases: Iterable[Loop]) -> dict[str, None]:
    """The axes of the tiles of a nest."""
    nodes = [node for loop in loops(phases) for node in loop.body]
    return dict.fromkeys(a for n in nodes if isinstance(n, Load | New) for a in n.tile.axes)


def _tensors(cascade: Cascade, cut: set[str], best: list[Chosen]) -> tuple[tuple[str, Tensor], ...]:
    """Declare what is in slow memory: inputs, what is stored, and the names under which other loops read these."""
    kept = []
    loaded = {name for found in best for name in found.passes.loads()}
    for value in cascade.values:
        own = value.of == value.name
        role = "input" if value.of in cascade.inputs else "scratch"
        role = "output" if value.of in cascade.outputs else role
        if (own and (value.of in cascade.inputs or value.of in cut)) or (not own and value.name in loaded):
            of = None if own else value.of
            kept.append((value.name, Tensor(value.axes, role, None, of, value.at, value.shape, value.where)))  # type: ignore[arg-type]
    resumed = [(s.name, s) for found in best for s in found.passes.steps.values() if s.name in found.passes.kept]
    chunks = [(n + PART, Tensor(tuple(a for a in s.axes if a != s.along), "scratch", BLOCK)) for n, s in resumed]
    parts = [r for found in best if found.plan.split for r in found.passes.running_for_targets.values()]
    partial = [(p.name + PART, Tensor(r.step.axes, "scratch", BLOCK)) for r in parts for p in r.parts]
    return (*kept, *chunks, *partial)


def _title(best: list[Chosen]) -> str:
    phases = f"{len(best)} phase{'s' if len(best) > 1 else ''}"
    streams = ", ".join(
        f"{'+'.join(sorted(p.plan.targets))} along {', then '.join(p.plan.streams) or 'no axis'}" for p in best
    )
    return f"{phases}: {streams}"


def _kept_note(found: Chosen) -> str:
    names, axis = ", ".join(sorted(found.passes.kept)), found.plan.stream
    return f"keeps {names} at the first of every {found.width} places of {axis}, and runs the places between again"


def _reason(
    stored: tuple[str, ...], passes: list[int], forced: list[tuple[str, str]], split: Split | None, merge: Merge
) -> tuple[str, ...]:
    lines = ["stores " + ", ".join(stored) if stored else "stores no intermediate"]
    if split is not None:
        lines.append(
            f"{split.pieces} chunks of {split.axis} at once; their partial results merge in any order: {merge}"
        )
    lines += [
        f"{later} waits for {first}: no factor corrects it, so that it takes another pass" for first, later in forced
    ]
    return (*lines, f"passes: {', '.join(map(str, passes))}")
