"""What the page holds of one model: its formulas as JavaScript for each mode, and the bytes of its weights by format."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy

from attometer.count.formulas import Compiled, compiled
from attometer.count.model_cost import ModelCost, model_cost
from attometer.count.part_cost import PartCost
from attometer.count.weights import Formats, PartWeights, part_weights, stored_weights
from attometer.errors import AttometerError
from attometer.formats import WeightFormats, uniform
from attometer.models import Model
from attometer.models.part import Part
from attometer.models.stored import state_type, stored_type, weight_formats
from attometer.plan.formulas import PlanFormulas, plan_formulas
from attometer.plan.options import Options
from attometer.report.page.engine_data import serving_data
from attometer.report.page.rank_data import cuts, rank_data
from attometer.view.numbers import formula

WEIGHTS = (
    "bf16",
    "fp16",
    "fp8",
    "int8",
    "gptq",
    "nvfp4",
    "mxfp4",
    "nf4",
    "nf4_double",
    "q8_0",
    "q6_k",
    "q5_k_m",
    "q4_k_m",
    "q3_k_m",
    "mlx_4bit",
)
"""Formats of weights that the page offers beside the model's own."""
FORMS = (("prefill", False), ("decode", False), ("train", False), ("train", True))
"""Modes, and whether layers are computed again."""


@dataclass(frozen=True)
class _Slots:
    """The slots of weights by row and running part, and what each slot holds in each format."""

    rows: tuple[tuple[int | None, ...], ...]
    held: tuple[tuple[PartWeights, ...], ...]


@lru_cache(maxsize=128)
def model_data(model: Model) -> dict[str, Any]:
    """Return everything the page needs of a model, as plain values.

    `modes` maps `prefill`, `decode`, `train`, `train/checkpoint` and `train/checkpoint/frozen` to formulas, with `/fp8_ds_mla`
    behind where an indexer's cache has rows of its own; `weights` maps formats to bytes in all and by slot of each phase
    (`decode` only where it differs from `prefill`).

    Raises AttometerError for a mask that has no closed form.
    """
    formats = _formats(model)
    slots = {phase: _slots(model, phase, tuple(formats.values())) for phase in ("prefill", "decode")}
    cost = model_cost(model)
    layouts = [None, "fp8_ds_mla"] if any(stack.layer.cache.index for stack in model.layers) else [None]
    modes = {}
    for mode, again in FORMS:
        for layout in layouts if mode != "train" else [None]:
            key = mode + ("/checkpoint" if again else "") + (f"/{layout}" if layout else "")
            options = Options(context=1, mode=mode, checkpoint=again, kv=layout or "bf16")
            held = slots["decode" if mode == "decode" else "prefill"]
            modes[key] = _mode(plan_formulas(model, options, None, held.rows))
    # Recipes of adapters: frozen weights, layers computed again.
    frozen = Options(context=1, mode="train", checkpoint=True, kv="bf16", frozen="all")
    modes["train/checkpoint/frozen"] = _mode(plan_formulas(model, frozen, None, slots["prefill"].rows))
    return {
        "family": model.family,
        "context": model.context,
        "depth": model.depth,
        "width": model.width,
        "parameters": cost.parameters,
        "active": cost.active,
        "own": stored_type(model),
        "state": state_type(model) or stored_type(model),
        "indexed": len(layouts) > 1,
        "notes": list(model.check.said),
        "cache": [[s.count, formula(s.layer.cache.kv), s.kind, s.layer.cache.state] for s in model.layers],
        "towers": [tower.name for tower in model.towers],
        "tower": _towers(model),
        "weights": {name: _weights(model, name, k, form, slots) for k, (name, form) in enumerate(formats.items())},
        "modes": modes,
        "stacks": [k for _, k in sorted((n, k) for k, each in enumerate(model.layers, 1) for n in each.indices)],
        "ranks": rank_data(model, formats),
        "serving": serving_data(model, formats, list(cuts(model))),
        "square": _script(compiled(others_count(model), ("b", "n", "m", "s"))),
    }


def others_count(model: Model) -> dict[str, sympy.Expr]:
    """Return the FLOPs that other counters print: the logits of all tokens, the whole square of scores, and both."""
    exact, full = model_cost(model), model_cost(model, causal="full")
    return {"all": exact.flops("flop", "all"), "square": full.flops("flop", "last"), "both": full.flops("flop", "all")}


def _script(formulas: Compiled) -> str:
    return formulas.javascript("f", listed=True)


def _formats(model: Model) -> dict[str, Formats]:
    """Return the formats offered: the model's own as `stored`, then those that can be asked for."""
    found: dict[str, Formats] = {"stored": weight_formats(model)}
    for name in WEIGHTS:
        try:
            found[name] = weight_formats(model, name)
        except AttometerError:
            continue  # a mix that llama.cpp has no rule for
    return found


def _slots(model: Model, phase: str, formats: tuple[Formats, ...]) -> _Slots:
    """Return slots that are as fine as the finest of the formats needs."""
    cost = model_cost(model, phase=phase)
    layers = [(None,), *(stack.indices for stack in model.layers), (None,)]
    found: dict[tuple[Part, tuple[PartWeights, ...]], int] = {}

    def slot(part: PartCost, kind: str, indices: Any) -> int | None:
        if not part.weights:
            return None
        held = tuple(part_weights(part.part, kind, indices, form) for form in formats)
        return found.setdefault((part.part, held), len(found))

    rows = tuple(
        tuple(slot(p, row.kind, indices) for p in row.running) for row, indices in zip(cost.rows, layers, strict=True)
    )
    return _Slots(rows, tuple(held for _, held in found))


def _weights(model: Model, name: str, at: int, form: Formats, slots: dict[str, _Slots]) -> dict[str, Any]:
    by_phase = {
        phase: [[held[at].bytes for held in each.held], [sorted(held[at].rates) for held in each.held]]
        for phase, each in slots.items()
    }
    if by_phase["decode"] == by_phase["prefill"]:
        del by_phase["decode"]
    by_format = stored_weights(model, form).by_format
    towers = _towers(model) if isinstance(form, WeightFormats) else 0
    total = sum(by_format.values()) + towers
    return {"name": form.name, "total": total, "tower": towers, "formats": by_format, "phases": by_phase}


def _towers(model: Model) -> int:
    return sum(stored_weights(tower, uniform(stored_type(model))).total for tower in model.towers)


def _mode(found: PlanFormulas) -> dict[str, Any]:
    """Return one mode's formulas: memory by kind, FLOPs and bytes of each distinct part, cache bytes by row; and its tables."""
    kinds = found.memory.outputs
    merged = Compiled(
        found.parts.graph, {k: v for k, v in kinds.items() if k != "total"} | found.parts.outputs, found.parts.sizes
    )
    first = len(merged.outputs) - len(found.parts.outputs)
    return {
        "js": _script(merged),
        "times": list(found.times),
        "slots": list(found.slots),
        "cached": list(found.cached),
        "rows": [
            _row(row.cost.kind, row.cost.layers, row.cost.parameters, row.parts, first + row.kv) for row in found.rows
        ],
        "parts": _parts(found.cost, found),
    }


def _row(kind: str, layers: int, parameters: int, parts: Iterable[int], kv: int) -> list[Any]:
    return [kind, layers, parameters, list(parts), kv]


def _parts(cost: ModelCost, found: PlanFormulas) -> list[list[str]]:
    """Return for each distinct part its name, kind, and the formula of its FLOPs in words of b, n, m, s."""
    said: dict[int, list[str]] = {}
    for row in found.rows:
        for index, part in zip(row.parts, row.cost.running, strict=True):
            said.setdefault(index, [part.name, part.kind, formula(part.flops), row.cost.kind])
    return [said[k] for k in range(len(found.times))]
