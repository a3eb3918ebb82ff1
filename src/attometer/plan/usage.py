"""A whole model under given options: memory by kind, and per type of layer what is computed, moved and how long it takes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import sympy
from sympy import Integer

from attometer.count.model_cost import cache, chosen, over_source, parameters, part_weights_read, parts_in, weights
from attometer.errors import AttometerError
from attometer.machine import Machine
from attometer.models import Layer, Model, Part
from attometer.plan.dtypes import stored
from attometer.plan.options import Options
from attometer.plan.part_cost import PartCost, part_cost
from attometer.price import Roofline, in_sequence, roofline
from attometer.program import size

# Mixed-precision AdamW keeps an fp32 copy of the weights and two fp32 moments (Micikevicius et al. 2018; Rajbhandari et al. 2020).
OPTIMIZER_BYTES = 12
# The backward pass of a matrix product is two products of the same size.
BACKWARD = 2


@dataclass(frozen=True)
class Holds:
    """Bytes on the device, by kind."""

    weights: int
    kv: int
    state: int
    activations: int
    gradients: int = 0
    optimizer: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(vars(self).values())

    @property
    def largest(self) -> str:
        """The kind that takes most."""
        return max(vars(self), key=vars(self).__getitem__)


@dataclass(frozen=True)
class Share:
    """One type of layer (or embedding, or head): how many there are and what they take together."""

    kind: str
    layers: int
    parameters: int
    kv_bytes: int
    flops: int
    bytes_moved: int
    time: Roofline


def running(parts: Iterable[Part], options: Options) -> list[Part]:
    """Return the parts that run in this pass: not idle ones, and an encoder only with its prompt."""
    return [p for p in parts if not p.idle and not (options.mode == "decode" and over_source(p))]


def layer_parts(layer: Layer, options: Options) -> list[Part]:
    """Return the parts of a layer that run: a one-token step may have a form of its own (MLA absorbed)."""
    return running(parts_in(layer, "decode" if options.mode == "decode" else "prefill"), options)


def cost_of(part: Part, options: Options) -> PartCost:
    """Return what `part` computes, moves and holds under `options`."""
    return part_cost(part, chosen(part, "program", Integer(options.context)), options.schedule)


def holds(model: Model, options: Options) -> Holds:
    """Return the bytes that `model` needs on the device."""
    count = parameters(model)
    activations = _activation_bytes(model, options)
    if options.mode == "train":
        return Holds(
            stored(count, options.weights),
            0,
            0,
            activations,
            stored(count, options.activations),
            OPTIMIZER_BYTES * count,
        )
    kept = cache(model)
    state = options.batch * kept.state
    kv = kept.at(options.context, options.batch) - state
    # Recurrent states are accumulated, so they stay as wide as activations when the cache is quantised.
    return Holds(
        stored(count, options.weights), stored(kv, options.kv), stored(state, options.activations), activations
    )


def _activation_bytes(model: Model, options: Options) -> int:
    width = stored(1, options.activations)
    now = options.at_once
    stream = options.batch * now * model.width
    blocks = [[cost_of(p, options) for p in layer_parts(stack.layer, options)] for stack in model.layers]
    ends = [cost_of(p, options) for p in running(model.embedding, options)]
    live = max((at(cost.live, options, now) for block in [*blocks, ends] for cost in block), default=0)
    if options.mode == "train":
        return width * (_saved(model, blocks, stream, options) + live) + _loss_bytes(model, options)
    logits = max((at(cost_of(p, options).live, options, 1) for p in running(model.head, options)), default=0)
    return width * max(stream + live, options.batch * model.width + logits)


def _saved(model: Model, blocks: list[list[PartCost]], stream: int, options: Options) -> int:
    per_layer = [sum(at(c.saved, options, options.new_tokens) for c in block) for block in blocks]
    if options.checkpoint:
        return model.depth * stream + max(per_layer, default=0)
    return sum(stack.count * saved for stack, saved in zip(model.layers, per_layer, strict=True))


def _loss_bytes(model: Model, options: Options) -> int:
    """The loss is taken in fp32: logits and their gradient, four bytes each."""
    logits = sum(at(sympy.Add(*(t.size for t in p.program.outputs)), options, options.new_tokens) for p in model.head)
    return 2 * 4 * logits


def at(expression: sympy.Expr, options: Options, new: int) -> int:
    """Return an expression in b, n, m, s as a number, rounded up."""
    return _value(expression, options.batch, new, options.context)


@lru_cache(maxsize=65536)
def _value(expression: sympy.Expr, batch: int, new: int, context: int) -> int:
    found = expression.xreplace(
        {size("b"): Integer(batch), size("n"): Integer(new), size("m"): Integer(context), size("s"): Integer(context)}
    )
    return int(found) if found.is_Integer else ceil(float(found))


def shares(model: Model, options: Options, machine: Machine) -> tuple[Share, ...]:
    """Return what each type of layer takes, in order of first appearance, embedding first and head last."""
    new = options.new_tokens
    embedding, head = Layer("embedding", model.embedding), Layer("head", model.head)
    found = [_share(embedding, 1, options, machine, new)]
    for kind in dict.fromkeys(stack.kind for stack in model.layers):
        stacks = [s for s in model.layers if s.kind == kind]
        found.append(_together([_share(s.layer, s.count, options, machine, new) for s in stacks]))
    found.append(_share(head, 1, options, machine, new if options.mode == "train" else 1))
    return tuple(found)


def _share(layer: Layer, layers: int, options: Options, machine: Machine, new: int) -> Share:
    parts = layer_parts(layer, options)
    once = in_sequence(
        [part_time(p, options, machine, new) for p in parts] or [roofline(0, 0, machine, rate(options, machine))]
    )
    time = Roofline(
        machine=once.machine,
        basis=once.basis,
        flops=layers * once.flops,
        bytes_moved=layers * once.bytes_moved,
        link_bytes=0,
        compute_seconds=layers * once.compute_seconds,
        memory_seconds=layers * once.memory_seconds,
        link_seconds=0.0,
        seconds=layers * once.seconds,
    )
    count = layers * sum(map(weights, layer.parts))
    kv = 0 if options.mode == "train" else layers * _kv_bytes(layer, options)
    return Share(layer.kind, layers, count, kv, time.flops, time.bytes_moved, time)


def _kv_bytes(layer: Layer, options: Options) -> int:
    kv = at(layer.cache.kv, options, options.context)
    return stored(options.batch * kv, options.kv) + stored(options.batch * layer.cache.state, options.activations)


def _together(made: list[Share]) -> Share:
    return Share(
        kind=made[0].kind,
        layers=sum(s.layers for s in made),
        parameters=sum(s.parameters for s in made),
        kv_bytes=sum(s.kv_bytes for s in made),
        flops=sum(s.flops for s in made),
        bytes_moved=sum(s.bytes_moved for s in made),
        time=in_sequence([s.time for s in made]),
    )


def part_time(part: Part, options: Options, machine: Machine, new: int) -> Roofline:
    """Return the datasheet roofline of one part: its products at peak rate against its bytes at peak bandwidth."""
    cost, chunks = cost_of(part, options), options.chunks
    passes = 1
    if options.mode == "train":
        passes = 1 + BACKWARD + (1 if options.checkpoint else 0)
    tokens = options.batch * -(-new // chunks)
    read = chunks * ceil(part_weights_read(part, tokens))
    # Chunk k of c reads the k/c of the cache that is there: (c + 1) / 2 caches in all.
    cached = at(cost.cached, options, new) * (chunks + 1) // 2
    moved = (
        stored(at(cost.moved, options, new), options.activations)
        + stored(read, options.weights)
        + stored(cached, options.kv)
    )
    update = 0
    if options.mode == "train":
        # A step writes each gradient, reads it, and reads and writes the optimizer's state.
        update = weights(part) * (2 * stored(1, options.activations) + 2 * OPTIMIZER_BYTES)
    return roofline(passes * at(cost.flops, options, new), passes * moved + update, machine, rate(options, machine))


def rate(options: Options, machine: Machine) -> str:
    """Return the data type whose peak rate products run at: the weights' own, or what the machine has to widen them to.

    >>> from attometer.machine import machine
    >>> rate(Options(context=1, weights="fp8"), machine("h100-sxm")), rate(Options(context=1, weights="fp8"), machine("t4"))
    ('fp8', 'fp16')
    """
    own = [options.weights] if options.weights in ("fp8", "fp16", "fp32") else []
    for name in (*own, options.activations, "bf16", "fp16", "fp32"):
        if getattr(machine.peak, name) is not None:
            return name
    raise AttometerError(f'"{machine.id}" states no peak rate for bf16, fp16 or fp32')
