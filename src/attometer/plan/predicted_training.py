"""The time that a framework is predicted to take for a training step: a plan's counts as the class of training has them."""

from typing import TYPE_CHECKING, Any

from attometer.price.model_features import shape_of, training_counts
from attometer.schedule.placement import Placement

if TYPE_CHECKING:
    from attometer.plan.result import Plan

TRAINERS = {
    "megatron": ("nemo/megatron-core", "megatron-core", "nemo", "megatron-lm"),
    "nemo": ("nemo",),
    "torchtitan": ("torchtitan",),
    "llm-foundry": ("llm-foundry",),
    "maxtext": ("maxtext",),
}
"""Frameworks that training steps were measured under, and how the names of their families begin, nearest first."""
_AGAIN = {"full": 4.0, "offloaded": 4.0, "selective": 3.15}


def training_family(plan: "Plan") -> tuple[str, tuple[tuple[str, ...], ...]]:
    """Return the framework of a training plan and the fields of its family's name, best first.

    Without one, Megatron stands for tensor or pipeline parallelism and torchtitan for replicas alone.
    """
    place = _placement(plan)
    trainer = plan.trainer or ("megatron" if place.tp * place.pp > 1 else "torchtitan")
    routed, adapted = "moe" if plan.planner.routed else "", ("adapters", "") if _adapters(plan) else ("",)
    return trainer, (("bf16",), (routed,), adapted, ("", "flops"))


def training_step(plan: "Plan") -> dict[str, Any]:
    """Return the counts of a training step on one device."""
    place, o = _placement(plan), plan.options
    recompute = "full" if o.checkpoint else "none"
    recompute = recompute if plan.trained is None else plan.trained.recipe.recompute
    degree = {"tp": place.tp, "pp": place.pp, "cp": place.cp, "ep": place.ep, "vp": place.interleave}
    adapters = _adapters(plan)
    return training_counts(
        shape_of(plan.planner.cost),
        {name: float(value) for name, value in degree.items()},
        float(place.dp),
        micro=float(plan.at.load.micro_batch if plan.at is not None else o.batch),
        whole=float(o.batch),
        length=float(o.context),
        recompute=_AGAIN.get(recompute, 3.0) - adapters,
        adapters=adapters,
        causal=0.5,
        sharded=place.zero >= 3,
        gradient=2.0,
        nodes=max(1.0, place.devices / 8),
    ) | {"devices": float(place.devices)}


def _placement(plan: "Plan") -> Placement:
    return Placement() if plan.at is None else plan.at.placement


def _adapters(plan: "Plan") -> bool:
    return plan.trained is not None and plan.trained.recipe.lora_rank > 0
