"""One phase of a derived nest: tiles of some axes outside, one axis streamed, everything between kept in fast memory."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import sympy

from attometer.program.expression import Binary, Expression, Name, Number, Ref, Where, reads, refs_in, rewritten
from attometer.schedule.cascade import Cascade, Step
from attometer.schedule.checkpoints import AHEAD, ALL, Rerun
from attometer.schedule.formulas import evaluate, fold, move, scale, scatter, settle, sort
from attometer.schedule.incremental import product_of
from attometer.schedule.nest import ONE, Compute, Free, Load, Loop, New, Node, Store, Tile
from attometer.schedule.running import Fold, Part, Passes, Running

EMPTY = {"scatter": 0.0, "sum": 0.0, "prod": 1.0, "max": float("-inf"), "min": float("inf")}
TileOf = Callable[[str], sympy.Expr]
ONCE = "once"
"""The axis of a loop around a phase that no axis is tiled in."""
_MAKES = ("new", "make", "set", "view", "argsort", "topk", "resume")
"""What makes a value anew."""
PART, BLOCK = ".chunk", "s"
"""What partial results are called after, and the number of the chunk that they are of."""


@dataclass(frozen=True)
class Plan:
    """How one phase runs: `batch` axes one by one, `row` and `panel` in tiles, `streams` in passes; the rest is whole.

    A pass along several streams is a loop along each, one after the other.

    With `by_row` the rows of a tile follow one another inside a step of the stream, which then holds what belongs to one
    row at a time; else what is streamed comes in word by word, and a step holds what belongs to all rows of the tile.
    With `again` what every step of the stream reads whole, as weights are, comes in at each step anew. With `split` the
    stream is cut into chunks that run at once, whose partial results a second nest merges; what is streamed then comes in as
    whole tiles, which is less deep. What is `kept` is carried, and stored or loaded where each chunk of the stream begins: a
    phase whose targets these are stores nothing else, another one runs their recurrences again within a chunk.
    """

    targets: frozenset[str]
    batch: tuple[str, ...] = ()
    row: str | None = None
    panel: str | None = None
    streams: tuple[str, ...] = ()
    by_row: bool = False
    split: bool = False
    again: bool = False
    kept: frozenset[str] = frozenset()

    @property
    def stream(self) -> str | None:
        """The first axis that is streamed."""
        return next(iter(self.streams), None)

    @property
    def tiled(self) -> tuple[str, ...]:
        """The axes of parallel loops, outermost first."""
        return (*self.batch, *(a for a in (self.row, self.panel) if a))


@dataclass(frozen=True)
class Op:
    """One instruction before tiles are placed: what it makes or changes, and the values that it reads."""

    name: str
    axes: tuple[str, ...]
    kind: str
    expression: Expression = Number(0)  # noqa: RUF009 - frozen
    summed: tuple[str, ...] = ()
    where: Where | None = None
    carried: tuple[tuple[str, tuple[str, ...], Expression], ...] = ()
    places: tuple[tuple[str, Expression], ...] = ()

    @cached_property
    def read(self) -> set[str]:
        """Names of the values in its expressions."""
        return {name for node in (self.expression, *(place for _, place in self.places)) for name in reads(node)}

    @cached_property
    def reads(self) -> set[str]:
        """Names of the values it needs to be in fast memory."""
        own = set[str]() if self.kind in _MAKES else {self.name}
        return own | self.read | {name for name, _, _ in self.carried}


@dataclass(frozen=True)
class Block:
    """A loop whose body is placed on its own; it fills the tiles `held` around it."""

    body: tuple["Op | Block", ...]
    wrap: Callable[["Phase", tuple[Node, ...]], Loop]
    level: str
    held: frozenset[str] = frozenset()

    @cached_property
    def reads(self) -> set[str]:
        """Names of the values that the body reads, from outside or its own."""
        return {*self.held}.union(*(item.reads for item in self.body))

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The axes that the body runs along."""
        return tuple(dict.fromkeys(a for item in self.body for a in (*item.axes, *item.summed)))

    @property
    def summed(self) -> tuple[str, ...]:
        """Nothing: what the body folds along is among its axes."""
        return ()


Alike = dict[object, tuple[tuple[Op | Block, ...], Rerun | None]]
"""Instructions inside parallel loops, which plans of one phase have in common, by what of a plan decides on them."""


@dataclass
class Phase:
    """Emits the nests of a plan; `tile` gives the tile size of an axis. Without `steps` its compute steps are left out.

    What moves and what is held, by which nests are compared, does not need the steps. `chunk` is the length of the chunks
    of a plan that is split.
    """

    passes: Passes
    plan: Plan
    tile: TileOf
    steps: bool = True
    chunk: sympy.Expr = ONE
    buffers: dict[str, Tile] = field(default_factory=dict)
    ahead: Rerun | None = None
    alike: Alike = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cascade: Cascade = self.passes.cascade
        self.running, self.rows = self.passes.running_for_targets, self.passes.rows

    def loops(self) -> tuple[Loop, ...]:
        """Return the phase as one loop, its outermost axis, or as two where it is split: partial results, and their merge."""
        if not self.plan.split:
            return (self._loop(self._items),)
        return self._loop(self._partial, self._chunks), self._loop(self._joined)

    def _loop(
        self, items: Callable[[], list[Op | Block]], within: Callable[[tuple[Node, ...]], Loop] | None = None
    ) -> Loop:
        """Put the loops of the plan around instructions, those along rows around `within`."""
        plan = self.plan
        key = (items.__name__, frozenset(self.outer), plan.row if plan.by_row else None, plan.streams, plan.again)
        if key not in self.alike:
            self.alike[key] = tuple(items()), self.ahead
        made, self.ahead = self.alike[key]
        self.buffers = {name: Tile(name, self.passes.axes(name)) for name in self.outer}
        body = tuple(self._place(made, "rows"))
        if plan.panel:
            inner = {n.tile.name for n in body if isinstance(n, New)}
            outside = [
                n for n in body if isinstance(n, Load) and plan.panel not in self.cascade.spread(n.tile.axes)
                and not self.passes.places(n.tile.name) & inner
            ]  # fmt: skip
            kept = {n.tile.name for n in outside}
            inside = tuple(n for n in body if n not in outside and not (isinstance(n, Free) and n.tile.name in kept))
            wheres = [w for r in self.running.values() for p in r.parts for w in p.wheres]
            wheres += [self.passes.steps[t].where for t in plan.targets if t not in self.running]
            panel = Loop(plan.panel, self.tile(plan.panel), inside, self._apart(plan.panel))
            skipping = self._skipping(panel, wheres, plan.targets, plan.tiled[:-1])
            body = (*outside, *self._around(plan.panel, skipping))
        body = (within(body),) if within else body
        for axis in reversed([a for a in plan.tiled if a != plan.panel]):
            length = self.tile(axis) if axis == plan.row else ONE
            body = self._around(axis, Loop(axis, length, body, self._apart(axis)))
        return body[0] if len(body) == 1 and isinstance(body[0], Loop) else Loop(ONCE, ONE, body, True)

    # --- sums over tiles ---------------------------------------------------------------------------------------------

    @cached_property
    def outer(self) -> dict[str, str]:
        """The targets that add up over tiles, each with the outermost of their loops: they are held around it."""
        found = {}
        for name in self.passes.steps:
            over = [a for a in self.plan.tiled if a in self.passes.adding[name]]
            if name in self.plan.targets and over:
                found[name] = over[0]
        return found

    def _apart(self, axis: str) -> bool:
        """Whether the tiles of an axis are independent: nothing adds up over them."""
        return not any(axis in self.passes.adding[name] for name in self.outer)

    def _around(self, axis: str, loop: Loop) -> tuple[Node, ...]:
        """Put the making and the storing of what adds up over the tiles of an axis around its loop."""
        tiles = [Tile(name, self.passes.axes(name)) for name, first in self.outer.items() if first == axis]
        return (*map(New, tiles), loop, *map(Store, tiles))

    # --- instructions ------------------------------------------------------------------------------------------------

    def _items(self) -> list[Op | Block]:
        """Everything that one tile of rows does, pass by pass."""
        streamed = {t: 1 + self.passes.finished(t) for t in self.plan.targets if self.passes.along_of(t)}
        items: list[Op | Block] = []
        for number in range(max([0, *(r.done for r in self.running.values()), *streamed.values()]) + 1):
            here = [r for r in self.running.values() if r.passed == number]
            targets = [t for t in self.passes.steps if streamed.get(t) == number]
            if here or targets:
                new = [p.name for r in here for p in r.parts if p.name not in self.outer]
                items += [Op(name, self.passes.axes(name.split("~")[0]), "new") for name in new]
                items += self._pass(here, targets)
            for name, step in self.passes.steps.items():
                if name in self.running and self.running[name].done == number:
                    items += self._finish(self.running[name])
                elif name in self.rows and self.passes.finished(name) == number:
                    items += self._step(step)
                if name in self.plan.targets - {*streamed, *self.outer} and self.passes.finished(name) == number:
                    items.append(Op(name, step.axes, "store"))
        return items

    # --- chunks of the stream that run at once -----------------------------------------------------------------------

    @property
    def _accumulators(self) -> dict[str, tuple[Running, Part]]:
        """Everything that runs along the stream, by name."""
        return {part.name: (running, part) for running in self.running.values() for part in running.parts}

    def _partial(self) -> list[Op | Block]:
        """What a chunk does: its accumulators, which are stored as partial results."""
        here = list(self.running.values())
        streamed = self.passes.streamed(here, [])
        read = {r for running in here for p in running.parts for r in p.reads}
        read |= {r for name in streamed for r in self.passes.steps[name].reads}
        held = [(name, running.step.axes) for name, (running, _) in self._accumulators.items()]
        new, stored = ([Op(name, axes, kind) for name, axes in held] for kind in ("new", "part"))
        return [*self._rows_for(read), *new, *self._pass(here, []), *stored]

    def _joined(self) -> list[Op | Block]:
        """What merges partial results, finishes them, and stores the targets."""
        held = [Op(name, running.step.axes, "new") for name, (running, _) in self._accumulators.items()]
        merging = Block((), lambda phase, _: phase._merging(), "rows", frozenset(self._accumulators))
        items: list[Op | Block] = [*held, merging]
        for name, step in self.passes.steps.items():
            if name in self.running:
                items += self._finish(self.running[name])
            elif name in self.rows and self.passes.finished(name):
                items += self._step(step)
            items += [Op(name, step.axes, "store")] if name in self.plan.targets else []
        read = {r for item in items for r in item.reads} | {t for t in self.plan.targets if not self.passes.finished(t)}
        return [*self._rows_for(read), *items]

    def _rows_for(self, names: set[str]) -> list[Op | Block]:
        """The steps that no chunk changes, as far as these values need them."""
        needed, todo = set[str](), list(names)
        while todo:
            name = todo.pop()
            todo += self.passes.places(name)
            if name in self.rows and not self.passes.finished(name) and name not in needed:
                needed.add(name)
                todo += self.passes.steps[name].reads
        return [op for name, step in self.passes.steps.items() if name in needed for op in self._step(step)]

    def _chunks(self, body: tuple[Node, ...], parallel: bool = True) -> Loop:
        """Put the loop over chunks around nodes; those that a mask leaves empty have no partial results."""
        loop = Loop(self.plan.stream or "", self.chunk, body, parallel, index=BLOCK)
        outer = tuple(a for a in self.plan.tiled if a != self.plan.panel)
        return self._skipping(loop, [w for _, p in self._accumulators.values() for w in p.wheres], (), outer)

    def _merging(self) -> Loop:
        """Merge the partial results of one chunk after another; what moves with a reduction is corrected on both sides."""
        tiles = {name: self.buffers[name] for name in self._accumulators}
        parts = {name: Tile(name + PART, tile.axes, BLOCK) for name, tile in tiles.items()}
        nodes: list[Node] = [Load(part) for part in parts.values()]
        for name, (running, _) in self._accumulators.items():
            moves = [(other, c) for other, (_, p) in self._accumulators.items() for own, c in p.carried if own == name]
            carried = tuple((tiles[other], c) for other, c in moves)
            term = Ref(parts[name].name, tuple(map(Name, tiles[name].axes)))
            nodes.append(fold(tiles[name], running.step.kind, term, (parts[name],), (), None, carried))
            if moves:
                level = Ref(tiles[name].name, term.indices)
                nodes.append(move(parts[name], level, tiles[name], tuple((parts[other], c) for other, c in moves)))
        return self._chunks(tuple(n for n in nodes if self.steps or isinstance(n, Load)), parallel=False)

    def _turning(self, steps: list[Step], at: Step) -> list[Op | Block]:
        """A recurrence within a tile, where its first step stands: place by place, what is read elsewhere held for all."""
        if at != steps[0]:
            return []
        names = {s.name for s in steps}
        seen = {r for s in self.passes.steps.values() if s.name not in names or s.kind == "view" for r in s.reads}
        held = frozenset(n for n in names if n in seen | self.plan.targets and self.passes.steps[n].kind != "view")
        made: list[Op | Block] = [Op(n, self._held(n), "make") for n in sorted(held)]
        views = [op for s in steps if s.kind == "view" for op in self._step(s, turning=True)]
        body = [op for s in steps if s.kind != "view" for op in self._step(s, turning=True)]
        inner = tuple(op for op in body if not (isinstance(op, Op) and op.kind == "make" and op.name in held))
        axis, backward = str(at.along), at.way < 0
        return [*made, *views, Block(inner, lambda _, nodes: Loop(axis, ONE, nodes, backward=backward), "turn", held)]

    def _step(self, step: Step, *, turning: bool = False) -> list[Op | Block]:
        """A step of the program: element by element, or folded along axes that are whole in the tile."""
        axes, expression = self._held(step.name), self._read(step.expression)
        if step.cycle in self.passes.triangular and not turning:
            return self._turning(self.passes.triangular[step.cycle], step)
        if step.kind in ("set", "view", "argsort", "topk"):
            return [Op(step.name, axes, step.kind, expression, step.summed, step.where)]
        kind = "set" if step.name in self.passes.carried else "make"
        made = Op(step.name, axes, kind, Number(EMPTY[step.kind]), (), None)
        places = tuple((axis, self._read(place)) for axis, place in step.places)
        folded = Op(step.name, axes, step.kind, expression, step.summed, step.where, (), places)
        if step.name in self.outer:
            return [folded]
        unseen = [Op(step.name, axes, "settle", made.expression)] if step.where and step.kind in ("max", "min") else []
        return [made, folded, *unseen]

    def _finish(self, running: Running) -> list[Op | Block]:
        """Multiply finished sums by what was taken out of them, and add up those that ran apart."""
        items: list[Op | Block] = []
        axes = running.step.axes
        for part in running.parts:
            if running.step.kind in ("max", "min") and all(part.wheres):
                items.append(Op(part.name, axes, "settle", Number(EMPTY[running.step.kind])))
            if part.after:
                items.append(Op(part.name, axes, "scale", product_of(part.after)))
        first, *others = (Ref(p.name, tuple(map(Name, axes))) for p in running.parts)
        return items + [Op(first.tensor, axes, "add", Binary("+", first, other)) for other in others]

    def _pass(self, here: list[Running], targets: list[str]) -> list[Op | Block]:
        """The loops along the streams that sum the reductions `here` and store `targets`; first what they carry, empty."""
        streamed = self.passes.streamed(here, targets)
        if self.plan.kept:
            return self._in_chunks(streamed, here, targets)
        carried = [name for name in self.passes.carried if name in streamed]
        empty = [Op(name, self._held(name), "new") for name in carried]
        return [*empty, *(loop for axis in self.plan.streams if (loop := self._along(axis, here, targets, carried)))]

    def _along(self, axis: str, here: list[Running], targets: list[str], carried: list[str]) -> Block | None:
        """The loop along one axis; None where nothing runs along it."""
        streamed = {name for name in self.passes.streamed(here, targets) if self.passes.along_of(name) == axis}
        targets = [t for t in targets if self.passes.along_of(t) == axis]
        items = self._body(axis, streamed, here, targets)
        wheres = [fold.where for r in here for p in r.parts for fold in p.folds if axis in fold.summed]
        wheres += [self.passes.steps[t].where for t in targets]
        wheres += [None] if any(not self._idle(name, wheres) for name in carried) else []
        return self._looped(axis, tuple(items), wheres, targets) if items else None

    def _body(
        self, axis: str, streamed: Collection[str], here: list[Running], targets: Collection[str]
    ) -> list[Op | Block]:
        """What happens at each place of a stream."""
        terms = {r.step.name: r for r in here}
        # First of all, what the step before left is copied, where this one overwrites it too early.
        items = [op for step in self.passes.befores if step.name in streamed for op in self._before(step)]
        for name, step in self.passes.steps.items():
            if name in streamed:
                items += self._step(step) if step.kind != "before" else []
                items += [Op(name, step.axes, "store")] if name in targets and name not in self.outer else []
            elif name in terms:
                folds = [(p, f) for p in terms[name].parts for f in p.folds if axis in f.summed]
                items += [self._fold(step, part, fold, here) for part, fold in folds]
        return items

    # --- recurrences that run again within a chunk -------------------------------------------------------------------

    def _in_chunks(self, streamed: set[str], here: list[Running], targets: list[str]) -> list[Op | Block]:
        """The loop over chunks: it stores what it keeps, or runs that again ahead of its own loop."""
        axis = str(self.plan.stream)
        kept = [name for name in self.passes.carried if name in self.plan.kept]
        carried = [name for name in self.passes.carried if name in streamed and name not in self.passes.kept]
        if not self.passes.kept:
            stored = [Op(name, self._held(name), "part") for name in kept]
            body: list[Op | Block] = [*stored, self._turn(self._body(axis, streamed, here, ()), self.passes.way, kept)]
        else:
            body = self._rerun(Rerun(self.passes, frozenset(streamed), tuple(here), frozenset(targets)), here, targets)
        backward = self.passes.way < 0
        empty = [Op(name, self._held(name), "new") for name in carried]

        def chunks(phase: Phase, nodes: tuple[Node, ...]) -> Loop:
            return Loop(axis, phase.chunk, nodes, backward=backward, index=BLOCK)

        return [*empty, Block(tuple(body), chunks, "chunk", frozenset(carried))]

    def _rerun(self, ahead: Rerun, here: list[Running], targets: list[str]) -> list[Op | Block]:
        """A chunk: what was kept is loaded, its recurrences run again, then the loop of the pass."""
        made, turn = list[Op | Block](), list[Op]()
        copies = {n: Op(n + ALL, self.passes.axes(n), "set", self._read(ahead.source(n))) for n in sorted(ahead.copied)}
        held = ahead.crossing - ahead.copied
        for op in self._body(str(self.plan.stream), ahead.ahead, [], [t for t in targets if t in ahead.ahead]):
            assert isinstance(op, Op)  # what turns within a tile is in no such phase
            (made if op.name in held and op.kind == "make" else turn).append(op)
        for name, copy in copies.items():  # as soon as it is there; what the step before left is from the beginning
            at = [k for k, op in enumerate(turn) if op.name == name and op.kind != "store"]
            turn.insert(max(at, default=-1) + 1, copy)
        own = {name: name + AHEAD for name in ahead.twice}
        turn = [replace(op, name=own.get(op.name, op.name), expression=_renamed(op.expression, own)) for op in turn]
        known = {op.name for op in made if isinstance(op, Op)}
        made += [Op(n, self.passes.axes(n), "make") for n in sorted(held - known)]
        made += [Op(op.name, op.axes, "make") for op in copies.values()]
        self.ahead = ahead
        rest = self._body(str(self.plan.stream), ahead.later, here, [t for t in targets if t not in ahead.ahead])
        kept = sorted(self.passes.kept)
        way = next(s.way for s in self.passes.befores if s.cycle in self.passes.rerun)
        holds = [*kept, *held, *(op.name for op in copies.values())]
        return [
            *(Op(name, self._held(name), "resume") for name in kept), *made,
            self._turn(turn, way, holds), self._turn(rest, self.passes.way, ()),
        ]  # fmt: skip

    def _turn(self, items: Iterable[Op | Block], way: int, held: Iterable[str]) -> Block:
        """A loop place by place within a chunk."""

        def each(phase: Phase, nodes: tuple[Node, ...]) -> Loop:
            return Loop(str(phase.plan.stream), ONE, nodes, backward=way < 0)

        return Block(tuple(items), each, "stream", frozenset(held))

    # --- what a loop carries -----------------------------------------------------------------------------------------

    def _held(self, name: str) -> tuple[str, ...]:
        """The axes of a value's tile: what the stream carries stays in place, without the axis of the stream."""
        axes = self.cascade.value(name).axes
        step = self.passes.made(name)
        source = step.reads[0] if step is not None and step.kind == "view" else name
        kept = source in self.passes.carried or (step is not None and step.kind == "before")
        return tuple(a for a in axes if a != self.plan.stream) if kept else axes

    @cached_property
    def _copied(self) -> frozenset[str]:
        """The values of the step before that need a tile of their own: read after, or while, they are overwritten."""
        order = list(self.passes.steps)
        copied = set[str]()
        for before in self.passes.befores:
            source = self.passes.steps[before.reads[0]]
            plain = Ref(before.name, tuple(map(Name, source.axes)))
            readers = [s for s in self.passes.steps.values() if before.name in s.reads]
            late = any(order.index(s.name) > order.index(source.name) for s in readers)
            used = [n for n in refs_in(source.expression) if n.tensor == before.name]
            if late or (used and (source.kind != "set" or any(n != plain for n in used))):
                copied.add(before.name)
        return frozenset(copied)

    def _before(self, step: Step) -> list[Op | Block]:
        """A copy of what the step before left, where it is overwritten too early."""
        if step.name not in self._copied:
            view = Op(step.name, self._held(step.name), "view", self._read(step.expression))
            return [view] if self._renamed_before(step) else []
        return [Op(step.name, self._held(step.name), "set", self._read(step.expression))]

    def _renamed_before(self, step: Step) -> bool:
        """Whether what the step before left is read in place, under other axes, along which words come in one by one."""
        return self.plan.again and step.name not in self._copied and step.axes != self.passes.axes(step.reads[0])

    def _read(self, node: Expression) -> Expression:
        """Return an expression that reads tiles without the stream where they have none, and carried ones in place."""
        if not self.passes.carried:
            return node

        def change(part: Expression) -> Expression:
            if not isinstance(part, Ref):
                return part
            if self.ahead is not None and (copy := self.ahead.whole(part)) is not None:
                return copy
            step = self.passes.made(part.tensor)
            before = step is not None and step.kind == "before"
            view = step is not None and step.kind == "view" and step.reads[0] in self.passes.carried
            if not before and not view and part.tensor not in self.passes.carried:
                return part
            indices = tuple(i for i in part.indices if i != Name(self.plan.stream or ""))
            assert step is not None
            kept = not before or part.tensor in self._copied or self._renamed_before(step)
            return Ref(part.tensor if kept else step.reads[0], indices)

        return rewritten(node, change)

    def _idle(self, name: str, wheres: list[Where | None]) -> bool:
        """Whether a carried value stays as it is where the mask of all the others leaves nothing."""
        step = self.passes.steps[name]
        match step.expression:
            case Binary(op="+", left=Ref(tensor=before), right=Ref(tensor=term)):
                made = self.passes.made(term)
                first = self.passes.made(before)
                added = made is not None and made.where is not None and made.where == next(iter(wheres), None)
                return added and first is not None and first.kind == "before"
        return False

    def _fold(self, step: Step, part: Part, fold: Fold, here: list[Running]) -> Op:
        """Fold a step of a stream into an accumulator, and correct those that run with it."""
        carried = tuple(
            (p.name, r.step.axes, factor)
            for r in here
            for p in r.parts
            for own, factor in p.carried
            if own == step.name
        )
        places = tuple((axis, self._read(place)) for axis, place in step.places)
        return Op(part.name, step.axes, step.kind, self._read(fold.term), fold.summed, fold.where, carried, places)

    def _looped(
        self, axis: str, items: tuple[Op | Block, ...], wheres: list[Where | None], targets: list[str]
    ) -> Block:
        """Put a loop along a stream around instructions; with `by_row`, those that have rows run row by row."""
        plan = self.plan
        if plan.by_row and plan.row:
            row = plan.row
            before = tuple(i for i in items if row not in (*self.cascade.spread(i.axes), *i.summed))
            rest = tuple(i for i in items if i not in before)

            def each(phase: Phase, body: tuple[Node, ...]) -> Loop:
                loop = Loop(row, ONE, body, True)
                return phase._skipping(loop, wheres, targets, (*phase.plan.tiled, axis))

            items = (*before, Block(rest, each, "row")) if rest else before

        def wrap(phase: Phase, body: tuple[Node, ...]) -> Loop:
            # What is carried is one place's: a longer step would have to know where in it each place is.
            length = ONE if phase.passes.carried else phase.tile(axis)
            loop = Loop(axis, length, body, backward=phase.passes.way < 0)
            return phase._skipping(loop, wheres, targets, phase.plan.tiled)

        return Block(items, wrap, "stream")

    def _skipping(self, loop: Loop, wheres: list[Where | None], targets: object, outer: tuple[str, ...]) -> Loop:
        """Let a loop skip the tiles that the mask of everything in it leaves empty."""
        where = wheres[0] if wheres else None
        # A result must be written where it is masked out, too: as 0.
        written = set(targets) & set(self.cascade.outputs) - self.outer.keys()  # type: ignore[call-overload]
        if where is None or any(w != where for w in wheres) or written:
            return loop
        partner = {where.query: where.key, where.key: where.query}.get(loop.axis)
        if partner not in outer:
            return loop
        return replace(loop, partner=partner, where=where)

    # --- placing tiles -----------------------------------------------------------------------------------------------

    def _place(self, items: list[Op | Block] | tuple[Op | Block, ...], level: str) -> Iterator[Node]:
        """Yield nodes: what is read is loaded before its first use, a tile is dropped after its last one."""
        needs = [self._needs(item) for item in items]
        last = {name: at for at, names in enumerate(needs) for name in names}
        readers = Counter(name for names in needs for name in names)
        own, kept = set[str](), set(self.buffers)
        for at, item in enumerate(items):
            streamed = []
            for name in needs[at]:
                if self.passes.made(name) is None and name not in self.buffers and self._loaded(name, level):
                    if isinstance(item, Op) and readers[name] == 1 and self._by_word(name, item):
                        streamed.append(name)
                        continue
                    own.add(name)
                    self.buffers[name] = Tile(name, self.passes.cascade.value(name).axes)
                    yield Load(self.buffers[name])
            if isinstance(item, Block):
                yield item.wrap(self, tuple(self._place(item.body, item.level)))
            else:
                yield from self._emit(item, streamed, {n for n in own if last.get(n) == at}, level)
                own |= {item.name} if item.kind in _MAKES and item.name not in kept else set()
            done = [name for name in own if last.get(name, at) <= at]
            yield from self._dropped(done, own, free=at < len(items) - 1)
        yield from self._dropped(list(own), own, free=False)

    def _needs(self, item: Op | Block) -> list[str]:
        """Names of the values that an item reads; what says where one is comes before it."""
        if not self.passes.addressed:
            return sorted(item.reads)
        order: dict[str, None] = {}

        def visit(name: str) -> None:
            for place in sorted(self.passes.places(name)):
                visit(place)
            order[name] = None

        for name in sorted(item.reads):
            visit(name)
        return list(order)

    def _dropped(self, done: list[str], own: set[str], *, free: bool) -> Iterator[Node]:
        """Forget tiles; free those that no other value has taken over."""
        for name in sorted(done):
            own.discard(name)
            tile = self.buffers.pop(name)
            if free and tile.name not in {other.name for other in self.buffers.values()}:
                yield Free(tile)

    def _loaded(self, name: str, level: str) -> bool:
        """Whether a stored value is loaded at this level of the nest."""
        plan = self.plan
        if "~" in name:
            return False
        if self.ahead is not None and name in self.ahead.both:
            return level == "chunk"
        rowed = plan.by_row and plan.row in self.cascade.spread(self.cascade.value(name).axes)
        if self.passes.along_of(name) is None and not (plan.again and name in self.passes.shared):
            return level == "rows"
        return level == ("row" if rowed else "stream")

    def _by_word(self, name: str, op: Op) -> bool:
        """Whether a value that only one instruction reads can be loaded word by word: a sum reads it once."""
        if self.plan.split or op.kind != "sum" or name not in op.read or not self._inner(name):
            return False
        if self.cascade.images.keys() & {*op.axes, *self.cascade.value(name).axes}:
            return False  # a loop word by word would have to know where in an image it is
        if self.cascade.decided(op.expression) & {*self._inner(name)}:
            return False  # another value is read along it at places that are computed
        found = [n for n in refs_in(op.expression) if n.tensor == name]
        return len(found) == 1 and all(isinstance(part, Name) for part in found[0].indices)

    def _inner(self, name: str) -> list[str]:
        """The axes of a value that no loop of the phase runs along."""
        return [a for a in self.cascade.value(name).axes if a not in (*self.plan.tiled, *self.plan.streams)]

    def _emit(self, op: Op, streamed: list[str], dying: set[str], level: str) -> Iterator[Node]:
        """Yield the nodes of one instruction."""
        if op.kind == "store":
            tile = self.buffers[op.name]
            yield Store(tile, None if tile.name == op.name else op.name)
            return
        if op.kind == "part":
            yield Store(replace(self.buffers[op.name], block=BLOCK), op.name + PART)
            return
        if op.kind == "resume":
            self.buffers[op.name] = Tile(op.name + PART, op.axes, BLOCK)
            yield Load(self.buffers[op.name])
            return
        if op.kind == "view":
            assert isinstance(op.expression, Ref)
            self.buffers[op.name] = Tile(self.buffers[op.expression.tensor].name, op.axes)
            return
        fresh = False
        if op.kind in _MAKES and op.name not in self.buffers:
            taken = self._taken(op, dying, level)
            if taken is None:
                self.buffers[op.name] = Tile(op.name, op.axes)
                yield New(self.buffers[op.name], self._start(op))
            else:
                self.buffers[op.name] = self.buffers[taken]
            fresh = True
        if op.kind == "make" or (op.kind == "new" and fresh):
            return
        if op.kind == "new":  # a pass begins again with what the one before carried
            op = Op(op.name, op.axes, "set", Number(0))
        tiles = {name: Tile(name, self.cascade.value(name).axes) for name in streamed}
        if not self.steps and not streamed:
            return
        yield from self._by_words(op, tiles)

    def _by_words(self, op: Op, tiles: dict[str, Tile]) -> tuple[Node, ...]:
        """Put loops word by word around an instruction, a load as far outside as its words change; what most have is outside."""
        inner = {name: self._inner(name) for name in tiles}
        shared = Counter(axis for axes in inner.values() for axis in axes)
        axes = sorted(shared, key=lambda axis: -shared[axis])
        nodes: tuple[Node, ...] = (self._compute(op, tiles),) if self.steps else ()
        for depth, axis in reversed([*enumerate(axes)]):
            here = [tiles[name] for name, own in inner.items() if axis in own and not {*own} & {*axes[depth + 1 :]}]
            nodes = (Loop(axis, ONE, (*map(Load, here), *nodes), axis not in op.summed),)
        return nodes

    def _taken(self, op: Op, dying: set[str], level: str) -> str | None:
        """Return the tile that an element-wise step may overwrite: one it reads last, of the same shape."""
        if op.kind != "set":
            return None
        found = [*refs_in(op.expression)]
        moved = {n.tensor for n in found if not all(isinstance(part, Name) for part in n.indices)}
        for name in sorted((dying & reads(op.expression)) - moved):
            # A tile that stays for the next panel must not be overwritten.
            kept = level == "rows" and self.plan.panel and self.passes.made(name) is None
            kept = kept or len([b for b in self.buffers.values() if b.name == self.buffers[name].name]) > 1
            if self.buffers[name].axes == op.axes and not kept and not {name, op.name} & self._placing:
                return name
        return None

    @cached_property
    def _placing(self) -> set[str]:
        """The values that say where others are: loads name them, and what they say, by their own tiles."""
        return {p for s in self.passes.steps.values() for r in s.reads for p in self.passes.places(r)}

    def _start(self, op: Op) -> float:
        step = self.passes.steps.get(op.name.split("~")[0])
        if op.name in self.passes.carried:
            return 0.0
        return EMPTY.get(step.kind, 0.0) if step is not None else 0.0

    def _compute(self, op: Op, streamed: dict[str, Tile]) -> Compute:
        """Return the compute step of an instruction on the tiles where its values are."""
        at = {name: (streamed | self.buffers)[name] for name in op.reads | {op.name}}
        out, tiles = at[op.name], tuple(dict.fromkeys(at[n] for n in sorted(op.read)))
        names = {name: tile.name for name, tile in at.items()}
        expression = _renamed(op.expression, names)
        match op.kind:
            case "argsort" | "topk":
                (along,) = op.summed
                return sort(out, op.kind, expression, tiles, along, dict(self.cascade.axes)[along], op.where)
            case "scatter":
                places = tuple((axis, _renamed(place, names)) for axis, place in op.places)
                return scatter(out, expression, tiles, op.summed, places, op.where)
            case "set" | "add":
                return evaluate(out, expression, tiles, op.where)
            case "scale":
                return scale(out, expression, tiles)
            case "settle":
                return settle(out, op.expression)
        carried = tuple((at[name], factor) for name, _, factor in op.carried)
        return fold(out, op.kind, expression, tiles, op.summed, op.where, carried)


def _renamed(node: Expression, names: dict[str, str]) -> Expression:
    """Return an expression over tiles instead of values."""
    return rewritten(node, lambda n: Ref(names.get(n.tensor, n.tensor), n.indices) if isinstance(n, Ref) else n)
