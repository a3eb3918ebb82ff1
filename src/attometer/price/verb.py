"""`price`: Cost × Machine → time, by the machine's datasheet roofline, or as an engine is predicted to run a model."""

from pathlib import Path
from typing import overload

import sympy

from attometer.count import Cost
from attometer.count.evaluate import check_sizes, evaluate
from attometer.count.model_cost import ModelCost, model_cost
from attometer.count.placement.rank_cost import shard
from attometer.errors import AttometerError, positive_int, unknown
from attometer.formats import FORMATS, uniform
from attometer.machine import Machine, machine
from attometer.models import Model
from attometer.price.composed import Composed, Own, composed
from attometer.price.model_calls import Pass, calls, stored
from attometer.price.own import ENGINE, own_calls, own_type
from attometer.price.predict import own_folder
from attometer.price.roofline import Roofline, roofline
from attometer.schedule.placement import Placement

_MOVED = {"fp64": "fp64", "fp32": "fp32", "tf32": "fp32", "bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "int8": "int8"}
BYTES = {dtype: int(FORMATS[form].bits // 8) for dtype, form in _MOVED.items()}
"""Bytes of one word of each data type that is moved as it is computed (TF32 as the FP32 that memory holds)."""


@overload
def price(
    cost: Cost, on: str | Path | Machine = ..., *, dtype: str = ..., engine: None = ..., **sizes: int
) -> Roofline: ...
@overload
def price(
    cost: ModelCost | Model, on: str | Path | Machine = ..., *, dtype: str = ..., engine: str, **sizes: int
) -> Composed: ...
def price(
    cost: Cost | ModelCost | Model,
    on: str | Path | Machine = "h100-sxm",
    *,
    dtype: str = "bf16",
    engine: str | None = None,
    **sizes: int,
) -> Roofline | Composed:
    """Return the time that a machine's peaks allow for a cost at given sizes, or that an engine is predicted to take.

    Work is `flop` (2 per multiply-accumulate of matrix products). Words are those of the cost's schedule, or, without
    one, the least that any must move: inputs, weights, cache and outputs once.

    Args:
        cost: what `count` returned, with or without a schedule; with an engine, a model or its cost.
        on: a machine's name, a TOML file, or a Machine.
        dtype: data type of the products and of every word moved, as in bf16 or fp8; of a model, format of its weights.
        engine: whose kernels run a model, as in `vllm`.
        **sizes: the sizes of the cost, and the tiles of its schedule by name; m = n, e = d, g = h, b = 1 when not given. Of
            a model: `n` new tokens over `m` keys of `b` sequences.

    Returns the Roofline, a lower bound on time; with an engine the Composed time of a model's kernels. Raises
    AttometerError for a size that is unknown, missing or not a positive integer, a data type without a rate, an engine
    without coefficients, and a machine that lacks a figure.
    Source: Williams, Waterman, Patterson, Roofline: an insightful visual performance model, CACM 2009.

    >>> from attometer.count import count
    >>> from attometer.mechanisms import mechanism
    >>> time = price(count(mechanism("softmax"), "flash2"), "h100-sxm", h=32, n=8192, d=128, B_r=128)
    >>> time.binds, time.flops, time.bytes_moved
    ('memory', 1099511627776, 8724676608)
    >>> from attometer.models import model
    >>> step = price(model("llama-3.1-8b"), "h100-sxm", engine="vllm", n=1, m=512)
    >>> step.low < step.seconds < step.high, list(step.terms)[0]
    (True, 'products')
    """
    place = on if isinstance(on, Machine) else machine(on)
    if isinstance(cost, Model | ModelCost):
        return _of_model(cost, place, dtype, engine, sizes)
    if engine is not None:
        raise AttometerError(f'engine "{engine}" runs a model or its cost; got {type(cost).__name__}')
    if not isinstance(cost, Cost):
        raise AttometerError(f"price takes the Cost that count returns, got {type(cost).__name__}")
    if dtype not in BYTES:
        raise unknown("data type", str(dtype), BYTES)
    words = _words(cost)
    check_sizes(cost.symbols | cost.sizes | words.free_symbols, sizes)
    moved = evaluate(words, sizes) * BYTES[dtype]
    return roofline(evaluate(cost.flops(), sizes), moved, place, dtype)


def _of_model(
    subject: Model | ModelCost, on: Machine, dtype: str, engine: str | None, sizes: dict[str, int]
) -> Composed:
    if engine is None:
        raise AttometerError(
            "a model is priced as an engine runs it: name one, as in engine='vllm'; plan gives its bound"
        )
    for name in sizes:
        if name not in ("n", "m", "b"):
            raise unknown("size of a model's pass", name, ("n", "m", "b"))
    new = positive_int("n", sizes.get("n", 1))
    whole = subject if isinstance(subject, Model) else subject.model
    cost = model_cost(whole, phase="decode" if new == 1 else "prefill")
    one = Pass(positive_int("b", sizes.get("b", 1)), new, positive_int("m", sizes.get("m", new)))
    ranks, own, folder = shard(cost, Placement()), None, own_folder("passes", on)
    if engine == ENGINE and folder is not None:
        own = Own("decode" if new == 1 else "prefill", own_type(float(FORMATS[uniform(dtype).name].bits), on), folder)
        found = own_calls(ranks, [one], own.mode, own.dtype, on)
    else:
        found = calls(ranks, [one], stored(cost, uniform(dtype), on), 16.0)
    routed = sum(s.count for s in whole.layers if any(p.routed is not None for p in s.layer.parts))
    return composed(found, on, engine, whole.depth, routed, own=own)


def _words(cost: Cost) -> sympy.Expr:
    if cost.traffic is not None:
        return sympy.sympify(cost.traffic.words)
    if cost.memory is None:
        raise AttometerError(f'"{cost.name}" has no memory to move: price the costs it was added up from one by one')
    held = cost.memory
    return sympy.Add(held.inputs, held.weights, held.cache, held.outputs)
