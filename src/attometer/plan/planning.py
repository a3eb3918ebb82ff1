"""`plan`: does it fit, how fast, what limits it, what would help."""

from pathlib import Path

from attometer.machine import Machine
from attometer.models import Model
from attometer.plan.levers import levers
from attometer.plan.planner import planner
from attometer.plan.result import Plan


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
        kv_dtype: format of the cache (`fp8`, `q8_0`, `fp8_ds_mla`, …); the activations' when not given.
        weights_dtype: format of the weights (`fp8`, `awq`, `nf4`, `q4_k_m`, …); what the model's files say when not given.
        schedule: `flash` is one kernel that reads its inputs once; `flash2`, `naive`, `two_pass`, … move what their nests
            are counted to move with the best tiles for the machine's fast memory.
        checkpoint: in training, save only the layers' inputs.
        chunk: in prefill, tokens computed at a time; all at once when not given.

    Returns the Plan; printing it prints the report. Raises AttometerError for what is unknown, unreadable or not positive.

    >>> p = plan("llama-3.1-8b", "h100-sxm", context=131072)
    >>> p.fits, p.parameters, p.memory.kv
    (True, 8030261248, 17179869184)
    """
    asked = planner(
        subject,
        on,
        mode=mode,
        kv_dtype=kv_dtype,
        weights_dtype=weights_dtype,
        schedule=schedule,
        checkpoint=checkpoint,
        chunk=chunk,
    )
    tokens = asked.options.context if context is None else context
    here = asked.with_options(context=tokens, batch=batch)
    return Plan(
        planner=here,
        memory=here.memory(tokens, batch),
        layers=here.layers(tokens, batch),
        largest_context=here.largest_context(batch),
        levers=levers(here),
    )
