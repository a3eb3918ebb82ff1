"""Where each number of a plan comes from: formula → substituted numbers → value → source."""

from typing import TYPE_CHECKING

import sympy

from attometer.count.evaluate import evaluate
from attometer.count.weights import stored_weights
from attometer.formats import CACHE_ROWS, FORMATS, storage

if TYPE_CHECKING:
    from attometer.plan.result import Plan


def explanations(plan: "Plan") -> list[str]:
    """Return one line per number."""
    expected = [] if plan.predicted is None else plan.predicted.lines(plan.seconds)
    expected = expected if plan.load is None else plan.load.lines()
    return [
        *_weights(plan), *_cache(plan), *_activations(plan), *_flops(plan), *_time(plan), *expected, *_machine(plan)
    ]  # fmt: skip


def _weights(plan: "Plan") -> list[str]:
    count, held = plan.parameters, plan.memory.weights
    lines = [f"parameters = sum of the sizes of all weight tensors of the layers' programs = {count:,}"]
    found = plan.planner.checkpoint
    if found is not None:
        return [*lines, f"weights = sum of the tensors in the headers of {found.where} = {held:,} bytes"]
    sizes = stored_weights(plan.model, plan.planner.formats).by_format
    if len(sizes) == 1 and not plan.planner.tower_bytes:
        (name,) = sizes
        return [*lines, f"weights = parameters × {float(storage(name).bits):g} bits / 8 = {held:,} bytes ({name})"]
    shares = [f"{size:,} in {_with_bits(name)}" for name, size in sizes.items()]
    if plan.planner.tower_bytes:
        shares.append(f"{plan.planner.tower_bytes:,} of {' and '.join(t.name for t in plan.model.towers)}")
    return [*lines, f"weights = sum over modules of elements × bits / 8 = {held:,} bytes: {', '.join(shares)}"]


def _with_bits(name: str) -> str:
    return str(FORMATS[name]) if name in FORMATS else name


def _cache(plan: "Plan") -> list[str]:
    o = plan.options
    if o.mode == "train":
        return []
    terms = [f"{s.count} × ({s.layer.cache.kv}) [{s.kind}]" for s in plan.model.layers if s.layer.cache.kv != 0]
    width = "in the rows of that layout" if o.kv in CACHE_ROWS else f"× {float(storage(o.kv).bits):g} bits / 8"
    lines = [
        f"KV cache = batch × ({' + '.join(terms) or '0'}) elements {width}, "
        f"at batch = {o.batch}, m = {o.context:,}: {plan.memory.kv:,} bytes ({o.kv})"
    ]
    states = [f"{s.count} × {s.layer.cache.state:,} [{s.kind}]" for s in plan.model.layers if s.layer.cache.state]
    return lines + (
        [f"state = batch × ({' + '.join(states)}) elements in {o.state} = {plan.memory.state:,} bytes"]
        if states
        else []
    )


def _activations(plan: "Plan") -> list[str]:
    o = plan.options
    if plan.trained is not None:
        terms = " + ".join(f"{name} {size:,}" for name, size in plan.trained.terms.items() if size)
        return [f"peak of training = {terms} = {plan.trained.total:,} bytes ({plan.trained.recipe})"]
    if o.mode == "train":
        return [
            f"activations = what the backward pass reads of every layer, and the logits in fp32: {plan.memory.activations:,} bytes"
        ]
    parts = [(p.for_keys(o.context), row.kind) for row in plan.planner.cost.layers for p in row.running]
    sizes = {"b": o.batch, "n": o.at_once, "m": o.context, "s": o.context}
    part, kind = max(parts, key=lambda item: evaluate(item[0].live, sizes))
    formula = part.live
    return [
        f"activations = residual stream b n {plan.model.width} + the largest part ({part.name} of {kind}: {formula}), "
        f"at b = {o.batch}, n = {o.at_once:,}, m = {o.context:,}, {o.activations}: {plan.memory.activations:,} bytes"
    ]


def _flops(plan: "Plan") -> list[str]:
    lines = []
    for row in plan.planner.cost.layers:
        total = sympy.Add(*(p.for_keys(plan.options.context).flops for p in row.running))
        lines.append(f"FLOPs of each {row.kind} layer = {sympy.factor_terms(total)}")
    o = plan.options
    total = f"FLOPs = {plan.time.flops:,} (b = {o.batch}, n = {o.new_tokens:,}, m = {o.context:,})"
    return [*dict.fromkeys(lines), total]


def _time(plan: "Plan") -> list[str]:
    time = plan.time
    return [
        f"time = sum over parts of max(FLOPs / peak rate, bytes / bandwidth) = {time.seconds:.6g} s; alone, compute would take "
        f"{time.compute_seconds:.6g} s and memory {time.memory_seconds:.6g} s",
    ]


def _machine(plan: "Plan") -> list[str]:
    figures = dict(plan.machine.figures())
    used = [
        path
        for path in figures
        if path in ("memory.capacity", "memory.usable", "memory.bandwidth") or path.startswith("peak.")
    ]
    stated = ", ".join(f"{path} = {figures[path]}" for path in used)
    sources = dict.fromkeys(figures[path].source for path in used)
    return [f"{plan.machine.id}: {stated}", *(f"source: {source}" for source in sources)]
