"""Statements → primitive operations: sums become matrix products and reductions, the rest stays element-wise."""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from operator import and_
from typing import NoReturn

import sympy

from attometer.errors import AttometerError
from attometer.masks.algebra import And
from attometer.program.composites import expand
from attometer.program.expression import (
    COMPOSITES,
    SCATTER,
    SORTS,
    Along,
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Position,
    Ref,
    Statement,
    Where,
    factors_of,
    refs_in,
    walk,
)
from attometer.program.expression_reader import read_expression
from attometer.program.indices import index_names, indices_of, meets_here, step_of
from attometer.program.operations import Einsum, Map, Operation, Origin, Reduce, Scan, Scatter, Sort, Tensor
from attometer.program.printer import expression_text, where_text
from attometer.program.program import Program
from attometer.program.recurrences import group_steps
from attometer.program.resolution import resolve
from attometer.program.size_expressions import to_size
from attometer.sizes import as_size, size_text


def lower(program: Program) -> tuple[tuple[Operation, ...], dict[str, Tensor]]:
    """Return the primitive operations of `program` in executable order, and every tensor by name."""
    tensors = dict(program.declared)
    operations: list[Operation] = []
    for statements in groups(program):
        group = [operation for s in statements for operation in _Statement(program, s, tensors).lower()]
        operations.extend(group_steps(group, {s.tensor for s in statements}, tensors))
    return tuple(operations), _with_outputs(program, operations, tensors)


def groups(program: Program) -> list[tuple[Statement, ...]]:
    """Return the statements in groups: those of one may read one another's earlier steps, and no group a later one."""
    made = {s.tensor: k for k, s in enumerate(program.statements)}
    found, at = list[tuple[Statement, ...]](), 0
    while at < len(program.statements):
        last = _last_of_group(program, at, made)
        found.append(program.statements[at : last + 1])
        at = last + 1
    return found


def _last_of_group(program: Program, first: int, made: dict[str, int]) -> int:
    """Return the last statement that must be lowered together with `first`: one it reads from an earlier step."""
    last, at = first, first
    while at <= last:
        for name in program.statements[at].names:
            last = max(last, made.get(name, 0))
        at += 1
    return last


def _with_outputs(program: Program, operations: list[Operation], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    made = {s.tensor: k for k, s in enumerate(program.statements)}
    # A recurrence reads itself; a result is what no later statement reads.
    read = {name for k, s in enumerate(program.statements) for name in s.names if made.get(name, k) < k}
    chosen = {d.tensor for d in program.declarations if d.role == "output"}
    chosen = chosen or {s.tensor for s in program.statements if s.tensor not in read}
    return {name: replace(t, role="output") if name in chosen else t for name, t in tensors.items()}


class _Statement:
    """Lowers one statement; `tensors` is shared by the whole program."""

    def __init__(self, program: Program, statement: Statement, tensors: dict[str, Tensor]) -> None:
        self.program, self.statement, self.tensors = program, statement, tensors
        self.operations: list[Operation] = []
        self.names: set[str] = set()
        self.composites: set[str] = set()
        self.results: dict[Expression, Origin] = {}

    def lower(self) -> list[Operation]:
        statement = self.statement
        expression = resolve(statement.expression, self.tensors)
        if statement.associative:
            self.scan(expression)
        elif isinstance(expression, Along) and expression.function in SORTS:
            self.sort(expression)
        elif isinstance(expression, Along) and expression.function == SCATTER:
            self.scatter(expression)
        else:
            self.finish(self.elementwise(expression, statement.indices))
        return self.operations

    def fail(self, what: str) -> NoReturn:
        raise AttometerError(f'statement "{self.statement.tensor}": {what}')

    def finish(self, expression: Expression) -> None:
        """Give the statement's name to the last operation, or emit the element-wise rest."""
        last = self.operations[-1] if self.operations else None
        if (
            isinstance(expression, Ref)
            and isinstance(last, Einsum | Reduce)
            and expression.tensor == last.output.name
            and set(last.output.indices) == set(self.statement.indices)
        ):
            del self.tensors[last.output.name]
            output = self.tensor(self.statement.tensor, self.statement.indices, last.where)
            self.operations[-1] = replace(last, output=output)
        else:
            self.map(self.statement.tensor, expression, self.statement.indices)

    # --- expressions -------------------------------------------------------------------------------------------------

    def elementwise(self, node: Expression, context: tuple[str, ...]) -> Expression:
        """Return `node` with every sum and reduction replaced by a reference to an emitted tensor."""
        match node:
            case Ref():
                bound = tuple(i for i in indices_of(node) if i not in context)
                return (
                    self.reduce("sum", self.reference(node, context + bound), bound, context, "sum") if bound else node
                )
            case Position(index=index) if index not in context:
                self.fail(f"pos({index}) needs the index {index} on the left")
            case Negative(operand=operand):
                return Negative(self.elementwise(operand, context))
            case Binary(op="+" | "-", left=left, right=right):
                return Binary(node.op, self.elementwise(left, context), self.elementwise(right, context))
            case Binary(op="*" | "/"):
                return self.product(node, context)
            case Binary(op=op):
                self.fail(f"{op} is for indices and sizes only")
            case Call(function=function, arguments=arguments):
                return Call(function, tuple(self.elementwise(a, context) for a in arguments))
            case Along():
                return self.along(node, context)
        return node

    def product(self, node: Binary, context: tuple[str, ...]) -> Expression:
        factors = factors_of(node)
        bound = tuple(i for i in indices_of(node) if i not in context and meets_here(i, [f for _, f in factors]))
        if not bound:
            return Binary(node.op, self.elementwise(node.left, context), self.elementwise(node.right, context))
        inside = [f for _, f in factors if set(indices_of(f)) & set(bound)]
        if any(inverse and f in inside for inverse, f in factors):
            self.fail(f"divides inside the sum over {', '.join(bound)}; name the quotient first")
        if len(inside) > 2:
            self.fail(
                f"sums a product of {len(inside)} tensors over {', '.join(bound)}; name the product of two of them first"
            )
        refs = [self.reference(f, context + bound) for f in inside]
        total = self.contract(refs, bound, context)
        for inverse, factor in factors:
            if factor not in inside:
                total = Binary("/" if inverse else "*", total, self.elementwise(factor, context))
        return total

    def reference(self, node: Expression, context: tuple[str, ...]) -> Ref:
        """Return `node` as a tensor reference, computing it first when it is more than that."""
        found = self.elementwise(node, context)
        if isinstance(found, Ref):
            return found
        return self.map(self.name("part"), found, tuple(i for i in context if i in indices_of(found)))

    def contract(self, refs: list[Ref], bound: tuple[str, ...], context: tuple[str, ...]) -> Expression:
        if len(refs) == 1:
            return self.reduce("sum", refs[0], bound, context, "sum")
        used = {i for ref in refs for i in indices_of(ref)} | self.masked_with(bound)
        kept = tuple(i for i in context if i in used)
        extents = self.extents(kept + bound)
        where = self.where(refs, extents)
        output = self.tensor(self.name("product"), kept, where)
        label = f"sum[{','.join(bound)}] {' * '.join(map(expression_text, refs))}"
        self.operations.append(Einsum(output, (refs[0], refs[1]), bound, tuple(extents.items()), where, label))
        return _plain(output)

    def reduce(
        self,
        kind: str,
        ref: Ref,
        bound: tuple[str, ...],
        context: tuple[str, ...],
        name: str,
        origin: Origin | None = None,
    ) -> Ref:
        used = {*indices_of(ref)} | self.masked_with(bound)
        kept = tuple(i for i in context if i in used and i not in bound)
        extents = self.extents(kept + bound)
        where = self.where([ref], extents)
        output = self.tensor(self.name(name), kept, where)
        label = f"{kind}[{','.join(bound)}]({expression_text(ref)})"
        self.operations.append(Reduce(output, kind, ref, bound, tuple(extents.items()), where, label, origin))
        return _plain(output)

    def along(self, node: Along, context: tuple[str, ...]) -> Expression:
        if node.function in (*SORTS, SCATTER):
            self.fail(f"{node.function} must be the whole right-hand side")
        inner = tuple(dict.fromkeys((*context, *node.runs)))
        ref = self.reference(node.argument, inner)
        for index in node.runs:
            if index not in indices_of(ref):
                self.fail(f"{node.function}[{','.join(node.runs)}] runs along an index its argument does not have")
        kept = tuple(i for i in context if i not in node.runs)
        length = _size_node(sympy.Mul(*map(self.program.size_of, node.runs)))
        if node.function in COMPOSITES:
            return self.composite(node, ref, inner, kept, length)
        if node.function == "mean":
            if self.where([ref], self.extents((*kept, node.index))) is not None:
                self.fail(
                    f"takes a mean along {node.index}, where a mask leaves some out; divide the sum by the number you mean"
                )
            return Binary("/", self.reduce("sum", ref, (node.index,), kept, "sum"), length)
        return self.reduce(node.function, ref, (node.index,), kept, node.function)

    def composite(
        self, node: Along, ref: Ref, inner: tuple[str, ...], kept: tuple[str, ...], length: Expression
    ) -> Expression:
        """Return the last expression of a composite over its emitted parts, which all know that they are its parts."""
        instance = _fresh(self.statement.tensor, self.composites)
        origin = Origin(node.function, instance, "result")

        def emit(name: str, expression: Expression) -> Ref:
            indices = tuple(i for i in inner if i in indices_of(expression))
            return self.map(self.name(name), expression, indices, replace(origin, part=name))

        def fold(name: str, kind: str, operand: Ref) -> Ref:
            return self.reduce(kind, operand, node.runs, kept, name, replace(origin, part=name))

        result = expand(node.function, ref, length, emit, fold)
        self.results[result] = origin
        return result

    # --- whole-statement forms ---------------------------------------------------------------------------------------

    def sort(self, node: Along) -> None:
        indices = self.statement.indices
        ref = self.reference(node.argument, (*indices, node.index) if node.index not in indices else indices)
        new = [i for i in indices if i not in indices_of(ref)] or [i for i in indices if i == node.index]
        keep = to_size(node.parameters[0], dict(self.program.axes)) if node.parameters else None
        if keep is not None:
            as_size(keep, f'statement "{self.statement.tensor}": count of {node.function}')
            if (keep - self.program.size_of(node.index)).is_positive:
                self.fail(f"keeps {keep} of the {self.program.size_of(node.index)} entries along {node.index}")
        length = self.program.size_of(node.index) if keep is None else keep
        if len(new) != 1 or self.program.size_of(new[0]) != length:
            self.fail(f"{node.function} needs one result index of size {length} on the left")
        if set(indices) - set(new) != set(indices_of(ref)) - {node.index}:
            self.fail(f"{node.function}[{node.index}] keeps every other index of its argument")
        kept = tuple(i for i in indices if i != new[0])
        output = self.tensor(self.statement.tensor, indices, None)
        label = f"{node.function}[{node.index}]({expression_text(ref)})"
        extents = tuple(self.extents((*kept, node.index)).items())
        where = self.operand_where(ref)
        self.operations.append(Sort(output, ref, node.index, keep, extents, label, where, node.function == "select"))

    def scatter(self, node: Along) -> None:
        """`scatter[j, T[i]](X)`: what has no place of its own on the left is summed."""
        own = (Name(node.index), *node.parameters)
        places = tuple((i.name, place) for i, place in zip(own[::2], own[1::2], strict=True) if isinstance(i, Name))
        chosen = tuple(i for i, _ in places)
        for index in chosen:
            if chosen.count(index) > 1 or index not in self.statement.indices or index in indices_of(node.argument):
                self.fail(f"scatter fills the index {index}: it stands once on the left, and not in what is summed")
        kept = tuple(i for i in self.statement.indices if i not in chosen)
        used = dict.fromkeys((*indices_of(node.argument), *(n for _, place in places for n in index_names(place))))
        summed = tuple(i for i in used if i not in kept)
        ref = self.reference(node.argument, kept + summed)
        extents = self.extents(kept + summed)
        output = self.tensor(self.statement.tensor, self.statement.indices, None)
        label = expression_text(node)
        where = self.where([ref], extents)
        self.operations.append(Scatter(output, ref, places, summed, tuple(extents.items()), where, label))

    def scan(self, node: Expression) -> None:
        """`z[t] = decay * z[t-1] + term`, or `maximum(z[t-1], term)`."""
        parts: tuple[Expression, ...] = ()
        if isinstance(node, Binary) and node.op == "+":
            parts = (node.left, node.right)
        kind = "sum"
        if isinstance(node, Call) and node.function == "maximum":
            parts, kind = node.arguments, "max"
        indices = self.statement.indices
        earlier = [p for p in parts if self.earlier(p)]
        factors = factors_of(earlier[0]) if len(earlier) == 1 else []
        state = [f for inverse, f in factors if not inverse and self.earlier(f)]
        look = self.looks(state[0]) if len(state) == 1 else None
        decay = [(inverse, f) for inverse, f in factors if not self.earlier(f)]
        if look is None or len(decay) != len(factors) - 1 or (kind == "max" and decay):
            self.fail("associative needs the form z[t-1] + x, a * z[t-1] + x or maximum(z[t-1], x), or z[t+1]")
        term_ref = self.reference(next(p for p in parts if p is not earlier[0]), indices)
        decay_ref = None
        if decay:
            joined: Expression = Number(1) if decay[0][0] else decay[0][1]
            for inverse, factor in decay if decay[0][0] else decay[1:]:
                joined = Binary("/" if inverse else "*", joined, factor)
            decay_ref = self.reference(joined, indices)
        output = self.tensor(self.statement.tensor, indices, None)
        axis, direction = look
        label = f"scan[{axis}] {expression_text(node)}"
        extents = tuple(self.extents(indices).items())
        self.operations.append(Scan(output, axis, kind, term_ref, decay_ref, extents, label, -direction))

    def looks(self, node: Expression) -> tuple[str, int] | None:
        """Return the index and direction along which `node` is this tensor one step on and otherwise the same, or None."""
        if not isinstance(node, Ref):
            return None
        moved = [
            (own, part) for own, part in zip(self.statement.indices, node.indices, strict=True) if part != Name(own)
        ]
        found = step_of(moved[0][1]) if len(moved) == 1 else None
        return found if found is not None and found[0] == moved[0][0] else None

    def earlier(self, node: Expression) -> bool:
        return any(isinstance(part, Ref) and part.tensor == self.statement.tensor for part in walk(node))

    # --- emitting ----------------------------------------------------------------------------------------------------

    def map(self, name: str, expression: Expression, indices: tuple[str, ...], origin: Origin | None = None) -> Ref:
        extents = self.extents(indices)
        where = self.where([*refs_in(expression)], extents)
        self.same_pairs(expression)
        output = self.tensor(name, indices, where)
        label = expression_text(expression)
        origin = origin or self.results.get(expression)
        self.operations.append(Map(output, expression, tuple(extents.items()), where, label, origin))
        return _plain(output)

    def name(self, what: str) -> str:
        return _fresh(f"{self.statement.tensor}.{what}", self.names)

    def tensor(self, name: str, indices: tuple[str, ...], where: Where | None) -> Tensor:
        held = where if where is not None and {where.query, where.key} <= set(indices) else None
        made = Tensor(name, indices, tuple(map(self.program.size_of, indices)), "intermediate", held)
        self.tensors[name] = made
        return made

    def extents(self, indices: tuple[str, ...]) -> dict[str, sympy.Expr]:
        return {i: self.program.size_of(i) for i in indices}

    def where(self, refs: Iterable[Ref], extents: dict[str, sympy.Expr]) -> Where | None:
        """Return the mask over this iteration space: the statement's own and those of its operands."""
        found = [self.statement.where] if self.statement.where is not None else []
        found += [w for ref in refs if (w := self.operand_where(ref)) is not None]
        inside = list(dict.fromkeys(w for w in found if w.query in extents and w.key in extents))
        if len({(w.query, w.key) for w in inside}) > 1:
            pairs = ", ".join(f"({w.query}, {w.key})" for w in inside)
            self.fail(f"meets masks over different pairs of indices: {pairs}")
        if not inside:
            return None
        mask = inside[0].mask
        for other in inside[1:]:
            mask = mask & other.mask
        return replace(inside[0], mask=mask)

    def same_pairs(self, expression: Expression) -> None:
        """Refuse a sum (or a function) of two tensors of different pairs, unless the statement's own mask says which it has."""
        if self.statement.where is not None:
            return
        for node in walk(expression):
            match node:
                case Binary(op="+" | "-", left=left, right=right) | Call(arguments=(left, right)):
                    one, other = self.pairs_of(left), self.pairs_of(right)
                    if one and other and one[0] != other[0]:
                        self.differ(*one, *other)

    def differ(self, one: Where, first: str, other: Where, second: str) -> NoReturn:
        both = (
            ""
            if {one.query, one.key} != {other.query, other.key}
            else f"where {where_text(replace(one, mask=one.mask & other.mask))}"
        )
        self.fail(
            f'joins "{first}", which has the pairs {where_text(one)}, with "{second}", which has {where_text(other)}; '
            + (f"write {both} for the pairs of both, or " if both else "")
            + f"read one at [{one.query} + 0] for 0 where it has none"
        )

    def pairs_of(self, expression: Expression) -> tuple[Where, str] | None:
        """Return the mask of what an expression reads, and the name of a tensor that has it."""
        refs = [*refs_in(expression)]
        found = {w: ref.tensor for ref in refs if (w := self.operand_where(ref)) is not None}
        if len({(w.query, w.key) for w in found}) != 1:
            return None
        (where, name), *_ = found.items()
        # The same masks in another order are the same pairs.
        parts = {part for w in found for part in (w.mask.parts if isinstance(w.mask, And) else (w.mask,))}
        return replace(where, mask=reduce(and_, sorted(parts, key=str))), name

    def masked_with(self, bound: tuple[str, ...]) -> set[str]:
        """Return the indices that the statement's mask ties to a summed one: the sum differs along them."""
        where = self.statement.where
        pair = set() if where is None else {where.query, where.key}
        return pair if pair & set(bound) else set()

    def operand_where(self, ref: Ref) -> Where | None:
        tensor = self.tensors.get(ref.tensor)
        if tensor is None or tensor.where is None:
            return None
        read = dict(zip(tensor.indices, ref.indices, strict=True))
        query, key = read[tensor.where.query], read[tensor.where.key]
        if isinstance(query, Name) and isinstance(key, Name):
            return Where(tensor.where.mask, query.name, key.name)
        return None


def _fresh(stem: str, taken: set[str]) -> str:
    """Return `stem`, numbered when it is taken, and take it."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}{number}"
    taken.add(name)
    return name


def _plain(tensor: Tensor) -> Ref:
    return Ref(tensor.name, tuple(Name(i) for i in tensor.indices))


def _size_node(value: sympy.Expr) -> Expression:
    return read_expression(size_text(value))
