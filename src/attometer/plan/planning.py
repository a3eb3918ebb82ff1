"""`plan`: does it fit, how fast, what limits it, what would help."""

from dataclasses import replace
from pathlib import Path

from attometer.count.model_cost import parameters
from attometer.machine import Machine, machine
from attometer.models import Model, model
from attometer.plan.dtypes import BITS, dtype
from attometer.plan.levers import levers
from attometer.plan.options import MOST_TOKENS, Options
from attometer.plan.result import Plan
from attometer.plan.usage import holds, shares

DEFAULT_CONTEXT = 8192
"""Tokens, where neither the caller nor the configuration says."""


def plan(
    subject: str | Path | Model,
    on: str | Machine = "h100-sxm",
    *,
    context: int | None = None,
    batch: int = 1,
    mode: str = "prefill",
    kv_dtype: str | None = None,
    weights_dtype: str | None = None,
    schedule: str = "flash",
    checkpoint: bool = False,
    chunk: int | None = None,
) -> Plan:
    """Plan one model on one machine: memory by kind, time by a datasheet roofline, the largest context, the levers.

    Args:
        subject: a shipped model's name, a `config.json`, its folder, or a Model.
        on: a machine's name, a TOML file, or a Machine.
        context: tokens per sequence; the configuration's own maximum when not given.
        batch: sequences at once.
        mode: prefill, decode (one token after `context` cached ones) or train.
        kv_dtype: data type of the cache; the activations' when not given.
        weights_dtype: data type of the weights; what the configuration says when not given.
        schedule: flash or naive attention.
        checkpoint: in training, save only the layers' inputs.
        chunk: in prefill, tokens computed at a time; all at once when not given.

    Returns the Plan; printing it prints the report. Raises AttometerError for what is unknown, unreadable or not positive.

    >>> p = plan("llama-3.1-8b", "h100-sxm", context=131072)
    >>> p.fits, p.parameters, p.holds.kv
    (True, 8030261248, 17179869184)
    """
    chosen = subject if isinstance(subject, Model) else model(subject)
    place = on if isinstance(on, Machine) else machine(on)
    own = _activations(chosen)
    options = Options(
        context=context if context is not None else chosen.context or DEFAULT_CONTEXT,
        batch=batch,
        mode=mode,
        weights=weights_dtype or _weights(chosen, own),
        kv=kv_dtype or own,
        activations=own,
        schedule=schedule,
        checkpoint=checkpoint,
        chunk=chunk,
    )
    return Plan(
        model=chosen,
        machine=place,
        options=options,
        parameters=parameters(chosen),
        holds=holds(chosen, options),
        shares=shares(chosen, options, place),
        largest_context=largest_context(chosen, options, place.memory_bytes),
        levers=levers(chosen, options, place),
    )


def largest_context(subject: Model, options: Options, room: int) -> int:
    """Return the most tokens per sequence with which everything fits in `room` bytes; 0 when not even one does.

    Memory grows with the context, so the boundary is found by doubling and halving, and is exact.

    >>> largest_context(model("llama-3.1-8b"), Options(context=1), 10**9)
    0
    """

    def fits(context: int) -> bool:
        return holds(subject, replace(options, context=context)).total <= room

    if not fits(1):
        return 0
    low, high = 1, 2
    while high <= MOST_TOKENS and fits(high):
        low, high = high, 2 * high
    if high > MOST_TOKENS:
        return MOST_TOKENS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _activations(subject: Model) -> str:
    """Return the configuration's data type; one that is older than 16-bit training is served in bf16."""
    named = dtype(subject.dtype) if subject.dtype else "bf16"
    return named if named in ("bf16", "fp16") else "bf16"


def _weights(subject: Model, activations: str) -> str:
    found = (subject.quantization or "").lower()
    return next((name for name in BITS if name == found), activations)
