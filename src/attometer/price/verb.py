"""`price`: Cost × Machine → time, by the machine's datasheet roofline."""

from pathlib import Path

import sympy

from attometer.count import Cost
from attometer.count.evaluate import check_sizes, evaluate
from attometer.errors import AttometerError, unknown
from attometer.machine import Machine, machine
from attometer.price.roofline import Roofline, roofline

BYTES = {"fp64": 8, "fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
"""Bytes of one word of each data type that is moved as it is computed."""


def price(cost: Cost, on: str | Path | Machine = "h100-sxm", *, dtype: str = "bf16", **sizes: int) -> Roofline:
    """Return the time that a machine's peaks allow for a cost at given sizes, and which limit binds.

    Work is `flop` (2 per multiply-accumulate of matrix products). Words are those of the cost's schedule, or, without
    one, the least that any must move: inputs, weights, cache and outputs once.

    Args:
        cost: what `count` returned, with or without a schedule.
        on: a machine's name, a TOML file, or a Machine.
        dtype: data type of the products and of every word moved, as in bf16 or fp8.
        **sizes: the sizes of the cost, and the tiles of its schedule by name; m = n, e = d, g = h, b = 1 when not given.

    Returns the Roofline, a lower bound on time. Raises AttometerError for a size that is unknown, missing or not a
    positive integer, a data type without a rate, and a machine that lacks a figure.
    Source: Williams, Waterman, Patterson, Roofline: an insightful visual performance model, CACM 2009.

    >>> from attometer.count import count
    >>> from attometer.mechanisms import mechanism
    >>> time = price(count(mechanism("softmax"), "flash2"), "h100-sxm", h=32, n=8192, d=128, B_r=128)
    >>> time.binds, time.flops, time.bytes_moved
    ('memory', 1099511627776, 8724676608)
    """
    if not isinstance(cost, Cost):
        raise AttometerError(f"price takes the Cost that count returns, got {type(cost).__name__}")
    if dtype not in BYTES:
        raise unknown("data type", str(dtype), BYTES)
    words = _words(cost)
    check_sizes(cost.symbols | cost.sizes | words.free_symbols, sizes)
    moved = evaluate(words, sizes) * BYTES[dtype]
    place = on if isinstance(on, Machine) else machine(on)
    return roofline(evaluate(cost.flops(), sizes), moved, place, dtype)


def _words(cost: Cost) -> sympy.Expr:
    if cost.traffic is not None:
        return sympy.sympify(cost.traffic.words)
    if cost.memory is None:
        raise AttometerError(f'"{cost.name}" has no memory to move: price the costs it was added up from one by one')
    held = cost.memory
    return sympy.Add(held.inputs, held.weights, held.cache, held.outputs)
