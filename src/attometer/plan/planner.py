"""`planner`: a model on a machine, compiled once and evaluated in microseconds or over whole grids."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.count.evaluate import evaluate
from attometer.count.model_cost import ModelCost, model_cost
from attometer.count.weights import PartWeights, part_weights, stored_weights
from attometer.errors import AttometerError, positive_int
from attometer.formats import CACHE_ROWS, WeightFormats, storage, uniform
from attometer.formats.safetensors import Checkpoint
from attometer.machine import Figure, Machine, cluster, node_of
from attometer.models import Model, model
from attometer.models.part import Part
from attometer.models.stored import checkpoint, state_type, stored_type, weight_formats
from attometer.plan.formulas import PARTS_OF_A_BIT, PlanFormulas, RowFormulas, plan_formulas
from attometer.plan.options import MOST_TOKENS, Options, cache_format
from attometer.plan.rates import cache_rate, fastest
from attometer.plan.usage import LayerTime, MemoryFootprint
from attometer.price import Roofline, in_sequence, roofline

DEFAULT_CONTEXT = 8192
"""Tokens, where neither the caller nor the configuration says."""
# Mixed-precision AdamW keeps an fp32 copy of the weights and two fp32 moments (Micikevicius et al. 2018; Rajbhandari et al. 2020).
OPTIMIZER_BYTES = 12
# Bits per element that are read of a cache whose rows hold latents and an indexer's keys: no more than either has.
TRAFFIC = {"fp8_ds_mla": 8, "nvfp4_ds_mla": 6}
# The latent and the rotated key that layouts of whole rows are made for (DeepSeek's).
ROWS_OF = (512, 64)
BLOCK = 16384
"""Grid points evaluated at a time: their intermediate arrays stay in the cache."""
Integers = int | Iterable[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The numbers of one plan.

    Attributes:
        fits: whether everything fits in the machine's memory.
        bytes: memory needed in all.
        largest_context: tokens per sequence that still fit at this batch; 0 when nothing does.
        seconds: the datasheet time of one pass; `compute_seconds` and `memory_seconds` what each alone would take.
    """

    fits: bool
    bytes: int
    largest_context: int
    seconds: float
    compute_seconds: float
    memory_seconds: float

    @property
    def binds(self) -> str:
        """`compute` or `memory`, whichever takes longer in all."""
        return "compute" if self.compute_seconds >= self.memory_seconds else "memory"


@dataclass(frozen=True, eq=False)
class Grid:
    """Plans over contexts (rows) × batches (columns): arrays of that shape, `largest_context` by batch.

    `bytes` are exact; seconds are float64.
    """

    contexts: NDArray[np.int64]
    batches: NDArray[np.int64]
    room: int
    bytes: NDArray[np.int64]
    largest_context: NDArray[np.int64]
    compute_seconds: NDArray[np.float64]
    memory_seconds: NDArray[np.float64]
    seconds: NDArray[np.float64]

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Whether everything fits, by point."""
        return self.bytes <= self.room


class Planner:
    """A model on a machine with everything fixed but context and batch.

    Args:
        subject: the model.
        place: the machine.
        options: mode, formats, schedule; its context and batch are where `plan` stands.
        routing: `least` reads the experts of one token, `expected` those that tokens are expected to use.
        widened: products run at the rate of activations, as kernels do that widen what they read.

    >>> p = planner("llama-3.1-8b", "h100-sxm", mode="decode")
    >>> e = p(131072, batch=2)
    >>> e.fits, e.bytes, e.binds
    (True, 50420806656, 'memory')
    """

    def __init__(
        self, subject: Model, place: Machine, options: Options, routing: str = "least", widened: bool = False
    ) -> None:
        self.model, self.machine, self.options = subject, place, options
        self.routing, self.widened = routing, widened
        self.fast = fast_memory(place, options)
        self.formats = weight_formats(subject, options.weights)
        self.room = place.usable_bytes - int(options.reserve_gib * 2**30)
        if self.room <= 0:
            raise AttometerError(
                f"{options.reserve_gib:g} GiB kept for what is not counted leave nothing of the "
                f"{place.usable_bytes / 2**30:.2f} GiB of {place.name}"
            )
        slots, self._weights = self._slots()
        fast_words = self.fast[1] if self.fast else None
        self.formulas: PlanFormulas = plan_formulas(subject, options, fast_words, slots, routing)
        self.rates = self._rates()
        flop_seconds = {name: 1 / place.peak_rate(name) for name in set(self.rates)}
        self._places = [self._place(slot) for slot in self.formulas.slots]
        self._terms = [
            (t * flop_seconds[r], t / m.bandwidth)
            for t, r, m in zip(self.formulas.times, self.rates, self._places, strict=True)
        ]
        self._fixed = self._sizes()
        self._part_sizes = (*self._fixed, *(w.bytes for w in self._weights))

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The headers of the model's files, where there are any and no other format is asked for."""
        return checkpoint(self.model) if self.options.weights is None else None

    @cached_property
    def tower_bytes(self) -> int:
        """Bytes of the towers that stand beside a text model: quantisers leave them at 16 bits; GGUF files are of text alone."""
        if not isinstance(self.formats, WeightFormats):
            return 0
        return sum(stored_weights(tower, uniform(stored_type(self.model))).total for tower in self.model.towers)

    @cached_property
    def counted_weights(self) -> int:
        """Bytes of all weights, counted part by part, towers included."""
        return stored_weights(self.model, self.formats).total + self.tower_bytes

    @cached_property
    def weights_bytes(self) -> int:
        """Bytes of all weights: what the headers of the model's files add up to, else counted part by part."""
        return self.counted_weights if self.checkpoint is None else self.checkpoint.total

    @property
    def weight_bits(self) -> float:
        """Mean bits per parameter, scales included."""
        return 8 * (self.weights_bytes - self.tower_bytes) / self.cost.parameters

    def _slots(self) -> tuple[tuple[tuple[int | None, ...], ...], list[PartWeights]]:
        """Return for each row and running part the slot of its weights, and what each slot holds."""
        mode = "decode" if self.options.mode == "decode" else "prefill"
        cost = model_cost(self.model, phase=mode)
        layers = [(None,), *(stack.indices for stack in self.model.layers), (None,)]
        found: dict[tuple[Any, PartWeights], int] = {}
        rows = []
        layers_of: dict[int | None, list[int | None]] = {}
        for row, indices in zip(cost.rows, layers, strict=True):
            slots: list[int | None] = []
            for p in row.running:
                held = part_weights(p.part, row.kind, indices, self.formats) if p.weights else None
                slots.append(None if held is None else found.setdefault((p.part, held), len(found)))
                if held is not None:
                    layers_of.setdefault(slots[-1], []).extend(indices)
            rows.append(tuple(slots))
        self._slot_parts = [part for part, _ in found]
        self._on_host = [
            self._host_share(layers_of[k]) if self._of_host(part) else Fraction(0)
            for k, part in enumerate(self._slot_parts)
        ]
        return tuple(rows), [held for _, held in found]

    def _place(self, slot: int | None) -> Machine:
        """Return where a part reads its weights: the device, or as far as its experts stay there the host's memory."""
        share = Fraction(0) if slot is None else self._on_host[slot]
        if not share:
            return self.machine
        mixed = 1 / (float(share) / self.host_bandwidth + float(1 - share) / self.machine.bandwidth)
        figure = self._host.model_copy(update={"value": mixed / 1e9})
        return self.machine.model_copy(update={"memory": self.machine.memory.model_copy(update={"bandwidth": figure})})

    def _of_host(self, part: Part) -> bool:
        """Say whether a part is among those that may stay in the host's memory: routed experts, or all."""
        return part.routed is not None or self.options.host_whole

    def _host_share(self, layers: Sequence[int | None]) -> Fraction:
        """Return the share of layers that stay in the host's memory; what stands outside of layers goes with the first of them."""
        held = sum(k is None or k < self.options.host_layers for k in layers)
        return Fraction(held, len(layers))

    @cached_property
    def _host(self) -> Figure:
        """The host's bandwidth: the host computes beside its memory, or sends what is read over the link."""
        given, node = self.options.host_gb_s, node_of(self.machine.chip_id)
        known = [p.bandwidth / 1e9 for p in (node.host_memory, node.host_link) if p is not None and p.bandwidth]
        if given is None and not known:
            raise AttometerError(f'nothing says how fast the host of "{self.machine.id}" is; give its bandwidth')
        source = "given" if given is not None else "the faster of the host's memory and its link"
        return Figure(value=given or max(known), unit="GB/s", source=source, status="datasheet")

    @property
    def host_bandwidth(self) -> float:
        """Bytes per second at which weights that stay in the host's memory are read."""
        return self._host.value * 1e9

    @cached_property
    def host_bytes(self) -> int:
        """Bytes of weights that stay in the host's memory."""
        if self.options.offload is None:
            return 0
        held = Fraction(0)
        for stack in self.model.layers:
            for p in stack.layer.parts:
                if self._of_host(p):
                    each = part_weights(p, stack.kind, stack.indices, self.formats).bytes
                    held += self._host_share(stack.indices) * stack.count * each
        if self.options.host_whole:
            # A head that is the embedding keeps it there, too.
            tied = any(part.tied for part in self.model.head)
            outside = [("embedding", p) for p in self.model.embedding if tied] + [("head", p) for p in self.model.head]
            held += sum(part_weights(p, kind, (None,), self.formats).bytes for kind, p in outside)
        return int(held)

    @cached_property
    def cache_on_device(self) -> Fraction:
        """The share of the cache that lies on the device: without that of layers that stay in the host's memory."""
        if not self.options.host_whole:
            return Fraction(1)
        at = {"m": self.options.context, "s": self.options.context}
        kept = [(s, int(evaluate(s.layer.cache.kv, at)) * s.count) for s in self.model.layers]
        own = sum(((1 - self._host_share(s.indices)) * size for s, size in kept), Fraction(0))
        return own / max(1, sum(size for _, size in kept))

    def _rates(self) -> list[str]:
        """Return the rate that the products of each distinct part run at."""
        o = self.options
        cached, own = cache_rate(o.kv, o.activations), fastest([o.activations], self.machine)
        known = {h.rates: own if self.widened else fastest(h.rates, self.machine) for h in self._weights}
        attention = fastest([cached], self.machine)
        return [
            (attention if reads else own) if slot is None else known[self._weights[slot].rates]
            for slot, reads in zip(self.formulas.slots, self.formulas.cached, strict=True)
        ]

    def _sizes(self) -> tuple[int, ...]:
        """Return the values of the formulas' sizes after batch and context."""
        o, count = self.options, self.formulas.cost.parameters
        bits = [
            PARTS_OF_A_BIT * (TRAFFIC[n] if n in TRAFFIC else storage(n).bits) for n in (o.kv, o.activations, o.state)
        ]
        gradient = int(storage(o.activations).bits) // 8
        held = (self.weights_bytes - self.host_bytes, gradient * count, OPTIMIZER_BYTES * count)
        return (o.chunk or MOST_TOKENS, *map(int, bits), 8 * PARTS_OF_A_BIT * o.update, *held)

    @property
    def cost(self) -> ModelCost:
        """The symbolic cost that is evaluated."""
        return self.formulas.cost

    def __call__(self, context: int, batch: int = 1) -> Estimate:
        """Return the plan at one point: verdict, bytes, largest context and time.

        Raises AttometerError when context or batch is not a positive integer, or the context beyond 2^40.
        """
        context, batch = positive_int("context", context, MOST_TOKENS), positive_int("batch", batch)
        need = self.total(context, batch)
        return Estimate(need <= self.room, need, self.largest_context(batch), *self._times_at(context, batch))

    def total(self, context: int, batch: int = 1) -> int:
        """Return the bytes needed in all."""
        return self._total(batch, context, *self._fixed)[0]

    def seconds(self, context: int, batch: int = 1) -> float:
        """Return the datasheet time of one pass: the sum over the parts, each at the slower of its two rooflines."""
        return self._times_at(context, batch)[0]

    def _times_at(self, context: int, batch: int) -> tuple[float, float, float]:
        """Return the seconds of one pass, and what computing and moving alone would take."""
        figures = self._parts(batch, context, *self._part_sizes)
        seconds = compute = moving = 0.0
        for k, (flop_seconds, byte_seconds) in enumerate(self._terms):
            a, b = flop_seconds * figures[2 * k], byte_seconds * figures[2 * k + 1]
            compute += a
            moving += b
            seconds += a if a > b else b
        return seconds, compute, moving

    def part_seconds(self, context: int, batch: int = 1) -> list[tuple[float, float]]:
        """Return what computing and moving take of each distinct part, one after the other."""
        figures = self.part_figures(context, batch)
        return [(a * figures[2 * k], b * figures[2 * k + 1]) for k, (a, b) in enumerate(self._terms)]

    def checking(self, tokens: int) -> float:
        """Return the seconds of a decoding step over `tokens` tokens of each sequence: their products, and one read of all."""
        o = self.options
        figures = self.part_figures(o.context, o.batch)
        return sum(max(tokens * a * figures[2 * k], b * figures[2 * k + 1]) for k, (a, b) in enumerate(self._terms))

    @cached_property
    def _total(self) -> Callable[..., tuple[int]]:
        return self.formulas.total.scalar  # type: ignore[no-any-return]

    @cached_property
    def _parts(self) -> Callable[..., tuple[int, ...]]:
        return self.formulas.parts.scalar  # type: ignore[no-any-return]

    def memory(self, context: int, batch: int = 1) -> MemoryFootprint:
        """Return the bytes on the device, by kind."""
        *kinds, _ = self.formulas.memory.scalar(batch, context, *self._fixed)
        return MemoryFootprint(*kinds)

    def part_figures(self, context: int, batch: int = 1) -> tuple[int, ...]:
        """Return FLOPs and bytes moved of each distinct part of `formulas`, then the cache bytes of each row."""
        return self._parts(batch, context, *self._part_sizes)

    def layers(self, context: int, batch: int = 1) -> tuple[LayerTime, ...]:
        """Return what each type of layer takes, in order of first appearance, embedding first and head last."""
        figures = self._parts(batch, context, *self._part_sizes)
        kinds: dict[str, list[LayerTime]] = {}
        for row in self.formulas.rows:
            kinds.setdefault(row.cost.kind, []).append(self._layer_time(row, figures))
        return tuple(reduce(_together, rows) for rows in kinds.values())

    def _layer_time(self, row: RowFormulas, figures: tuple[int, ...]) -> LayerTime:
        times, nothing = row.cost.layers, roofline(0, 0, self.machine)
        parts = [roofline(figures[2 * k], figures[2 * k + 1], self._places[k], self.rates[k]) for k in row.parts]
        time = _repeated(in_sequence(parts or [nothing]), times)
        counts = times * row.cost.parameters, times * figures[row.kv], time.flops, time.bytes_moved
        return LayerTime(row.cost.kind, times, *counts, time)

    def cache_format(self, name: str) -> str:
        """Return the format in which this model's cache is kept when `name` is asked for."""
        return cache_format_of(self.model, name)

    def rates_said(self) -> str:
        """Return the rates of products: of weights, and of attention where they differ."""
        slots = zip(self.formulas.slots, self.rates, strict=True)
        weights = sorted({rate for slot, rate in slots if slot is not None and self.formulas.cost} or set(self.rates))
        others = sorted({rate for slot, rate in zip(self.formulas.slots, self.rates, strict=True) if slot is None})
        said = f"products with weights at the {' and '.join(weights)} rate"
        return said if others == weights or not others else f"{said}, attention at {' and '.join(others)}"

    def schedule_notes(self) -> list[str]:
        """Return which tiles attention runs in, and which parts the schedule does not run."""
        if self.fast is None:
            return []
        name, words = self.fast
        parts = [p for _, p in self.cost.parts() if p.kind == "attention" and p.runs]
        tiled = [p.traffic.tiles for p in parts if p.traffic is not None]
        said = []
        for tiles in dict.fromkeys(tuple(t.items()) for t in tiled):
            sizes = ", ".join(f"{tile} = {length}" for tile, length in tiles)
            said.append(
                f"attention moves the words counted for {self.options.schedule} with the best tiles for the {name} "
                f"({words:,} words of {self.options.activations}): {sizes}"
            )
        others = list(dict.fromkeys(p.name for p in parts if p.traffic is None))
        if others:
            instead = "operation by operation" if self.options.schedule == "naive" else "as one kernel"
            said.append(
                f"{self.options.schedule} does not run every {' and '.join(others)} of this model; those count {instead}"
            )
        return said

    def largest_context(self, batch: int = 1, beside: int = 0) -> int:
        """Return the most tokens per sequence with which everything fits; 0 when not even one does, at most 2^40.

        `beside` are bytes that something else takes.

        Memory never falls as the context grows, so the boundary is exact; it is approached along the memory's own slope.
        """
        need, fixed, room = self._total, self._fixed, self.room - beside
        low, below = 0, 0
        high, above = 1, need(batch, 1, *fixed)[0]
        while above <= room:
            low, below = high, above
            if high >= MOST_TOKENS:
                return MOST_TOKENS
            # Along the line through the origin of what grows; a little further, so that a straight line is passed at once.
            high = min(MOST_TOKENS, 1024 * high)
            above = need(batch, high, *fixed)[0]
        side = 0
        while high - low > 1:
            # Every third step halves: where memory bends, the line alone would creep.
            side += 1
            guess = (low + high) // 2 if side % 3 == 0 else low + (room - below) * (high - low) // (above - below)
            middle = min(max(guess, low + 1), high - 1)
            value = need(batch, middle, *fixed)[0]
            if value <= room:
                low, below = middle, value
                if side % 3 and need(batch, middle + 1, *fixed)[0] > room:
                    return middle
            else:
                high, above = middle, value
        return low

    def grid(self, contexts: Integers, batches: Integers = 1) -> Grid:
        """Return the plans at every pair of a context and a batch.

        Raises AttometerError when one is not a positive integer, or bytes would not fit in 63 bits.
        """
        rows, columns = (_axis(v, name) for v, name in ((contexts, "context"), (batches, "batch")))
        if self.formulas.total.largest(int(columns.max()), int(rows.max()), *self._fixed) > 2**62:
            raise AttometerError(
                f"memory at a context of {rows.max():,} and batch {columns.max():,} exceeds 2^62 bytes"
            )
        shape = (len(rows), len(columns))
        need = np.empty(shape, dtype=np.int64)
        compute, moving, seconds = (np.empty(shape) for _ in range(3))
        height = max(1, BLOCK // shape[1])
        for first in range(0, len(rows), height):
            part = slice(first, first + height)
            m, b = rows[part, None], columns[None]
            need[part] = self.formulas.total.arrays(b, m, *self._fixed)[0]
            self._seconds(b.astype(np.float64), m.astype(np.float64), compute[part], moving[part], seconds[part])
        most = np.array([self.largest_context(int(b)) for b in columns], dtype=np.int64)
        return Grid(rows, columns, self.room, need, most, compute, moving, seconds)

    def _seconds(self, b: Any, m: Any, compute: Any, moving: Any, seconds: Any) -> None:
        """Write the seconds of one block of the grid into the three arrays."""
        figures = self.formulas.parts.floats(b, m, *map(float, self._part_sizes))
        for out in (compute, moving, seconds):
            out[...] = 0
        for k, (flop_seconds, byte_seconds) in enumerate(self._terms):
            a, c = flop_seconds * figures[2 * k], byte_seconds * figures[2 * k + 1]
            compute += a
            moving += c
            seconds += np.maximum(a, c)

    def with_options(self, **changes: Any) -> "Planner":
        """Return a planner of the same model and machine under other options."""
        return Planner(self.model, self.machine, replace(self.options, **changes), self.routing, self.widened)

    @cached_property
    def routed(self) -> bool:
        """Whether some layer routes tokens to experts."""
        return any(p.part.routed is not None for _, p in self.cost.parts())

    @cached_property
    def expected(self) -> "Planner":
        """The planner that reads the experts which tokens are expected to use: an estimate, no bound."""
        return Planner(self.model, self.machine, self.options, "expected")


def planner(
    subject: str | Path | Model,
    on: str | Machine = "h100-sxm",
    *,
    mode: str = "prefill",
    kv_dtype: str | None = None,
    weights_dtype: str | None = None,
    schedule: str = "flash",
    checkpoint: bool = False,
    chunk: int | None = None,
    offload: str | None = None,
    host_gb_s: float | None = None,
    reserve_gib: float = 0.0,
) -> Planner:
    """Compile a model on a machine, to be asked at many contexts and batches; the arguments are those of `plan`.

    Returns the Planner: `p(context, batch)` is one plan's numbers, `p.grid(contexts, batches)` whole arrays of them.
    Raises AttometerError for what is unknown or unreadable.

    >>> planner("llama-3.1-8b").largest_context(batch=1)
    308328
    """
    read = subject if isinstance(subject, Model) else model(subject)
    place = on if isinstance(on, Machine) else _one(on)
    own = stored_type(read)
    options = Options(
        context=read.context or DEFAULT_CONTEXT,
        mode=mode,
        weights=weights_dtype,
        kv=cache_format_of(read, kv_dtype or own),
        activations=own,
        state=state_type(read) or own,
        schedule=schedule,
        checkpoint=checkpoint,
        chunk=chunk,
        offload=offload,
        host_gb_s=host_gb_s,
        reserve_gib=reserve_gib,
    )
    return Planner(read, place, options)


def fast_memory(place: Machine, options: Options) -> tuple[str, int] | None:
    """Return which fast memory the schedule tiles for and its words: a multiprocessor's shared memory, else the L2 cache.

    None for `flash`, which is the least that any tiles can move. Raises AttometerError where the machine states neither.

    >>> from attometer.machine import machine
    >>> fast_memory(machine("h100-sxm"), Options(context=1, schedule="flash2"))
    ('shared memory', 116736)
    """
    if options.schedule == "flash":
        return None
    for name, figure in (("shared memory", place.memory.shared_memory), ("L2 cache", place.memory.l2)):
        if figure is not None:
            return name, int(figure.amount * 8 / storage(options.activations).bits)
    if options.schedule == "naive":
        return None  # operation by operation needs no tiles
    raise AttometerError(
        f'schedule "{options.schedule}" is tiled for a fast memory, and "{place.id}" states neither shared memory nor L2; '
        'use "flash"'
    )


def _one(name: str) -> Machine:
    """Return the one device that a name means. Raises AttometerError for several: `plan` takes those."""
    devices = cluster(name)
    if devices.count > 1:
        raise AttometerError(
            f'"{name}" is {devices.count} devices; grids are of one device: ask plan or devices for several'
        )
    return devices.machine


def cache_format_of(subject: Model, name: str) -> str:
    """Return the cache's format; sparse attention by an indexer keeps FP8 latents in rows of their own layout.

    Raises AttometerError for a layout of latents on a model that keeps none of those widths.
    """
    kept = [stack.layer.cache for stack in subject.layers]
    if cache_format(name) in CACHE_ROWS and any(c.kv != 0 and c.latent != ROWS_OF for c in kept):
        raise AttometerError(
            f'cache format "{name}" holds latents of {ROWS_OF[0]} + {ROWS_OF[1]}; {subject.name} keeps something else'
        )
    if "/" in cache_format(name) and any(c.latent is not None for c in kept):
        raise AttometerError(
            f'cache format "{name}" is of keys and values; {subject.name} keeps latents, in one format'
        )
    rows = any(stack.layer.cache.index for stack in subject.layers)
    return "fp8_ds_mla" if rows and cache_format(name) == "fp8" else name


def _axis(values: Integers, name: str) -> NDArray[np.int64]:
    array = np.atleast_1d(np.asarray(values if isinstance(values, int | np.ndarray) else list(values)))
    if array.ndim != 1 or not array.size or not np.issubdtype(array.dtype, np.integer) or array.min() < 1:
        raise AttometerError(f"{name} must be positive integers, got {values!r:.60}")
    if array.max() > MOST_TOKENS:
        raise AttometerError(f"{name} must be at most {MOST_TOKENS:,}, got {array.max():,}")
    return array.astype(np.int64)


def _repeated(once: Roofline, times: int) -> Roofline:
    return Roofline(
        machine=once.machine,
        basis=once.basis,
        flops=times * once.flops,
        bytes_moved=times * once.bytes_moved,
        link_bytes=0,
        compute_seconds=times * once.compute_seconds,
        memory_seconds=times * once.memory_seconds,
        link_seconds=0.0,
        seconds=times * once.seconds,
    )


def _together(one: LayerTime, other: LayerTime) -> LayerTime:
    time = one.time.then(other.time)
    counts = one.parameters + other.parameters, one.kv_bytes + other.kv_bytes, time.flops, time.bytes_moved
    return LayerTime(one.kind, one.layers + other.layers, *counts, time)
