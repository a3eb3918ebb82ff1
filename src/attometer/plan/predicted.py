"""The time that an engine is predicted to take: fitted coefficients on a plan's counts, with an interval."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attometer.errors import AttometerError
from attometer.price.predict import kernel_seconds
from attometer.view.numbers import seconds as spelled

if TYPE_CHECKING:
    from attometer.plan.planner import Planner
    from attometer.plan.result import Plan

ENGINE = "vllm"
"""Whose coefficients stand for a plan without an engine."""
WIDEST = 10.0
"""An interval whose ends are further apart than this factor tells nothing."""


@dataclass(frozen=True)
class Expected:
    """Seconds of a pass with their 90 % interval.

    Attributes:
        seconds: of one prefill or one decoding step.
        low: the interval's lower end; `high` its upper end.
        situation: what the interval stands on, as in `unseen machine`.
        measured_for: the family that the coefficients were measured for.
    """

    seconds: float
    low: float
    high: float
    situation: str
    measured_for: str

    def __str__(self) -> str:
        family = self.measured_for.strip("|").replace("||", " ").replace("|", " ")
        return (
            f"predicted {spelled(self.seconds)}, {spelled(self.low)} to {spelled(self.high)} (90 %, {self.situation}, "
            f"coefficients of {family})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON."""
        return dict(vars(self))


def predicted(plan: "Plan") -> Expected | None:
    """Return the predicted time of a plan's pass, or None where nothing useful is known.

    Training has classes of its own; devices of unlike kinds and experts in the host's memory were not measured; and an
    interval wider than `WIDEST` is not worth printing.

    >>> from attometer.plan import plan
    >>> made = predicted(plan("llama-3.1-8b", "h100-sxm", context=512, mode="decode"))
    >>> made.low < made.seconds < made.high
    True
    """
    o = plan.options
    if o.mode == "train" or "+" in plan.machine.id or o.offload is not None:
        return None
    kind = "model_decode" if o.mode == "decode" else "model_prefill"
    place = None if plan.at is None else plan.at.placement
    spread = "" if place is None else "pipeline" if place.pp > 1 else "tensor" if place.tp > 1 else ""
    name = ENGINE if plan.served is None else plan.served.engine.name
    family = "|".join((name, "", f"{plan.planner.weight_bits:.0f}bit", spread))
    try:
        found = kernel_seconds(kind, family, plan.machine, **_counts(plan))
    except AttometerError:
        # A machine that lacks a figure has no prediction; its bound stands.
        return None
    seconds, low, high = (float(v[0]) for v in (found.seconds, found.low, found.high))
    if high > WIDEST * low:
        return None
    return Expected(seconds, low, high, str(found.situation[0]), str(found.measured_for[0]))


def _counts(plan: "Plan") -> dict[str, Any]:
    """Return the counts of a pass on one device."""
    here, o = plan.planner.expected, plan.options
    place = None if plan.at is None else plan.at.placement
    tp, pp, ep, dp = (
        (1, 1, 1, 1) if place is None else (place.tp, place.pp, place.expert_ranks, place.dp * place.attention_dp)
    )
    products, scores, weights, cache = _sums(here)
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
        "step_cache": cache / tp / dp,
    }


def _sums(here: "Planner") -> tuple[float, float, float, float]:
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
