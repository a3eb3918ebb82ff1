"""What serving is predicted to take: by the classes of whole models under load, and by the kernels of steps and of prompts."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attometer.errors import AttometerError
from attometer.plan.predicted import (
    ENGINE,
    Expected,
    added,
    checked,
    engine_for,
    from_kernels,
    in_the_middle,
    kernels_of,
    of_class,
    replays,
    step_counts,
    sums,
)
from attometer.plan.workload import Workload
from attometer.price.composed import ENGINES, engine_of
from attometer.price.model_calls import Pass, stored

if TYPE_CHECKING:
    from attometer.plan.result import Plan

Both = tuple[Expected, Expected]


def predicted_load(plan: "Plan", prompt: "Plan", work: Workload) -> tuple[Expected | None, Expected | None]:
    """Return the predicted times to the first token and per token, or None for what nothing useful is known of.

    `plan` is a decoding step, `prompt` one prompt. The sum of kernels goes before what was measured of whole models under
    load, unless a quarter of it or more is borrowed, or its kernels were not measured on the machine: it misses the time per
    token of models that were not served by less. The wait for the first token is measured better: most of it is others'
    prompts, which come in bursts.
    """
    engine = engine_for(plan)
    if engine is None:
        return None, None
    try:
        kernels = _from_kernels(plan, prompt, work, engine)
        if not replays(plan):
            return _chosen(kernels[0]), _chosen(kernels[1])
        whole = _from_classes(plan, prompt, work, engine)
    except AttometerError:
        # A machine that lacks a figure has no prediction; its bound stands.
        return None, None
    return _chosen(whole[0], kernels[0]), _chosen(kernels[1], whole[1])


def _chosen(*ways: Expected) -> Expected | None:
    """Return the way that stands on more, with the other as a check, or None where its interval tells nothing."""
    return checked(sorted(ways, key=lambda w: (not w.own, "machine" in w.situation)))


def _from_classes(plan: "Plan", prompt: "Plan", work: Workload, engine: str) -> Both:
    counts = step_counts(in_the_middle(plan)) | _prompt_counts(plan, prompt, work)
    many = float(plan.options.batch)
    counts |= {"prefills": many / work.output_length / counts["replicas"]}
    first = counts | {"prefills": 1.0, "waiting": many - 1}
    return _of_load("model_first", plan, engine, first), _of_load("model_load", plan, engine, counts)


def _of_load(kind: str, plan: "Plan", engine: str, counts: dict[str, Any]) -> Expected:
    place = None if plan.at is None else plan.at.placement
    spread = "" if place is None or place.tp == 1 else "tensor"
    held = stored(plan.planner.cost, plan.planner.formats, plan.machine).values()
    rates = [each.rate for each in held]
    rate = max(dict.fromkeys(rates), key=rates.count)
    words = engine_of(engine if engine in ENGINES else ENGINE).models
    return of_class(plan, kind, engine, words, (("",), (rate, "fp8", "bf16"), (spread, "tensor", "")), counts)


def _prompt_counts(plan: "Plan", prompt: "Plan", work: Workload) -> dict[str, float]:
    """Return the counts of one prompt on one device: what follows the cached tokens is the whole less what they took."""
    place = None if prompt.at is None else prompt.at.placement
    tp = 1 if place is None else place.tp
    whole, own = prompt.planner.with_options(chunk=None).expected, prompt.options.context
    hit = work.hit(plan.options.context)
    products, scores, weights, _ = sums(whole)
    if hit:
        cached = sums(whole.with_options(context=hit))
        products, scores = products - cached[0], scores - cached[1]
        weights = sums(whole.with_options(context=own - hit))[2]
    return {
        "prefill_tokens": float(own - hit),
        "prefill_flops": products / tp,
        "prefill_scores": scores / tp,
        "prefill_weights": weights / tp,
        "prompt_length": float(own),
    }


def _from_kernels(plan: "Plan", prompt: "Plan", work: Workload, engine: str) -> Both:
    """Return the sums of kernels: a step over the growing context, and beside it the share of prompts that each step computes."""
    o = plan.options
    step = from_kernels(plan, engine)
    alone = from_kernels(prompt, engine, _pieces(prompt, work.hit(o.context)))
    place = None if plan.at is None else plan.at.placement
    share = o.batch / work.output_length / (1 if place is None else place.dp * place.attention_dp)
    each = added(step, alone, share * engine_of(kernels_of(engine, plan.machine)).met, "prefill")
    # a prompt finds the engine busy with others' for that share of the time (M/D/1), and waits for the step that runs
    busy = share * alone.seconds / each.seconds
    # but for no more than half of all the others' prompts
    queue = min(busy / (1 - busy), o.batch - 1) / 2
    wait = queue * alone.seconds + step.seconds / 2
    waits = {"seconds": wait + step.seconds, "low": 0.0, "high": 2 * (wait + step.seconds)}
    ends = {name: getattr(alone, name) + more for name, more in waits.items()}
    first = replace(alone, **ends, terms=alone.terms | {"waiting": wait, "first step": step.seconds})
    return first, each


def _pieces(prompt: "Plan", hit: int) -> list[Pass]:
    """Return the passes of a prompt after its cached tokens, in the engine's chunks."""
    o = prompt.options
    size = o.chunk or o.context
    ends = [*range(hit + size, o.context, size), o.context]
    return [Pass(1, end - start, end) for start, end in zip([hit, *ends], ends, strict=False)]
