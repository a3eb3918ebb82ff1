"""Replace size symbols throughout a Program: axes, scalars and masks."""

from dataclasses import replace

import sympy

from attometer.masks.counts import substitute as substitute_mask
from attometer.program.expression import (
    Along,
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Ref,
    Statement,
)
from attometer.program.expression_reader import read_expression
from attometer.program.program import Program
from attometer.sizes import size_text

Sizes = dict[sympy.Expr, sympy.Expr]


def substitute(program: Program, sizes: Sizes) -> Program:
    """Return `program` with the symbols in `sizes` replaced."""
    axes = dict(program.axes)
    for index in _axis_names(program):
        # An axis whose size is implied by its name must say its new size.
        if program.size_of(index) in sizes or index in axes:
            axes[index] = program.size_of(index).xreplace(sizes)
    return Program(
        tuple(_statement(s, program, sizes) for s in program.statements), tuple(axes.items()), program.declarations
    )


def _axis_names(program: Program) -> dict[str, None]:
    names = {i: None for d in program.declarations for i in d.indices}
    for tensor in program.tensors.values():
        names |= dict.fromkeys(tensor.indices)
    return names | {name: None for name, _ in program.axes}


def _statement(statement: Statement, program: Program, sizes: Sizes) -> Statement:
    where = statement.where
    if where is not None:
        where = replace(where, mask=substitute_mask(where.mask, sizes))
    return statement.saying(_expression(statement.expression, program, sizes), where)


def _expression(node: Expression, program: Program, sizes: Sizes) -> Expression:
    def again(part: Expression) -> Expression:
        return _expression(part, program, sizes)

    match node:
        case Name(name=name):
            return _name(name, program, sizes)
        case Ref(tensor=tensor, indices=indices):
            return Ref(tensor, tuple(i if isinstance(i, Name) else again(i) for i in indices))
        case Negative(operand=operand):
            return Negative(again(operand))
        case Binary(op=op, left=left, right=right):
            return Binary(op, again(left), again(right))
        case Call(function=function, arguments=arguments):
            return Call(function, tuple(map(again, arguments)))
        case Along(function=function, index=index, parameters=parameters, argument=argument):
            return Along(function, index, tuple(map(again, parameters)), again(argument))
    return node


def _name(name: str, program: Program, sizes: Sizes) -> Expression:
    # An axis keeps its name: its size is looked up from the axis declaration.
    if name in program.tensors or name in _axis_names(program):
        return Name(name)
    value = next((v for s, v in sizes.items() if str(s) == name), None)
    if value is None:
        return Name(name)
    return read_expression(size_text(value))
