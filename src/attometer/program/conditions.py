"""What the sizes of a Program must satisfy: every length and divisor is a positive whole number, a topk keeps what is there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import SCATTER, Along, Binary, Expression, Ref, walk
from attometer.program.operations import Sort, steps_of
from attometer.program.printer import expression_text
from attometer.program.program import Program
from attometer.program.size_expressions import size_in


@dataclass(frozen=True)
class Condition:
    """`value` must be a positive whole number; `what` and `rule` are the words of an error where it is not."""

    value: sympy.Expr
    what: str
    rule: str = "a size is a positive whole number"

    def refusal(self, sizes: Mapping[Any, Any]) -> AttometerError:
        """Return the error for sizes at which it does not hold."""
        names = sorted(map(str, self.value.free_symbols))
        numbers = {str(name): number for name, number in sizes.items()}
        at = ", ".join(f"{name} = {numbers[name]!s:.40}" for name in names if name in numbers)
        return AttometerError(f"{self.what} at {at}; {self.rule}")


def conditions(program: Program) -> tuple[Condition, ...]:
    """Return what must hold of the sizes beyond being positive.

    >>> from attometer.program import parse
    >>> [c.what for c in conditions(parse("axis c: n / B" + chr(10) + "Y[c] = exp(X[c])"))]
    ['axis "c" has the size n/B']
    """
    found = dict.fromkeys(c for c in _all(program) if not (c.value.is_Symbol or c.value.is_Integer))
    return tuple(found)


def check_conditions(program: Program, numbers: Mapping[sympy.Symbol, sympy.Expr]) -> None:
    """Raise AttometerError when a condition does not hold at `numbers`, which bind every symbol."""
    for condition in conditions(program):
        value = condition.value.xreplace(dict(numbers))
        if not (value.is_Integer and value > 0):
            raise condition.refusal(numbers)


def _all(program: Program) -> Iterator[Condition]:
    used = {i for tensor in program.tensors.values() for i in tensor.indices}
    used |= {i for step in steps_of(program.operations) for i, _ in step.extents}
    axes = {name: value for name, value in program.axes if name in used}
    for name, value in axes.items():
        yield Condition(value, f'axis "{name}" has the size {value}')
    for tensor in program.inputs:
        for index, extent in zip(tensor.indices, tensor.extents, strict=True):
            if extent not in axes.values():
                yield Condition(extent, f'axis "{index}" of "{tensor.name}" has the size {extent}')
    for statement in program.statements:
        for node in statement.nodes:
            if isinstance(node, Ref) or (isinstance(node, Along) and node.function == SCATTER):
                for divisor in _divisors(node):
                    value = size_in(divisor, program.size_of)
                    yield Condition(value, f'"{expression_text(node)}" is read with the size {value}')
    for operation in program.operations:
        if isinstance(operation, Sort) and operation.keep is not None:
            length = dict(operation.extents)[operation.along]
            what = f'"{operation.output.name}" keeps {operation.keep} of the {length} entries along "{operation.along}"'
            yield Condition(length - operation.keep + 1, what, "there are not that many")


def _divisors(node: Ref | Along) -> Iterator[Expression]:
    for part in node.indices if isinstance(node, Ref) else node.parameters:
        for inner in walk(part):
            if isinstance(inner, Binary) and inner.op in ("*", "/", "//", "%"):
                yield inner.right
