"""What the page holds of one model: which text each part has at which sizes, and in which format each is stored."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from attometer.count.model_cost import ModelCost, model_cost
from attometer.count.part_cost import PartCost
from attometer.count.weights import Formats, stored_weights
from attometer.errors import AttometerError
from attometer.formats import WeightFormats, uniform
from attometer.models import Model
from attometer.models.layer import CacheSize
from attometer.models.stored import state_type, stored_type, weight_formats
from attometer.report.page.engine_data import serving_data
from attometer.report.page.part_data import Pairs
from attometer.report.page.rank_data import caches_script, cuts, rank_data
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
PHASES = ("prefill", "decode")


@lru_cache(maxsize=128)
def model_data(model: Model) -> dict[str, Any]:
    """Return everything the page needs of a model, as plain values.

    `texts` are pairs of a text and sizes, `parts` what stands at which pair, `phases` the rows of a pass (`decode` only where it
    differs from `prefill`), `stored` the parts of each row that files hold and whether their weights are another's; `kv` is
    JavaScript of m: elements of the cache that a layer of each row keeps of one sequence.

    Raises AttometerError for a mask that has no closed form.
    """
    formats = _formats(model)
    costs = {phase: model_cost(model, phase=phase) for phase in PHASES}
    cost, pairs = costs["prefill"], Pairs()
    parts = PartsOfAModel(pairs)
    phases = {phase: _rows(each, parts) for phase, each in costs.items()}
    if phases["decode"] == phases["prefill"]:
        del phases["decode"]
    stored = [[[parts.number(p), int(p.part.tied)] for p in row.parts] for row in cost.rows]
    ranks = rank_data(model, pairs, phases)
    return {
        "family": model.family,
        "context": model.context,
        "depth": model.depth,
        "width": model.width,
        "parameters": cost.parameters,
        "active": cost.active,
        "own": stored_type(model),
        "state": state_type(model) or stored_type(model),
        "indexed": any(stack.layer.cache.index for stack in model.layers),
        "notes": list(model.check.said),
        "cache": [[s.count, formula(s.layer.cache.kv), s.kind, s.layer.cache.state] for s in model.layers],
        "towers": [tower.name for tower in model.towers],
        "tower": sum(stored_weights(tower, uniform(stored_type(model))).total for tower in model.towers),
        "weights": weights_data(model, formats),
        "texts": pairs.data(),
        "parts": parts.data,
        "phases": phases,
        "stored": stored,
        "kv": caches_script(row.kv for row in cost.rows),
        "kept": [_kept(row.cache) for row in cost.rows],
        "stacks": [k for _, k in sorted((n, k) for k, each in enumerate(model.layers, 1) for n in each.indices)],
        "ranks": ranks,
        "serving": serving_data(model, formats, list(cuts(model))),
    }


def _formats(model: Model) -> dict[str, Formats]:
    """Return the formats offered: the model's own as `stored`, then those that can be asked for."""
    found: dict[str, Formats] = {"stored": weight_formats(model)}
    for name in WEIGHTS:
        try:
            found[name] = weight_formats(model, name)
        except AttometerError:
            continue  # a mix that llama.cpp has no rule for
    return found


def weights_data(model: Model, formats: dict[str, Formats]) -> dict[str, Any]:
    """Return in which format each part of each row is stored.

    `names` are the parts' names by row; `as` maps a format that is offered to its name, the format of what is no matrix, the
    number of a pattern, and whether towers are counted with it; `patterns` say for each row and name the format's name, "" where
    it is the one offered, or runs of layers with the format of each.
    """
    rows = [model_cost(model, phase=phase).rows for phase in PHASES]
    names = [list(dict.fromkeys(p.name for row in both for p in row.parts)) for both in zip(*rows, strict=True)]
    names[0] = list(dict.fromkeys(("embedding", *names[0])))  # tied weights are the embedding's, in its format
    layers: list[Sequence[int | None]] = [(None,), *(stack.indices for stack in model.layers), (None,)]
    patterns: list[Any] = []
    found = {}
    for key, form in formats.items():
        pattern = [
            [_in(form, row.kind, held, name) for name in own]
            for row, held, own in zip(rows[0], layers, names, strict=True)
        ]
        if pattern not in patterns:
            patterns.append(pattern)
        found[key] = [form.name, form.default.name, patterns.index(pattern), int(isinstance(form, WeightFormats))]
    return {"names": names, "as": found, "patterns": patterns}


def _in(form: Formats, kind: str, layers: Sequence[int | None], name: str) -> Any:
    asked = layers if form.by_layer else layers[:1]
    runs = [[own, len(list(run))] for own, run in groupby(form.of(n, kind, name).name for n in asked)]
    short = [["" if own == form.name else own, times] for own, times in runs]
    return short[0][0] if len(short) == 1 else short


class PartsOfAModel:
    """The distinct parts of a model, numbered as they are met.

    Each is the pair of its text, its name and kind, copies, experts and chosen ones, the rows of a table that is looked up,
    parameters, whether it has weights, whether they are another's, whether it reads the cache, and up to how many keys another pair.
    """

    def __init__(self, pairs: Pairs) -> None:
        self.pairs, self.data = pairs, list[list[Any]]()
        self._found: dict[tuple[Any, ...], int] = {}

    def number(self, part: PartCost) -> int:
        """Return the number of a part."""
        pair, routed = self.pairs.number(part.program), part.part.routed
        chosen = None if routed is None else (routed.num_experts, routed.top_k)
        short = None if part.short is None else (part.short[0], self.pairs.number(part.short[1].program))
        reads = part.runs and part.cached != 0
        key = (
            pair, part.name, part.kind, part.part.copies, chosen, part.table_rows, part.parameters, int(part.weights > 0),
            int(part.part.tied), int(reads), short,
        )  # fmt: skip
        if key not in self._found:
            self._found[key] = len(self.data)
            self.data.append(list(key))
        return self._found[key]


def _rows(cost: ModelCost, parts: PartsOfAModel) -> list[list[Any]]:
    """Return embedding, layers by stack and head: kind, layers, parameters, and the numbers of the parts that run."""
    return [[row.kind, row.layers, row.parameters, [parts.number(p) for p in row.running]] for row in cost.rows]


def _kept(cache: CacheSize) -> list[Any]:
    """Return what a layer keeps that does not grow, the convolutions' inputs of it, whether a latent, and an indexer's width."""
    return [cache.state, cache.conv, int(cache.latent is not None), int(cache.index)]
