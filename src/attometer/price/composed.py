"""Whole models from their kernels: each kernel's predicted time, times how often it runs, and what lies between them.

An engine's kernels are the families whose names begin with one of its words; of those for the same types it runs the
newest that was measured on the machine, and of several the one that is fastest for the call. Where it has none, another
engine's stands in and is named. Between the kernels of a layer lie gaps that no kernel's time holds (`ENGINES`).
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from attometer.errors import unknown
from attometer.machine import Machine
from attometer.price.classes import class_of
from attometer.price.figures import figures, precision
from attometer.price.kernels import Array
from attometer.price.model_calls import Call
from attometer.price.own import ENGINE
from attometer.price.predict import PLAIN, Predicted, kernel_seconds
from attometer.price.tables import ANY, Calibration, are_siblings, calibration
from attometer.view.numbers import seconds as spelled

HOST = 3.0
"""A kernel whose launch takes so many times what its class's does was timed while it waited for the host."""
MORE = 1.1
"""By how much a figure of the machine is raised to see what that brings."""
FIGURES = ("bandwidth", "peak", "link")
"""The machine's figures whose worth is told."""


@dataclass(frozen=True)
class Engine:
    """How an engine launches: words that its families begin with, and seconds between kernels.

    `names` begin the names of its kernels, `models` those of its whole models. `layer` is between the kernels of one layer,
    `routed` what a layer of experts adds, `step` once a pass (scheduler, input, output); they lie within a factor `spread`.
    `graphs` says that steps are replayed as graphs, inputs of narrow products made narrow within the step before. `met` is
    the share of prompts that a decoding request waits for: all where they are computed within steps; where they run before
    steps, those of one wave wait for what comes after them, half of it in the mean, and for all once requests come evenly.
    `apart` is by how much more, of log time, served models lie from the sum than the kernels' own intervals say.
    """

    names: tuple[str, ...]
    models: tuple[str, ...]
    layer: float
    routed: float
    step: float
    spread: float = 2.0
    apart: float = 0.2
    graphs: bool = False
    met: float = 1.0


# What rows of served models left beside the sum of their kernels, per layer, in the median. Of 247 rows of TPOT: vLLM nothing
# with experts (0.15 and later) and 15 µs without (0.12 and before), SGLang 15 µs and nothing, TensorRT-LLM nothing. Single
# streams: Transformers 998 µs. `apart` is what made nine in ten of another sample of 136 such rows lie inside the ends.
_GRAPHS = (3e-5, 1e-5, 3e-4)
_SERVED = (1e-5, 0.0, 2e-4)
_EAGER = (
    1.8e-4,
    1e-4,
    1e-3,
)  # 120 to 270 µs a layer where each kernel is launched by itself, 90 to 120 more for experts
_TORCH = ("pytorch", "torch", "cudnn", "nccl")
ENGINES = {
    "vllm": Engine(("vllm", "nccl"), ("vllm",), *_SERVED, graphs=True),
    "vllm-rocm": Engine(("vllm", "aiter", "nccl"), ("vllm",), *_SERVED, graphs=True),
    "sglang": Engine(("sglang", "nccl"), ("sglang",), 5e-6, 1e-5, 2e-4, apart=0.05, graphs=True, met=0.75),
    "tensorrt-llm": Engine(("trtllm", "nccl"), ("tensorrt", "trt"), 0.0, 0.0, 2e-4, apart=0.1, graphs=True),
    "gpt-fast": Engine(_TORCH, ("gpt-fast",), *_GRAPHS),
    "torch": Engine((*_TORCH, "this"), ("pytorch",), *_EAGER),
    "llama.cpp": Engine(("llama.cpp",), ("llama.cpp",), *_GRAPHS),
    "mlx": Engine(("mlx",), ("mlx",), *_GRAPHS),
    "transformers": Engine(_TORCH, ("transformers", "hf transformers"), 9.6e-4, 1e-4, 1e-3, apart=0.05),
}
"""Engines, the families that are theirs, and their gaps."""


@dataclass(frozen=True)
class Composed:
    """A model's pass in seconds with its interval, what each kind of kernel takes, and on what it stands.

    Attributes:
        seconds: the sum of `terms`; `low` and `high` add the ends of the kernels' intervals, as if all erred together, and
            are as much further apart as served models showed.
        terms: seconds by kind of kernel, and of the gaps.
        gains: by which factor the pass is shortened where one of `FIGURES` is a tenth higher.
        situation: that of the kernels which take longest.
        families: the kernel families used, longest first.
        borrowed: those among them that are not the engine's own and take a twentieth of the time or more.
        lent: the share of the time that families of other engines take.
    """

    seconds: float
    low: float
    high: float
    terms: dict[str, float]
    gains: dict[str, float]
    situation: str
    families: tuple[str, ...]
    borrowed: tuple[str, ...]
    lent: float = 0.0

    def __str__(self) -> str:
        terms = ", ".join(f"{name} {spelled(value)}" for name, value in self.terms.items())
        lent = f"; borrowed: {', '.join(self.borrowed)}" if self.borrowed else ""
        ends = f"{spelled(self.low)} to {spelled(self.high)} (90 %, {self.situation})"
        return f"predicted {spelled(self.seconds)}, {ends}: {terms}{lent}"


@dataclass(frozen=True)
class Own:
    """Which pass of the measured machine is asked for: `prefill`, `decode` or `train`, the data type, and its coefficients."""

    mode: str
    dtype: str
    folder: Path

    @property
    def family(self) -> str:
        """The family of such passes."""
        return f"{ENGINE}|{self.mode}|{self.dtype}"


OWN = "this machine"
"""The situation of what stands on measurements of the machine itself."""


@dataclass(frozen=True)
class Group:
    """Calls of one class and type, priced: rows are the calls, times as often as they run."""

    seconds: Array
    low: Array
    high: Array
    raised: Array
    terms: tuple[str, ...]
    family: str
    situation: str
    borrowed: bool


def composed(
    found: list[Call],
    on: Machine,
    engine: str,
    layers: int,
    routed: int,
    passes: float = 1.0,
    own: Own | None = None,
    graphs: bool = True,
) -> Composed:
    """Return the predicted time of calls, with the gaps of `layers` layers (`routed` of them with experts) in each pass.

    Without `graphs` an engine that replays them launches each kernel by itself. On a machine that was measured itself, `own`
    says which pass the calls are: its gaps are measured too.
    Raises AttometerError for an engine that has no gaps, and for a machine that lacks a figure which prices need.
    """
    how = engine_of(engine, graphs)
    groups = priced(found, on, how, None if own is None else own.folder)
    terms: dict[str, float] = defaultdict(float)
    for group in groups:
        for name, value in zip(group.terms, group.seconds, strict=True):
            terms[name] += float(value)
    kernels = sum(terms.values())
    gaps = {"gaps": passes * (layers * how.layer + routed * how.routed), "scheduling": passes * how.step}
    raised = sum((group.raised.sum(axis=1) for group in groups), np.zeros(len(FIGURES)))
    longest = sorted(groups, key=lambda group: -float(group.seconds.sum()))
    if own is not None:
        return _of_own(own, on, terms, kernels, raised, layers * passes, passes, longest)
    rest = sum(gaps.values())
    seconds, raised = kernels + rest, raised + rest
    return Composed(
        seconds,
        (sum(float(g.low.sum()) for g in groups) + rest / how.spread) * exp(-how.apart),
        (sum(float(g.high.sum()) for g in groups) + rest * how.spread) * exp(how.apart),
        dict(sorted({**terms, **gaps}.items(), key=lambda item: -item[1])),
        {name: seconds / float(value) for name, value in zip(FIGURES, raised, strict=True)},
        longest[0].situation if longest else "no rows",
        tuple(dict.fromkeys(g.family for g in longest)),
        tuple(dict.fromkeys(g.family for g in longest if g.borrowed and g.seconds.sum() >= _TOLD * seconds)),
        sum(float(g.seconds.sum()) for g in groups if g.borrowed) / seconds,
    )


def priced(found: list[Call], on: Machine, how: Engine, own: Path | None = None) -> list[Group]:
    """Return the times of calls by class and types; `own` is a folder of coefficients that go before the shipped."""
    ordered = sorted(found, key=lambda call: (call.kind, call.types))
    by_types = groupby(ordered, key=lambda call: (call.kind, call.types))
    return [_priced(list(each), on, how, own) for _, each in by_types]


def _of_own(
    own: Own,
    on: Machine,
    terms: dict[str, float],
    kernels: float,
    raised: Array,
    layers: float,
    passes: float,
    longest: list[Group],
) -> Composed:
    """Return a pass on the machine that was measured: its kernels by what passes of small models showed them to take there."""
    made = kernel_seconds(
        "passes", own.family, on, calibrated=own.folder, kernels=kernels, layers=layers, passes=passes
    )
    seconds, low, high = (float(values[0]) for values in (made.seconds, made.low, made.high))
    factor = float(made.terms["kernels"][0]) / kernels
    whole = {name: value * factor for name, value in terms.items()}
    whole |= {name: float(made.terms[name][0]) for name in ("gaps", "scheduling")}
    lent = tuple(dict.fromkeys(g.family for g in longest if g.borrowed and g.seconds.sum() >= _TOLD * kernels))
    return Composed(
        seconds,
        low,
        high,
        dict(sorted(whole.items(), key=lambda item: -item[1])),
        {name: seconds / (seconds + factor * (float(v) - kernels)) for name, v in zip(FIGURES, raised, strict=True)},
        _ENGINE if lent else OWN,
        tuple(dict.fromkeys(g.family for g in longest)),
        lent,
    )


def engine_of(name: str, graphs: bool = True) -> Engine:
    """Return how an engine launches, or would without graphs. Raises AttometerError for one without figures.

    >>> engine_of("vllm").names
    ('vllm', 'nccl')
    """
    if name not in ENGINES:
        raise unknown("engine with predicted times", name, ENGINES)
    found = ENGINES[name]
    if graphs or not found.graphs:
        return found
    layer, routed, step = _EAGER
    return replace(found, layer=layer, routed=routed, step=step, graphs=False)


@dataclass(frozen=True)
class Raised:
    """Predicted times of calls with their ends, and the times with each of `FIGURES` a tenth higher, shape (figures, calls)."""

    found: Predicted
    seconds: Array
    low: Array
    high: Array
    raised: Array


def _priced(found: list[Call], on: Machine, how: Engine, own: Path | None) -> Group:
    """Return the times of calls of one class by the engine's fastest family, each as often as it runs."""
    kind, times = found[0].kind, np.array([call.times for call in found])
    own = own if own is not None and (own / f"{kind}.json").is_file() else None
    known = calibration(kind, own)
    families, borrowed = families_of(known, found[0].types, on, how.names, alike=True)
    counts = {name: [call.counts[name] for call in found] for name in found[0].counts}
    options = [raised_figures(kind, family, on, counts, own) for family in families]
    best = min(options, key=lambda made: float((made.seconds * times).sum()))
    best = _replayed(best, known) if how.graphs else best
    low, high, situation = best.low, best.high, str(best.found.situation[0])
    if borrowed:
        width = exp(known.width.get(_ENGINE, 1.0) * PLAIN)
        low, high, situation = np.minimum(low, best.seconds / width), np.maximum(high, best.seconds * width), _ENGINE
    terms = tuple(call.term for call in found)
    family = str(best.found.measured_for[0])
    return Group(
        best.seconds * times, low * times, high * times, best.raised * times, terms, family, situation, borrowed
    )


def _replayed(made: Raised, known: Calibration) -> Raised:
    """Return kernels as a graph replays them: without what only their measurement had.

    Kernels alone were measured with the step that makes inputs narrow, and where the host was slower than they are, with
    its launches: a floor several times that of the class.
    """
    terms, floors = made.found.terms, known.pooled.get(ANY)
    only = np.asarray(terms.get("quantise", 0.0))
    if floors is not None and "launch" in terms:
        names = [each.name for each in class_of(known.kind).coefficients]
        least = exp(floors[names.index("floor")])
        only = only + np.where(terms["launch"] > HOST * least, terms["launch"] - least, 0.0)
    rest = 1 - np.broadcast_to(only / terms["total"], made.seconds.shape)
    seconds, low, high = (values * rest for values in (made.seconds, made.low, made.high))
    return replace(made, seconds=seconds, low=low, high=high, raised=made.raised * rest)


_ENGINE = "unseen engine"
_TOLD = 0.05  # of a pass: what takes less is not told


def raised_figures(
    kind: str, family: str, on: Machine, counts: Mapping[str, ArrayLike], calibrated: Path | None = None
) -> Raised:
    """Return the predicted times of calls of one family, and what they would be with each figure a tenth higher."""
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in counts.values()))
    rows, copies = len(arrays[0]), 1 + len(FIGURES)
    given = {name: np.tile(values, copies) for name, values in zip(counts, arrays, strict=True)}
    own = figures(on, precision(family)[2])
    for k, figure in enumerate(FIGURES, start=1):
        given[figure] = np.full(rows * copies, own[figure])
        given[figure][k * rows : (k + 1) * rows] *= MORE
    # small steps by physics alone: they take little, and their trees as long to evaluate as those of products
    base = dict(zip(counts, arrays, strict=True))
    made = kernel_seconds(kind, family, on, residual=kind != "operation", calibrated=calibrated, **base)
    # what a higher figure brings is told by physics: trees know no machine of that kind
    apart = kernel_seconds(kind, family, on, residual=False, calibrated=calibrated, **given)
    physics = apart.seconds.reshape(copies, rows)
    return Raised(made, made.seconds, made.low, made.high, made.seconds * physics[1:] / physics[0])


def families_of(
    known: Calibration, types: tuple[tuple[str, ...], ...], on: Machine, words: tuple[str, ...], alike: bool = False
) -> tuple[list[str], bool]:
    """Return the families that an engine may run for types, and whether they are another engine's.

    `types` are the fields of a family's name after the engine, best first, or one as good as the other where they are
    `alike`; `words` begin the engine's own names. Those of the engine's own come first, then any; of these those measured
    on the machine, then on its kin, the best types, and the newest version. What the types do not name is left to the family
    that is nearest by its words.
    """
    names = [name for name in known.pooled if name != ANY]
    own = [name for name in names if name.startswith(words)]
    for pool, borrowed in ((own, False), (names, True)):
        fitting = {name: order for name in pool if (order := _order(name, types)) is not None}
        if alike:
            fitting = dict.fromkeys(fitting, ())
        if fitting:
            best = min(_rank(known, name, order, on, words) for name, order in fitting.items())
            return [name for name, order in fitting.items() if _rank(known, name, order, on, words) == best], borrowed
    return ["|".join((words[0], *(each[0] for each in types)))], True


def _order(name: str, types: tuple[tuple[str, ...], ...]) -> tuple[int, ...] | None:
    """Return the place of each field of a family's name among the wanted ones, or None where one is not wanted."""
    fields = name.split("|")[1:]
    pairs = list(zip(fields, types, strict=False))
    if any(field not in wanted for field, wanted in pairs):
        return None
    return tuple(wanted.index(field) for field, wanted in pairs)


def _rank(
    known: Calibration, name: str, order: tuple[int, ...], on: Machine, words: tuple[str, ...]
) -> tuple[Any, ...]:
    where = known.machines(name)
    near = 0 if on.chip_id in where else 1 if any(are_siblings(each, on.chip_id) for each in where) else 2
    version = re.search(r"\d+\.\d+", name)
    newest = -float(version[0]) if version else 0.0
    word = next((k for k, each in enumerate(words) if name.startswith(each)), len(words))
    return near, word, order, newest
