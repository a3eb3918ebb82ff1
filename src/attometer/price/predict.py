"""Predicted times: physics with fitted coefficients, the residual where it was earned, and an interval by situation.

`kernel_seconds` is what other rooms call; `predict` does the same for rows of many families and machines at once.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attometer.errors import AttometerError
from attometer.machine import Machine, machine, this_folder
from attometer.price.classes import class_of
from attometer.price.figures import figures, precision, shots
from attometer.price.fit import by_name
from attometer.price.kernels import Array, Counts, Terms
from attometer.price.residual import Pairs, columns, numbers, pairs_of
from attometer.price.tables import SITUATIONS, Calibration, among, calibration

Texts = NDArray[np.str_]
PLAIN = 0.1  # of log time: the size that quantiles scale where none is predicted
_ROWS = 1 << 15  # evaluated together, so that arrays stay in the cache
_SMALLEST = 0.01  # of log time: no interval is narrower than what repeats of a measurement show


@dataclass(frozen=True)
class Predicted:
    """Times in seconds with their terms and the 90 % interval, shape (rows,), and what they stand on.

    `pair` is each row's place in `families`, the families that coefficients were measured for; `code` its place in
    SITUATIONS.
    """

    kind: str
    seconds: Array
    low: Array
    high: Array
    terms: Terms
    code: NDArray[np.int8]
    pair: NDArray[np.int64]
    families: tuple[str, ...]
    provenance: dict[str, Any]

    @property
    def situation(self) -> Texts:
        """Each row's situation, as in `unseen shape`."""
        return np.array(SITUATIONS)[self.code]

    @property
    def measured_for(self) -> Texts:
        """The family that each row's coefficients were measured for: another one when they are borrowed."""
        return np.array(self.families)[self.pair]


def predict(
    known: Calibration, x: Counts, family: Texts, where: Texts, block: Texts | None = None, residual: bool = True
) -> Predicted:
    """Return predicted times for counts of shape (rows,), of the families `family` on the machines `where`.

    `block` names each row's geometry, so that shapes which were measured are told from unseen ones.
    """
    pairs, index = pairs_of(family, where)
    seen = among(block, "block", known.blocks) if block is not None else None
    return _evaluate(known, x, pairs, index, seen, residual)


def inputs(known: Calibration, x: Counts, family: Texts, where: Texts) -> tuple[Array, dict[str, Array]]:
    """Return physical seconds of rows, and the columns by name that trees may ask for."""
    pairs, index = pairs_of(family, where)
    each = class_of(known.kind)
    c = by_name(each.coefficients, np.array([known.find(*pair)[0] for pair in pairs])[index])
    terms = each.model(x, c)
    return terms["total"], numbers(x, terms, c)


def _evaluate(
    known: Calibration,
    x: Counts,
    pairs: Pairs,
    index: NDArray[np.int64],
    seen: NDArray[np.bool_] | None,
    residual: bool,
) -> Predicted:
    found = [known.find(*pair) for pair in pairs]
    logs = np.array([each[0] for each in found])
    code = np.array([SITUATIONS.index(each[1]) for each in found], dtype=np.int8)[index]
    if seen is not None:
        code[(code == SITUATIONS.index("unseen shape")) & seen] = SITUATIONS.index("seen")
    each = class_of(known.kind)
    c = by_name(each.coefficients, logs[index] if len(pairs) > 1 else logs)
    terms = each.model(x, c)
    shift, size = np.zeros(1), np.full(1, PLAIN)
    if residual and known.residual is not None:
        measured = [(each[2], pair[1]) for each, pair in zip(found, pairs, strict=True)]
        given = numbers(x, terms, c)
        engine = np.array([known.trust.get(f"engine {name.split('|')[0]}", 1.0) for name, _ in measured])[index]
        trees = known.residual(columns(known.residual.names, given, measured, index))
        shift = _of(known.trust, 0.0)[code] * engine * trees
        if known.spread is not None:
            size = np.exp(known.spread(columns(known.spread.names, given, measured, index)))
            size = np.where(code <= SITUATIONS.index("unseen shape"), size, PLAIN)
    seconds = terms["total"] * np.exp(shift)
    band = np.exp(np.maximum(_of(known.width, 10.0)[code] * size, _SMALLEST))
    return Predicted(
        known.kind, seconds, seconds / band, seconds * band, terms | {"residual": np.exp(shift)}, code, index,
        tuple(each[2] for each in found), known.provenance,
    )  # fmt: skip


def _of(values: dict[str, float], otherwise: float) -> Array:
    widest = max(values.values(), default=otherwise) if otherwise else 0.0
    return np.array([values.get(name, widest) for name in SITUATIONS])


def own_folder(kind: str, on: Machine, calibrated: Path | None = None) -> Path | None:
    """Return the folder of a class's coefficients: one that is given, the calibrated machine's own, or None for the shipped."""
    where = calibrated or (this_folder() if on.id == "this" else None)
    return where if where is not None and (calibrated is not None or (where / f"{kind}.json").is_file()) else None


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
    if not counts:
        raise AttometerError(f"{kind} needs counts, none given")
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in counts.values()))
    rows = len(arrays[0])
    told = figures(where, precision(family)[2]) | ({"shots": shots(family)} if kind == "collective" else {})
    machine_figures = {name: np.full(1, value) for name, value in told.items()}
    known, parts = calibration(kind, own_folder(kind, where, calibrated)), []
    for first in range(0, rows, _ROWS):
        given = {name: value[first : first + _ROWS] for name, value in zip(counts, arrays, strict=True)}
        count = len(given[next(iter(given))])
        try:
            made = _evaluate(
                known,
                {**machine_figures, **given},
                [(family, where.chip_id)],
                np.zeros(count, np.int64),
                None,
                residual,
            )
        except KeyError as error:
            raise AttometerError(f"{kind} needs the count {error}; given: {', '.join(given)}") from error
        parts.append(made)
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Predicted]) -> Predicted:
    """Return the parts of one family's rows, evaluated a cache-full at a time, as one."""
    sizes = [len(part.seconds) for part in parts]
    terms = {
        name: np.concatenate([np.broadcast_to(p.terms[name], n) for p, n in zip(parts, sizes, strict=True)])
        for name in parts[0].terms
    }
    seconds, low, high = (np.concatenate([getattr(p, name) for p in parts]) for name in ("seconds", "low", "high"))
    code, pair = (np.concatenate([getattr(p, name) for p in parts]) for name in ("code", "pair"))
    return replace(parts[0], seconds=seconds, low=low, high=high, terms=terms, code=code, pair=pair)
