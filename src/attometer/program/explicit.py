"""A Program in which every value that a derivative needs has a name: same operations, one to a statement where it matters."""

from collections.abc import Iterable
from dataclasses import replace

import sympy

from attometer.program.composites import expand
from attometer.program.derivatives import times
from attometer.program.expression import (
    SCATTER,
    SORTS,
    Along,
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Ref,
    Statement,
    Where,
    factors_of,
    walk,
)
from attometer.program.expression_reader import read_expression
from attometer.program.indices import indices_of, meets_here
from attometer.program.program import Program
from attometer.program.resolution import resolve
from attometer.sizes import size_text

_NORMS = ("rmsnorm", "layernorm")


def explicit(program: Program) -> Program:
    """Return `program` with the sums, reductions and norms that stand inside other expressions in statements of their own.

    Afterwards a product that is summed has nothing but tensors and constants as factors and stands where the statement is
    linear in it; a function along an index is a whole right-hand side. Work and depth are those of `program`.

    >>> from attometer.program import parse
    >>> print(explicit(parse("Y[i] = tanh(A[i,j] * X[j]) / sum[k](B[i,k])")))
    Y_1[i] = A[i,j] * X[j]
    Y_2[i] = sum[k](B[i,k])
    Y[i] = tanh(Y_1[i]) / Y_2[i]
    """
    names = Names(program)
    statements = [s for statement in program.statements for s in _Splitter(program, statement, names).split()]
    return replace(program, statements=tuple(statements))


class Names:
    """Names that a program does not use yet."""

    def __init__(self, program: Program) -> None:
        self.taken = {*program.tensors, *(name for name, _ in program.axes), *map(str, program.symbols)}
        self.taken |= {i for t in program.tensors.values() for i in t.indices}
        self.taken |= {n.name for s in program.statements for n in walk(s.expression) if isinstance(n, Name)}

    def new(self, stem: str, first: str = "") -> str:
        """Return `first` if it is free, else `stem` with the first free number; and take it."""
        number = 0
        name = first
        while not name or name in self.taken:
            number += 1
            name = f"{stem}_{number}"
        self.taken.add(name)
        return name


class _Splitter:
    """Splits one statement."""

    def __init__(self, program: Program, statement: Statement, names: Names) -> None:
        self.program, self.statement, self.names = program, statement, names
        self.made: list[Statement] = []

    def split(self) -> list[Statement]:
        statement = self.statement
        expression = resolve(statement.expression, dict(self.program.declared))
        if statement.associative or (isinstance(expression, Along) and expression.function in SORTS):
            return [replace(statement, expression=expression)]
        if isinstance(expression, Along) and self.whole_side(expression):
            expression = self.whole(expression, statement.indices)
        else:
            expression = self.linear(expression, statement.indices)
        return [*self.made, replace(statement, expression=expression, where=self.where(expression, statement.indices))]

    def whole_side(self, node: Along) -> bool:
        """Return whether the statement may stay as it is: its function leaves the indices of the left side."""
        if node.function in ("softmax", SCATTER):
            return True
        return node.function not in (*_NORMS, "mean") and not {*node.runs} & {*self.statement.indices}

    def linear(self, node: Expression, context: tuple[str, ...]) -> Expression:
        """Return `node` split, its sums of products left in place: its value is not needed."""
        match node:
            case Negative(operand=operand):
                return Negative(self.linear(operand, context))
            case Binary(op="+" | "-" as op, left=left, right=right):
                return Binary(op, self.linear(left, context), self.linear(right, context))
            case Binary(op="*" | "/"):
                return self.product(node, context, name=False)
        return self.value(node, context) if not isinstance(node, Ref) else node

    def value(self, node: Expression, context: tuple[str, ...]) -> Expression:
        """Return `node` as an element-wise expression over `context`."""
        match node:
            case Ref():
                return node if set(indices_of(node)) <= set(context) else self.named(node, context)
            case Negative(operand=operand):
                return Negative(self.value(operand, context))
            case Binary(op="+" | "-" as op, left=left, right=right):
                return Binary(op, self.value(left, context), self.value(right, context))
            case Binary(op="*" | "/"):
                return self.product(node, context, name=True)
            case Call(function=function, arguments=arguments):
                return Call(function, tuple(self.value(a, context) for a in arguments))
            case Along():
                return self.along(node, context)
        return node

    def product(self, node: Binary, context: tuple[str, ...], name: bool) -> Expression:
        factors = factors_of(node)
        bound = tuple(i for i in indices_of(node) if i not in context and meets_here(i, [f for _, f in factors]))
        if not bound:
            return Binary(node.op, self.value(node.left, context), self.value(node.right, context))
        wider = context + bound
        inside = [self.tensor(f, wider) for _, f in factors if set(indices_of(f)) & set(bound)]
        outside = [(inverse, f) for inverse, f in factors if not set(indices_of(f)) & set(bound)]
        total = times(*inside)
        if name or any(isinstance(n, Ref | Along) for _, f in outside for n in walk(f)):
            total = self.named(total, context)
        for inverse, factor in outside:
            # A factor of -1 is a sign, which prints in front.
            signed = factor == Number(-1)
            total = Negative(total) if signed else Binary("/" if inverse else "*", total, self.value(factor, context))
        return total

    def tensor(self, node: Expression, context: tuple[str, ...]) -> Ref:
        found = self.value(node, context)
        return found if isinstance(found, Ref) else self.named(found, context)

    def along(self, node: Along, context: tuple[str, ...]) -> Expression:
        inner = tuple(dict.fromkeys((*context, *node.runs)))
        if node.function == "mean":
            total = self.along(replace(node, function="sum"), context)
            return Binary("/", total, read_expression(size_text(self.program.size_of(node.index))))
        if node.function in _NORMS:
            return self.norm(node, self.tensor(node.argument, inner), inner)
        kept = inner if node.function == "softmax" else tuple(i for i in context if i not in node.runs)
        return self.named(self.whole(node, context), kept)

    def whole(self, node: Along, context: tuple[str, ...]) -> Along:
        if node.function == SCATTER:
            context = tuple(dict.fromkeys((*context, *indices_of(node))))
            return replace(node, argument=self.value(node.argument, context))
        inner = tuple(dict.fromkeys((*context, *node.runs)))
        convert = self.value if node.function == "sum" else self.tensor
        return replace(node, argument=convert(node.argument, inner))

    def norm(self, node: Along, operand: Ref, inner: tuple[str, ...]) -> Expression:
        length = read_expression(size_text(sympy.Mul(*map(self.program.size_of, node.runs))))

        def fold(kind: str, ref: Ref) -> Ref:
            left = inner
            for index in reversed(node.runs):
                left = tuple(i for i in left if i != index)
                ref = self.named(Along(kind, index, (), ref), left)
            return ref

        return expand(
            node.function,
            operand,
            length,
            lambda _, expression: self.named(expression, inner),
            lambda _, kind, ref: fold(kind, ref),
        )

    def named(self, node: Expression, context: tuple[str, ...]) -> Ref:
        """Give `node` a statement of its own, over the indices of `context` that its value varies along."""
        used = {*indices_of(node), *self.tied(node, context)}
        indices = tuple(i for i in context if i in used)
        name = self.names.new(self.statement.tensor)
        self.made.append(Statement(name, indices, node, self.where(node, indices)))
        return Ref(name, tuple(map(Name, indices)))

    def tied(self, node: Expression, context: tuple[str, ...]) -> set[str]:
        """Return the indices that the statement's mask ties to one that `node` sums: its value differs along them."""
        where = self.statement.where
        summed = summed_by(node, context)
        pair = set() if where is None else {where.query, where.key}
        return pair if pair & summed else set()

    def where(self, node: Expression, indices: Iterable[str]) -> Where | None:
        where = self.statement.where
        used = {*indices, *indices_of(node)} | ({*node.runs} if isinstance(node, Along) else set())
        return where if where is not None and {where.query, where.key} <= used else None


def summed_by(node: Expression, context: Iterable[str]) -> set[str]:
    """Return the indices that `node`, split, sums or reduces over when it stands over `context`."""
    return {*indices_of(node)} - {*context} | ({*node.runs} if isinstance(node, Along) else set())
