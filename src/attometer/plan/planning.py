"""`plan`: does it fit, how fast, what limits it, what would help."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from attometer.engines import Recipe
from attometer.machine import Cluster, Machine
from attometer.models import Model
from attometer.plan.asking import answer, asked_of
from attometer.plan.levers import levers
from attometer.plan.result import Plan
from attometer.plan.serving import EngineOptions
from attometer.schedule.placement import Placement


def plan(
    subject: str | Path | Model,
    on: str | Machine | Cluster = "h100-sxm",
    *,
    context: int | None = None,
    batch: int | None = None,
    mode: str | None = None,
    kv_dtype: str | None = None,
    weights_dtype: str | None = None,
    schedule: str = "flash",
    checkpoint: bool = False,
    chunk: int | None = None,
    engine: str | EngineOptions | None = None,
    recipe: str | Recipe | None = None,
    micro_batch: int | None = None,
    placement: Placement | Mapping[str, int] | None = None,
    goal: str | None = None,
    what_if: Mapping[str, int] | None = None,
    offload: str | None = None,
    host_gb_s: float | None = None,
    reserve_gib: float = 0.0,
    draft: str | Path | Model | None = None,
    draft_tokens: int | None = None,
    acceptance: float | None = None,
    concurrency: int | None = None,
    input_length: int | None = None,
    output_length: int | None = None,
    prefix_hit_rate: float | None = None,
    new_tokens: int | None = None,
) -> Plan:
    """Plan one model on devices: memory by kind, time by a datasheet roofline, the largest context, the levers.

    Args:
        subject: a shipped model's name, a `config.json`, its folder, or a Model.
        on: devices, as in `h100-sxm`, `8x H100` or `2x rtx-3090 + 1x rtx-4090`; a TOML file, a Machine or a Cluster.
        context: tokens per sequence; the configuration's own maximum when not given.
        batch: sequences at once, over all devices; one when not given, in training one micro-batch for each replica.
        mode: prefill, decode (one token after `context` cached ones), train, or serve (prompts arrive while others decode);
            prefill when not given, serve where a load is.
        kv_dtype: format of the cache (`fp8`, `q8_0`, `fp8_ds_mla`, …); the activations' when not given.
        weights_dtype: format of the weights (`fp8`, `awq`, `nf4`, `q4_k_m`, …); what the model's files say when not given.
        schedule: `flash` is one kernel that reads its inputs once; `flash2`, `naive`, `two_pass`, … move what their nests
            are counted to move with the best tiles for the machine's fast memory.
        checkpoint: in training, save only the layers' inputs.
        chunk: in prefill, tokens computed at a time; all at once when not given.
        engine: a serving engine, as in `vllm` or `sglang@0.5.4`, or its EngineOptions.
        recipe: how a model is trained, as in `qlora` or `lora,compiled,recompute=offloaded`; when not given that of the framework
            that `engine` names, over several devices `adamw`.
        micro_batch: in training, sequences of one forward pass: on one device all of the batch, else one when not given.
        placement: degrees of parallelism (`tp`, `pp`, `ep`, `dp`, `cp`, `zero`, …); chosen when not given.
        goal: what levers are ranked by: `fits`, `latency`, `throughput` or `context`; the largest share saved when not given.
        what_if: the model with something changed that needs training: `window` of its full layers, or its `kv_heads`.
        offload: `experts` keeps the routed experts of a mixture in the host's memory, `experts=N` those of the first N layers.
        host_gb_s: that memory's bandwidth in 10^9 bytes per second; a typical host's of such machines when not given.
        reserve_gib: GiB of each device kept for what is not counted, runtime and fragmentation; an engine's own are counted instead.
        draft: a smaller model that proposes tokens while this one decodes.
        draft_tokens: tokens that it proposes before each check; 4 when not given.
        acceptance: the chance that a proposed token is accepted, given that those before it were.
        concurrency: in serving, requests at once: a new one comes when one is done; the batch, or 1.
        input_length: in serving, tokens of a prompt: the context, or 1,024.
        output_length: in serving, tokens of an answer; 128 when not given.
        prefix_hit_rate: in serving, the share of a prompt's tokens that the cache already holds.
        new_tokens: in decode, tokens that are decoded one after the other: times are the mean over the growing context.

    Returns the Plan; printing it prints the report. Raises AttometerError for what is unknown, unreadable or not positive.

    >>> p = plan("llama-3.1-8b", "h100-sxm", context=131072)
    >>> p.fits, p.parameters, p.memory.kv
    (True, 8030261248, 17179869184)
    """
    asked = asked_of(
        subject,
        on,
        context=context,
        batch=batch,
        mode=mode,
        kv_dtype=kv_dtype,
        weights_dtype=weights_dtype,
        schedule=schedule,
        checkpoint=checkpoint,
        chunk=chunk,
        offload=offload,
        host_gb_s=host_gb_s,
        reserve_gib=reserve_gib,
        draft=draft,
        draft_tokens=draft_tokens,
        acceptance=acceptance,
        concurrency=concurrency,
        input_length=input_length,
        output_length=output_length,
        prefix_hit_rate=prefix_hit_rate,
        new_tokens=new_tokens,
        engine=engine,
        recipe=recipe,
        micro_batch=micro_batch,
        placement=placement,
        what_if=what_if,
        goal=goal,
    )
    made = answer(asked, fewest=True)
    return replace(made, levers=levers(asked, made, goal))
