"""Gathers in statements of their own, so that what they are multiplied with or added to is a nest and not a sweep."""

from dataclasses import replace

from attometer.program.explicit import Names
from attometer.program.expression import Expression, Name, Ref, Statement, rewritten, walk
from attometer.program.indices import indices_of
from attometer.program.program import Program
from attometer.program.resolution import resolve
from attometer.schedule.lean import is_small


def with_gathers_apart(program: Program) -> Program:
    """Return `program` with each input that is read at places another input tells gathered in a statement before.

    Only where a statement runs along more axes than the gather or reads what is computed, and what is gathered is no larger than
    the inputs: scores with such factors or terms are then formed tile by tile, and not stored.

    >>> from attometer.program import parse
    >>> given = "axis i: n, j: m", "input Q[n,d], K[m,d], T[m]"
    >>> print(with_gathers_apart(parse(chr(10).join([*given, "S[i,j] = Q[i,d] * K[T[j],d]"]))))
    axis i: n, j: m
    input Q[n,d], K[m,d], T[m]
    K_1[j,d] = K[T[j], d]
    S[i,j] = Q[i,d] * K_1[j,d]
    """
    names, statements = Names(program), list[Statement]()
    given = {t.name for t in program.inputs}
    for statement in program.statements:
        expression = resolve(statement.expression, dict(program.declared))
        along = {*statement.indices, *indices_of(expression)}
        if any(isinstance(n, Ref) and n.tensor not in given for n in walk(expression)):
            along.add("")  # more than any gather has
        before = dict[Expression, Statement]()

        def change(
            node: Expression, along: set[str] = along, before: dict[Expression, Statement] = before
        ) -> Expression:
            if node in before:
                return Ref(before[node].tensor, tuple(map(Name, before[node].indices)))
            if not isinstance(node, Ref) or not _gathers(node, program) or not {*indices_of(node)} < along:
                return node
            made = Statement(names.new(node.tensor), indices_of(node), node)
            wider = replace(program, statements=(*program.statements, made))
            if not is_small(program)(wider.tensors[made.tensor]):
                return node
            before[node] = made
            return change(node)

        apart = rewritten(expression, change)
        statements += [*before.values(), replace(statement, expression=apart) if before else statement]
    return replace(program, statements=tuple(statements))


def _gathers(ref: Ref, program: Program) -> bool:
    """Return whether an input is read at places that other inputs tell, each of these at running indices."""
    inputs = {t.name: len(t.indices) for t in program.inputs}
    told = [part for part in ref.indices if isinstance(part, Ref)]
    if not told or any(len(r.indices) != inputs.get(r.tensor) for r in (ref, *told)):
        return False
    running = [part for r in told for part in r.indices] + [part for part in ref.indices if not isinstance(part, Ref)]
    return all(isinstance(part, Name) for part in running)
