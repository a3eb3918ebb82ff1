"""Where a Program takes a softmax: exponentials divided by their own sum, as the function or written out."""

from collections.abc import Iterator
from dataclasses import dataclass

from attometer.program.expression import Binary, Call, Expression, Name, Ref, factors_of, walk
from attometer.program.operations import Einsum, Map, Operation, Reduce, Tensor
from attometer.program.program import Program
from attometer.program.recurrences import refs_of


@dataclass(frozen=True)
class Softmax:
    """One softmax of a program.

    Attributes:
        exponentials: the operation that takes them, `E = exp(x)`.
        total: their sum along the indices it reduces, `Z = sum(E)`.
        result: the operation that divides by the sum: `E / Z`, or `(E * V) / Z` after a product with the values.
        product: that product; None when the exponentials themselves are divided.
    """

    exponentials: Map
    total: Reduce
    result: Map
    product: Einsum | None


def softmaxes(program: Program) -> tuple[Softmax, ...]:
    """Return every softmax of `program`, whether it is called, or written as exponentials, their sum and a quotient.

    >>> from attometer.program import parse
    >>> [s.result.output.name for s in softmaxes(parse("P[i,j] = softmax[j](S[i,j])"))]
    ['P']
    >>> text = "E[i,j] = exp(S[i,j])" + chr(10) + "P[i,j] = E / sum[j](E)"
    >>> [s.exponentials.output.name for s in softmaxes(parse(text))]
    ['E']
    """
    made = {operation.output.name: operation for operation in program.operations}
    maps = [operation for operation in program.operations if isinstance(operation, Map)]
    found = []
    for total in program.operations:
        if not isinstance(total, Reduce) or total.kind != "sum":
            continue
        source = made.get(total.operand.tensor)
        if isinstance(source, Map) and _is_exponential(source.expression) and plain(total.operand, source.output):
            found += [Softmax(source, total, *end) for end in _quotients(maps, made, source, total)]
    return tuple(found)


def plain(ref: Ref, tensor: Tensor) -> bool:
    """Return whether `ref` reads `tensor` entry by entry, at its own indices."""
    return ref.tensor == tensor.name and ref.indices == tuple(map(Name, tensor.indices))


def _is_exponential(node: Expression) -> bool:
    return isinstance(node, Call) and node.function == "exp"


def _quotients(
    maps: list[Map], made: dict[str, Operation], source: Map, total: Reduce
) -> Iterator[tuple[Map, Einsum | None]]:
    """Yield the operations that divide the exponentials, or their product with something, by their sum."""
    for operation in maps:
        if not any(ref.tensor == total.output.name for ref in refs_of(operation)):
            continue
        for node in walk(operation.expression):
            parts = factors_of(node) if isinstance(node, Binary) and node.op == "/" else []
            if not any(inverse and _adds(part, total.output) for inverse, part in parts):
                continue
            for inverse, part in parts:
                product = made.get(part.tensor) if isinstance(part, Ref) else None
                if inverse:
                    continue
                # What is written twice is computed twice: exp(S) / sum[j](exp(S)).
                if part == source.expression or (isinstance(part, Ref) and plain(part, source.output)):
                    yield operation, None
                elif isinstance(product, Einsum) and _weighs(product, source, total):
                    yield operation, product


def _adds(node: Expression, total: Tensor) -> bool:
    """Return whether `node` is the sum, or the sum and something more (a sink, a small number)."""
    if isinstance(node, Binary) and node.op == "+":
        return _adds(node.left, total) or _adds(node.right, total)
    return isinstance(node, Ref) and plain(node, total)


def _weighs(product: Einsum, source: Map, total: Reduce) -> bool:
    return product.summed == total.summed and any(plain(ref, source.output) for ref in product.operands)
