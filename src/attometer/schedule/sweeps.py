"""Sweeps: what no nest of tiles runs, operation after operation at each place along an axis, or over all places at once.

A recurrence runs along its axis and holds what one place hands to the next; what reads a value that is too large to be
stored at all places runs in the same sweep. Gathers, shifts, sorts and scatters are sweeps without an axis.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import sympy

from attometer.program.expression import (
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Position,
    Ref,
    Where,
    rewritten,
)
from attometer.program.indices import step_of
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort, Tensor
from attometer.program.recurrences import refs_of, with_expressions

FEW = 1024
"""Fewer entries than these are not worth handing to a thread."""
Step: TypeAlias = Einsum | Map | Reduce | Sort | Scatter


@dataclass(frozen=True)
class Sweep:
    """Steps that run one after another at each place of `axis`, the last first where `way` is -1; None: over all places.

    `stored` are those of their results that something else reads, or that a step reads at other places than its own and the
    one before; `scans` are those that are associative recurrences. The places of the axes in `batch` know
    nothing of one another, and run in parallel.
    """

    steps: tuple[Step, ...]
    axis: str | None = None
    way: int = 1
    stored: frozenset[str] = frozenset()
    scans: tuple[Scan, ...] = ()
    batch: tuple[str, ...] = ()

    @cached_property
    def made(self) -> dict[str, Step]:
        """The steps by what they make."""
        return {s.output.name: s for s in self.steps}

    def looks(self, ref: Ref) -> int | None:
        """Return 0 for a read of what the sweep makes at the same place, 1 for the place before, None for any other."""
        if ref.tensor not in self.made or self.axis is None:
            return None
        part = ref.indices[self.made[ref.tensor].output.indices.index(self.axis)]
        return 0 if part == Name(self.axis) else 1 if step_of(part) == (self.axis, -self.way) else None

    def held(self, name: str) -> bool:
        """Return whether a result of one place is held in fast memory."""
        return any(r.tensor == name and self.looks(r) is not None for s in self.steps for r in refs_of(s))

    def __str__(self) -> str:
        over = f"for {self.axis}{' from the last' if self.way < 0 else ''}: " if self.axis else ""
        return over + "; ".join(f"{s.output.name}[{','.join(s.output.indices)}] = {s.label}" for s in self.steps)


def common(steps: Iterable[Step]) -> tuple[str, ...]:
    """Return the axes that all steps are made along, and along which they read one another at their own places."""
    steps = tuple(steps)
    made = {s.output.name: s.output.indices for s in steps}
    found = [a for a in steps[0].output.indices if all(a in s.output.indices for s in steps)]
    for step in steps:
        chosen = dict(step.places) if isinstance(step, Scatter) else {}
        new = {i for i in step.output.indices if i not in dict(step.extents)} if isinstance(step, Sort) else set()
        taken = {step.along} if isinstance(step, Sort) else set()
        found = [a for a in found if a not in chosen and a not in new | taken]
        for ref in refs_of(step):
            if own := made.get(ref.tensor):
                found = [a for a in found if ref.indices[own.index(a)] == Name(a)]
    return tuple(found)


def steps_of(operation: Operation) -> tuple[Step, ...]:
    """Return an operation as steps; a scan is the recurrence that it is the result of."""
    match operation:
        case Recurrence(steps=steps):
            return steps
        case Scan():
            out = operation.output
            shift = Binary("-" if operation.step > 0 else "+", Name(operation.axis), Number(1))
            read: Expression = Ref(out.name, tuple(shift if i == operation.axis else Name(i) for i in out.indices))
            if operation.decay is not None:
                read = Binary("*", operation.decay, read)
            term = operation.term
            made = Call("maximum", (read, term)) if operation.kind == "max" else Binary("+", read, term)
            return (Map(out, made, operation.extents, None, operation.label),)
    return (operation,)


def sweeps(
    operations: Iterable[Operation],
    large: Callable[[Tensor], bool],
    outside: set[str],
    places: Callable[[sympy.Expr], int],
) -> Iterator[Sweep]:
    """Yield operations, in order, as sweeps; `large` values are not stored where their readers can run in the same sweep.

    `outside` names what something else reads, `places` says how many places an extent typically is.
    """
    made: list[Sweep] = []
    for operation in operations:
        own = steps_of(operation)
        loop = (operation.axis, operation.step) if isinstance(operation, Recurrence | Scan) else None
        scans = (operation,) if isinstance(operation, Scan) else ()
        needs = {r.tensor for s in own for r in refs_of(s)}
        last = max((k for k, sweep in enumerate(made) if needs & sweep.made.keys()), default=-1)
        at = len(made) - 1
        while at >= max(last, 0):
            joined = _joined(made[at], own, loop, large)
            if joined is not None:
                made[at] = replace(joined, scans=(*made[at].scans, *scans))
                break
            at -= 1
        else:
            axis, way = loop or (None, 1)
            made.append(Sweep(own, axis, way, scans=scans))
    for k, sweep in enumerate(made):
        others = {r.tensor for j, other in enumerate(made) if j != k for s in other.steps for r in refs_of(s)}
        far = {r.tensor for s in sweep.steps for r in refs_of(s) if r.tensor in sweep.made and sweep.looks(r) is None}
        yield replace(
            sweep, stored=frozenset((outside | others | far) & sweep.made.keys()), batch=_batch(sweep, places)
        )


def _batch(sweep: Sweep, places: Callable[[sympy.Expr], int]) -> tuple[str, ...]:
    """Return the axes that run in parallel: of a loop those around its axis, else not the innermost ones, which are too few."""
    out = max((s.output for s in sweep.steps), key=lambda t: len(t.indices))
    shared = [a for a in common(sweep.steps) if a != sweep.axis]
    if sweep.axis is not None:
        around = out.indices[: out.indices.index(sweep.axis)]
        return tuple(a for a in shared if a in around) or tuple(a for a in shared if a != out.indices[-1])
    inner, within = len(out.indices), 1
    while inner and (inner == len(out.indices) or within < FEW):
        inner -= 1
        within *= places(out.extents[inner])
    return tuple(a for a in shared if a in out.indices[:inner])


def _joined(
    sweep: Sweep, own: tuple[Step, ...], loop: tuple[str, int] | None, large: Callable[[Tensor], bool]
) -> Sweep | None:
    """Return a sweep with further steps; None where they cannot run in it, or would only run less in parallel."""
    if sweep.axis is None or any(isinstance(s, Sort | Scatter) for s in (*sweep.steps, *own)):
        return None
    if loop is not None and loop != (sweep.axis, sweep.way):
        return None
    if loop is None:
        parts = {
            r.indices[sweep.made[r.tensor].output.indices.index(sweep.axis)]
            for s in own
            for r in refs_of(s)
            if r.tensor in sweep.made
        }
        plain = {p.name for p in parts if isinstance(p, Name)}
        axis = plain.pop() if len(plain) == 1 else sweep.axis
        if axis != sweep.axis and any(sweep.axis in dict(s.extents) for s in own):
            return None
        own = tuple(_renamed(s, {axis: sweep.axis}) for s in own)
    extent = dict(sweep.steps[0].extents)[sweep.axis]
    if any(sweep.axis not in s.output.indices or dict(s.extents)[sweep.axis] != extent for s in own):
        return None
    both = replace(sweep, steps=(*sweep.steps, *own))
    reads = [r for s in own for r in refs_of(s) if r.tensor in sweep.made]
    if any(both.looks(r) is None for r in reads):
        return None
    must = any(large(sweep.made[r.tensor].output) for r in reads)
    return both if must or common(both.steps) == common(sweep.steps) else None


def _renamed(step: Step, names: Mapping[str, str]) -> Step:
    """Return a step along other axes."""
    assert not isinstance(step, Sort | Scatter)

    def moved(part: Expression) -> Expression:
        match part:
            case Name(name=name):
                return Name(names.get(name, name))
            case Binary(op=op, left=left, right=right):  # multipliers, divisors and moduli are sizes
                return Binary(op, moved(left), moved(right) if op in "+-" else right)
            case Negative(operand=operand):
                return Negative(moved(operand))
        return part

    def change(node: Expression) -> Expression:
        match node:
            case Ref(tensor=tensor, indices=indices):
                return Ref(tensor, tuple(map(moved, indices)))
            case Position(index=name):
                return Position(names.get(name, name))
        return node

    where = step.where and Where(step.where.mask, *(names.get(i, i) for i in (step.where.query, step.where.key)))
    indices = tuple(names.get(i, i) for i in step.output.indices)
    made = replace(
        step, output=replace(step.output, indices=indices), where=where,
        extents=tuple((names.get(i, i), e) for i, e in step.extents),
    )  # fmt: skip
    return with_expressions(made, lambda node: rewritten(node, change))
