"""A model's memory and time as compiled formulas: of batch, context, chunk and the bits of each data type."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import sympy

from attometer.count.formulas import Compiled, Graph, Node
from attometer.count.model_cost import LayerCost, ModelCost, model_cost
from attometer.count.part_cost import PartCost
from attometer.models import Model
from attometer.plan.options import Options

# Mixed-precision AdamW keeps an fp32 copy of the weights and two fp32 moments (Micikevicius et al. 2018; Rajbhandari et al. 2020).
OPTIMIZER_BYTES = 12
# The backward pass of a matrix product is two products of the same size.
BACKWARD = 2
KINDS = ("weights", "kv", "state", "activations", "gradients", "optimizer")
"""Kinds of memory, in the order of the formulas."""
SIZES = ("b", "m", "chunk", "bits_w", "bits_kv", "bits_a")
"""Batch, context, tokens at a time, and quarters of a bit per element of weights, cache and activations."""
QUARTERS = 4
"""The narrowest format is a whole number of quarters of a bit (MXFP4 takes 4.25 bits per element)."""


@dataclass(frozen=True, eq=False)
class RowFormulas:
    """One row of the model's table: how many layers, which formulas of `parts` each has, and its cache bytes."""

    cost: LayerCost
    parts: tuple[int, ...]
    kv: int


@dataclass(frozen=True, eq=False)
class PlanFormulas:
    """What a plan evaluates, all functions of `SIZES`.

    Attributes:
        memory: bytes by kind, in the order of `KINDS`, then their total.
        parts: for each distinct part FLOPs and bytes moved, then for each row the cache bytes of one layer.
        times: how often each distinct part runs in the model.
        rows: embedding, layers by stack, head.
    """

    cost: ModelCost
    memory: Compiled
    total: Compiled
    parts: Compiled
    times: tuple[int, ...]
    rows: tuple[RowFormulas, ...]


def plan_formulas(model: Model, options: Options, fast_words: int | None = None) -> PlanFormulas:
    """Return the formulas of a model for a mode, a schedule and checkpointing; made once for all other options.

    `fast_words` are the words of fast memory that the schedule tiles for, where it needs one.
    """
    return _formulas(model, options.mode, options.schedule, options.checkpoint, fast_words)


@lru_cache(maxsize=256)
def _formulas(model: Model, mode: str, schedule: str, checkpoint: bool, fast_words: int | None) -> PlanFormulas:
    cost = model_cost(model, schedule, "decode" if mode == "decode" else "prefill", fast_words=fast_words)
    return _Builder(cost, mode, checkpoint).formulas()


class _Builder:
    """Combines the parts' costs into bytes and times, without SymPy: its Max is what takes longest."""

    def __init__(self, cost: ModelCost, mode: str, checkpoint: bool) -> None:
        self.cost, self.mode, self.checkpoint = cost, mode, checkpoint
        g = self.g = Graph()
        self.b, self.m, chunk, self.bits_w, self.bits_kv, self.bits_a = (g.size(name) for name in SIZES)
        self.one = g.number(1)
        self.new = self.one if mode == "decode" else self.m
        self.now = g.minimum(self.m, chunk) if mode == "prefill" else self.new
        self.chunks = g.ceildiv(self.m, self.now) if mode == "prefill" else self.one

    def formulas(self) -> PlanFormulas:
        """Return everything compiled."""
        kinds = dict(zip(KINDS, self.kinds(), strict=True))
        total = self.g.add(*kinds.values())
        pairs: dict[tuple[Node, Node], int] = {}
        times: list[int] = []
        rows = []
        for row in self.cost.rows:
            new = self.one if row is self.cost.head and self.mode != "train" else self.new
            indices = []
            for part in row.running:
                index = pairs.setdefault(self.part(part, new), len(pairs))
                times += [0] * (index + 1 - len(times))
                times[index] += row.layers
                indices.append(index)
            rows.append((row, tuple(indices)))
        outputs: dict[str, Node] = {}
        for k, (flops, moved) in enumerate(pairs):
            outputs |= {f"flops {k}": flops, f"bytes {k}": moved}
        caches = {f"kv {k}": self.cache(row) for k, row in enumerate(self.cost.rows)}
        return PlanFormulas(
            self.cost,
            Compiled(self.g, kinds | {"total": total}, SIZES),
            Compiled(self.g, {"total": total}, SIZES),
            Compiled(self.g, outputs | caches, SIZES),
            tuple(times),
            tuple(RowFormulas(row, indices, 2 * len(pairs) + k) for k, (row, indices) in enumerate(rows)),
        )

    def at(self, expression: sympy.Expr, new: Node) -> Node:
        """Return an expression in b, n, m, s at `new` tokens, rounded up to a whole number."""
        return self.g.rounded_up(expression, {"b": self.b, "n": new, "m": self.m, "s": self.m})

    def of(self, part: PartCost, quantity: str, new: Node) -> Node:
        """Return a quantity of a part, of its short form where the keys are so few."""
        usual = self.at(getattr(part, quantity), new)
        if part.short is None:
            return usual
        most, short = part.short
        return self.g.if_at_most(self.m, self.g.number(most), self.at(getattr(short, quantity), new), usual)

    def stored(self, elements: Node, bits: Node) -> Node:
        """Return the bytes of elements of so many quarters of a bit, rounded up."""
        return self.g.ceildiv(self.g.mul(elements, bits), self.g.number(8 * QUARTERS))

    def kinds(self) -> Iterable[Node]:
        """Return the bytes of each kind of memory."""
        g, nothing = self.g, self.g.number(0)
        count = g.number(self.cost.parameters)
        weights, activations = self.stored(count, self.bits_w), self.activations()
        if self.mode == "train":
            optimizer = g.number(OPTIMIZER_BYTES * self.cost.parameters)
            return weights, nothing, nothing, activations, self.stored(count, self.bits_a), optimizer
        kept = self.cost.cache
        kv = g.mul(self.b, self.at(kept.kv, self.new))
        # Recurrent states are accumulated, so they stay as wide as activations when the cache is quantised.
        state = g.mul(self.b, g.number(kept.state))
        return weights, self.stored(kv, self.bits_kv), self.stored(state, self.bits_a), activations, nothing, nothing

    def activations(self) -> Node:
        """Return the bytes of the residual stream and the largest part; in training, of what backward reads."""
        g, width = self.g, self.g.number(self.cost.model.width)
        word = self.stored(self.one, self.bits_a)
        blocks = [row.running for row in (*self.cost.layers, self.cost.embedding)]
        live = g.maximum(g.number(0), *(self.of(p, "live", self.now) for block in blocks for p in block))
        stream = g.mul(self.b, self.now, width)
        if self.mode == "train":
            return g.add(g.mul(word, self.saved(stream)), g.mul(word, live), self.loss())
        logits = g.maximum(g.number(0), *(self.of(p, "live", self.one) for p in self.cost.head.running))
        return g.mul(word, g.maximum(g.add(stream, live), g.add(g.mul(self.b, width), logits)))

    def saved(self, stream: Node) -> Node:
        """Return the elements kept for backward: of every layer, or its input and those of the largest one."""
        g = self.g
        layers = [
            (row.layers, g.add(*(self.of(p, "saved", self.new) for p in row.running))) for row in self.cost.layers
        ]
        if self.checkpoint:
            depth = sum(times for times, _ in layers)
            return g.add(g.mul(g.number(depth), stream), g.maximum(g.number(0), *(saved for _, saved in layers)))
        return g.add(*(g.mul(g.number(times), saved) for times, saved in layers))

    def loss(self) -> Node:
        """The loss is taken in fp32: logits and their gradient, four bytes each."""
        logits = self.g.add(*(self.of(p, "outputs", self.new) for p in self.cost.head.parts))
        return self.g.mul(self.g.number(2 * 4), logits)

    def part(self, part: PartCost, new: Node) -> tuple[Node, Node]:
        """Return the FLOPs of a part in one pass and the bytes that it moves."""
        g = self.g
        passes = g.number(1 + BACKWARD + self.checkpoint if self.mode == "train" else 1)
        cached = self.of(part, "cached", new)
        if part.traffic is None:
            # Chunk k of c reads the k/c of the cache that is there: (c + 1) / 2 caches in all. A nest reads it per tile of rows.
            cached = g.floordiv(g.mul(cached, g.add(self.chunks, self.one)), g.number(2))
        read = g.mul(self.chunks, self.weights_read(part, new))
        moved = g.add(
            self.stored(self.of(part, "moved", new), self.bits_a),
            self.stored(read, self.bits_w),
            self.stored(cached, self.bits_kv),
        )
        update = g.number(0)
        if self.mode == "train":
            # A step writes each gradient, reads it, and reads and writes the optimizer's state.
            width = g.add(g.mul(g.number(2), self.stored(self.one, self.bits_a)), g.number(2 * OPTIMIZER_BYTES))
            update = g.mul(g.number(part.parameters), width)
        return g.mul(passes, self.of(part, "flops", new)), g.add(g.mul(passes, moved), update)

    def weights_read(self, part: PartCost, new: Node) -> Node:
        """Return the weights that one chunk reads: rows looked up, distinct experts, else all."""
        g = self.g
        tokens = g.mul(self.b, g.ceildiv(new, self.chunks))
        routed, rows = part.part.routed, part.table_rows
        if routed is not None:
            sizes = (part.weights, routed.num_experts, routed.top_k)
            return g.call("experts_read", *map(g.number, sizes), tokens)
        if rows is None:
            return g.number(part.weights)
        return g.mul(g.number(part.weights // rows), g.minimum(tokens, g.number(rows)))

    def cache(self, row: LayerCost) -> Node:
        """Return the bytes that one layer keeps for the batch."""
        if self.mode == "train":
            return self.g.number(0)
        kv = self.g.mul(self.b, self.at(row.kv, self.new))
        state = self.g.mul(self.b, self.g.number(row.state))
        return self.g.add(self.stored(kv, self.bits_kv), self.stored(state, self.bits_a))
