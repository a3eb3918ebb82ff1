"""Predicted times: physics with fitted coefficients, the residual where it was earned, and an interval by situation.

`kernel_seconds` is what other rooms call; `predict` does the same for rows of many families and machines at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attometer.errors import AttometerError
from attometer.machine import Machine, machine, this_folder
from attometer.price.classes import class_of
from attometer.price.figures import figures, precision
from attometer.price.fit import by_name
from attometer.price.kernels import Array, Counts, Terms
from attometer.price.residual import columns, numbers
from attometer.price.tables import SITUATIONS, Calibration, among, calibration

Texts = NDArray[np.str_]
PLAIN = 0.1  # of log time: the size that quantiles scale where none is predicted
_SMALLEST = 0.01  # of log time: no interval is narrower than what repeats of a measurement show


@dataclass(frozen=True)
class Predicted:
    """Times in seconds with their terms, the 90 % interval, the situation and the family the coefficients come from."""

    kind: str
    seconds: Array
    low: Array
    high: Array
    terms: Terms
    situation: Texts
    measured_for: Texts
    provenance: dict[str, Any]


def predict(
    known: Calibration, x: Counts, family: Texts, where: Texts, block: Texts | None = None, residual: bool = True
) -> Predicted:
    """Return predicted times for counts of shape (rows,), of the families `family` on the machines `where`.

    `block` names each row's geometry, so that shapes which were measured are told from unseen ones.
    """
    pairs, inverse = np.unique(np.char.add(np.char.add(family, "\n"), where), return_inverse=True)
    found = [known.find(*pair.split("\n")) for pair in pairs]
    logs = np.array([each[0] for each in found])[inverse]
    situation = np.array([each[1] for each in found])[inverse].astype("U32")
    measured_for = np.array([each[2] for each in found])[inverse]
    if block is not None and len(known.blocks):
        situation[(situation == "unseen shape") & among(block, "block", known.blocks)] = "seen"
    each = class_of(known.kind)
    terms = each.model(x, by_name(each.coefficients, logs))
    found_numbers = numbers(x, terms) if residual and known.residual is not None else {}
    shift, size = np.zeros(len(logs)), np.full(len(logs), PLAIN)
    if residual and known.residual is not None:
        trust = _of(known.trust, situation, 0.0)
        shift = trust * known.residual(columns(known.residual.names, found_numbers, measured_for, where))
        if known.spread is not None:
            size = np.exp(known.spread(columns(known.spread.names, found_numbers, measured_for, where)))
            size = np.where(np.isin(situation, ("seen", "unseen shape")), size, PLAIN)
    seconds = terms["total"] * np.exp(shift)
    band = np.maximum(_of(known.width, situation, 10.0) * size, _SMALLEST)
    return Predicted(
        known.kind, seconds, seconds * np.exp(-band), seconds * np.exp(band), terms | {"residual": np.exp(shift)},
        situation, measured_for, known.provenance,
    )  # fmt: skip


def _of(values: dict[str, float], situation: Texts, otherwise: float) -> Array:
    widest = max(values.values(), default=otherwise)
    table = {name: values.get(name, widest if otherwise else 0.0) for name in SITUATIONS}
    names, inverse = np.unique(situation, return_inverse=True)
    chosen: Array = np.array([table[name] for name in names])[inverse]
    return chosen


def kernel_seconds(
    kind: str,
    family: str,
    on: Machine | str,
    *,
    residual: bool = True,
    calibrated: Path | None = None,
    **counts: ArrayLike,
) -> Predicted:
    """Return the predicted time of one kernel, or of many of one family on one machine.

    `kind` is a class (`gemm`, `moe`, `prefill`, `encoder`, `backward`, `decode`, `mla_prefill`, `mla_decode`, `mixed`,
    `operation`, `collective`, or a whole model's), `family` an engine's kernel and data types as in
    `vllm 0.24 vllm_flash_attn_fa3|bfloat16|bfloat16|`; a family that was not measured borrows the nearest one's
    coefficients and `measured_for` names it. `counts` are the class's counts (shape (rows,) or numbers, base units; the
    features of `attometer.price.features` list them). `calibrated` is a folder of coefficients instead of the shipped;
    on the machine `this`, it is what `attometer calibrate --quick` wrote.
    Raises AttometerError for an unknown class and a missing count.

    >>> times = kernel_seconds("gemm", "vllm|bfloat16", "h100-sxm", m=[512], n=4096, k=4096, residual=False,
    ...                        left_bytes=2, right_bytes=2, out_bytes=2)
    >>> bool(1e-5 < times.seconds[0] < 1e-4)
    True
    """
    where = machine(on) if isinstance(on, str) else on
    arrays = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in counts.values()))
    given = {name: np.atleast_1d(value) for name, value in zip(counts, arrays, strict=True)}
    if not given:
        raise AttometerError(f"{kind} needs counts, none given")
    rows = len(next(iter(given.values())))
    x = {name: np.full(rows, value) for name, value in figures(where, precision(family)[2]).items()} | given
    names = np.full(rows, family), np.full(rows, where.id)
    if calibrated is None and where.id == "this":
        calibrated = this_folder()
    try:
        return predict(calibration(kind, calibrated), x, *names, residual=residual)
    except KeyError as error:
        raise AttometerError(f"{kind} needs the count {error}; given: {', '.join(given)}") from error
