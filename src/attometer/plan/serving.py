"""What an engine's log would say: memory of one rank by name, tokens of cache, requests at once, the utilisation needed."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from attometer.engines import (
    CacheLayout,
    Engine,
    Pool,
    cache_layout,
    engine,
    largest_context,
    padding,
    pool,
    requests,
    rotary_tables,
    tokens,
)
from attometer.engines.pool import seen, seen_whole
from attometer.errors import positive_int
from attometer.formats import CACHE_ROWS
from attometer.machine import Cluster, Machine, node_of
from attometer.models import Model
from attometer.plan.planner import Planner
from attometer.plan.speculation import Speculation
from attometer.plan.spread import Spread
from attometer.view.numbers import Cell
from attometer.view.table import Table

GIB = 2**30


@dataclass(frozen=True)
class EngineOptions:
    """An engine by name, and its flags; what is not given is the engine's default for such a device.

    Attributes:
        name: as in `vllm` or `sglang@0.5.4`.
        utilization: share of the memory that the engine may take (`--gpu-memory-utilization`, `--mem-fraction-static`).
        batched_tokens: tokens of one step (`--max-num-batched-tokens`, `--chunked-prefill-size`).
        max_requests: requests of one step (`--max-num-seqs`, `--max-running-requests`).
        graphs: whether graphs are captured.
        pool: bytes of cache on each device, in place of what the engine would leave.
        flash: whether attention is one kernel where the engine allocates its graph at once (`-fa`); as its version does when not given.
        prefixes: whether prefixes met again are looked for in the cache, for which recurrent states take more; as its version does.
        swa_full: whether layers with a window keep every token (`--swa-full`).
        text_only: whether images are left out (`--language-model-only`).
    """

    name: str
    utilization: float | None = None
    batched_tokens: int | None = None
    max_requests: int | None = None
    graphs: bool = True
    pool: int | None = None
    flash: bool | None = None
    prefixes: bool | None = None
    text_only: bool = False
    swa_full: bool = False

    def __post_init__(self) -> None:
        for name in ("batched_tokens", "max_requests", "pool"):
            if getattr(self, name) is not None:
                positive_int(name, getattr(self, name))


@dataclass(frozen=True)
class Served:
    """One model under one engine on a tensor-parallel group; figures are of one rank.

    Attributes:
        at: the placement, with the question.
        engine: at its version.
        pool: what the engine takes and leaves on one device.
        layout: of the cache on one rank.
        options: what was asked of the engine.
    """

    at: Spread
    engine: Engine
    pool: Pool
    layout: CacheLayout
    options: EngineOptions

    def __str__(self) -> str:
        """The engine with the version asked for, else the one whose figures these are."""
        asked = self.options.name.replace("@", " ").strip()
        return asked if any(c.isdigit() for c in asked) else self.engine.title

    @property
    def planner(self) -> Planner:
        """The question."""
        return self.at.planner

    @property
    def left(self) -> int:
        """Bytes for the cache on one rank; below 0 the engine does not start."""
        return self.pool.bytes if self.options.pool is None else self.options.pool

    @property
    def step(self) -> int:
        """Tokens of one step."""
        return step_tokens(self.options, self.at.devices, self.planner.options.context, self.planner.model)

    @property
    def crowded(self) -> tuple[int, int] | None:
        """The requests of a step, and the pages that could hold their states, where those are fewer: vLLM then refuses to start."""
        version, (page, _) = self.engine.version, self.layout.pages
        if not version.state_pages or not page or not any(each.state for each in self.layout.layers):
            return None
        scale = version.scale(self.pool.seen, self.at.devices.machine.chip_id)
        asked, pages = self.options.max_requests or scale.at_once(self.at.placement.tp), max(self.left, 0) // page
        return (asked, pages) if asked > pages > 0 else None

    @property
    def weights(self) -> int:
        """Bytes of the rank's weights as the engine holds them."""
        return self.pool.terms["weights"]

    @cached_property
    def tokens(self) -> int:
        """Tokens of cache, as the engine's log counts them."""
        return tokens(self.left, self.layout, self.planner.options.context)

    @cached_property
    def requests(self) -> int:
        """Sequences of the context asked for that the cache holds at once."""
        return requests(self.left, self.layout, self.planner.options.context)

    @cached_property
    def largest(self) -> int:
        """The longest sequence whose cache fits alone."""
        return largest_context(self.left, self.layout) if self.left > 0 else 0

    @property
    def cache(self) -> int:
        """Bytes that the sequences asked for take of one rank's cache."""
        o = self.planner.options
        replicas = self.at.placement.dp * self.at.placement.attention_dp
        return -(-o.batch // replicas) * self.layout.request(o.context)

    @property
    def taken(self) -> int:
        """Bytes that the engine's terms and the sequences asked for take of one device."""
        return sum(self.pool.terms.values()) + self.cache

    @property
    def fits(self) -> bool:
        """Whether the engine starts and holds the sequences asked for at once."""
        return self.left >= self.cache and self.left > 0

    @property
    def needed(self) -> float:
        """The utilisation that leaves enough for the sequences asked for; above 1 none does."""
        return self.pool.needed_fraction(self.cache)

    @property
    def reachable(self) -> bool:
        """Whether a higher utilisation would do: it is below 1 and what stays outside of it still fits."""
        return not self.fits and self.needed <= 0.99 and self.options.pool is None

    def table(self) -> Table:
        """Return the memory of one rank, in the engine's own terms."""
        rows: list[tuple[Any, ...]] = [_row(name, size) for name, size in self.pool.terms.items() if size]
        rows += [_row("cache", self.left), _row("seen by the engine", self.pool.seen)]
        o = self.planner.options
        notes = (
            f"{self}, utilisation {self.pool.fraction:g}: {self.tokens:,} tokens of cache, {self.requests:,} requests "
            f"of {o.context:,} tokens at once, largest context {self.largest:,}; a token takes {self.layout.per_token:,} bytes "
            f"of each rank, pages of {self.layout.block:,} tokens",
        )
        return Table(
            "",
            ("on each device" if self.at.devices.count > 1 else "on the device", "GB (10^9)", "GiB (2^30)"),
            tuple(rows),
            notes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON."""
        return {
            "engine": self.engine.name,
            "version": self.engine.version.since,
            "memory": dict(self.pool.terms),
            "seen": self.pool.seen,
            "utilization": self.pool.fraction,
            "cache_bytes": self.left,
            "cache_tokens": self.tokens,
            "cache_asked": self.cache,
            "requests": self.requests,
            "largest_context": self.largest,
            "bytes_per_token": self.layout.per_token,
            "utilization_needed": self.needed if self.needed < float("inf") else None,
        }


def _row(name: str, size: int) -> tuple[Any, ...]:
    return name, Cell(size, f"{size / 1e9:,.2f}"), Cell(size, f"{size / GIB:,.2f}")


def engine_on(name: str, machine: Machine) -> Engine:
    """Return an engine with the figures of a machine's platform."""
    return engine(name, "rocm" if machine.vendor.lower() == "amd" else "cuda")


def step_tokens(options: EngineOptions, devices: Cluster, length: int, model: Model) -> int:
    """Return the tokens of one step of an engine on such devices: prompts of up to `length` are computed in chunks of so many."""
    machine = devices.machine
    found = engine_on(options.name, machine)
    scale = found.version.scale(seen(found, machine.usable_bytes), machine.chip_id)
    family = "" if options.text_only else seen_whole(model)
    return options.batched_tokens or found.version.step_tokens(scale, length, family)


def serve(at: Spread, options: EngineOptions, drafted: Speculation | None = None) -> Served:
    """Return what an engine makes of a model under a placement, and of a draft beside it.

    Raises AttometerError for an unknown engine.

    >>> from attometer.machine import cluster
    >>> from attometer.plan import planner
    >>> from attometer.plan.spread import first_legal
    >>> found = serve(first_legal(planner("llama-3.1-8b", "h100-sxm"), cluster("h100-sxm")), EngineOptions("vllm@0.19"))
    >>> found.layout.per_token, found.fits
    (131072, True)
    """
    planner, machine, place = at.planner, at.devices.machine, at.placement
    found = engine_on(options.name, machine)
    changed: dict[str, Any] = {
        "flash": options.flash,
        "state_copies": None if options.prefixes is None else 1 + options.prefixes,
        "unwindowed": ("",) if options.swa_full else None,
    }
    version = found.version.model_copy(update={k: v for k, v in changed.items() if v is not None})
    found = found.model_copy(update={"version": version})
    o = planner.options
    step = step_tokens(options, at.devices, o.context, planner.model)
    # On a CPU the host's memory is the device's.
    every = 0 if machine.kind == "cpu" else padding(found, planner.model, planner.formats, place)
    padded = every // (place.tp * place.pp)
    padded += rotary_tables(planner.model) if found.version.tables else 0
    beside = None if drafted is None else drafted.at
    weights = max(at.stage_weights) + padded + (0 if beside is None else max(beside.stage_weights))
    left = pool(
        found,
        planner.model,
        machine.usable_bytes,
        weights,
        place,
        options.utilization,
        step,
        options.max_requests,
        options.graphs,
        o.context,
        machine.chip_id,
        node_of(machine.chip_id).close,
    )
    # Where neither the model nor the caller says more, the engine has a format of its own.
    above = int(min(o.host_layers, planner.model.depth)) if o.host_whole else 0
    layout = cache_layout(planner.model, found, place, o.kv, None if o.state == "bf16" else o.state, step, above=above)
    if drafted is not None and beside is not None:
        own = cache_layout(
            beside.planner.model, found, beside.placement, o.kv if o.kv not in CACHE_ROWS else "bf16", step=step
        )
        layout = replace(layout, layers=(*layout.layers, *own.layers), drafts=drafted.tokens)
    return Served(at, found, left, layout, options)
