"""A model's memory and time as compiled formulas: of batch, context, chunk, the bits of each format and the weights' bytes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import sympy

from attometer.count.formulas import Compiled, Graph, Node
from attometer.count.model_cost import LayerCost, ModelCost, model_cost
from attometer.count.part_cost import PartCost
from attometer.formats import CACHE_ROWS
from attometer.models import Model, Part
from attometer.plan.options import Options

KINDS = ("weights", "kv", "state", "activations", "gradients", "optimizer")
"""Kinds of memory, in the order of the formulas."""
SIZES = (
    "b", "m", "chunk", "bits_kv", "bits_a", "bits_s", "bits_u", "weights", "gradients", "optimizer",
)  # fmt: skip
"""Batch, context, tokens at a time; eighths of a bit per element of cache, activations and recurrent states, and those that a
training step moves per parameter to update it; bytes of weights, gradients and optimizer states."""
PARTS_OF_A_BIT = 8
"""Every format of caches takes a whole number of eighths of a bit per element (int4 with scales 4.125, MXFP4 4.25)."""


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
            Its sizes are `SIZES` and then the bytes of the weights of each slot.
        times: how often each distinct part runs in the model.
        slots: for each distinct part the slot of its weights, None where it has none; `cached` whether it reads the cache.
        rows: embedding, layers by stack, head.
    """

    cost: ModelCost
    memory: Compiled
    total: Compiled
    parts: Compiled
    times: tuple[int, ...]
    slots: tuple[int | None, ...]
    cached: tuple[bool, ...]
    rows: tuple[RowFormulas, ...]


def plan_formulas(
    model: Model,
    options: Options,
    fast_words: int | None = None,
    slots: tuple[tuple[int | None, ...], ...] | None = None,
    routing: str = "least",
) -> PlanFormulas:
    """Return the formulas of a model for a mode, a schedule and checkpointing; made once for all other options.

    Args:
        model: the model.
        options: mode, schedule, checkpointing, frozen weights and the cache's layout are read.
        fast_words: words of fast memory that the schedule tiles for, where it needs one.
        slots: for each row and part that runs the slot that says the bytes of its weights; `one_slot_each` when not given.
        routing: `least` reads the experts that one token needs, which no routing can undercut, `expected` those that
            tokens are expected to use when each draws at random.
    """
    layout = options.kv if options.kv in CACHE_ROWS else None
    return _formulas(
        model, options.mode, options.schedule, options.checkpoint, layout, fast_words, slots, routing, options.frozen
    )


def one_slot_each(cost: ModelCost) -> tuple[tuple[int | None, ...], ...]:
    """Return a slot for each distinct part that has weights."""
    found: dict[Part, int] = {}
    return tuple(
        tuple(found.setdefault(p.part, len(found)) if p.weights else None for p in row.running) for row in cost.rows
    )


@lru_cache(maxsize=256)
def _formulas(
    model: Model,
    mode: str,
    schedule: str,
    checkpoint: bool,
    layout: str | None,
    fast_words: int | None,
    slots: tuple[tuple[int | None, ...], ...] | None,
    routing: str,
    frozen: str,
) -> PlanFormulas:
    cost = model_cost(model, schedule, "decode" if mode == "decode" else "prefill", fast_words=fast_words)
    return _Builder(cost, mode, checkpoint, layout, slots or one_slot_each(cost), routing, frozen).formulas()


class _Builder:
    """Combines the parts' costs into bytes and times, without SymPy: its Max is what takes longest."""

    def __init__(
        self,
        cost: ModelCost,
        mode: str,
        checkpoint: bool,
        layout: str | None,
        slots: tuple[tuple[int | None, ...], ...],
        routing: str,
        frozen: str,
    ) -> None:
        self.cost, self.mode, self.checkpoint, self.layout, self.routing = cost, mode, checkpoint, layout, routing
        self.frozen = frozen
        g = self.g = Graph()
        self.b, self.m, chunk, self.bits_kv, self.bits_a, self.bits_s, self.bits_u = map(g.size, SIZES[:7])
        self.slots = slots
        most = max((slot for row in slots for slot in row if slot is not None), default=-1)
        self.weights = [g.size(f"w{k}") for k in range(most + 1)]
        self.one = g.number(1)
        self.new = self.one if mode == "decode" else self.m
        self.now = g.minimum(self.m, chunk) if mode == "prefill" else self.new
        self.chunks = g.ceildiv(self.m, self.now) if mode == "prefill" else self.one

    def formulas(self) -> PlanFormulas:
        """Return everything compiled."""
        kinds = dict(zip(KINDS, self.kinds(), strict=True))
        total = self.g.add(*kinds.values())
        # Parts that cost the same are one, unless their operands may be of other types.
        pairs: dict[tuple[Node, Node, int | None, bool], int] = {}
        times: list[int] = []
        rows = []
        for row, own in zip(self.cost.rows, self.slots, strict=True):
            new = self.one if row is self.cost.head and self.mode != "train" else self.new
            indices = []
            for part, slot in zip(row.running, own, strict=True):
                index = pairs.setdefault(
                    (*self.part(part, new, slot, row in self.cost.layers), slot, part.cached != 0), len(pairs)
                )
                times += [0] * (index + 1 - len(times))
                times[index] += row.layers
                indices.append(index)
            rows.append((row, tuple(indices)))
        outputs: dict[str, Node] = {}
        for k, (flops, moved, *_) in enumerate(pairs):
            outputs |= {f"flops {k}": flops, f"bytes {k}": moved}
        caches = {f"kv {k}": self.cache(row) for k, row in enumerate(self.cost.rows)}
        return PlanFormulas(
            self.cost,
            Compiled(self.g, kinds | {"total": total}, SIZES),
            Compiled(self.g, {"total": total}, SIZES),
            Compiled(self.g, outputs | caches, (*SIZES, *(f"w{k}" for k in range(len(self.weights))))),
            tuple(times),
            tuple(slot for *_, slot, _ in pairs),
            tuple(cached for *_, cached in pairs),
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
        """Return the bytes of elements of so many eighths of a bit, rounded up."""
        return self.g.ceildiv(self.g.mul(elements, bits), self.g.number(8 * PARTS_OF_A_BIT))

    def kinds(self) -> Iterable[Node]:
        """Return the bytes of each kind of memory."""
        g, nothing = self.g, self.g.number(0)
        weights, gradients, optimizer = map(g.size, SIZES[7:])
        activations = self.activations()
        if self.mode == "train":
            return weights, nothing, nothing, activations, gradients, optimizer
        rows = self.cost.layers
        # Layers that keep the same are summed before they are rounded up to bytes.
        kv = (
            self.kept(rows)
            if self.layout
            else self.stored(g.mul(self.b, self.at(self.cost.cache.kv, self.new)), self.bits_kv)
        )
        state = g.add(*(g.mul(g.number(row.layers), self.state(row)) for row in rows))
        return weights, kv, state, activations, nothing, nothing

    def kept(self, rows: Iterable[LayerCost]) -> Node:
        """Return the bytes of keys and values under a layout of whole rows."""
        return self.g.add(*(self.g.mul(self.g.number(row.layers), self.keys(row)) for row in rows))

    def keys(self, row: LayerCost) -> Node:
        """Return the bytes of keys and values (or latents) that one layer keeps for the batch."""
        kept = row.cache
        if self.layout is not None and kept.latent is not None:
            # An indexer's key is one byte per element and an fp32 scale (DeepSeek-V3.2's own kernels, vLLM and SGLang).
            size = CACHE_ROWS[self.layout][0] + (kept.index + 4 if kept.index else 0)
            return self.g.mul(self.b, self.m, self.g.number(size))
        return self.stored(self.g.mul(self.b, self.at(row.kv, self.new)), self.bits_kv)

    def state(self, row: LayerCost) -> Node:
        """Return the bytes of recurrent states and of convolutions' inputs that one layer keeps for the batch."""
        sums, inputs = row.state - row.cache.conv, row.cache.conv
        states = self.stored(self.g.mul(self.b, self.g.number(sums)), self.bits_s)
        return self.g.add(states, self.stored(self.g.mul(self.b, self.g.number(inputs)), self.bits_a))

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

    def part(self, part: PartCost, new: Node, slot: int | None, inside: bool) -> tuple[Node, Node]:
        """Return the FLOPs of a part in one pass and the bytes that it moves; `inside` the layers or at an end."""
        g = self.g
        cached = self.of(part, "cached", new)
        if part.traffic is None:
            # Chunk k of c reads the k/c of the cache that is there: (c + 1) / 2 caches in all. A nest reads it per tile of rows.
            cached = g.floordiv(g.mul(cached, g.add(self.chunks, self.one)), g.number(2))
        weights = g.mul(self.chunks, self.weights_read(part, new, slot))
        kept = self.stored(cached, self.bits_kv)
        flops = self.of(part, "flops", new)
        moved = g.add(self.stored(self.of(part, "moved", new), self.bits_a), weights, kept)
        if self.mode != "train":
            return flops, moved
        # What is computed again are the layers; what lies before and after them is kept.
        forward = g.number(1 + (self.checkpoint and inside))
        still = self.frozen == "all" or (self.frozen == "layers" and inside)
        way = "frozen" if still else "backward"
        back = self.stored(self.of(part, f"{way}_moved", new), self.bits_a)
        # Backward reads the weights and leaves gradients of their size; it reads keys and values as forward does.
        moved = g.add(g.mul(forward, moved), back, g.mul(g.number(1 if still else 2), weights), kept)
        update = g.number(0) if still else self.stored(g.number(part.parameters), self.bits_u)
        return g.add(g.mul(forward, flops), self.of(part, f"{way}_flops", new)), g.add(moved, update)

    def weights_read(self, part: PartCost, new: Node, slot: int | None) -> Node:
        """Return the bytes of weights that one chunk reads: rows looked up, distinct experts, else all."""
        g = self.g
        if slot is None:
            return g.number(0)
        whole = self.weights[slot]
        tokens = g.mul(self.b, g.ceildiv(new, self.chunks))
        routed, rows = part.part.routed, part.table_rows
        if routed is not None and self.routing == "expected":
            return g.call("experts_read", whole, g.number(routed.num_experts), g.number(routed.top_k), tokens)
        if routed is not None:
            return g.floordiv(g.mul(whole, g.number(routed.top_k)), g.number(routed.num_experts))
        if rows is None:
            return whole
        return g.floordiv(g.mul(whole, g.minimum(tokens, g.number(rows))), g.number(rows))

    def cache(self, row: LayerCost) -> Node:
        """Return the bytes that one layer keeps for the batch."""
        return self.g.number(0) if self.mode == "train" else self.g.add(self.keys(row), self.state(row))
