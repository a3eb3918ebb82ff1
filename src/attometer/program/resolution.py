"""What each name stands for: a bare tensor name means the tensor at its own indices; undeclared tensors are inputs."""

from dataclasses import replace

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import Along, Binary, Call, Expression, Name, Negative, Ref
from attometer.program.indices import extent, index_names
from attometer.program.operations import Tensor
from attometer.program.program import Program


def declared_tensors(program: Program) -> dict[str, Tensor]:
    """Return the tensors known before lowering: declared ones, undeclared inputs, and every statement's own."""
    tensors: dict[str, Tensor] = {}
    for declaration in program.declarations:
        if declaration.role != "output":
            extents = tuple(map(program.size_of, declaration.indices))
            tensors[declaration.tensor] = Tensor(declaration.tensor, declaration.indices, extents, declaration.role)
    made = {s.tensor for s in program.statements}
    for statement in program.statements:
        for ref in statement.refs:
            if ref.tensor not in made and ref.tensor not in tensors:
                tensors[ref.tensor] = _inferred(ref, program)
    for statement in program.statements:
        extents = tuple(map(program.size_of, statement.indices))
        tensors[statement.tensor] = Tensor(statement.tensor, statement.indices, extents, "intermediate")
    return tensors


def _inferred(ref: Ref, program: Program) -> Tensor:
    names: list[str] = []
    extents: list[sympy.Expr] = []
    for part in ref.indices:
        stem = index_names(part)[0] if index_names(part) else "x"
        plain = isinstance(part, Name) and stem not in names
        names.append(stem if plain else next(c for k in range(1, 99) if (c := f"{stem}_{k}") not in names))
        try:
            extents.append(extent(part, program.size_of))
        except AttometerError as error:
            raise AttometerError(f'tensor "{ref.tensor}": {error}') from None
    return Tensor(ref.tensor, tuple(names), tuple(extents), "input")


def resolve(node: Expression, tensors: dict[str, Tensor]) -> Expression:
    """Replace bare tensor names by references at the tensor's own indices."""
    match node:
        case Name(name=name) if name in tensors:
            return Ref(name, tuple(Name(i) for i in tensors[name].indices))
        case Ref(indices=indices):
            return replace(
                node, indices=tuple(i if isinstance(i, Name) else _resolve_index(i, tensors) for i in indices)
            )
        case Negative(operand=operand):
            return Negative(resolve(operand, tensors))
        case Binary(op=op, left=left, right=right):
            return Binary(op, resolve(left, tensors), resolve(right, tensors))
        case Call(function=function, arguments=arguments):
            return Call(function, tuple(resolve(a, tensors) for a in arguments))
        case Along():
            return replace(node, argument=resolve(node.argument, tensors))
    return node


def _resolve_index(node: Expression, tensors: dict[str, Tensor]) -> Expression:
    return resolve(node, tensors) if isinstance(node, Ref) else node
