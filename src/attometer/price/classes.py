"""The classes of timed work: which function prices each, and its coefficients before any measurement."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from attometer.errors import unknown
from attometer.price import kernels, whole
from attometer.price.kernels import Coefficient, Model


@dataclass(frozen=True)
class Class:
    """One class of work: its function, the coefficients it reads and the counts it needs."""

    name: str
    model: Model
    coefficients: tuple[Coefficient, ...]
    title: str


#: class, its function, the groups of `data/priors.json` whose coefficients it reads, title
_CLASSES: tuple[tuple[str, Model, str, str], ...] = (
    ("gemm", kernels.gemm, "gemm memory", "GEMM"),
    ("cpu_gemm", kernels.cpu_gemm, "cpu_gemm pages memory", "GEMM on a CPU"),
    ("moe", kernels.moe, "moe memory", "MoE, grouped GEMM"),
    ("prefill", kernels.attention, "attention memory", "attention prefill"),
    ("encoder", kernels.attention, "attention memory", "encoder attention"),
    ("backward", kernels.attention, "attention memory", "attention backward"),
    ("decode", kernels.decode, "decode memory", "attention decode"),
    ("mla_prefill", kernels.attention, "attention memory", "MLA prefill"),
    ("mla_decode", kernels.decode, "decode memory", "MLA decode"),
    ("mixed", kernels.mixed, "mixed memory", "mixed batch"),
    ("operation", kernels.operation, "operation instructions memory", "norms and other operations"),
    ("cpu_operation", kernels.cpu_operation, "operation memory pages", "operations on a CPU"),
    ("cpu_attention", kernels.cpu_attention, "cpu_attention memory", "attention on a CPU"),
    ("collective", kernels.collective, "collective", "collectives"),
    ("model_decode", whole.inference, "inference", "decode of whole models"),
    ("model_prefill", whole.inference, "inference", "prefill of whole models"),
    ("model_encoder", whole.inference, "inference", "encoder services"),
    ("model_serving", whole.inference, "inference", "serving throughput"),
    ("model_load", whole.inference, "inference", "time per token under load"),
    ("model_first", whole.inference, "inference", "time to first token under load"),
    ("passes", whole.passes, "passes", "passes of this machine"),
    ("training", whole.training, "training", "training step"),
)


def _read() -> dict[str, Class]:
    text = (files("attometer") / "data" / "priors.json").read_text(encoding="utf-8")
    groups: dict[str, dict[str, list[Any]]] = json.loads(text)
    found = {}
    for name, model, read, title in _CLASSES:
        rows = [each for group in read.split() for each in groups[group].items()]
        known = tuple(Coefficient(one, unit, prior, spread, bool(local)) for one, (unit, prior, spread, *local) in rows)
        found[name] = Class(name, model, known, title)
    return found


CLASSES = _read()


def class_of(kind: str) -> Class:
    """Return the class of a name, as in `gemm`; raises AttometerError for an unknown one.

    >>> class_of("gemm").coefficients[0].unit
    's'
    """
    if kind not in CLASSES:
        raise unknown("class of work", kind, CLASSES)
    return CLASSES[kind]
