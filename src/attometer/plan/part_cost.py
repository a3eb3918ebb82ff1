"""What one part of a layer computes, moves and holds: expressions in b (batch), n (new tokens), m (keys)."""

from dataclasses import dataclass
from functools import lru_cache

import sympy
from sympy import Add, Min

from attometer.count import count, memory
from attometer.count.memory.footprint import saved_for_backward
from attometer.models import Part
from attometer.program import Program, size
from attometer.program.expression import Ref, walk
from attometer.program.operations import Tensor
from attometer.program.recurrences import refs_of


@dataclass(frozen=True)
class PartCost:
    """One part under one schedule, all of its copies together, in elements and operations.

    Attributes:
        flops: 2 per multiply-accumulate of matrix products, over the pairs the mask allows.
        moved: activations read and written.
        cached: cache elements read.
        live: elements that exist at once while it runs, without weights and cache.
        saved: elements its backward pass needs.
    """

    flops: sympy.Expr
    moved: sympy.Expr
    cached: sympy.Expr
    live: sympy.Expr
    saved: sympy.Expr


@lru_cache(maxsize=4096)
def part_cost(part: Part, program: Program, schedule: str) -> PartCost:
    """Return the cost of `part` running as `program` when attention runs by `schedule`.

    Under `flash` a part is one kernel: it reads its inputs and writes its outputs. Under `naive` a part that makes an
    [n, m] matrix runs operation by operation, each through memory, with whole (unmasked) matrices.

    >>> from attometer.models.blocks import linear
    >>> up = linear("up", 4, 8)
    >>> part_cost(up, up.program, "flash").flops
    64*b*n
    """
    naive = schedule == "naive" and _matrices(program)
    copies = 1 if part.routed else part.copies
    return PartCost(
        flops=part.copies * count(program).flops("flop"),
        moved=part.copies * (_through_memory(program) if naive else _ends(program)),
        cached=part.copies * _cache_read(program),
        live=_live(program) if naive else _ends(program),
        saved=copies * _saved(program, naive),
    )


def _matrices(program: Program) -> bool:
    """Return whether an intermediate has both a query and a key position."""
    n, m = size("n"), size("m")
    return any(n in t.extents and m in t.extents and t.role == "intermediate" for t in program.tensors.values())


def _ends(program: Program) -> sympy.Expr:
    ends = [t for t in (*program.inputs, *program.outputs) if t.role in ("input", "output")]
    return Add(*(t.stored for t in ends))


def _through_memory(program: Program) -> sympy.Expr:
    """Each operation reads its operands from memory and writes its result to it, whole matrices."""
    held = {"weight", "cache"}
    tensors = program.tensors
    terms = [operation.output.size for operation in program.operations]
    terms += [
        tensors[ref.tensor].size
        for operation in program.operations
        for ref in refs_of(operation)
        if tensors[ref.tensor].role not in held
    ]
    return Add(*terms)


def _live(program: Program) -> sympy.Expr:
    found = memory(program, "dense")
    return found.peak - found.weights - found.cache


def _saved(program: Program, naive: bool) -> sympy.Expr:
    """Elements kept for backward; a flash kernel keeps its ends and recomputes what lies between."""
    tensors = program.tensors
    kept = [tensors[name] for name in sorted(saved_for_backward(program))]
    if not naive and _matrices(program):
        rows = [t for t in program.outputs if t.role == "output"]
        kept = [t for t in program.inputs if t.role in ("input", "cache")] + rows
    return Add(*(_whole(t, naive) for t in kept))


def _whole(tensor: Tensor, naive: bool) -> sympy.Expr:
    return tensor.size if naive else tensor.stored


def _cache_read(program: Program) -> sympy.Expr:
    """Elements of the cache that n queries read: only keys that some query sees, only entries that are looked up."""
    gathered = {ref.tensor: points for ref, points in _gathers(program)}
    reach = {size("m"): _keys_seen(program)}
    caches = [t for t in program.inputs if t.role == "cache"]
    return Add(*(Min(t.size.xreplace(reach), gathered.get(t.name, t.size)) for t in caches))


def _keys_seen(program: Program) -> sympy.Expr:
    """Return how many keys n queries see together: n and a window's reach, or all m."""
    n, m = size("n"), size("m")
    masks = {s.where.mask for s in program.statements if s.where is not None}
    return Min(m, *(mask.keys_seen(n, m) for mask in masks))


def _gathers(program: Program) -> list[tuple[Ref, sympy.Expr]]:
    """Return the references read at a place that data decides, with how many entries each reads."""
    found = []
    for operation in program.operations:
        for ref in refs_of(operation):
            if any(isinstance(node, Ref) for index in ref.indices for node in walk(index)):
                extents = dict(getattr(operation, "extents", ()))
                found.append((ref, sympy.Mul(*extents.values())))
    return found
