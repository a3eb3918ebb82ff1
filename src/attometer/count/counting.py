"""`count`: Program → Cost."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import sympy
from sympy import Add, Integer

from attometer.count.conventions import Row
from attometer.count.cost import Cost
from attometer.count.memory.footprint import memory
from attometer.count.work.dominance import largest
from attometer.count.work.work_depth import Known, copies, elsewhere, own_depth, points_of, ready, scalars
from attometer.errors import AttometerError, unknown
from attometer.program.conditions import conditions
from attometer.program.operations import Map, Operation, steps_of
from attometer.program.program import Program
from attometer.program.recurrences import earlier_places, refs_of
from attometer.program.softmaxes import softmaxes


def count(
    subject: Any,
    schedule: Any = None,
    *,
    causal: str = "exact",
    model: str = "CREW",
    serial: bool = False,
    loads: bool = False,
    storage: str = "pairs",
) -> Cost:
    """Count what `subject` costs, exactly and in symbols, without running it.

    Args:
        subject: a Program, or anything with a `program` (a Mechanism).
        schedule: how it runs; the cost then also has `traffic`.
        causal: `exact` counts the pairs a mask allows, `full` the whole square as most FLOP counters do.
        model: `CREW` lets any number of operations read an entry at once; `EREW` charges the copies.
        serial: add the operations' depths up, instead of the critical path.
        loads: also count one load per input entry and one store per output entry, in work and depth.
        storage: `pairs` stores only the pairs a mask allows, `dense` whole matrices.

    Returns:
        The Cost.

    Raises:
        AttometerError: an option is unknown.

    Source: the work-depth model of Blelloch (CACM 1996) and JáJá (1992); sums are balanced binary trees.

    >>> from attometer.program import parse
    >>> c = count(parse("P[j] = softmax[j](S[j])"))
    >>> c.work, c.depth
    (5*j - 2, 2*⌈log2(j)⌉ + 3)
    """
    _check_option("causal", causal, ("exact", "full"))
    _check_option("model", model, ("CREW", "EREW"))
    _check_option("storage", storage, ("pairs", "dense"))
    program = getattr(subject, "program", subject)
    if not isinstance(program, Program):
        raise AttometerError(f"count takes a Program or a mechanism, got {type(subject).__name__}")
    counted = dense(program) if causal == "full" else program
    cost = replace(
        _count(counted, model, serial, loads, storage),
        name=getattr(subject, "name", "program"),
        assumptions=_assumptions(causal, model, serial, loads),
        sizes=frozenset(program.symbols),
        conditions=conditions(program),
    )
    if schedule is None:
        return cost
    from attometer.count.traffic.attention_shape import program_traffic

    return replace(cost, traffic=program_traffic(counted, schedule))


def _check_option(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise unknown(name, str(value), allowed)


def _assumptions(causal: str, model: str, serial: bool, loads: bool) -> tuple[str, ...]:
    masked = (
        "only the pairs a mask allows" if causal == "exact" else "masked pairs as if they were computed (full square)"
    )
    reads = "any number of readers at once (CREW)" if model == "CREW" else "one reader at a time, copies counted (EREW)"
    extra = ["operations one after another (serial)"] if serial else []
    return (masked, reads, *extra, *(["a load per input and a store per output"] if loads else []))


@lru_cache(maxsize=2048)
def dense(program: Program) -> Program:
    """Return `program` without its masks: every pair is computed.

    >>> from attometer.program import parse
    >>> print(dense(parse("S[i,j] = Q[i,d] * K[j,d]   where causal(i, j)")))
    S[i,j] = Q[i,d] * K[j,d]
    """
    return replace(program, statements=tuple(replace(s, where=None) for s in program.statements))


@lru_cache(maxsize=2048)
def operation_rows(program: Program, exclusive: bool = False) -> tuple[Row, ...]:
    """Return what each operation of a program costs, without the longest path and the memory of the whole.

    >>> from attometer.program import parse
    >>> [row.name for row in operation_rows(parse("Y[i,k] = exp(A[i,j] * B[j,k])"))]
    ['Y.product', 'Y']
    """
    written = [s.exponentials for s in softmaxes(program) if s.exponentials.origin is None]
    return tuple(_row(operation, exclusive, written) for operation in program.operations)


@lru_cache(maxsize=2048)
def _count(program: Program, model: str, serial: bool, loads: bool, storage: str) -> Cost:
    exclusive = model == "EREW"
    rows = list(operation_rows(program, exclusive))
    depths: dict[str, sympy.Expr] = {t.name: Integer(1) for t in program.inputs} if loads else {}
    for operation in program.operations:
        depths |= ready(operation, Known(depths, program.tensors, exclusive))
    depth = largest(*(depths[t.name] for t in program.outputs)) + (1 if loads else 0)
    # What no one reads runs all the same, entries that reads at other places miss too: they may be the longest path.
    read = {
        ref.tensor
        for operation in program.operations
        for ref in refs_of(operation)
        if not any(map(elsewhere, ref.indices)) and ref not in earlier_places(operation)
    }
    depth = largest(depth, *(depths[name] for name in _made(program) - read))
    if serial:
        depth = Add(*(row.levels for row in rows), Integer(len(program.inputs) + len(program.outputs) if loads else 0))
    if loads:
        rows = [*_memory_rows(program, "load"), *rows, *_memory_rows(program, "store")]
    return Cost("program", tuple(rows), depth, memory(program, storage))


def _made(program: Program) -> set[str]:
    return {step.output.name for step in steps_of(program.operations)}


def _row(operation: Operation, exclusive: bool, written: Sequence[Map]) -> Row:
    found = scalars(operation)
    if isinstance(operation, Map) and operation in written:
        # One exponential per point is the softmax's; what is computed inside it is not.
        points = points_of(operation).points
        found |= {"exp": found["exp"] - points, "softmax.exp": points}
    if exclusive:
        found["copy"] = copies(operation)
    return Row(
        name=operation.output.name,
        kind=type(operation).__name__.lower(),
        label=operation.label,
        scalars={kind: number for kind, number in found.items() if number != 0},
        levels=own_depth(operation),
        entries=operation.output.stored,
    )


def _memory_rows(program: Program, what: str) -> list[Row]:
    tensors = program.inputs if what == "load" else program.outputs
    return [Row(f"{what} {t.name}", what, what, {what: t.stored}, Integer(1), t.stored) for t in tensors]
