"""Exclusive reads (EREW): an entry that k points of one operation read is copied k - 1 times, in ⌈log2 k⌉ levels.

Operations that read one tensor take their turns, as the steps of a recurrence do. Source: JáJá (1992), section 1.4.
"""

import sympy
from sympy import Integer, Mul

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Expression, Ref, walk
from attometer.program.indices import index_names
from attometer.program.operations import Einsum, Map, Reduce
from attometer.program.size_expressions import to_size
from attometer.sizes import size


def readers(operation: Einsum | Map | Reduce, ref: Ref, axis: str | None = None) -> sympy.Expr:
    """Return how many points read each entry of `ref`; `axis` is that of a recurrence, whose steps read in turn.

    Raises AttometerError for a gather, and for a mask over one index of the entry only: then entries differ.
    """
    if any(isinstance(node, Ref) for part in ref.indices for node in walk(part)):
        raise AttometerError(
            f'"{operation.output.name}" gathers "{ref.tensor}": how many points read one entry is data (EREW)'
        )
    used = [name for part in ref.indices for name in index_names(part)]
    where = operation.where
    if where is not None and not {where.query, where.key} <= set(used):
        raise AttometerError(
            f'"{operation.output.name}" reads "{ref.tensor}" under a mask: exclusive reads (EREW) are counted only without one'
        )
    shared = [_shared(part, index, extent) for index, extent in operation.extents for part in _only_part(ref, index)]
    unused = [extent for index, extent in operation.extents if index not in used and index != axis]
    return Mul(*unused, *shared)


def _only_part(ref: Ref, index: str) -> list[Expression]:
    parts = [part for part in ref.indices if index in index_names(part)]
    return parts if len(parts) == 1 else []


def _shared(part: Expression, index: str, extent: sympy.Expr) -> sympy.Expr:
    """Return how many values of `index` lead to one place: `h // c` shares c, `t % B` shares extent / B."""
    if not isinstance(part, Binary) or part.op not in ("/", "//", "%"):
        return Integer(1)
    divisor = to_size(part.right).xreplace({size(index): extent})
    return divisor if part.op != "%" else extent / divisor
