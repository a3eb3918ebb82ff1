"""What one rank of a serving placement keeps and computes, as compiled formulas of the rank's sequences, new tokens and keys."""

from collections.abc import Iterable
from dataclasses import dataclass

from attometer.count.formulas import Compiled, Graph, Node
from attometer.count.model_cost import ModelCost
from attometer.count.placement.rank_layer import RankPart, rank_layers
from attometer.schedule.placement import Placement, layer_degrees

SIZES = ("b", "n", "m")
"""Sequences of a replica, new tokens of each, and keys."""


@dataclass(frozen=True, eq=False)
class RankFormulas:
    """Functions of `SIZES`: for each row of the model's table the elements alive, then the cache elements of one sequence.

    `state` are the elements of one sequence that do not grow, for each row.
    """

    compiled: Compiled
    state: tuple[int, ...]


def rank_formulas(cost: ModelCost, place: Placement) -> RankFormulas:
    """Return what a rank of `place` has in one layer of each row: `RankStage` without its numbers of layers.

    Raises AttometerError where the degrees do not divide the model.

    >>> from attometer.count.model_cost import model_cost
    >>> from attometer.models import model
    >>> made = rank_formulas(model_cost(model("llama-3.1-8b")), Placement(tp=2))
    >>> made.compiled.scalar(1, 1000, 1000)[-3:]  # elements of the cache of embedding, a layer, head
    (0, 1024000, 0)
    """
    rows = rank_layers(cost, layer_degrees(place))
    graph = Graph()
    alive = {f"alive {k}": _alive(graph, row.running, place) for k, row in enumerate(rows)}
    m = graph.size("m")
    kept = {f"kv {k}": graph.rounded_up(row.kv, {"m": m, "s": m}) for k, row in enumerate(rows)}
    return RankFormulas(Compiled(graph, alive | kept, SIZES), tuple(row.state for row in rows))


def _alive(graph: Graph, parts: Iterable[RankPart], place: Placement) -> Node:
    return graph.maximum(graph.number(0), *(elements(graph, part, place) for part in parts))


def elements(graph: Graph, part: RankPart, place: Placement, quantity: str = "live") -> Node:
    """Return the elements alive in a part, or `saved` for its backward pass, at the tokens that `RankSizes` gives it."""
    b, n, m = map(graph.size, SIZES)
    one = graph.number(1)
    if part.where == "experts":
        tokens = graph.mul(b, n)
        if place.dispatched:
            tokens = graph.mul(graph.ceildiv(tokens, graph.number(place.tp)), graph.number(place.expert_ranks))
        top_k = int(dict(part.whole.program.axes)["k"])
        b, n = graph.ceildiv(graph.mul(tokens, graph.number(top_k)), graph.number(place.ep)), one
    elif part.where == "stream" or part.tokenwise:
        b, n = graph.mul(b, n), one
    sizes = {"b": b, "n": n, "m": m, "s": m}
    usual = graph.rounded_up(getattr(part.local, quantity), sizes)
    if part.local.short is None:
        return usual
    most, short = part.local.short
    return graph.if_at_most(m, graph.number(most), graph.rounded_up(getattr(short, quantity), sizes), usual)
