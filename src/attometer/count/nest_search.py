"""Searching the nests of a Program: which cuts, phases, plans and tiles there are, and the best of them by counted traffic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product

import sympy

from attometer.count.floors import Floors
from attometer.count.traffic.phase_tiles import PhaseTiles
from attometer.errors import AttometerError, positive_int, unknown
from attometer.program.conditions import check_conditions
from attometer.program.printer import expression_text
from attometer.program.program import Program
from attometer.schedule.cascade import Cascade
from attometer.schedule.fused import ONCE, Alike, Phase, Plan, TileOf
from attometer.schedule.merging import merge_of
from attometer.schedule.nest import Loop, Schedule
from attometer.schedule.reading import Windows, cascade
from attometer.schedule.running import MERGED, Passes
from attometer.sizes import size

TYPICAL = {"n": 4096, "m": 4096, "d": 64, "e": 64, "b": 1, "h": 1, "g": 1, "w": 256}
"""Sizes at which a nest is chosen where none are given."""
_OTHER = 64
_SUBSETS_OF = 6
ENOUGH = 8_000
"""Phases and orders of loops after which what is stored is no longer varied: seconds on one processor."""
_ROWS = 16
"""What has so many times fewer words than the inputs, as what rows share, is stored in one of the first choices."""
_LITTLE = 0.01
"""An axis goes one by one where that reads again less than this part of what moves whatever the loops."""


def filled(program: Program, given: Mapping[str, int]) -> dict[str, int]:
    """Return a number for every size of a program: the given one, else a typical one.

    Raises AttometerError for a size that the program does not have, or that is no positive integer.

    >>> from attometer.program import parse
    >>> filled(parse("Y[n,d] = exp(X[n,d])"), {"n": 8})
    {'d': 64, 'n': 8}
    """
    names = [s.name for s in program.symbols]
    for name, value in given.items():
        if name not in names:
            raise unknown("size", name, names)
        positive_int(name, value)
    return {name: given.get(name, TYPICAL.get(name, _OTHER)) for name in names}


@dataclass(frozen=True)
class Split:
    """An axis along which sums are cut into `pieces` that run at once, wherever they can be merged."""

    axis: str
    pieces: int

    def run(self, extent: int, width: int) -> int:
        """Return the steps of `width` places in a piece."""
        steps = -(-extent // width)
        return -(-steps // self.pieces)


@dataclass(frozen=True)
class Chosen:
    """A phase with its plan, its tiles, and what it moves and holds with them.

    Where it is split, a step of the stream has `width` places, and a chunk `run` steps.
    """

    plan: Plan
    passes: Passes
    words: int
    footprint: int
    tiles: Mapping[str, int]
    width: int = 1
    run: int = 1


@dataclass
class Shared:
    """Phases that several ways to read one program have: by their contents the best plan, and how many were considered."""

    plans: dict[object, tuple[Chosen | None, int]] = field(default_factory=dict)
    numbers: dict[object, int] = field(default_factory=dict)

    def number(self, *parts: object) -> int:
        """Return a number for some parts: the same where they are equal."""
        return self.numbers.setdefault(parts, len(self.numbers))


@dataclass
class Search:
    """The nests of a program at some sizes: which cuts, phases and plans there are, and the best of them."""

    program: Program
    M: int
    given: Mapping[str, int]
    windows: Windows = "none"
    views: bool = False
    split: Split | None = None
    considered: int = 0
    arranged: dict[tuple[frozenset[str], frozenset[str], tuple[str, ...], frozenset[str]], Passes] = field(
        default_factory=dict
    )
    pairs: dict[tuple[frozenset[str], ...], list[Chosen] | None] = field(default_factory=dict)
    read: dict[tuple[frozenset[str], frozenset[str]], set[str]] = field(default_factory=dict)
    known: dict[tuple[frozenset[str], frozenset[str]], Chosen | None] = field(default_factory=dict)
    above: dict[tuple[frozenset[str], frozenset[str]], int] = field(default_factory=dict)
    shared: Shared = field(default_factory=Shared)

    def __post_init__(self) -> None:
        self.sizes = filled(self.program, self.given)
        said = ", ".join(f"{name} = {value}" for name, value in self.sizes.items() if name not in self.given)
        self.notes: tuple[str, ...] = (f"sizes that were not given: {said}",) if said else ()
        self.numbers: dict[sympy.Expr, sympy.Expr] = {size(k): sympy.Integer(v) for k, v in self.sizes.items()}
        check_conditions(self.program, {s: self.numbers[s] for s in self.program.symbols})
        self.cascade: Cascade = cascade(self.program, self.windows, again=True)
        self.extent = {axis: int(extent.xreplace(self.numbers)) for axis, extent in self.cascade.axes}
        if self.views:
            small = frozenset(axis for axis, extent in self.extent.items() if extent**2 <= self.M)
            self.cascade = cascade(self.program, self.windows, again=True, small=small)
        images = {axis: int(image.length(self.extent.__getitem__)) for axis, image in self.cascade.images.items()}
        self.extent |= images
        self.floors = Floors(self.cascade, self.extent, self.numbers, self.M)

    # --- cuts --------------------------------------------------------------------------------------------------------

    def begun(self) -> list[Chosen]:
        """Return the best phases over all cuts where these are few, else over some that a search starts from.

        Raises AttometerError where none fits.
        """
        for value in self.cascade.values:
            if value.at and value.where is not None:
                raise AttometerError(
                    f"no nest is derived: {value.name}, which is {value.of}[{', '.join(map(expression_text, value.at))}], reads "
                    f"word by word where a mask may have left nothing stored, and its windows do not fit into M = {self.M} words"
                )
        best: list[Chosen] | None = None
        for chosen in self._starts():
            best = self._better(frozenset(self.must | chosen), best)
        if best is None:
            raise AttometerError(
                f"no nest of this program fits into M = {self.M} words at "
                f"{', '.join(f'{k} = {v}' for k, v in self.sizes.items())}; hint: a larger M"
            )
        return best

    @property
    def spent(self) -> int:
        """The phases and orders of loops considered so far."""
        return self.considered + len(self.known) + len(self.above)

    @cached_property
    def must(self) -> set[str]:
        """What every nest stores: results, and what is read under other axis names or at other places."""
        renamed = {v.of for v in self.cascade.values if v.name != v.of and not self.cascade.step(v.name)}
        return (renamed - set(self.cascade.inputs)) | set(self.cascade.outputs)

    @cached_property
    def free(self) -> list[str]:
        """What a nest may store: sums, reductions, and what a recurrence carries. Maps are computed again from it."""
        carried = self.cascade.carried
        read = {r for s in self.cascade.steps for r in s.reads if s.cycle is None}
        inner = {s.name for s in self.cascade.steps if s.cycle is not None} - carried - read
        kinds = {s.name for s in self.cascade.steps if s.kind not in ("set", "before", "view")} | carried
        copies = {v.name: v.of for v in self.cascade.values if v.name != v.of and self.cascade.step(v.name)}
        copies = {n: of for n, of in copies.items() if of not in self.cascade.inputs}
        kinds = (kinds | {copies[n] for n in copies if n not in self._befores}) - copies.keys()
        return [s.name for s in self.cascade.steps if s.name in kinds - inner - self.must]

    @property
    def _befores(self) -> set[str]:
        return {s.name for s in self.cascade.steps if s.kind == "before"}

    def _starts(self) -> Iterator[set[str]]:
        """Yield every choice of what else to store where these are few, else nothing, what is small, and all."""
        if len(self.free) <= _SUBSETS_OF:
            yield from (set(chosen) for count in range(len(self.free) + 1) for chosen in combinations(self.free, count))
            return
        small = sum(self.floors.size(n) for n in self.cascade.inputs)
        light = {n for n in self.free if self.floors.size(n) <= small}
        rows = {n for n in light if self.floors.size(n) * _ROWS <= small}
        yield from (set(), rows, rows | (light & self.cascade.carried), light, set(self.free))

    def descended(self, best: list[Chosen], enough: int) -> list[Chosen]:
        """Return phases that storing one value more or less does not better, or the best when `enough` were considered."""
        if len(self.free) <= _SUBSETS_OF:
            return best
        while True:
            stored = {name for phase in best for name in phase.plan.targets}
            found = best
            for name in self.free:
                if self.spent > enough:
                    self.notes += (
                        f"stopped after {self.considered:,} orders: another choice of what is stored may be better",
                    )
                    return found
                found = self._better(frozenset(stored ^ {name}), found) or found
            if found is best:
                return best
            best = found

    def _better(self, cut: frozenset[str], best: list[Chosen] | None) -> list[Chosen] | None:
        """Return the phases of a cut if they cost less than `best`, else `best`."""
        if best is not None and self.floors.cut(cut) >= cost(best)[0]:
            return best
        phases = self._phases(cut)
        return phases if phases is not None and (best is None or cost(phases) < cost(best)) else best

    def _phases(self, cut: frozenset[str]) -> list[Chosen] | None:
        """Return the phases of a cut, those merged that move fewer words together; None where one does not fit."""
        order = [name for name in self.cascade.stores if name in cut]
        groups = [frozenset({name}) for name in order]
        found = [self._best(group, cut) for group in groups]
        if len(groups) > 1:
            groups, found = self._merged(groups, found, cut)
            found = self._with_checkpoints(groups, found, cut)
        return None if any(f is None for f in found) else [f for f in found if f is not None]

    def _merged(
        self, groups: list[frozenset[str]], found: list[Chosen | None], cut: frozenset[str]
    ) -> tuple[list[frozenset[str]], list[Chosen | None]]:
        """Merge neighbouring phases while that saves words."""
        read = [self.loads(group, cut) for group in groups]
        for one, two in combinations(range(len(groups)), 2):
            if not self._may_join(groups, one, two, read):
                continue
            apart = [f for f in (found[one], found[two]) if f]
            limit = sum(f.words for f in apart) if len(apart) == 2 else None
            both = self._best(groups[one] | groups[two], cut, limit)
            if both and (limit is None or cost([both]) < cost(apart)):
                rest = [k for k in range(len(groups)) if k not in (one, two)]
                at = sum(k < two for k in rest)
                kept, best = [groups[k] for k in rest], [found[k] for k in rest]
                kept.insert(at, groups[one] | groups[two])
                best.insert(at, both)
                return self._merged(kept, best, cut)
        return groups, found

    def _with_checkpoints(
        self, groups: list[frozenset[str]], found: list[Chosen | None], cut: frozenset[str]
    ) -> list[Chosen | None]:
        """Keep what a recurrence carries at the beginnings of chunks, where that moves fewer words than all of it."""
        found = list(found)
        for one, two in combinations(range(len(groups)), 2):
            cycles = {s.cycle for s in map(self.cascade.step, groups[one] & self.cascade.carried) if s is not None}
            if len(cycles) != 1 or None in cycles:
                continue
            kept = frozenset(s.name for s in self.cascade.steps if s.cycle in cycles and s.name in self.cascade.carried)
            rest = groups[one] - kept
            read = [{self.cascade.value(r).of for r in self.loads(group, cut)} for group in groups]
            readers = [k for k, names in enumerate(read) if names & groups[one]]
            if readers != [two] or kept & self.must or self.loads(groups[two], cut) & rest:
                continue
            pair = self._pair(kept, groups[two] | rest, cut - kept)
            apart = [f for f in (found[one], found[two]) if f]
            if pair and (len(apart) < 2 or cost(pair) < cost(apart)):
                found[one], found[two] = pair
        return found

    def _pair(self, kept: frozenset[str], targets: frozenset[str], cut: frozenset[str]) -> list[Chosen] | None:
        """Return a phase that keeps what a recurrence carries where chunks begin, and one that runs it again in each."""
        first = Passes(self.cascade, kept, cut, ()).loads()
        second = Passes(self.cascade, targets, cut - targets, (), kept).loads()
        key = (kept, targets, frozenset(first), frozenset(second))
        if key not in self.pairs:
            self.pairs[key] = self._best_pair(kept, targets, first, second)
        return self.pairs[key]

    def _best_pair(
        self, kept: frozenset[str], targets: frozenset[str], first: set[str], second: set[str]
    ) -> list[Chosen] | None:
        plans = [self._floored(made, loads, kept) for made, loads in ((kept, first), (targets, second))]
        axes = {plan.stream for each in plans for _, plan in each}
        if not all(plans) or len(axes) != 1:
            return None
        best: list[Chosen] | None = None
        places = self.extent[str(axes.pop())]
        halved = [(part << k) // 4 for k in range(places.bit_length() + 1) for part in (3, 4)]
        for length in reversed([each for each in halved if 1 < each <= places]):  # longer ones keep less, and hold more
            pair = [
                self._best_of(each, loads, width=length) for each, loads in zip(plans, (first, second), strict=True)
            ]
            both = [found for found in pair if found]
            if len(both) == 2:
                if best is not None and cost(both) >= cost(best):
                    break
                best = both
        return best

    def _may_join(self, groups: list[frozenset[str]], one: int, two: int, read: list[set[str]]) -> bool:
        """Whether phase `one` can run together with `two`: nothing between them needs it, and it is read at its own axes."""

        def needs(number: int) -> bool:
            return any(self.cascade.value(r).of in groups[one] for r in read[number])

        if read[one].isdisjoint(read[two]) and not needs(two):
            return False  # nothing is shared: together they move what they move apart
        if any(needs(k) for k in range(one + 1, two)):
            return False
        other = [self.cascade.value(r) for r in read[two] if self.cascade.step(r) is None]
        return not any(v.of in groups[one] for v in other if v.of != v.name)

    def loads(self, targets: frozenset[str], cut: frozenset[str]) -> set[str]:
        """Names of the stored values that a phase reads."""
        key = (targets, cut & frozenset().union(*(self.below[name] for name in targets)))
        if key not in self.read:
            self.read[key] = Passes(self.cascade, targets, key[1] - targets, ()).loads()
        return self.read[key]

    @cached_property
    def below(self) -> dict[str, frozenset[str]]:
        """For each step the names of all that it is computed from, and its own."""
        found: dict[str, frozenset[str]] = {}

        def seen(name: str) -> Iterator[str]:
            value, step = self.cascade.value(name), self.cascade.step(name)
            yield from (value.of, *value.places, *(step.reads if step else ()))

        for name in (s.name for s in self.cascade.steps):
            reached, todo = set[str](), [name]
            while todo:
                at = todo.pop()
                if at not in reached:
                    reached.add(at)
                    todo += seen(at)
            found[name] = frozenset(reached)
        return found

    # --- one phase ---------------------------------------------------------------------------------------------------

    def _best(self, targets: frozenset[str], cut: frozenset[str], limit: int | None = None) -> Chosen | None:
        """Return the best plan of a phase; None where nothing fits, or all move more words than `limit`."""
        loads = self.loads(targets, cut)
        key = (targets, frozenset(loads))
        if key in self.known or (limit is not None and limit <= self.above.get(key, -1)):
            return self.known.get(key)
        same = (self._contents(targets, loads), limit)
        if same not in self.shared.plans:
            before = self.considered
            found = self._best_plan(targets, loads, limit)
            self.shared.plans[same] = found, self.considered - before
        else:
            found, considered = self.shared.plans[same]
            self.considered += considered
        if limit is not None and (found is None or found.words > limit):
            self.above[key] = limit
            return None
        self.known[key] = found
        return found

    def _contents(self, targets: frozenset[str], loads: set[str]) -> object:
        """What decides on the plans of a phase, from whichever cascade it is: its steps and values, and the axes there are."""
        steps = self.arrange(targets, loads).steps
        return targets, frozenset(loads), self._world, frozenset((n, self._described[n]) for n in (*steps, *loads))

    @cached_property
    def _world(self) -> int:
        cascade = self.cascade
        parts = cascade.axes, frozenset(cascade.images.items()), cascade.carried, cascade.inputs, cascade.outputs
        return self.shared.number(*parts, self.floors.density, self.split)

    @cached_property
    def _described(self) -> dict[str, int]:
        """A number for the step and the value behind each name."""
        return {v.name: self.shared.number(v, self.cascade.step(v.name)) for v in self.cascade.values}

    def _best_plan(self, targets: frozenset[str], loads: set[str], limit: int | None = None) -> Chosen | None:
        least = self.floors.phase(self.arrange(targets, loads), loads)
        if limit is not None and least > limit:
            return None
        return self._best_of(self._floored(targets, loads), loads, limit, least)

    def _floored(
        self, targets: frozenset[str], loads: set[str], kept: frozenset[str] = frozenset()
    ) -> list[tuple[float, Plan]]:
        """Return the plans of a phase that may fit, each after the words that it moves at least, the fewest first."""
        plans = ((self.floors.plan(plan, loads), plan) for plan in self.plans(targets, loads, kept))
        return sorted(((floor, plan) for floor, plan in plans if floor is not None), key=lambda each: each[0])

    def _best_of(
        self, plans: list[tuple[float, Plan]], loads: set[str], limit: int | None = None, least: int = 0, width: int = 1
    ) -> Chosen | None:
        """Return the best of floored plans with at most `limit` words, or the first that moves no more than `least`."""
        best: Chosen | None = None
        alike: Alike = {}
        for floor, plan in plans:
            most = best.words if best else limit
            if most is not None and (floor > most or (best is not None and most <= least)):
                break
            self.considered += 1
            found = self._evaluated(plan, loads, most, width, alike)
            if found is not None and (best is None or cost([found]) < cost([best])):
                best = found
        return best

    def arrange(
        self,
        targets: frozenset[str],
        loads: set[str],
        streams: tuple[str, ...] = (),
        kept: frozenset[str] = frozenset(),
    ) -> Passes:
        """Return what a phase computes, arranged along axes; phases that differ in loops alone share it."""
        key = (targets, frozenset(loads), streams, kept - targets)
        if key not in self.arranged:
            self.arranged[key] = Passes(self.cascade, *key)
        return self.arranged[key]

    def plans(self, targets: frozenset[str], loads: set[str], kept: frozenset[str] = frozenset()) -> Iterator[Plan]:
        """Yield every order of loops for a phase; with `kept` those whose recurrences can begin again at chunks."""
        passes = self.arrange(targets, loads, (), kept)
        split = self.splits(targets, loads)
        if not passes.possible or split is None:
            return
        summed = dict.fromkeys(a for s in passes.steps.values() for a in s.summed)
        cut = [a for a, _ in self.cascade.axes if a not in passes.whole]
        shared = [a for a in cut if a not in passes.along and passes.tiles(a)]
        streams = [a for a in cut if a in passes.along] if passes.along else [*(a for a in summed if a in cut), None]
        streams = [self.split.axis] if split and self.split else streams
        sequences = [] if passes.along or split else self._sequences(passes, [a for a in summed if a in cut])
        rowed = [self.cascade.value(name).axes for name in passes.carried]
        # A row at a time would compute what rows share for each of them, and read what is summed over rows before it is.
        unrowed = self.cascade.spread(self.cascade.images)
        unrowed |= {a for s in passes.steps.values() if s.name not in targets for a in s.summed}
        least = self.floors.phase(passes, loads)
        lacked = [a for a in shared if self.floors.again(a, loads) > least * _LITTLE]
        always = [a for a in shared if a not in lacked and a not in summed]
        # An axis along which a target adds up may be whole instead: its accumulator is then made in the loops of the others.
        for row, panel in dict.fromkeys((*_pairs([a for a in lacked if a not in summed]), *_pairs(lacked))):
            rest = [a for a in shared if a not in (row, panel, *always)]
            for chosen in product((True, False), repeat=len(rest)):
                batch = [a for a in shared if a in always or (a in rest and chosen[rest.index(a)])]
                tiled = {row, panel, *batch}
                each_alone = [(a,) if a else () for a in streams if a is None or a not in tiled]
                several = [tuple(a for a in found if a not in tiled) for found in sequences]
                for along in dict.fromkeys((*each_alone, *(found for found in several if len(found) > 1))):
                    by_row = row and along and row not in unrowed and all(row in axes for axes in rowed)
                    arranged = self.arrange(targets, loads, along, kept)
                    if kept and not arranged.resumes(targets):
                        continue
                    again = bool(along and passes.carried and arranged.shared)
                    for each, anew in product(
                        (False, True) if by_row and not kept else (False,),
                        (False, True) if again and not kept else (False,),
                    ):
                        plan = Plan(targets, tuple(batch), row, panel, along, each, split, anew, kept)
                        if not arranged.over(plan.tiled) if split else arranged.adds_up(plan.tiled):
                            yield plan

    def _sequences(self, passes: Passes, summed: list[str]) -> list[tuple[str, ...]]:
        """Return the axes that a pass may go along one after the other: of those that are summed, no step runs along two."""
        together = [self.cascade.spread((*s.axes, *s.summed)) for s in passes.steps.values()]
        found: list[tuple[str, ...]] = []
        for first in summed:
            chosen = [first]
            for axis in summed:
                chosen += [axis] if not any(axis in each and {*chosen} & each for each in together) else []
            found += [tuple(a for a in summed if a in chosen)] if len(chosen) > 1 else []
        return list(dict.fromkeys(found))

    def splits(self, targets: frozenset[str], loads: set[str]) -> bool | None:
        """Whether a phase is split: it folds along the axis; None where it would have to, and no partial results merge."""
        passes = self.arrange(targets, loads)
        folds = self.split is not None and any(
            s.kind in MERGED and self.split.axis in s.summed for s in passes.steps.values()
        )
        if self.split is None or not folds or self.split.axis in passes.whole | passes.along or passes.triangular:
            return False
        cut = self.arrange(targets, loads, (self.split.axis,))
        merged = cut.mergeable and merge_of(cut.running_for_targets.values()).associative
        return True if merged else None

    def _schedule(self, phases: tuple[Loop, ...], tiles: tuple[tuple[sympy.Symbol, str], ...]) -> Schedule:
        # Numbers instead of symbols: a nest is walked thousands of times.
        axes = tuple((axis, sympy.Integer(extent)) for axis, extent in {**self.extent, ONCE: 1}.items())
        return Schedule("derived", "", "", axes, (), phases, tiles, copies=None, images=self.cascade.images)

    def _evaluated(
        self, plan: Plan, loads: set[str], limit: int | None, width: int = 1, alike: Alike | None = None
    ) -> Chosen | None:
        passes = self.arrange(plan.targets, loads, plan.streams, plan.kept)
        free = {tile_of("")(a).name: self.extent[a] for a in (plan.row, plan.panel) if a}
        run = self.split.run(self.extent[self.split.axis], width) if plan.split and self.split else 1

        def tile(axis: str) -> sympy.Expr:
            return sympy.Integer(width) if plan.split and axis == plan.stream else tile_of("")(axis)

        phase = Phase(
            passes, plan, tile, steps=False, chunk=sympy.Integer(run * width), alike={} if alike is None else alike
        )
        axes = [a for a in (plan.row, plan.panel, *plan.streams) if a]
        chosen = self._schedule(phase.loops(), tuple((tile_of("")(a), a) for a in axes))
        search = PhaseTiles(chosen, chosen.phases, self.sizes, free, self.M)
        found = search.best(limit)
        if found is None:
            return None
        words, tiles = found
        return Chosen(plan, passes, words, int(search.need(tiles)), tiles, width, run)

    def cut(self, best: list[Chosen], pieces: int) -> list[Chosen]:
        """Return phases with the axis in other pieces, taken in the longest steps that move no more words, of those halved again and again.

        Raises AttometerError where there are more pieces than places, or what each holds does not fit.
        """
        assert self.split is not None
        places = self.extent[self.split.axis]
        if pieces > places:
            raise AttometerError(f"{self.split.axis} has {places} places, which are not {pieces} chunks")
        self.split = Split(self.split.axis, pieces)
        found = [self._widest(each) if each.plan.split else each for each in best]
        if None in found:
            raise AttometerError(f"{pieces} chunks of {self.split.axis} do not fit into M = {self.M} words")
        return [each for each in found if each is not None]

    def _widest(self, found: Chosen) -> Chosen | None:
        loads = found.passes.loads()
        narrow = self._evaluated(found.plan, loads, None)
        width = narrow.run if narrow else 1
        while narrow and width > 1:
            wider = self._evaluated(found.plan, loads, narrow.words, width)
            if wider is not None and wider.words <= narrow.words:
                return wider
            width = -(-width // 2)
        return narrow


def cost(phases: list[Chosen]) -> tuple[int, int, int]:
    """Words first, then the memory held, then the number of phases."""
    return sum(p.words for p in phases), max((p.footprint for p in phases), default=0), len(phases)


def _pairs(axes: list[str]) -> Iterator[tuple[str | None, str | None]]:
    """Choices of the axes in tiles: one, or two."""
    if not axes:
        yield None, None
    for row in axes:
        yield row, None
        yield from ((row, panel) for panel in axes if panel != row)


def tile_of(prefix: str) -> TileOf:
    """Return how the tile of an axis is called in a phase."""
    return lambda axis: size(f"B{prefix}_{axis}")
