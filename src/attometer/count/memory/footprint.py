"""Memory of a Program: what exists, what lives at the same time, and what a backward pass needs."""

from dataclasses import dataclass

import sympy
from sympy import Add

from attometer.algebra import Expr
from attometer.count.work.dominance import largest
from attometer.program.expression import Binary, Call, Expression, Negative, refs_in
from attometer.program.operations import Einsum, Map, Operation, Origin, Recurrence, Reduce, Tensor, steps_of
from attometer.program.program import Program
from attometer.program.recurrences import refs_of


@dataclass(frozen=True)
class Memory:
    """Entries (words) a program holds; multiply by the bytes of a word.

    Attributes:
        inputs: data and caches read.
        weights: learned parameters.
        cache: tensors declared as cache (keys and values of earlier tokens).
        outputs: results.
        matrices: the largest masked or two-position tensor, such as attention scores.
        peak: the most entries alive at once when each operation writes its result and operands die after their last use.
        saved: entries that a backward pass reads again.
        checkpointed: entries kept when only inputs are saved and the rest is computed again.
    """

    inputs: Expr
    weights: Expr
    cache: Expr
    outputs: Expr
    matrices: Expr
    peak: Expr
    saved: Expr
    checkpointed: Expr


def memory(program: Program, storage: str = "pairs") -> Memory:
    """Count the entries `program` holds.

    Args:
        program: what is computed.
        storage: `pairs` stores only the pairs a mask allows, `dense` whole matrices as eager PyTorch does.

    Returns:
        Exact expressions in the program's sizes.

    >>> from attometer.program import parse
    >>> memory(parse("axis i: n" + chr(10) + "Y[i] = exp(X[i])")).peak
    2*n
    """

    def entries(tensor: Tensor) -> sympy.Expr:
        return tensor.stored if storage == "pairs" else tensor.size

    tensors = program.tensors
    by_role = {role: [t for t in tensors.values() if t.role == role] for role in ("input", "weight", "cache", "output")}
    total = {role: Add(*map(entries, found)) for role, found in by_role.items()}
    return Memory(
        inputs=total["input"],
        weights=total["weight"],
        cache=total["cache"],
        outputs=total["output"],
        matrices=largest(*(entries(t) for t in tensors.values() if t.where is not None or _two_positions(program, t))),
        peak=_peak(program, {name: entries(t) for name, t in tensors.items()}),
        saved=Add(*(entries(tensors[name]) for name in sorted(saved_for_backward(program)))),
        checkpointed=total["input"] + total["cache"],
    )


def _two_positions(program: Program, tensor: Tensor) -> bool:
    lengths = [e for e in tensor.extents if {str(s) for s in e.free_symbols} & {"n", "m"}]
    return len(lengths) > 1


def _peak(program: Program, entries: dict[str, sympy.Expr]) -> sympy.Expr:
    """Return the most entries alive at once; inputs and weights are never freed, they belong to the caller."""
    last = {t.name: len(program.operations) for t in (*program.inputs, *program.outputs)}
    for at, operation in enumerate(program.operations):
        for ref in refs_of(operation):
            last[ref.tensor] = max(last.get(ref.tensor, 0), at)
    alive = {t.name for t in program.inputs}
    moments = []
    for at, operation in enumerate(program.operations):
        alive |= set(_made(operation))
        moments.append(Add(*(entries[name] for name in sorted(alive))))
        alive = {name for name in alive if last.get(name, at) > at}
    return largest(*dict.fromkeys(moments))


def _made(operation: Operation) -> list[str]:
    return [s.output.name for s in operation.steps] if isinstance(operation, Recurrence) else [operation.output.name]


def saved_for_backward(program: Program) -> set[str]:
    """Return the names of the tensors a backward pass reads: factors of products, and what non-linear functions need.

    A function whose derivative follows from its result (exp, tanh, sigmoid, relu, roots) keeps the result, others keep
    what they are applied to. Parts of a composite count as its result: a softmax's backward needs only its output.

    >>> from attometer.program import parse
    >>> sorted(saved_for_backward(parse("P[i,j] = softmax[j](S[i,j])" + chr(10) + "O[i,e] = P[i,j] * V[j,e]")))
    ['P', 'V']
    """
    saved: set[str] = set()
    results = _results(program)
    for step in steps_of(program.operations):
        saved |= {results.get(name, name) for name in _needed(step)}
    weights = {t.name for t in program.weights}
    return {name for name in saved if name in program.tensors and name not in weights}


def _results(program: Program) -> dict[str, str]:
    """Return, for each part of a composite, the tensor in which the composite's value ends up."""
    steps = steps_of(program.operations)
    parts = {
        s.output.name
        for s in steps
        if isinstance(s, Map | Reduce) and s.origin is not None and s.origin.part != "result"
    }
    found: dict[str, str] = {}
    for step in reversed(steps):
        name = step.output.name
        found |= {ref.tensor: found.get(name, name) for ref in refs_of(step) if ref.tensor in parts}
    return found


def _needed(operation: Operation) -> set[str]:
    match operation:
        case Einsum(operands=operands):
            return {ref.tensor for ref in operands}
        case Map(expression=Call(function=function, arguments=arguments), output=output) if function in _FROM_RESULT:
            return {output.name}.union(*map(_factors, arguments))
        case Map(expression=expression):
            return _factors(expression)
        case Reduce(kind="sum"):
            return set()
        case Reduce(kind="max", origin=Origin()):
            # A softmax does not depend on what it is shifted by.
            return set()
    return {ref.tensor for ref in refs_of(operation)}


_FROM_RESULT = frozenset({"exp", "tanh", "sigmoid", "relu", "sqrt", "rsqrt"})


def _factors(node: Expression) -> set[str]:
    """Return the tensors under a product of two of them, a quotient or a non-linear function."""
    match node:
        case Negative(operand=operand):
            return _factors(operand)
        case Binary(op="+" | "-", left=left, right=right):
            return _factors(left) | _factors(right)
        case Binary(left=left, right=right):
            both = _tensors(left) and _tensors(right)
            return (_tensors(left) | _tensors(right)) if both else _factors(left) | _factors(right)
        case Call():
            return _tensors(node)
    return set()


def _tensors(node: Expression) -> set[str]:
    return {n.tensor for n in refs_in(node)}
