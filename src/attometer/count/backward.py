"""The backward pass of a program: its gradients' Program, and which of its statements run beside what the forward pass kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import sympy
from sympy import Add, Integer

from attometer.count.conventions import Convention, Row
from attometer.count.conventions import convention as named
from attometer.count.counting import dense, operation_rows
from attometer.errors import AttometerError
from attometer.program import Program, gradient, size
from attometer.program.expression import Binary, Ref
from attometer.program.gradient import differentiable
from attometer.program.operations import Einsum, Map, Operation, Scatter, Tensor
from attometer.program.recurrences import refs_of


@dataclass(frozen=True, eq=False)
class Backward:
    """What runs backward through `forward` when the tensors `kept` are still there.

    Attributes:
        forward: what was run.
        program: the Program of its gradients, which computes of the forward pass whatever it reads; None where nothing
            depends smoothly on an input, so that nothing runs.
        spent: the statements of `program` that run: none whose result is kept, and none that only such a one needs.
    """

    forward: Program
    program: Program | None
    spent: frozenset[str]

    @cached_property
    def recomputed(self) -> frozenset[str]:
        """Statements of the forward pass that run again."""
        return self.spent & {s.tensor for s in self.forward.statements}

    def operations(self, convention: str | Convention = "flop", causal: str = "exact") -> sympy.Expr:
        """Return the operations of the backward pass by a convention; a matrix product's gradients are two of its size."""
        return self._sum(self.spent, convention, causal)

    def again(self, convention: str | Convention = "flop", causal: str = "exact") -> sympy.Expr:
        """Return those of them that compute the forward pass again."""
        return self._sum(self.recomputed, convention, causal)

    def _sum(self, statements: frozenset[str], convention: str | Convention, causal: str) -> sympy.Expr:
        if self.program is None:
            return Integer(0)
        of = named(convention).of
        return Add(*(of(row) for name, row in _rows(self.program, causal) if name in statements))

    @cached_property
    def ends(self) -> sympy.Expr:
        """Elements of activations that it reads, kept or arriving, and of gradients of activations that it leaves."""
        if self.program is None:
            return Integer(0)
        tensors = self.program.tensors
        read = {name for s in self.program.statements if s.tensor in self.spent for name in s.names}
        own = [t for name, t in tensors.items() if name in read - self.spent and t.role not in ("weight", "cache")]
        weights = [t.extents for t in self.forward.weights]
        left = [t for t in self.program.outputs if t.extents not in weights]
        return Add(*(t.stored for t in (*own, *left)))

    @cached_property
    def through_memory(self) -> sympy.Expr:
        """Elements that its operations read and write where each goes through memory."""
        if self.program is None:
            return Integer(0)
        tensors = self.program.tensors
        running = [o for o in self.program.operations if _statement(o) in self.spent]
        operands = [tensors[ref.tensor] for o in running for ref in refs_of(o)]
        made: list[Tensor] = [o.output for o in running]
        return Add(*(t.size for t in (*made, *operands) if t.role not in ("weight", "cache")))


@lru_cache(maxsize=4096)
def backward(program: Program, kept: frozenset[str] = frozenset(), frozen: bool = False) -> Backward | None:
    """Return the backward pass of a program whose forward pass kept some tensors; None where no gradient can be formed.

    Gradients are those of weights, unless these are `frozen`, and of inputs that are a batch's own: a table that every batch
    reads has none.

    >>> from attometer.program import parse
    >>> found = backward(parse("axis i: n, c: 4, o: 8" + chr(10) + "weight W[c,o]" + chr(10) + "Y[b,i,o] = X[b,i,c] * W[c,o]"))
    >>> found.operations(), sorted(found.spent)
    (128*b*n, ['dW', 'dX'])
    >>> backward(found.forward, frozen=True).operations()
    64*b*n
    """
    try:
        smooth = set(differentiable(program))
        wanted = [t.name for t in _learning(program) if t.name in smooth and not (frozen and t.role == "weight")]
        if not wanted:
            return Backward(program, None, frozenset())
        found = gradient(program, to=wanted)
    except AttometerError:
        return None
    return Backward(program, found, _needed(found, kept))


def _learning(program: Program) -> Iterable[Tensor]:
    batch = size("b")
    batched = any(batch in t.extents for t in program.inputs)
    return (t for t in program.inputs if t.role == "weight" or not batched or batch in t.extents)


def _needed(program: Program, kept: frozenset[str]) -> frozenset[str]:
    by_name = {s.tensor: s for s in program.statements if s.tensor not in kept}
    needed, todo = set[str](), [t.name for t in program.outputs]
    while todo:
        name = todo.pop()
        if name in by_name and name not in needed:
            needed.add(name)
            todo += by_name[name].names
    return frozenset(needed)


def _statement(operation: Operation) -> str:
    return operation.output.name.partition(".")[0]


@lru_cache(maxsize=4096)
def _rows(program: Program, causal: str) -> tuple[tuple[str, Row], ...]:
    """Return the statement of each operation and its row, as a training step runs it.

    A sum over products of whole rows is taken element by element (D of a softmax, the gradient of a norm); an outer product
    whose results are added up in the places that a tensor names is a matrix product (the gradient of an expert's weights).
    """
    counted = dense(program) if causal == "full" else program
    scattered = {o.operand.tensor for o in counted.operations if isinstance(o, Scatter)}
    return tuple(
        (_statement(o), replace(row, scalars=_renamed(o, row.scalars, scattered)))
        for o, row in zip(counted.operations, operation_rows(counted), strict=True)
    )


def _renamed(operation: Operation, scalars: Mapping[str, sympy.Expr], scattered: set[str]) -> Mapping[str, sympy.Expr]:
    match operation:
        case Einsum(operands=(one, other)) if not _apart(one, other):
            return {kind.removeprefix("product."): number for kind, number in scalars.items()}
        case Map(expression=Binary(op="*", left=Ref() as one, right=Ref() as other), output=output):
            if output.name in scattered and _apart(one, other):
                return {"product.mul" if kind == "outer.mul" else kind: number for kind, number in scalars.items()}
    return scalars


def _apart(one: Ref, other: Ref) -> bool:
    """Return whether each of two operands has an index that the other lacks."""
    return bool(set(one.indices) - set(other.indices)) and bool(set(other.indices) - set(one.indices))
