"""The nest of a Program for a machine with caches: of the nests that algebra allows, one with few operations.

`count.derive` compares nests by the words that they move through M, which takes minutes for a gradient. What bounds machine
code once its tiles fit the caches is its operations, so that here phases are joined while that saves some; a value that
has fewer entries than the inputs may be stored, one of the size of the scores never is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil, prod

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Expression, Name, Ref, rewritten
from attometer.program.operations import Operation, Recurrence, Scan, Scatter, Sort
from attometer.program.operations import Tensor as TensorOf
from attometer.program.program import Program
from attometer.program.recurrences import refs_of, with_expressions
from attometer.program.size_expressions import size_in
from attometer.schedule.cascade import Cascade
from attometer.schedule.formulas import axes_of
from attometer.schedule.fused import Phase, Plan
from attometer.schedule.nest import Compute, Load, Loop, Node, Schedule, Tensor
from attometer.schedule.reading import Unnested, cascade_of
from attometer.schedule.running import Passes
from attometer.schedule.small_sums import with_an_axis, with_small_sums
from attometer.schedule.sweeps import Sweep, steps_of, sweeps
from attometer.sizes import size

TYPICAL = {"b": 1, "h": 8, "g": 8, "n": 4096, "m": 4096, "d": 64, "e": 64, "w": 256}
"""Sizes at which phases are compared: nests are for every size, only the choice among them is made here."""
_OTHER = 64
TILE = 64
LONG = 256
"""An axis this long is streamed, a shorter one is whole in a tile."""
_ELEMENT = 8
"""What an element-wise operation costs, in multiplications of a product of tiles."""


@dataclass(frozen=True)
class Piece:
    """A nest, or a sweep: what no nest runs."""

    nest: Schedule | None
    sweep: Sweep | None = None

    def __str__(self) -> str:
        return str(self.nest or self.sweep)


def typical(program: Program) -> dict[sympy.Symbol, sympy.Integer]:
    """Return a number for every size of a program, those it fixes aside."""
    return {s: sympy.Integer(TYPICAL.get(s.name, _OTHER)) for s in program.symbols}


def is_small(program: Program) -> Callable[[TensorOf], bool]:
    """Return what says whether a value has no more entries than the inputs of a program, at typical sizes."""
    numbers = typical(program)

    def entries(extents: Iterable[sympy.Expr]) -> int:
        return prod(ceil(e.xreplace(numbers)) for e in extents)

    most = sum(entries(t.extents) for t in program.inputs)
    return lambda tensor: entries(tensor.extents) <= most


@lru_cache(maxsize=16)
def pieces(program: Program) -> tuple[Piece, ...]:
    """Return a program as nests and sweeps, in the order in which they run: what no nest runs is swept.

    >>> from attometer.program import parse
    >>> text = ("axis i: n, j: n", "S[i,j] = Q[i,d] * K[j,d]", "P[i,j] = softmax[j](S)", "O[i,e] = P[i,j] * V[j,e]")
    >>> [made] = pieces(parse(chr(10).join(text)))
    >>> made.nest.title
    'O along j'
    """
    swept = set[str]()
    while True:
        try:
            return tuple(_Pieces(program, swept).all())
        except Unnested as error:
            if error.tensor in swept:
                raise
            swept.add(error.tensor)


class _Pieces:
    """Splits operations into levels: what a nest reads of a sweep's results comes after it."""

    def __init__(self, program: Program, swept: set[str]) -> None:
        self.program = program
        self.operations = tuple(_with_plain_places(o, program) for o in program.operations)
        self.made = {s.output.name: o for o in self.operations for s in steps_of(o)}
        self.numbers = typical(program)
        self.small = is_small(program)
        self.swept, moves = set(swept), set[str]()
        self.level: dict[str, int] = {}
        for operation in self.operations:
            names = {s.output.name for s in steps_of(operation)}
            held = {r.tensor for r in refs_of(operation) if r.tensor in self.made} - names
            # What is too large to be stored is folded where a recurrence makes it.
            folds = self.small(operation.output) and any(not self.small(self._tensor(n)) for n in held & moves)
            moves |= names if isinstance(operation, Recurrence | Scan) else set()
            if folds or names & (moves | swept) or isinstance(operation, Sort | Scatter):
                self.swept |= names
            here = names <= self.swept
            level = max((self.level[n] + (n in self.swept and not here) for n in held), default=0)
            self.level |= dict.fromkeys(names, level)
        # What is too large to be stored is made again where it is read, from what its own level stores.
        self.last = dict(self.level)
        for operation in reversed(self.operations):
            for ref in refs_of(operation):
                if (
                    ref.tensor in self.made
                    and ref.tensor not in self.swept
                    and not self.small(self._tensor(ref.tensor))
                ):
                    self.last[ref.tensor] = max(self.last[ref.tensor], self.last[operation.output.name])

    def _tensor(self, name: str) -> TensorOf:
        return next(s.output for s in steps_of(self.made[name]) if s.output.name == name)

    def all(self) -> Iterator[Piece]:
        outputs = {t.name for t in self.program.outputs}
        for level in range(max(self.level.values(), default=-1) + 1):
            here = [o for o in self.operations if self.level[o.output.name] == level]
            nested = [o for o in here if o.output.name not in self.swept]
            roots = {o.output.name for o in nested} & (outputs | self.wanted(level))
            if roots:
                yield Piece(self.nest(roots, level))
            rest = [o for o in here if o.output.name in self.swept]
            others = [o for o in self.operations if o not in rest]
            outside = outputs | {r.tensor for o in others for r in refs_of(o)}
            found = sweeps(rest, lambda t: not self.small(t), outside, lambda e: ceil(e.xreplace(self.numbers)))
            yield from (Piece(None, sweep) for sweep in found)

    def wanted(self, level: int) -> set[str]:
        """Names that sweeps of this level or operations of later ones read, and that are small enough to be stored."""
        found = set()
        for operation in self.operations:
            swept, at = operation.output.name in self.swept, self.last[operation.output.name]
            if at > level or (swept and at == level):
                for ref in refs_of(operation):
                    if ref.tensor in self.made and (swept or self.small(self._tensor(ref.tensor))):
                        found.add(ref.tensor)
        return found

    def nest(self, roots: set[str], level: int) -> Schedule:
        needed, todo = set[str](), list(roots)
        stored = {n for n in self.made if n in self.swept or (self.level[n] < level and self.small(self._tensor(n)))}
        while todo:
            name = todo.pop()
            if name in self.made and name not in needed:
                needed.add(name)
                todo += [r.tensor for r in refs_of(self.made[name]) if r.tensor not in stored]
        operations: list[Operation] = [o for o in self.operations if o.output.name in needed]
        return _Nest(self.program, cascade_of(self.program, tuple(operations), tuple(roots)), self.numbers).schedule()


def _with_plain_places(operation: Operation, program: Program) -> Operation:
    """Return an operation that reads place c where it says `(c * B + t) // B`, and t where it says `(c * B + t) % B`, of B."""

    def place(part: Expression) -> Expression:
        match part:
            case Binary(
                op="//" | "/" | "%" as op,
                left=Binary(op="+", left=Binary(op="*", left=outer, right=each), right=Name(name=inner)),
                right=by,
            ):
                sizes = {size_in(each, program.size_of), size_in(by, program.size_of), program.size_of(inner)}
                return part if len(sizes) > 1 else Name(inner) if op == "%" else outer
        return part

    def read(node: Expression) -> Expression:
        match node:
            case Ref(tensor=tensor, indices=indices):
                return Ref(tensor, tuple(rewritten(part, place) for part in indices))
        return node

    return with_expressions(operation, lambda node: rewritten(node, read))


@dataclass(frozen=True)
class _Group:
    """A phase that is to be: what it stores, how it runs, and what it costs."""

    targets: frozenset[str]
    plan: Plan
    cost: float


@dataclass
class _Nest:
    """Chooses the phases of a cascade."""

    program: Program
    cascade: Cascade
    numbers: Mapping[sympy.Symbol, sympy.Integer]
    arranged: dict[tuple[frozenset[str], frozenset[str], tuple[str, ...]], Passes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cascade = with_an_axis(self.cascade)
        self.extent = {axis: ceil(extent.xreplace(dict(self.numbers))) for axis, extent in self.cascade.axes}
        self.cascade = with_small_sums(self.cascade, self.extent, LONG)
        inputs = sum(self.entries(name) for name in self.cascade.inputs)
        renamed = {v.of for v in self.cascade.values if v.name != v.of and v.of not in self.cascade.inputs}
        self.must = renamed | set(self.cascade.outputs)
        self.cut = self.must | {
            s.name for s in self.cascade.steps if s.kind != "set" and self.entries(s.name) <= inputs
        }

    def entries(self, name: str) -> int:
        return prod(self.extent[a] for a in self.cascade.value(name).axes)

    def passes(self, targets: frozenset[str], streams: tuple[str, ...] = ()) -> Passes:
        key = (targets, frozenset(self.cut - targets), streams)
        if key not in self.arranged:
            self.arranged[key] = Passes(self.cascade, *key)
        return self.arranged[key]

    def loads(self, targets: frozenset[str]) -> set[str]:
        steps = self.passes(targets).steps
        return {self.cascade.value(r).of for s in steps.values() for r in s.reads if r not in steps}

    # --- one phase ---------------------------------------------------------------------------------------------------

    def group(self, targets: frozenset[str]) -> _Group | None:
        """Return how a phase runs; None where no axis is shared by all that it stores."""
        steps = self.passes(targets).steps
        summed = {a for s in steps.values() for a in s.summed}
        shared = [a for a, _ in self.cascade.axes if a not in summed and all(a in steps[t].axes for t in targets)]
        if len(targets) > 1 and not shared:
            return None
        lengths = sorted(summed, key=lambda a: -self.extent[a])
        stream = lengths[0] if lengths and self.extent[lengths[0]] > LONG else None
        row = max(shared, key=lambda a: self.extent[a], default=None)
        batch = tuple(a for a in shared if a != row and self._batched(a, targets))
        if row is None and stream is None:
            # Something must be looped over; a whole axis as one tile does.
            row = next((a for a, _ in self.cascade.axes if all(a in steps[t].axes for t in targets)), None)
            if row is None:
                return None
        plan = Plan(targets, batch, row, None, (stream,) if stream else ())
        whole = {a for s in steps.values() for a in s.axes if self.extent[a] > LONG} - {row, stream, *batch}
        if whole and len(targets) > 1:
            return None
        return _Group(targets, plan, self.cost((self.loop(plan, size),), {}))

    def _batched(self, axis: str, targets: frozenset[str]) -> bool:
        """Whether an axis may run one by one: what lacks it, and is computed again each time, is little."""
        steps = self.passes(targets).steps.values()
        work = {s.name: prod(self.extent[a] for a in {*s.axes, *s.summed}) for s in steps}
        again = sum(work[s.name] * self.extent[axis] for s in steps if axis not in s.axes)
        return bool(again * 16 <= sum(work.values()))

    def loop(self, plan: Plan, tile: Callable[[str], sympy.Expr]) -> Loop:
        return Phase(self.passes(plan.targets, plan.streams), plan, lambda axis: tile(f"B_{axis}")).loops()[0]

    def cost(self, nodes: tuple[Node, ...], spans: dict[str, int]) -> float:
        """Return weighted operations of nodes; a word that is loaded costs as much as an operation on an element."""
        total = 0.0
        for node in nodes:
            if isinstance(node, Loop):
                length = 1 if node.length == 1 else min(TILE, self.extent[node.axis])
                trips = ceil(self.extent[node.axis] / length)
                total += trips * self.cost(node.body, spans | {node.axis: length})
            elif isinstance(node, Load):
                total += _ELEMENT * prod(spans.get(a, self.extent[a]) for a in node.tile.axes)
            elif isinstance(node, Compute) and node.formula is not None:
                product = node.formula.kind == "sum" and len(set(axes_of(node.formula.expression))) > 2
                for ops, axes in node.work:
                    each = 1 if product and set(axes) == set(node.formula.axes) else _ELEMENT
                    total += each * ops * prod(spans.get(a, self.extent[a]) for a in axes)
        return total

    # --- all phases --------------------------------------------------------------------------------------------------

    def groups(self) -> list[_Group]:
        """Return the phases in order: each value joins the latest phase where it saves operations."""
        made: list[_Group] = []
        for step in self.cascade.steps:
            if step.name in self.cut:
                self._add(made, frozenset({step.name}))
        return made

    def _add(self, made: list[_Group], targets: frozenset[str]) -> None:
        alone = self.group(targets)
        needs = self.loads(targets)
        for at in reversed(range(len(made))):
            both = None if self._renames(made[at], targets) else self.group(made[at].targets | targets)
            if both is not None and (alone is None or both.cost <= made[at].cost + alone.cost):
                made[at] = both
                return
            if made[at].targets & needs:
                break
        if alone is None:
            raise AttometerError(
                f"no nest is made for {', '.join(sorted(targets))}: it shares no axis with what it reads"
            )
        made.append(alone)

    def _renames(self, group: _Group, targets: frozenset[str]) -> bool:
        """Whether a phase would read under other axes what it stores itself."""
        steps = self.passes(targets).steps
        read = {r for s in steps.values() for r in s.reads if r not in steps}
        return any(self.cascade.value(r).of in group.targets and self.cascade.value(r).of != r for r in read)

    def kept(self, groups: list[_Group]) -> list[_Group]:
        """Return the phases without values that none but their own phase needs."""
        for at in reversed(range(len(groups))):
            read = {r for k, g in enumerate(groups) if k != at for r in self.loads(g.targets)}
            targets = groups[at].targets & (self.must | read)
            if targets != groups[at].targets:
                self.cut -= groups[at].targets - targets
                found = self.group(targets) if targets else None
                groups = [*groups[:at], *([found] if found else []), *groups[at + 1 :]]
        return groups

    def schedule(self) -> Schedule:
        """Return the nest."""
        groups = self.kept(self.groups())
        lost = self.must - {t for g in groups for t in g.targets}
        if lost:
            raise AttometerError(
                f"no nest is made for {', '.join(sorted(lost))}: it is read under other axes than it is made"
            )
        phases, tiles = [], []
        for number, group in enumerate(groups, 1):
            prefix = str(number) if len(groups) > 1 else ""

            def tile(name: str, prefix: str = prefix) -> sympy.Expr:
                return size(name.replace("B_", f"B{prefix}_", 1))

            phases.append(self.loop(group.plan, tile))
            axes = [a for a in (group.plan.row, group.plan.stream) if a]
            tiles += [(tile(f"B_{a}"), a) for a in axes]
        title = "; ".join(f"{', '.join(sorted(g.targets))} along {g.plan.stream or 'no axis'}" for g in groups)
        return Schedule(
            "lean", title, "derived from the program's text for few operations", self.cascade.axes,
            tuple(self._tensors()), tuple(phases), tuple(tiles), copies=None,
        )  # fmt: skip

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for value in self.cascade.values:
            if value.of in self.cascade.inputs or value.of in self.cut:
                role = "input" if value.of in self.cascade.inputs else "scratch"
                role = "output" if value.of in self.cascade.outputs else role
                yield value.name, Tensor(value.axes, role, None, value.of if value.of != value.name else None)  # type: ignore[arg-type]
