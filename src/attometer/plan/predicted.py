"""The time that an engine is predicted to take: fitted coefficients on a plan's counts, with an interval.

Two ways lead to it: the class of whole models, and the sum of the kernels that the pass runs. One rule chooses: what was
measured of the engine itself goes before what is borrowed, then weights as wide, then the machine itself, then the narrower
interval; the other way is the cross-check. Training steps have a class of their own.
"""

from dataclasses import dataclass, field, replace
from math import exp
from typing import TYPE_CHECKING, Any

from attometer.count.placement.rank_cost import shard
from attometer.engines import superseded
from attometer.errors import AttometerError
from attometer.formats import CACHE_ROWS, WeightFormats, storage
from attometer.machine import Machine
from attometer.plan.predicted_training import TRAINERS, training_family, training_step
from attometer.price.composed import ENGINES, FIGURES, OWN, Own, composed, engine_of, families_of, raised_figures
from attometer.price.model_calls import Pass, alike, calls, stored
from attometer.price.own import ENGINE as ENGINE_HERE
from attometer.price.own import check_own, own_calls, own_type
from attometer.price.predict import PLAIN, own_folder
from attometer.price.tables import SITUATIONS, Calibration, are_siblings, calibration
from attometer.schedule.placement import Placement
from attometer.view.numbers import seconds as spelled

if TYPE_CHECKING:
    from attometer.plan.planner import Planner
    from attometer.plan.result import Plan
    from attometer.plan.speculation import Speculation

ENGINE, LOCAL = "vllm", "llama.cpp"
"""Whose coefficients stand for a plan without an engine, and those of a GGUF file or a Mac, which vLLM serves badly or not at
all; on the calibrated machine `this` it is plain torch, as it was measured."""
RUN = ("flash", "flash2")
"""Schedules of attention that engines run; no kernel of the others was measured."""
WIDEST = 10.0
"""An interval whose ends are further apart than this factor tells nothing."""
LENT = 0.25
"""A sum of kernels of which other engines' take so large a share is theirs."""
_CALLED = {"bandwidth": "memory bandwidth", "peak": "peak rate", "link": "bandwidth of links"}


@dataclass(frozen=True)
class Expected:
    """Seconds of a pass with their 90 % interval.

    Attributes:
        seconds: of one prefill, one decoding step or one training step.
        low: the interval's lower end; `high` its upper end.
        situation: what the interval stands on, as in `unseen machine (lone)`.
        measured_for: the family that the coefficients were measured for: of kernels, that of those which take longest.
        engine: whose time it is.
        way: `whole model` or `kernels`.
        terms: seconds by term; those of kernels add up to the whole, those of a whole model overlap.
        gains: by which factor the pass is shortened with a tenth more `bandwidth`, `peak` or `link`.
        borrowed: families of other engines that stand in for the engine's own.
        lent: the share of the time that such families of kernels take.
        other: seconds by the other way, where that is the engine's own and tells something.
        alike: seconds where all tokens choose the same experts; the interval reaches down to it, since prompts decide.
    """

    seconds: float
    low: float
    high: float
    situation: str
    measured_for: str
    engine: str
    way: str
    terms: dict[str, float] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)
    borrowed: tuple[str, ...] = ()
    other: float | None = None
    alike: float | None = None
    lent: float = 0.0

    def __str__(self) -> str:
        near = self.other is not None and self.low <= self.other <= self.high  # else it stands on another machine
        check = f"; the other way, {_OTHER[self.way]}: {spelled(self.other)}" if self.other and near else ""
        same = "" if self.alike is None else f"; {spelled(self.alike)} where all tokens choose the same experts"
        lent = "" if not self.borrowed else f"; borrowed: {', '.join(map(_plain, self.borrowed))}"
        return (
            f"predicted {spelled(self.seconds)}, {spelled(self.low)} to {spelled(self.high)} (90 %, {self.situation}) for "
            f"{self.engine} from {FROM[self.way]}, coefficients of {_plain(self.measured_for)}{lent}{same}{check}"
        )

    @property
    def own(self) -> bool:
        """Whether the time stands on the engine itself: of a sum of kernels other engines' may take less than a quarter (norms)."""
        return self.lent < LENT if self.way == "kernels" else not self.borrowed

    def by(self, way: str) -> float | None:
        """Return the seconds by `whole model` or `kernels`: a change is the difference of two times that were had alike."""
        return self.seconds if way == self.way else self.other

    @property
    def sensitivity(self) -> str:
        """Which figure of the machine is worth most, in words."""
        name = max(self.gains, key=self.gains.__getitem__)
        more = 100 * (self.gains[name] - 1)
        return f"10 % more {_CALLED[name]} gives {more:.1f} % more tokens/s" if more >= 0.05 else ""

    def above(self, bound: float) -> "Expected":
        """Return the same with an interval that does not reach below what the datasheet allows."""
        return replace(self, low=max(self.low, bound)) if bound < self.seconds else self

    def lines(self, bound: float) -> list[str]:
        """Return formula, terms, ratio to the datasheet's lower bound and sensitivities, one line each."""
        total = "sum of the terms" if self.way == "kernels" else "soft maximum of the terms, which overlap"
        parts = ", ".join(f"{name} {spelled(value)}" for name, value in self.terms.items() if value > 0)
        more = {name: 100 * max(0.0, gain - 1) for name, gain in self.gains.items()}  # noise of the residual is no loss
        worth = ", ".join(f"{_CALLED[name]} {gain:.1f} %" for name, gain in more.items())
        # on the calibrated machine what no figure brings is waited for in caches, too
        floor = ": launch-bound" if sum(more.values()) < _LAUNCH and self.situation != OWN else ""
        return [
            f"predicted time = {total} = {spelled(self.seconds)}: {parts}",
            f"predicted / datasheet = {self.seconds / bound:.2f}{floor}",
            f"sensitivities = more tokens/s for 10 % more of a figure: {worth}",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON."""
        return dict(vars(self)) | {"label": "predicted", "borrowed": list(self.borrowed)}


_LAUNCH = 3.0  # where 10 % more of every figure give less than this %, most time goes neither to products nor to bytes
_OTHER = {"kernels": "from whole models", "whole model": "from kernels"}
FROM = {"kernels": "the sum of its kernels", "whole model": "measured whole models"}


def _plain(family: str) -> str:
    return " ".join(family.replace("|", " ").split())


def predicted(plan: "Plan") -> Expected | None:
    """Return the predicted time of a plan's pass, or None where nothing useful is known.

    Devices of unlike kinds, and experts in the host's memory were not measured, nor were schedules beside `RUN`; and an
    interval wider than `WIDEST` is not worth printing.

    >>> from attometer.plan import plan
    >>> made = predicted(plan("llama-3.1-8b", "h100-sxm", context=512, mode="decode"))
    >>> made.low < made.seconds < made.high, abs(sum(made.terms.values()) / made.seconds - 1) < 1e-9
    (True, True)
    """
    found = predicted_or_why(plan)
    return None if isinstance(found, str) else found


def predicted_or_why(plan: "Plan") -> Expected | str:
    """Return the predicted time of a plan's pass, or why there is none: its bound stands."""
    engine = engine_for(plan)
    if engine is None:
        return "devices of unlike kinds, experts in the host's memory and this schedule of attention were not measured"
    here = own_folder("passes", plan.machine)
    if here is not None:
        check_own(plan.machine, here)
    try:
        ways = _ways(plan, engine)
    except AttometerError as error:
        return str(error)
    first, *others = sorted(ways, key=lambda way: (_tells_nothing(way), *_standing(plan, way)))
    found = checked([first, *(way for way in others if not _is_of_other_width(plan, way))])
    return found.above(plan.seconds) if found else f"the ends of its interval are more than {WIDEST:g} times apart"


def _ways(plan: "Plan", engine: str) -> list[Expected]:
    """Return the plan's time by every way that there is."""
    if plan.speculation is not None:
        return [_speculated(plan, plan.speculation, engine)]
    if own_folder("passes", plan.machine) is not None and engine == ENGINE_HERE and plan.trainer is None:
        return [from_kernels(plan, engine)]
    if plan.options.mode == "train":
        return [_trained(plan)]
    kernels = from_kernels(plan, engine)
    return [_whole(plan, engine), kernels] if replays(plan) else [kernels]


def replays(plan: "Plan") -> bool:
    """Say whether the engine may capture graphs: whole models were measured with them."""
    return plan.served is None or plan.served.options.graphs


def _standing(plan: "Plan", way: Expected) -> tuple[bool, bool, bool, int, float]:
    """Return what a way stands on, best least: the engine's own figures, of weights as wide, as it is now, of the machine;
    then the interval."""
    return not way.own, _is_of_other_width(plan, way), _dated(way), _place(way), way.high / way.low


def _dated(way: Expected) -> bool:
    """Say whether a way stands on an engine that has changed since it was measured."""
    return way.measured_for.partition("||")[0] in superseded()


def _stands_as_firmly(other: Expected, chosen: Expected) -> bool:
    measured = _place(other) <= max(_place(chosen), SITUATIONS.index("unseen shape"))
    return measured and (_dated(chosen) or not _dated(other))


def _tells_nothing(way: Expected) -> bool:
    return way.high > WIDEST * way.low


def _place(way: Expected) -> int:
    return SITUATIONS.index(way.situation) if way.situation in SITUATIONS else 0  # measured here


def _is_of_other_width(plan: "Plan", way: Expected) -> bool:
    whole = way.way == "whole model" and plan.options.mode != "train"
    return whole and f"|{widths(plan)[0]}" not in way.measured_for


def widths(plan: "Plan") -> tuple[str, ...]:
    """Return how families call weights of so many bits, the nearest width first."""
    bits = plan.planner.weight_bits
    return tuple(f"{k}bit" for k in sorted((2, 3, 4, 5, 6, 8, 16, 32), key=lambda k: abs(k - bits)))


def checked(ways: list[Expected]) -> Expected | None:
    """Return the first of the ways with the second as its check, or None where its interval tells nothing."""
    chosen, *others = ways
    if _tells_nothing(chosen):
        return None
    # where both ways are the engine's own and stand as firmly, how far they are apart is a part of what is not known
    other = next((way for way in others if way.own), None)
    told = None if other is None else other.seconds
    ends = (chosen.low, chosen.high)
    if other is not None and _stands_as_firmly(other, chosen):
        ends = min(chosen.low, other.seconds), max(chosen.high, other.seconds)
    same = min((way.alike for way in ways if way.alike is not None), default=None)
    low = ends[0] if same is None else min(ends[0], same * chosen.low / chosen.seconds)
    return replace(chosen, low=low, high=ends[1], other=told, alike=same)


def engine_for(plan: "Plan") -> str | None:
    """Return the engine whose times stand for a plan, or None where nothing was measured that is alike."""
    unlike = "+" in plan.machine.id or plan.options.offload is not None
    if unlike or plan.options.schedule not in RUN:
        return None
    if plan.served is not None:
        return plan.served.engine.name
    if plan.machine.chip_id == "this":
        return ENGINE_HERE
    a_file = not isinstance(plan.planner.formats, WeightFormats)
    return LOCAL if a_file or plan.machine.vendor == "Apple" else ENGINE


def kernels_of(engine: str, on: Machine) -> str:
    """Return whose kernels an engine runs on a machine."""
    own = f"{engine}-rocm" if on.vendor == "AMD" else engine
    return own if own in ENGINES else engine if engine in ENGINES else ENGINE


def from_kernels(plan: "Plan", engine: str, passes: list[Pass] | None = None) -> Expected:
    """Return the time of a pass as the sum of its kernels on the ranks of the plan's placement."""
    here, o = plan.planner, plan.options
    place = Placement() if plan.at is None else plan.at.placement
    kv = TRAFFIC_BITS if o.kv in CACHE_ROWS else float(storage(o.kv).bits)
    ranks = shard(here.cost, place) if plan.at is None else plan.at.ranks
    each, own = passes or _passes(plan), None
    if engine == ENGINE_HERE and (folder := own_folder("passes", plan.machine)) is not None:
        own = Own(o.mode, own_type(here.weight_bits, plan.machine), folder)
        found = own_calls(ranks, each, own.mode, own.dtype, plan.machine, o.checkpoint)
    else:
        found = calls(ranks, each, stored(here.cost, here.formats, plan.machine), kv)
    stacks = here.model.layers
    routed = sum(s.count for s in stacks if any(p.routed is not None for p in s.layer.parts))
    name = kernels_of(engine, plan.machine)
    times, graphs = 1 if o.mode == "decode" else o.chunks, replays(plan)
    made = composed(found, plan.machine, name, here.model.depth, routed, times, own, graphs)
    same = None
    if routed and o.mode == "decode" and o.batch > 1:
        same = composed(alike(found), plan.machine, name, here.model.depth, routed, own=own, graphs=graphs).seconds
    return Expected(
        made.seconds,
        made.low,
        made.high,
        made.situation,
        made.families[0],
        engine,
        "kernels",
        made.terms,
        made.gains,
        made.borrowed,
        alike=same,
        lent=made.lent,
    )


def _speculated(plan: "Plan", drafts: "Speculation", engine: str) -> Expected:
    """Return the time of each token that a round yields: as many steps of the draft as tokens, and one check of them all."""
    o, alone = plan.options, replace(plan, speculation=None)
    check = from_kernels(alone, engine, [Pass(o.batch, drafts.tokens + 1, o.context + drafts.tokens)])
    own = replace(alone, planner=drafts.draft.with_options(context=o.context, batch=o.batch), at=drafts.at)
    whole, share = added(check, from_kernels(own, engine), float(drafts.tokens), "draft"), 1 / drafts.per_check
    times = {name: share * value for name, value in whole.terms.items()}
    same = None if whole.alike is None else share * whole.alike
    ends = (share * value for value in (whole.seconds, whole.low, whole.high))
    seconds, low, high = ends
    return replace(whole, seconds=seconds, low=low, high=high, terms=times, alike=same)


def added(one: Expected, other: Expected, times: float, name: str) -> Expected:
    """Return a time with `times` another one, told as the term `name`: both may err the same way."""
    seconds, low, high = (getattr(one, n) + times * getattr(other, n) for n in ("seconds", "low", "high"))
    gains = {
        figure: seconds / (one.seconds / one.gains[figure] + times * other.seconds / other.gains[figure])
        for figure in FIGURES
    }
    terms = one.terms | {name: times * other.seconds}
    same = None if one.alike is None else one.alike + times * other.seconds
    borrowed = tuple(dict.fromkeys((*one.borrowed, *other.borrowed)))
    lent = (one.lent * one.seconds + other.lent * times * other.seconds) / seconds
    return replace(
        one, seconds=seconds, low=low, high=high, terms=terms, gains=gains, borrowed=borrowed, alike=same, lent=lent
    )


TRAFFIC_BITS = 8.0
"""Bits of a cache whose rows engines lay out themselves."""


def _passes(plan: "Plan") -> list[Pass]:
    """Return the passes that are run: one step, or the pieces of a prompt, each over what came before it."""
    o = plan.options
    if o.mode == "train":
        return [Pass(o.batch, o.context, o.context)]
    if plan.workload is not None:
        return [Pass(o.batch, 1, keys, times) for keys, times in plan.workload.positions(o.context)]
    if o.mode == "decode":
        return [Pass(o.batch, 1, o.context)]
    size, whole = o.at_once, o.context // o.at_once
    pieces = [Pass(o.batch, size, size * (k + 1)) for k in range(whole)]
    rest = o.context - size * whole
    return [*pieces, Pass(o.batch, rest, o.context)] if rest else pieces


def _whole(plan: "Plan", engine: str) -> Expected:
    """Return the time of a pass by the class of whole models."""
    kind = "model_decode" if plan.options.mode == "decode" else "model_prefill"
    place = None if plan.at is None else plan.at.placement
    spread = "tensor" if place is not None and place.tp > 1 else ""
    words = engine_of(engine if engine in ENGINES else ENGINE).models
    return of_class(plan, kind, engine, words, (("",), widths(plan), (spread,)), step_counts(in_the_middle(plan)))


def in_the_middle(plan: "Plan") -> "Plan":
    """Return a plan of steps over a growing context at its mean; any other as it is."""
    if plan.workload is None:
        return plan
    here = plan.planner.with_options(context=plan.workload.middle(plan.options.context))
    return replace(plan, planner=here, at=None if plan.at is None else replace(plan.at, planner=here), workload=None)


def _trained(plan: "Plan") -> Expected:
    """Return the time of a training step by its class."""
    trainer, types = training_family(plan)
    found = of_class(plan, "training", trainer, TRAINERS[trainer], types, training_step(plan))
    # steps of adapters by the coefficients of whole training, where the framework's own were not measured
    own = "adapters" not in types[2] or "adapters" in found.measured_for
    return found if own else _lent(found, calibration("training"))


def of_class(
    plan: "Plan",
    kind: str,
    engine: str,
    words: tuple[str, ...],
    types: tuple[tuple[str, ...], ...],
    counts: dict[str, Any],
) -> Expected:
    """Return a time by a class of whole passes, of the nearest family whose name begins with one of `words`."""
    known = calibration(kind)
    names, lent = families_of(known, types, plan.machine, words)

    def own(name: str) -> float:  # a backend of such machines alone (Metal) goes before one of all
        where = known.machines(name)
        return sum(are_siblings(each, plan.machine.chip_id) for each in where) / max(1, len(where))

    family = max(names, key=own)
    made = raised_figures(kind, family, plan.machine, counts)
    seconds, low, high = (float(v[0]) for v in (made.seconds, made.low, made.high))
    terms = {k: float(v[0]) for k, v in made.found.terms.items() if k not in ("total", "residual")}
    gains = {name: seconds / float(v[0]) for name, v in zip(FIGURES, made.raised, strict=True)}
    situation, measured = str(made.found.situation[0]), str(made.found.measured_for[0])
    found = Expected(seconds, low, high, situation, measured, engine, "whole model", terms, gains)
    return _lent(found, known) if lent or situation == _UNSEEN else found


_UNSEEN = "unseen engine"


def _lent(found: Expected, known: Calibration) -> Expected:
    """Return a time whose coefficients were measured of something else: its interval is as wide as of an unseen engine."""
    wide = exp(PLAIN * known.width.get(_UNSEEN, 1.0))
    low, high = min(found.low, found.seconds / wide), max(found.high, found.seconds * wide)
    return replace(found, low=low, high=high, situation=_UNSEEN, borrowed=(found.measured_for,))


def step_counts(plan: "Plan") -> dict[str, Any]:
    """Return the counts of a pass on one device."""
    here, o = plan.planner.expected, plan.options
    place = None if plan.at is None else plan.at.placement
    tp, pp, ep, dp = (
        (1, 1, 1, 1) if place is None else (place.tp, place.pp, place.expert_ranks, place.dp * place.attention_dp)
    )
    products, scores, weights, cache = sums(here)
    decode, devices, tokens = o.mode == "decode", tp * pp, o.batch * o.new_tokens
    return {
        "prefills": float(not decode),
        "steps": float(decode),
        "per": 1.0,
        "waiting": 0.0,
        "layers": float(plan.model.depth),
        "hidden": float(plan.model.width),
        "tensor": float(tp),
        "stages": float(pp),
        "routed": float(here.routed),
        "bus": 1.0,
        "replicas": float(dp),
        "ranks": float(max(ep, tp)),
        "fill": here.weights_bytes / (plan.planner.room * devices),
        "prompt_length": float(o.context),
        "length": float(o.context),
        "bits": here.weight_bits,
        "batch": float(o.batch),
        "prefills_in_turn": 1.0,
        "prefill_tokens": float(tokens),
        "prefill_flops": products / tp,
        "prefill_scores": scores / tp,
        "prefill_weights": weights / tp,
        "step_weights": weights / tp,
        "step_flops": products / tp / dp,
        # the rank that has most: latents and few heads stand alike on several
        "step_cache": cache / dp if plan.at is None else float(plan.at.memory(o.context, o.batch).kv),
    }


def sums(here: "Planner") -> tuple[float, float, float, float]:
    """Return FLOPs of products with weights and of attention, and bytes of weights and of cache that a pass reads."""
    o, formulas = here.options, here.formulas
    figures = here.part_figures(o.context, o.batch)
    products = scores = weights = 0.0
    for k, (times, slot) in enumerate(zip(formulas.times, formulas.slots, strict=True)):
        if slot is None:
            scores += times * figures[2 * k]
        else:
            products += times * figures[2 * k]
            weights += times * figures[2 * k + 1]
    return products, scores, weights, float(here.memory(o.context, o.batch).kv)
