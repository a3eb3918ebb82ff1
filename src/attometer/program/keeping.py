"""What a forward pass keeps for its gradients: results of sums that are no larger than the inputs, never the scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import sympy

from attometer.program.explicit import Names, explicit, summed_by
from attometer.program.expression import Along, Binary, Call, Name, Ref, Statement, refs_in
from attometer.program.gradient import active_in, gradient
from attometer.program.operations import Tensor
from attometer.program.program import Declaration, Program


@dataclass(frozen=True)
class Kept:
    """A program that also leaves the values in `kept`, and the program of its gradients, which reads them.

    `arrives` names the gradients that the backward program reads, one for each result in order; `leaves` what it computes,
    one for each of `inputs`, those asked for that a result depends on smoothly.
    """

    forward: Program
    backward: Program
    kept: tuple[str, ...]
    arrives: tuple[str, ...]
    leaves: tuple[str, ...]
    inputs: tuple[str, ...]


def declared(program: Program) -> Program:
    """Return `program` with its inputs and results declared."""
    inputs = tuple(Declaration(t.role, t.name, t.indices) for t in program.inputs)
    outputs = tuple(Declaration("output", t.name, t.indices) for t in program.outputs)
    return replace(program, declarations=inputs + outputs)


@lru_cache(maxsize=64)
def keeping(program: Program, of: tuple[str, ...], to: tuple[str, ...], small: Callable[[Tensor], bool]) -> Kept:
    """Return `program` and its gradients with what the first hands to the second.

    A softmax keeps the logarithm of its sum: its weights are computed again as exponentials. `of` are the results whose
    gradients arrive, `to` the inputs that have gradients (where empty, all that can); `small` says which values may be kept.

    >>> from attometer.program import parse
    >>> text = "P[i,j] = softmax[j](Q[i,d] * K[j,d])" + chr(10) + "O[i,e] = P[i,j] * V[j,e]"
    >>> held = keeping(parse(text), ("O",), ("Q", "K", "V"), lambda tensor: set(tensor.indices) != {"i", "j"})
    >>> held.kept
    ('P_lse', 'O')
    """
    whole = declared(program)
    split = explicit(whole)
    names = Names(split)
    sums = {s.tensor: names.new(s.tensor, f"{s.tensor}_lse") for s in split.statements if _is_softmax(s)}
    forward = [part for s in split.statements for part in _opened(s, sums)]
    active = active_in(split, set(of), {t.name for t in whole.inputs})
    wanted = tuple(t.name for t in whole.inputs if t.name in active and (not to or t.name in to))
    grads = gradient(whole, of=of, to=wanted or None)
    own = {s.tensor: s for s in split.statements}
    same = {s.tensor for s in grads.statements if own.get(s.tensor) == s}
    backward = [part for s in grads.statements for part in (_opened(s, sums)[1:] if s.tensor in sums else [s])]
    tensors = replace(split, statements=tuple(forward)).tensors
    may = {
        s.tensor for s in forward
        if (s.tensor in same or s.tensor in sums.values()) and not s.associative and _sums(s) and small(tensors[s.tensor])
    }  # fmt: skip
    may -= {s.tensor for s in backward if s.tensor in sums}
    results = [d.tensor for d in grads.declarations if d.role == "output"]
    needed = _needed(backward, results, may)
    kept = tuple(s.tensor for s in forward if s.tensor in may & needed)
    left = tuple(s for s in backward if s.tensor in needed and s.tensor not in kept)
    read = {ref.tensor for s in left for ref in s.refs}
    inputs = tuple(d for d in grads.declarations if d.role != "output" and d.tensor in read)
    extra = tuple(Declaration("input", name, tensors[name].indices) for name in kept)
    outputs = tuple(d for d in grads.declarations if d.role == "output")
    grads = _with_sizes_told(
        Program(left, _used(grads.axes, (*inputs, *extra, *outputs), left), inputs + extra + outputs), whole
    )
    first = {d.tensor for d in whole.declarations}
    arrives = tuple(
        d.tensor
        for d in gradient(whole, of=of, to=wanted or None).declarations
        if d.role == "input" and d.tensor not in first
    )
    more = tuple(Declaration("output", name, tensors[name].indices) for name in kept if name not in first)
    keeps = replace(whole, statements=tuple(forward), declarations=whole.declarations + more) if sums or more else whole
    return Kept(keeps, grads, kept, arrives, tuple(results), wanted)


def _with_sizes_told(grads: Program, whole: Program) -> Program:
    """Return gradients that take, beside what they read, the inputs of `whole` whose shapes alone tell a size: a sum's n, say."""
    untold = {*grads.symbols} - {e for t in grads.inputs for e in t.extents}
    more = []
    for tensor in whole.inputs:
        if untold & {*tensor.extents}:
            untold -= {*tensor.extents}
            more.append(Declaration("input", tensor.name, tensor.indices))
    if not more:
        return grads
    declarations, axes = (*more, *grads.declarations), dict(whole.axes) | dict(grads.axes)
    return replace(grads, axes=_used([*axes.items()], declarations, grads.statements), declarations=declarations)


def _used(
    axes: Sequence[tuple[str, sympy.Expr]], declarations: Sequence[Declaration], statements: Sequence[Statement]
) -> tuple[tuple[str, sympy.Expr], ...]:
    """Return those of the axes that something runs along."""
    found = {i for d in declarations for i in d.indices} | {i for s in statements for i in s.indices}
    for statement in statements:
        found |= {n.name for n in statement.nodes if isinstance(n, Name)}
        found |= {n.index for n in statement.nodes if isinstance(n, Along)}
    return tuple((a, e) for a, e in axes if a in found)


def _is_softmax(statement: Statement) -> bool:
    return isinstance(statement.expression, Along) and statement.expression.function == "softmax"


def _opened(statement: Statement, sums: dict[str, str]) -> list[Statement]:
    """Return a softmax as the logarithm of its sum and an exponential; any other statement as it is."""
    if statement.tensor not in sums:
        return [statement]
    along = statement.expression
    assert isinstance(along, Along)
    rows = tuple(i for i in statement.indices if i not in along.runs)
    total = Ref(sums[statement.tensor], tuple(map(Name, rows)))
    level = replace(statement, tensor=total.tensor, indices=rows, expression=replace(along, function="logsumexp"))
    return [level, replace(statement, expression=Call("exp", (Binary("-", along.argument, total),)))]


def _sums(statement: Statement) -> bool:
    return bool(summed_by(statement.expression, statement.indices))


def _needed(statements: Sequence[Statement], wanted: Sequence[str], kept: set[str]) -> set[str]:
    made = {s.tensor: s for s in statements}
    found, todo = set[str](), list(wanted)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        if name in made and name not in kept:
            todo += [n.tensor for n in refs_in(made[name].expression)]
    return found
