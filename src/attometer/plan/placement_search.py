"""All legal placements of a model on a cluster: the best few for a goal, why the others lose, and how few devices suffice."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from attometer.count.model_cost import ModelCost
from attometer.count.weights import stored_weights
from attometer.errors import AttometerError, unknown
from attometer.machine import Cluster, cluster
from attometer.models import Model
from attometer.models import model as read
from attometer.plan.placement_time import TERMS, Candidate, Evaluator, Load
from attometer.schedule.placement import Placement
from attometer.view.printed import Printed

GOALS = ("fits", "latency", "throughput", "context")
"""What to rank by: room to spare, seconds of a pass, tokens per second, or the longest sequences that fit."""
MOST_INTERLEAVED = 4


@dataclass(frozen=True)
class Found(Printed):
    """The best placements in order, and what became of the others: how many were legal, and how many lost for which reason."""

    goal: str
    best: tuple[Candidate, ...]
    contexts: tuple[int | None, ...]
    legal: int
    lost: dict[str, int]
    refused: dict[str, int]

    def why(self, placed: Candidate) -> str:
        """Return why a placement is not the best one, by the term in which it loses most.

        >>> found = search("llama-3.1-8b", "2x-h100-sxm", context=4096, batch=8)
        >>> found.why(found.best[0])
        'the best'
        """
        first = self.best[0]
        if placed is first and placed.fits:
            return "the best"
        if not placed.fits:
            return (
                f"needs {placed.total / 2**30:.1f} GiB of {placed.available / 2**30:.1f}, most of it {_largest(placed)}"
            )
        apart = {name: placed.terms.get(name, 0.0) - first.terms.get(name, 0.0) for name in TERMS}
        name = max(apart, key=apart.__getitem__)
        if apart[name] <= 0:
            return f"no slower; needs {(placed.total - first.total) / 2**30:+.1f} GiB on a rank"
        return f"{apart[name] * 1e3:.3g} ms more {_SAID[name]}"

    def to_dict(self) -> dict[str, Any]:
        """Return the placements with their figures and reasons as plain values for JSON."""
        rows = [p.to_dict() | {"why": self.why(p), "context": c} for p, c in zip(self.best, self.contexts, strict=True)]
        return {"goal": self.goal, "best": rows, "legal": self.legal, "lost": self.lost, "refused": self.refused}

    def __str__(self) -> str:
        said = f"best for {self.goal}" if self.best[0].fits else "none fits, the nearest"
        rows = [f"{self.legal:,} legal placements, {said}:"]
        for placed in self.best:
            rows.append(
                f"  {placed.placement!s:<32} {placed.total / 2**30:6.1f} of {placed.available / 2**30:.1f} GiB  "
                f"{placed.seconds * 1e3:9.3f} ms  {placed.tokens_per_second:12,.0f} tokens/s  {self.why(placed)}"
            )
        rows += [f"  {count:,} lost: {reason}" for reason, count in self.lost.items()]
        return "\n".join(rows)


_SAID = {
    "compute": "computing",
    "memory": "moving bytes through memory",
    "links": "on the links",
    "bubble": "of waiting stages",
}


def _largest(placed: Candidate) -> str:
    return max(placed.memory, key=placed.memory.__getitem__)


def search(
    model: "Model | ModelCost | str",
    on: "Cluster | str",
    *,
    goal: str = "latency",
    best: int = 5,
    given: Mapping[str, Any] | None = None,
    **load: Any,
) -> Found:
    """Return the best placements of `model` on all devices of a cluster.

    Time is the sum of datasheet terms: each part the longer of computing and moving, collectives by latency and bandwidth
    of the link that they span, the pipeline's bubble (p - 1)/(m v). What does not fit is left before its time is evaluated;
    where nothing fits, those that come nearest are returned.

    Args:
        model: the model, its cost, or its name.
        on: the devices, all of one kind.
        goal: one of `GOALS`.
        best: how many to return.
        given: degrees that every placement must have, as in `{"ep": 8}`.
        load: mode, context, batch and so on of a `Load`, or `load=` a whole one.

    Raises AttometerError for an unknown goal, devices of unlike kinds, or a model that no placement divides.

    >>> found = search("llama-3.1-70b", "8x-h100-sxm", context=8192, batch=16)
    >>> str(found.best[0].placement), found.best[0].fits
    ('tp 8', True)
    """
    if goal not in GOALS:
        raise unknown("goal", goal, GOALS)
    subject, devices = _model(model), cluster(on)
    evaluator = Evaluator(subject, devices, _load(load))
    found, lost, refused, legal = _ranked(evaluator, devices.count, goal, best, given or {})
    if not found and not legal:
        dense = (given or {}).get("ep", 1) > 1 and not any(p.part.routed for _, p in evaluator.cost.parts())
        reasons = "; ".join(refused) or ("it has no routed experts" if dense else "none divides")
        asked = "".join(f" {name} {value}" for name, value in (given or {}).items())
        raise AttometerError(
            f"no placement of {subject.name} on {devices.id}{asked and ' with' + asked}: {reasons[:300]}"
        )
    contexts = tuple(largest_context(evaluator, p.placement) if goal == "context" else None for p in found)
    return Found(goal, tuple(found), contexts, legal, dict(lost), dict(refused))


def _load(given: dict[str, Any]) -> Load:
    """Return the load that was given whole, as `load`, or in its parts."""
    whole = given.pop("load", None)
    return replace(whole, **given) if isinstance(whole, Load) else Load(**given)


def _model(model: "Model | ModelCost | str") -> Model:
    if isinstance(model, ModelCost):
        return model.model
    return model if isinstance(model, Model) else read(model)


def _ranked(
    evaluator: Evaluator, count: int, goal: str, best: int, given: Mapping[str, Any]
) -> tuple[list[Candidate], Counter[str], Counter[str], int]:
    fitting: list[tuple[float, Candidate]] = []
    others: list[Candidate] = []
    lost: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    legal = 0
    for place in placements(evaluator.cost, count, evaluator.load, given):
        try:
            quick = evaluator.placed(place, quick=True)
        except AttometerError as error:
            refused[str(error)] += 1
            continue
        legal += 1
        if not quick.fits:
            lost[f"does not fit, {_largest(quick)} most of all"] += 1
            others.append(quick)
            continue
        placed = evaluator.placed(place)
        fitting.append((_score(evaluator, placed, goal), placed))
    fitting.sort(key=lambda pair: (-pair[0], pair[1].total, str(pair[1].placement)))
    if fitting:
        for _, placed in fitting[best:]:
            lost[_slower(fitting[0][1], placed)] += 1
        return [placed for _, placed in fitting[:best]], lost, refused, legal
    # Where none fits, those that come nearest.
    nearest = sorted(others, key=lambda placed: placed.total)[:best]
    return [evaluator.placed(placed.placement) for placed in nearest], lost, refused, legal


def _slower(first: Candidate, placed: Candidate) -> str:
    apart = {name: placed.terms.get(name, 0.0) - first.terms.get(name, 0.0) for name in TERMS}
    return f"more time {_SAID[max(apart, key=apart.__getitem__)]}"


def _score(evaluator: Evaluator, placed: Candidate, goal: str) -> float:
    if goal == "fits":
        return placed.available - placed.total
    if goal == "context":
        return float(largest_context(evaluator, placed.placement))
    return placed.tokens_per_second if goal == "throughput" else -placed.seconds


def largest_context(evaluator: Evaluator, place: Placement) -> int:
    """Return the longest sequences, as many as the load's batch, whose cache fits beside weights and activations."""

    def fits(context: int) -> bool:
        return evaluator.at(context).placed(place, quick=True).fits

    if not fits(1):
        return 0
    low, high = 1, 2
    while high < 2**30 and fits(high):
        low, high = high, 2 * high
    while high - low > max(1, low >> 10):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def placements(cost: ModelCost, count: int, load: Load, given: Mapping[str, Any] | None = None) -> Iterator[Placement]:
    """Yield every placement on `count` devices that makes sense for a load; those that do not divide are refused later.

    Serving leaves out what only training divides (sequence parallelism, ZeRO, interleaving, contexts in decode); more
    replicas, of the model or of its attention, than the batch has sequences would idle, unless so many are `given`.
    Replicas that train have alike many sequences.
    """
    given = given or {}
    for place in _sensible(cost, count, load, given.get("dp", 1)):
        if all(getattr(place, name) == value for name, value in given.items()):
            yield place


def _sensible(cost: ModelCost, count: int, load: Load, replicas: int) -> Iterator[Placement]:
    train = load.mode == "train"
    experts = max((p.part.routed.num_experts for _, p in cost.parts() if p.part.routed), default=1)
    for tp in _divisors(count):
        for pp in _divisors(count // tp):
            for cp in _divisors(count // tp // pp) if load.mode != "decode" else [1]:
                dp = count // (tp * pp * cp)
                uneven = train and load.batch % (min(load.micro_batch, load.batch) * dp)
                if dp > max(load.batch, replicas) or pp > cost.model.depth or uneven:
                    continue
                for degrees in _experts(experts, tp, cp * dp, train):
                    whole = {"tp": tp, "pp": pp, "cp": cp, "dp": dp, **degrees}
                    yield from _variants(cost.model.depth, load, whole)


def _experts(experts: int, tp: int, replicas: int, train: bool) -> Iterator[dict[str, Any]]:
    yield {}
    for ep in _divisors(tp * replicas)[1:]:
        if experts % ep == 0:
            if ep >= tp or tp % ep == 0:
                yield {"ep": ep}
            if train and tp > 1 and replicas % ep == 0:
                yield {"ep": ep, "expert_tp": tp}


def _variants(layers: int, load: Load, degrees: dict[str, Any]) -> Iterator[Placement]:
    tp, pp, train = degrees["tp"], degrees["pp"], load.mode == "train"
    choices: list[dict[str, Any]] = [{}]
    if train:
        replicas = degrees["dp"] * degrees["cp"]
        pieces = [v for v in (1, 2, MOST_INTERLEAVED) if v == 1 or (pp > 1 and pp * v <= layers)]
        choices = [
            {"sp": tp > 1, "zero": zero, "interleave": v}
            for zero in (range(4) if replicas > 1 else [0])
            for v in pieces
        ]
    elif tp > 1 and tp * degrees["dp"] <= load.batch:
        choices = [{}, {"attention_dp": tp}]
    for choice in choices:
        try:
            yield Placement(**degrees, **choice)
        except AttometerError:
            continue


def _divisors(count: int) -> list[int]:
    return [d for d in range(1, count + 1) if count % d == 0]


def devices_needed(
    model: "Model | ModelCost | str", on: "Cluster | str", most: int = 1024, **load: Any
) -> Candidate | None:
    """Return the placement with the fewest devices of the cluster's kind on which the load fits; None up to `most`.

    Numbers of devices are tried from what the weights need at least: every one inside a node, then whole nodes.

    >>> devices_needed("llama-3.1-70b", "h100-sxm", context=8192).placement.devices
    2
    """
    subject, devices = _model(model), cluster(on)
    asked = _load(load)
    first = Evaluator(subject, devices.of(1), asked)
    least = -(-stored_weights(subject, first.formats).total // first.available)
    node = devices.per_node
    counts = [n for n in range(1, most + 1) if n >= least and (n <= node or n % node == 0)]
    for count in counts:
        evaluator = Evaluator(subject, devices.of(count), asked)
        fitting = []
        for place in placements(evaluator.cost, count, asked):
            try:
                placed = evaluator.placed(place, quick=True)
            except AttometerError:
                continue
            if placed.fits:
                fitting.append(placed)
        if fitting:
            return evaluator.placed(max(fitting, key=lambda placed: placed.available - placed.total).placement)
    return None
