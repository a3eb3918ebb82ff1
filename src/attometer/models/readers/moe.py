"""Mixtures of experts: a router, `top_k` of `num_experts` feed-forward layers per token, perhaps shared experts."""

from dataclasses import replace

from attometer.mechanisms import feed_forward
from attometer.models.blocks import linear
from attometer.models.part import MoE, Part, at, part, parts


def router(width: int, routed: MoE, bias: bool = False, routing: str = "chosen") -> Part:
    """Return the scores of the experts and the choice of the best for each token."""
    text = f"{feed_forward.ROUTER_AXES}\n{feed_forward.router(routing, bias)}"
    return part("router", text, D=width, E=routed.num_experts, k=routed.top_k)


def experts(
    width: int, hidden: int, routed: MoE, function: str = "silu", gate: bool = True, bias: bool = False
) -> tuple[Part, ...]:
    """Return the routed experts: gate and up together, activation, down, and the weighted sum over the chosen."""
    stages = parts(
        feed_forward.EXPERT_AXES, feed_forward.experts(function, gate, bias), **_sizes(width, hidden, routed)
    )
    return tuple(replace(p, routed=routed if p.program.weights else None) for p in stages)


def _sizes(width: int, hidden: int, routed: MoE) -> dict[str, int]:
    return {"D": width, "F": hidden, "E": routed.num_experts, "k": routed.top_k}


def dense_reference(parts: tuple[Part, ...], width: int, hidden: int, routed: MoE) -> tuple[Part, ...]:
    """Return the same parts, with the reference form in which every expert runs on every token (Llama 4 in transformers)."""
    forms = {
        name: at(f"{feed_forward.EXPERT_AXES}\n{text}", **_sizes(width, hidden, routed))
        for name, text in feed_forward.DENSE_EXPERTS.items()
    }
    return tuple(replace(p, reference=forms.get(p.name)) for p in parts)


def shared_gate(width: int) -> Part:
    """Return the gate of a shared expert (Qwen2-MoE): one number per token."""
    return linear("shared gate", width, 1)
