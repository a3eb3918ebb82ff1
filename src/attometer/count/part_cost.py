"""What one part of a layer costs: its weights, and expressions in b (batch), n (new tokens), m (keys), s (source tokens)."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import sympy
from sympy import Add, Max, Min

from attometer.count.backward import Backward, backward
from attometer.count.conventions import Convention
from attometer.count.conventions import convention as named
from attometer.count.cost import Cost
from attometer.count.counting import count, dense, operation_rows
from attometer.count.formulas.functions import experts_read
from attometer.count.memory.footprint import memory, saved_for_backward
from attometer.count.part_kinds import part_kind
from attometer.count.part_traffic import FastMemory, PartTraffic, part_traffic
from attometer.models import Part
from attometer.program import Program, size
from attometer.program.expression import Ref, walk
from attometer.program.operations import Map, Tensor
from attometer.program.recurrences import refs_of
from attometer.schedule.catalogue import SCHEDULES

BACKWARD = 2
"""Where no gradient can be formed, a backward pass is so many forward ones: two products of the size of each."""


@dataclass(frozen=True, eq=False)
class PartCost:
    """One part under one schedule, all of its copies together, in elements and operations; counted when first asked for.

    Attributes:
        part: the piece of the model.
        program: the program that runs for it.
        schedule: how attention runs.
        causal: `exact` counts the pairs a mask allows, `full` the whole square.
        runs: whether a pass runs it; parts that do not, have weights alone.
        short: up to so many keys, another cost.
        fast: the fast memory that the schedule's tiles are made for.
    """

    part: Part
    program: Program
    schedule: str = "flash"
    causal: str = "exact"
    runs: bool = True
    short: "tuple[int, PartCost] | None" = None
    fast: FastMemory | None = None

    def for_keys(self, keys: int) -> "PartCost":
        """Return the cost that holds for so many keys."""
        return self if self.short is None or keys > self.short[0] else self.short[1]

    @property
    def name(self) -> str:
        """The part's name in its layer."""
        return self.part.name

    @cached_property
    def kind(self) -> str:
        """What it is: `projection`, `attention`, `norm`, `experts`, … (the table `KINDS`)."""
        return part_kind(self.part.name)

    @cached_property
    def weights(self) -> int:
        """Elements of the weights that it reads when it uses them all: every copy, every expert."""
        return self.part.copies * int(Add(*(tensor.size for tensor in self.part.program.weights)))

    @property
    def parameters(self) -> int:
        """Weights of its own: 0 where they are another part's."""
        return 0 if self.part.tied else self.weights

    @property
    def active(self) -> int:
        """Parameters that one token uses: of routed experts the chosen ones."""
        if self.part.idle:
            return 0
        routed = self.part.routed
        return self.parameters if routed is None else self.parameters * routed.top_k // routed.num_experts

    @cached_property
    def table_rows(self) -> int | None:
        """Rows of a table that is only looked up; None for any other part."""
        return _table_rows(self.part.program)

    def weights_read(self, tokens: int) -> float:
        """Return the weights read for `tokens` tokens: rows looked up, distinct experts, else all.

        >>> from attometer.models.blocks import linear
        >>> PartCost(linear("up", 4, 8), linear("up", 4, 8).program).weights_read(1)
        32.0
        """
        if not self.runs:
            return 0.0
        routed, rows = self.part.routed, self.table_rows
        if routed is not None:
            return experts_read(self.weights, routed.num_experts, routed.top_k, tokens)
        return float(self.weights if rows is None else self.weights * min(tokens, rows) / rows)

    @cached_property
    def cost(self) -> Cost:
        """The counted cost of one copy: operations by convention, work, depth."""
        return count(self.program, causal=self.causal)

    def operations(self, convention: str | Convention = "flop") -> sympy.Expr:
        """Return the operations by a convention, without counting depth and memory."""
        counted = dense(self.program) if self.causal == "full" else self.program
        of = named(convention).of
        return self.part.copies * Add(*(of(row) for row in operation_rows(counted)))

    @cached_property
    def flops(self) -> sympy.Expr:
        """2 per multiply-accumulate of matrix products, over the pairs counted."""
        return self.operations()

    @cached_property
    def work(self) -> sympy.Expr:
        """Scalar operations."""
        return self.part.copies * self.cost.work

    @cached_property
    def depth(self) -> sympy.Expr:
        """The longest path; copies run at once."""
        return self.cost.depth

    @cached_property
    def traffic(self) -> PartTraffic | None:
        """Words of one copy under a schedule of the catalogue; None for a part that runs as one kernel, or operation by operation."""
        if self.fast is None or self.schedule not in SCHEDULES:
            return None
        return part_traffic(self.program, self.schedule, self.fast)

    @cached_property
    def moved(self) -> sympy.Expr:
        """Activations read and written."""
        if self.traffic is not None:
            return self.part.copies * self.traffic.moved
        return self.part.copies * (_through_memory(self.program) if self._naive else _ends(self.program))

    @cached_property
    def cached(self) -> sympy.Expr:
        """Cache elements read."""
        if self.traffic is not None:
            return self.part.copies * self.traffic.cached
        return self.part.copies * _cache_read(self.program)

    @cached_property
    def live(self) -> sympy.Expr:
        """Elements that exist at once while it runs, without weights and cache."""
        if self.traffic is not None and not self._naive:
            return _ends(self.program) + self.traffic.scratch
        return _live(self.program) if self._naive else _ends(self.program)

    @cached_property
    def saved(self) -> sympy.Expr:
        """Elements its backward pass needs."""
        return (1 if self.part.routed else self.part.copies) * _saved(self.program, self._naive)

    @cached_property
    def backward(self) -> Backward | None:
        """Its backward pass beside what `saved` keeps, and its results, which are there; None where no gradient is formed."""
        return self._backward(False)

    @cached_property
    def frozen(self) -> Backward | None:
        """The backward pass where its weights are frozen: gradients go through it, and none is of a weight."""
        return self._backward(True)

    def _backward(self, frozen: bool) -> Backward | None:
        kept = _kept(self.program, self._naive) | {t.name for t in self.program.outputs}
        return backward(self.program, kept, frozen)

    def backward_operations(self, convention: str | Convention = "flop") -> sympy.Expr:
        """Return the operations of its backward pass: twice the forward ones where no gradient can be formed."""
        if self.backward is None:
            return BACKWARD * self.operations(convention)
        return self.part.copies * self.backward.operations(convention, self.causal)

    @cached_property
    def backward_flops(self) -> sympy.Expr:
        """2 per multiply-accumulate of matrix products of its backward pass."""
        return self.backward_operations()

    @cached_property
    def frozen_flops(self) -> sympy.Expr:
        """Those of its backward pass where its weights are frozen; as many as forward where no gradient can be formed."""
        if self.frozen is None:
            return self.flops
        return self.part.copies * self.frozen.operations("flop", self.causal)

    @cached_property
    def backward_moved(self) -> sympy.Expr:
        """Activations and their gradients that its backward pass reads and writes."""
        return self._moved_by(self.backward)

    @cached_property
    def frozen_moved(self) -> sympy.Expr:
        """Activations and their gradients that its backward pass moves where its weights are frozen."""
        return self._moved_by(self.frozen)

    def _moved_by(self, back: Backward | None) -> sympy.Expr:
        if back is None or self.traffic is not None:
            return BACKWARD * self.moved
        return self.part.copies * (back.through_memory if self._naive else back.ends)

    @cached_property
    def outputs(self) -> sympy.Expr:
        """Elements of its results."""
        return Add(*(tensor.size for tensor in self.program.outputs))

    @cached_property
    def _naive(self) -> bool:
        return self.schedule == "naive" and _matrices(self.program)


def part_cost(
    part: Part,
    schedule: str = "flash",
    causal: str = "exact",
    form: str = "program",
    runs: bool = True,
    fast: FastMemory | None = None,
) -> PartCost:
    """Return the cost of `part` when attention runs by `schedule`, in the mathematics' form or transformers' own.

    Under `flash` a part is one kernel: it reads its inputs once and writes its outputs, whatever its fast memory. Under a
    schedule of the catalogue softmax attention moves the words that its nest is counted to move with the best tiles for
    `fast`. Under `naive` any other part that makes an [n, m] matrix runs operation by operation, each through memory.

    >>> from attometer.models.blocks import linear
    >>> part_cost(linear("up", 4, 8)).flops
    64*b*n
    """
    program = part.reference if form == "reference" and part.reference is not None else part.program
    short = None
    if part.short is not None:
        short = part.short[0], PartCost(part, part.short[1], schedule, causal, runs, None, fast)
    return PartCost(part, program, schedule, causal, runs, short, fast)


@lru_cache(maxsize=8192)
def _table_rows(program: Program) -> int | None:
    operation, *more = program.operations
    if more or len(program.weights) != 1 or not isinstance(operation, Map):
        return None
    (table,) = program.weights
    reads = [ref.indices for ref in refs_of(operation) if ref.tensor == table.name]
    looked_up = {k for indices in reads for k, part in enumerate(indices) if isinstance(part, Ref)}
    return int(table.extents[looked_up.pop()]) if len(looked_up) == 1 else None


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
    return Add(*(_whole(program.tensors[name], naive) for name in sorted(_kept(program, naive))))


def _kept(program: Program, naive: bool) -> frozenset[str]:
    """Tensors kept for backward; a flash kernel keeps its ends and recomputes what lies between."""
    if naive or not _matrices(program):
        return frozenset(saved_for_backward(program))
    ends = (*program.inputs, *program.outputs)
    return frozenset(t.name for t in ends if t.role in ("input", "cache", "output"))


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
    return Max(*(mask.keys_seen(n, m) for mask in masks)) if masks else m


def _gathers(program: Program) -> list[tuple[Ref, sympy.Expr]]:
    """Return the references read at a place that data decides, with how many entries each reads."""
    found = []
    for operation in program.operations:
        for ref in refs_of(operation):
            if any(isinstance(node, Ref) for index in ref.indices for node in walk(index)):
                extents = dict(getattr(operation, "extents", ()))
                found.append((ref, sympy.Mul(*extents.values())))
    return found
