"""What an engine leaves for the cache on one device: every byte that it takes first, by name."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy

from attometer.count.evaluate import evaluate
from attometer.count.model_cost import model_cost
from attometer.engines.engine import GIB, Engine, Version
from attometer.errors import AttometerError
from attometer.models.layer import Model
from attometer.program import Program, size
from attometer.schedule.placement import Placement
from attometer.view.printed import Printed

FP32, BF16 = 4, 2
ALONE = Placement()


@dataclass(frozen=True)
class Pool(Printed):
    """Bytes of one device: `seen` of it, the `terms` taken from it, and what is left for the cache (below 0: too little).

    `before` are the terms taken before the fraction applies, `inside` those taken from the fraction; the others have to
    fit into what the fraction leaves.
    """

    engine: str
    seen: int
    fraction: float
    terms: dict[str, int]
    before: tuple[str, ...]
    inside: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Bytes for the cache."""
        free = self.seen - sum(self.terms[name] for name in self.before)
        return int(self.fraction * free) - sum(self.terms[name] for name in self.inside)

    @property
    def outside(self) -> int:
        """Bytes that the fraction leaves, less the terms that live there: below 0 the engine runs out while it works."""
        taken = sum(amount for name, amount in self.terms.items() if name not in (*self.before, *self.inside))
        free = self.seen - sum(self.terms[name] for name in self.before)
        return free - int(self.fraction * free) - taken

    def needed_fraction(self, cache: int) -> float:
        """Return the fraction (`--gpu-memory-utilization`) that leaves `cache` bytes; above 1 no fraction does."""
        free = self.seen - sum(self.terms[name] for name in self.before)
        return (cache + sum(self.terms[name] for name in self.inside)) / free if free > 0 else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """Return the terms and the pool as plain values for JSON."""
        return {"engine": self.engine, "seen": self.seen, "fraction": self.fraction, **self.terms, "cache": self.bytes}

    def __str__(self) -> str:
        rows = [f"{self.engine}: {self.seen / GIB:.2f} GiB seen, fraction {self.fraction:g}"]
        rows += [f"  {name:<14} {amount / GIB:8.2f} GiB" for name, amount in self.terms.items()]
        return "\n".join([*rows, f"  {'cache':<14} {self.bytes / GIB:8.2f} GiB"])


def seen(engine: Engine, usable: int) -> int:
    """Return what the engine's runtime sees of the `usable` bytes that the driver reports.

    >>> from attometer.engines import engine
    >>> round(seen(engine("vllm"), 81559 * 2**20) / 2**30, 1)
    79.2
    """
    fixed, share = engine.version.driver
    return int(usable - fixed.value * GIB - share.value * usable)


def pool(
    engine: Engine,
    model: Model,
    usable: int,
    weights: int,
    place: Placement = ALONE,
    fraction: float | None = None,
    batched_tokens: int | None = None,
    max_requests: int | None = None,
    graphs: bool = True,
    length: int = 4096,
    device: str = "",
    linked: bool = True,
) -> Pool:
    """Return what the engine leaves for the cache of `model` on one device.

    Args:
        engine: at its version.
        model: whose vocabulary and layers are profiled.
        usable: bytes that the driver reports (`nvidia-smi`).
        weights: bytes of the rank's weights as the engine stores them.
        place: how the model is spread over devices.
        fraction: utilisation or static fraction; the engine's default when not given.
        batched_tokens: tokens of one step; the engine's default for such a device when not given.
        max_requests: requests of one step; likewise.
        graphs: whether graphs are captured.
        length: tokens of the longest sequence: what a graph has scores for, and a whole prompt's where steps are those.
        device: the machine's name, by which some defaults go.
        linked: whether NVLink or the like joins the devices of a group.

    Raises AttometerError for a fraction outside 0 to 1.

    >>> from attometer.engines import engine
    >>> from attometer.models import model
    >>> left = pool(engine("vllm@0.19"), model("llama-3.1-8b"), 81559 * 2**20, 16060522496)
    >>> round(left.bytes / 2**30)
    54
    """
    version = engine.version
    visible = seen(engine, usable)
    scale = version.scale(visible, device)
    at_once = max_requests or scale.at_once(place.tp)
    batched = batched_tokens or version.step_tokens(scale, length, seen_whole(model))
    if fraction is None:
        fraction = _default_fraction(version, usable, batched, at_once, place)
    if not 0 < fraction <= 1:
        percent = f"; {fraction:g} % is {fraction / 100:g}" if 1 < fraction <= 100 else ""
        raise AttometerError(f"utilisation must be above 0 and at most 1, got {fraction:g}{percent}")
    terms = {
        "weights": weights,
        "runtime": int(version.runtime.value * GIB),
        "communication": int(_links(version, place.tp, linked) * GIB),
        "activations": profiled(engine, model, place.tp, batched, at_once, length),
        "graphs": int(version.graph_gib(at_once) * GIB) if graphs else 0,
    }
    return Pool(str(engine), visible, fraction, terms, version.before, version.inside)


def _default_fraction(version: Version, usable: int, tokens: int, requests: int, place: Placement) -> float:
    """Return the fraction that an engine takes when none is given; a device that its reserve does not fit leaves a hundredth."""
    if version.reserve is None:
        smaller = [each.value for each in version.fractions if each.degree <= place.tp]
        return smaller[-1] if smaller else version.fraction.value
    found = version.reserve.fraction(usable / 2**20, tokens, requests, place.tp * place.pp, place.attention_dp)
    return max(found, 0.01)


def _links(version: Version, tp: int, linked: bool) -> float:
    """Return the GiB of links for a degree: of the nearest listed degree that is not smaller, else the largest."""
    listed = {each.degree: each.value for each in version.communication}
    if tp == 1 or not listed:
        return 0.0
    if version.pcie is not None and not linked:
        return version.pcie.value
    return listed[min((degree for degree in listed if degree >= tp), default=max(listed))]


@lru_cache(maxsize=1024)
def profiled(engine: Engine, model: Model, tp: int, tokens: int, requests: int, length: int) -> int:
    """Return the peak that the engine's warm-up finds: a step of `tokens` tokens, or the sampler over `requests` rows of logits."""
    version = engine.version
    if version.step == "graph":
        return graph_buffer(model, length, tokens, version.flash)
    sampler = int(version.sampler.value * requests * vocabulary(model) * FP32)
    work = int(version.expert_work.value * GIB) if has_experts(model) else 0
    if version.tower_work is not None and any(tower.tokens is None for tower in model.towers):
        work += int(version.tower_work.value * GIB)
    return max(step_activations(model, tokens, tp, version.streams.value), sampler) + work


@lru_cache(maxsize=1024)
def step_activations(model: Model, tokens: int, tp: int = 1, streams: float = 2) -> int:
    """Return the bytes of a step of `tokens` tokens in 16 bits: so many residual streams and the largest part's tensors.

    >>> from attometer.models import model
    >>> step_activations(model("llama-3.1-8b"), 8192) // 2**20
    800
    """
    cost = model_cost(model)
    sizes = {"n": tokens, "m": tokens, "b": 1, "s": tokens}
    largest = max(int(evaluate(part.live, sizes)) for row in cost.layers for part in row.running)
    return BF16 * (int(streams * model.width * tokens) + -(-largest // tp))


@lru_cache(maxsize=1024)
def graph_buffer(model: Model, cells: int, tokens: int, flash: bool) -> int:
    """Return llama.cpp's compute buffer: fp32 logits of a micro-batch and its stream, or the widest layer, scores in it or not.

    Fitted on the buffers that llama.cpp logs for five models of 7 to 65 billion parameters (195 logs, at most 0.5 %). Flash
    attention keeps no scores, but the mask as the host sends it in fp32, and in 16 bits (src/llama-graph.cpp).

    >>> from attometer.models import model
    >>> graph_buffer(model("llama-3.1-8b"), 8192, 512, False) // 2**20
    558
    """
    logits, layer, cell = graph_parts(model, tokens, flash)
    return max(logits, layer + cell * 256 * -(-cells // 256))


def graph_parts(model: Model, tokens: int, flash: bool) -> tuple[int, int, int]:
    """Return the bytes of llama.cpp's logits and stream, of its widest layer, and what this has more for each cell of the cache."""
    stream = model.width * tokens * FP32
    heads = max((score_heads(part.program) for stack in model.layers for part in stack.layer.parts), default=0)
    kept = 1.5 * (heads > 0) if flash else heads + 1
    logits = vocabulary(model) * tokens * FP32 + stream + (0 if flash else int(3.19 * 2**20))
    return logits, int(10 / 3 * stream) + int(3.86 * 2**20), int(kept * tokens * FP32)


def score_heads(program: Program) -> int:
    """Return how many matrices of scores a program has for one sequence."""
    n, m = size("n"), size("m")
    return max(
        (
            int(t.size.xreplace({size("b"): sympy.Integer(1), n: sympy.Integer(1), m: sympy.Integer(1)}))
            for t in program.tensors.values()
            if n in t.extents and m in t.extents
        ),
        default=0,
    )


def vocabulary(model: Model) -> int:
    """Return the rows of the output head: how many logits a token has."""
    widths = [int(t.extents[-1]) for part in model.head for t in part.program.weights if len(t.extents) > 1]
    widths = widths or [int(t.extents[0]) for part in model.embedding for t in part.program.weights]
    return max(widths, default=model.width)


def seen_whole(model: Model) -> str:
    """Return the family of a model within whose images tokens see both ways; of others nothing."""
    return model.family if model.text_values.get("use_bidirectional_attention") == "vision" else ""


def has_experts(model: Model) -> bool:
    """Say whether some layer routes tokens to experts."""
    return any(part.routed is not None for stack in model.layers for part in stack.layer.parts)
