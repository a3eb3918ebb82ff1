"""What the page holds of a model spread over devices: a rank's formulas and weights, for each way to cut its layers."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from attometer.count.model_cost import model_cost
from attometer.count.placement.rank_cost import weight_bytes
from attometer.count.weights import Formats
from attometer.errors import AttometerError
from attometer.models import Model
from attometer.plan.rank_formulas import rank_formulas
from attometer.schedule.placement import Placement, layer_degrees

TP = (1, 2, 4, 8)
"""Tensor-parallel degrees that the page offers."""
REPLICAS = (1,)
"""Replicas over which it offers to spread the experts of a tensor-parallel group: more sets of formulas would fill the page."""


def cuts(model: Model) -> Iterator[Placement]:
    """Yield the placements whose layers differ: tensor-parallel degrees, each with its experts shared or spread."""
    experts = [p.routed.num_experts for stack in model.layers for p in stack.layer.parts if p.routed is not None]
    for tp in TP:
        yield Placement(tp=tp)
        for dp in REPLICAS:
            if tp * dp > 1 and experts and all(count % (tp * dp) == 0 for count in experts):
                yield Placement(tp=tp, dp=dp, ep=tp * dp)


def rank_data(model: Model, formats: Mapping[str, Formats]) -> dict[str, Any]:
    """Return for each `tp/ep` the formulas of a rank in each phase and the bytes of its weights by format.

    Weights are those of the embedding, of runs of like layers, and of the head: beside the embedding and on a stage of its own.
    Degrees that do not divide the model are a text: the reason.
    """
    found: dict[str, Any] = {}
    for place in cuts(model):
        try:
            found[f"{place.tp}/{place.ep}"] = _cut(model, formats, place)
        except AttometerError as error:
            found[f"{place.tp}/{place.ep}"] = str(error)
    return found


def _cut(model: Model, formats: Mapping[str, Formats], place: Placement) -> dict[str, Any]:
    costs = {phase: model_cost(model, phase=phase) for phase in ("prefill", "decode")}
    made = {phase: rank_formulas(cost, place) for phase, cost in costs.items()}
    scripts = {phase: each.compiled.javascript("f", listed=True) for phase, each in made.items()}
    degrees = layer_degrees(place)
    weights = {}
    for name, form in formats.items():
        first, layers, last = weight_bytes(costs["prefill"], degrees, form, False)
        apart = weight_bytes(costs["prefill"], degrees, form, True)[2]
        weights[name] = [first, [[size, len(list(run))] for size, run in groupby(layers)], last, apart]
    if scripts["decode"] == scripts["prefill"]:
        del scripts["decode"]
    return {"js": scripts, "state": made["prefill"].state, "weights": weights}
