"""What the page holds of a model spread over devices: a rank's parts, for each way to cut its layers."""

from collections.abc import Iterable, Iterator
from typing import Any

import sympy

from attometer.count.formulas import Compiled, Graph
from attometer.count.model_cost import model_cost
from attometer.count.placement.rank_layer import RankPart, rank_layers
from attometer.errors import AttometerError
from attometer.models import Model
from attometer.report.page.part_data import Pairs
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


def rank_data(model: Model, pairs: Pairs, phases: Iterable[str]) -> dict[str, Any]:
    """Return for each `tp/ep` the parts of a rank that run in each of the phases, and those that hold weights.

    Degrees that do not divide the model are a text: the reason.
    """
    found: dict[str, Any] = {}
    for place in cuts(model):
        try:
            found[f"{place.tp}/{place.ep}"] = _cut(model, place, pairs, phases)
        except AttometerError as error:
            found[f"{place.tp}/{place.ep}"] = str(error)
    return found


def _cut(model: Model, place: Placement, pairs: Pairs, phases: Iterable[str]) -> dict[str, Any]:
    degrees = layer_degrees(place)
    layers = {phase: rank_layers(model_cost(model, phase=phase), degrees) for phase in phases}
    running = {phase: [[_entry(p, pairs) for p in row.running] for row in rows] for phase, rows in layers.items()}
    rows = layers["prefill"]
    stored = [[[pairs.number(p.local.program), p.local.part.copies] for p in row.parts] for row in rows]
    kept = {"kv": caches_script(row.kv for row in rows), "state": [row.state for row in rows]}
    return {"phases": running, "stored": stored, **kept}


def _entry(part: RankPart, pairs: Pairs) -> list[Any]:
    """Return a part on a rank: its pair, whose tokens it works on, copies whose results are kept, and its short form.

    Tokens are `0` of each sequence, `1` of all sequences together, or those chosen for experts: how many experts each has.
    """
    routed, short = part.whole.part.routed, part.local.short
    tokens = 1 if part.where == "stream" or part.tokenwise else 0
    if part.where == "experts":
        tokens = int(dict(part.whole.program.axes)["k"]) + 1
    found = [pairs.number(part.local.program), tokens, 1 if routed else part.local.part.copies]
    return found if short is None else [*found, [short[0], pairs.number(short[1].program)]]


def caches_script(kept: Iterable[sympy.Expr]) -> str:
    """Return JavaScript of m: the elements of the cache that a layer of each row keeps of one sequence.

    >>> caches_script([sympy.Symbol("m") * 2]).splitlines()[-2]
    '  return [2*m];'
    """
    graph = Graph()
    m = graph.size("m")
    outputs = {str(k): graph.rounded_up(one, {"m": m, "n": m, "s": m}) for k, one in enumerate(kept)}
    return Compiled(graph, outputs, ("m",)).javascript("f", listed=True)
