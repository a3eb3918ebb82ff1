"""The classes of timed work: which function prices each, and its coefficients before any measurement."""

from dataclasses import dataclass

from attometer.errors import unknown
from attometer.price import kernels, whole
from attometer.price.kernels import Coefficient, Model

_PHYSICS = "expected from how such kernels run; spread covers what engines show"


@dataclass(frozen=True)
class Class:
    """One class of work: its function, the coefficients it reads and the counts it needs."""

    name: str
    model: Model
    coefficients: tuple[Coefficient, ...]
    title: str


def _named(*rows: tuple[str, str, float, float]) -> tuple[Coefficient, ...]:
    return tuple(Coefficient(*row, _PHYSICS) for row in rows)


_MEMORY = (
    ("memory", "share of bandwidth", 0.8, 0.3),
    ("cache", "share of the wires", 0.5, 0.5),
    ("resident", "share of the last-level cache", 0.5, 0.8),
    ("blend", "power of the soft maximum", 3.0, 0.5),
)

_PAGES = ("pages", "times those of its results", 1.0, 0.2)
_OPERATION = (
    ("floor", "s", 4e-6, 1.2),
    ("compute", "share of peak", 0.5, 0.8),
    ("passes", "times its bytes", 1.3, 1.0),
    ("row", "bytes", 300.0, 1.0),
    *_MEMORY,
)

_ATTENTION = _named(
    ("floor", "s", 9e-6, 0.7),
    ("compute", "share of peak", 0.65, 0.4),
    ("exponentials", "share not hidden", 0.4, 0.8),
    ("rounded", "share of the width's rounding paid", 0.3, 0.8),
    ("uneven", "times the work of a width that 16 divides", 1.1, 0.5),
    ("block", "s", 1.5e-6, 1.0),
    ("tail", "share of the longest row", 0.3, 1.0),
    ("last_wave", "share paid", 0.6, 0.7),
    ("per_unit", "blocks per multiprocessor", 1.0, 0.3),
    ("padding", "price of an unused tile", 0.5, 0.6),
    ("width64", "factor on the rate", 0.8, 0.3),
    ("width192", "factor on the rate", 0.9, 0.3),
    ("width256", "factor on the rate", 0.85, 0.3),
    ("width512", "factor on the rate", 0.5, 0.5),
    ("windowed", "factor on the rate", 0.9, 0.3),
    ("unskipped", "share of the tiles a window hides", 0.05, 1.5),
    ("masked", "share of the tiles a causal mask hides", 0.02, 1.5),
    ("packed", "share of a group's heads packed", 0.4, 1.2),
    ("append", "times its bytes", 1.2, 0.6),
    ("spill", "bytes per pair of query and key", 1e-3, 2.5),
    *_MEMORY,
)

_DECODE = _named(
    ("floor", "s", 6e-6, 0.7),
    ("block", "s", 2.5e-6, 0.8),
    ("draw", "share of a multiprocessor's wires", 0.35, 0.5),
    ("combine", "s", 2.5e-6, 0.8),
    ("sequence", "s", 3e-9, 1.0),
    ("per_unit", "blocks per multiprocessor", 1.3, 0.4),
    ("tail", "share of the last wave paid", 0.7, 0.6),
    ("unpacked", "share of a group's heads apart", 0.2, 1.2),
    ("ungrouped", "share of a large group's heads apart", 0.2, 2.0),
    ("splits", "parts of the keys at most", 32.0, 2.0),
    ("queries", "times the bytes of queries and results", 2.0, 1.0),
    ("unskipped", "share of the keys a window hides", 0.01, 1.5),
    ("compute", "share of peak", 0.35, 0.7),
    *_MEMORY,
)

_INFERENCE = _named(
    ("compute", "share of peak", 0.6, 0.4),
    ("half_tokens", "tokens", 100.0, 0.8),
    ("scores", "share of peak", 0.4, 0.6),
    ("memory", "share of bandwidth", 0.75, 0.25),
    ("blend", "power of the soft maximum", 3.0, 0.4),
    ("step_compute", "share of peak", 0.5, 0.5),
    ("cache", "share of bandwidth", 0.6, 0.5),
    ("layer", "s", 4e-5, 1.0),
    ("routed", "s per MoE layer", 6e-5, 1.0),
    ("hop", "s", 6e-6, 1.2),
    ("link", "share of the link", 0.5, 1.2),
    ("prompt", "s", 2e-3, 1.5),
    ("step", "s", 5e-4, 1.5),
    ("request", "s", 2e-5, 1.5),
    ("stage", "s", 2e-4, 1.5),
    ("waiting", "of a prefill, per other request", 0.02, 1.5),
)

_CLASSES = (
    Class(
        "gemm",
        kernels.gemm,
        _named(
            ("floor", "s", 4e-6, 0.8),
            ("compute", "share of peak", 0.85, 0.25),
            ("half_tile", "elements", 2000.0, 0.8),
            ("tail", "share of the last wave paid", 0.8, 0.5),
            ("prologue", "s", 1.2e-6, 0.8),
            ("reduce", "s", 2e-6, 0.8),
            ("quantise", "s", 2e-6, 1.0),
            *_MEMORY,
        ),
        "GEMM",
    ),
    Class(
        "cpu_gemm",
        kernels.cpu_gemm,
        _named(
            ("floor", "s", 1e-5, 0.8),
            ("compute", "share of peak", 0.95, 0.25),
            ("half_rows", "rows", 6.0, 1.0),
            ("half_columns", "columns", 4.0, 1.0),
            ("half_depth", "elements", 4.0, 1.0),
            ("walk", "s of a product", 1e-9, 1.0),
            ("crowd", "power of the cache filled", 0.25, 0.3),
            ("span", "power of the pages filled", 0.35, 0.4),
            _PAGES,
            *_MEMORY,
        ),
        "GEMM on a CPU",
    ),
    Class(
        "moe",
        kernels.moe,
        _named(
            ("floor", "s", 2e-5, 0.9),
            ("compute", "share of peak", 0.6, 0.5),
            ("half_tile", "rows", 32.0, 0.8),
            ("tail", "share of the last wave paid", 0.7, 0.6),
            ("gather", "share of bandwidth", 0.6, 0.8),
            ("pair", "s", 2e-9, 1.5),
            ("token", "s", 2e-9, 1.5),
            ("expert", "s", 1e-8, 1.5),
            ("prologue", "s", 1.2e-6, 0.8),
            ("draw", "share of a multiprocessor's wires", 0.45, 0.6),
            *_MEMORY,
        ),
        "MoE, grouped GEMM",
    ),
    Class("prefill", kernels.attention, _ATTENTION, "attention prefill"),
    Class("encoder", kernels.attention, _ATTENTION, "encoder attention"),
    Class("backward", kernels.attention, _ATTENTION, "attention backward"),
    Class("decode", kernels.decode, _DECODE, "attention decode"),
    Class("mla_prefill", kernels.attention, _ATTENTION, "MLA prefill"),
    Class("mla_decode", kernels.decode, _DECODE, "MLA decode"),
    Class(
        "mixed",
        kernels.mixed,
        _named(
            ("floor", "s", 1e-5, 0.7),
            ("compute", "share of peak", 0.5, 0.5),
            ("padded", "share of peak", 0.6, 1.0),
            ("tail", "share of the last wave paid", 0.7, 0.6),
            ("longest", "share of a row alone", 0.5, 1.0),
            ("key", "s", 1e-9, 2.0),
            ("sequence", "s", 1e-7, 1.5),
            *_MEMORY,
        ),
        "mixed batch",
    ),
    Class(
        "operation",
        kernels.operation,
        _named(*_OPERATION),
        "norms and other operations",
    ),
    Class("cpu_operation", kernels.cpu_operation, _named(*_OPERATION, _PAGES), "operations on a CPU"),
    Class(
        "cpu_attention",
        kernels.cpu_attention,
        _named(
            ("floor", "s", 5e-6, 0.8),
            ("compute", "share of peak", 0.8, 0.4),
            ("half_width", "columns", 32.0, 1.0),
            ("score", "FLOPs of one score", 30.0, 1.0),
            ("head", "s", 3e-6, 1.2),
            ("row", "s", 2e-8, 1.5),
            *_MEMORY,
        ),
        "attention on a CPU",
    ),
    Class(
        "collective",
        kernels.collective,
        _named(
            ("floor", "s", 6e-6, 2.0),
            ("hop", "s", 1.2e-6, 1.2),
            ("link", "share of the link", 0.7, 0.8),
            ("adding", "share of the rate of copies", 0.85, 0.3),
            ("own", "times the bytes", 0.3, 0.6),
            ("peers", "power of the further devices", 0.3, 0.6),
            ("quick", "share of the full rate", 0.4, 0.5),
            ("sync", "s", 2e-6, 0.9),
            ("blend", "power of the soft minimum", 4.0, 0.5),
            ("switch", "share of the link", 0.6, 0.4),
            ("join", "s", 3e-5, 0.8),
            ("bus", "times as far", 6.0, 0.6),
            ("shot", "s", 2e-6, 0.9),
            ("peer", "s", 3e-6, 0.8),
            ("shot_link", "share of the link", 0.4, 0.6),
            ("fan", "power of the further devices", 0.15, 0.8),
            ("leave", "s", 2e-6, 1.5),
            ("sharing", "power of the further devices", 0.3, 0.8),
        ),
        "collectives",
    ),
    Class("model_decode", whole.inference, _INFERENCE, "decode of whole models"),
    Class("model_prefill", whole.inference, _INFERENCE, "prefill of whole models"),
    Class("model_encoder", whole.inference, _INFERENCE, "encoder services"),
    Class("model_serving", whole.inference, _INFERENCE, "serving throughput"),
    Class("model_load", whole.inference, _INFERENCE, "time per token under load"),
    Class("model_first", whole.inference, _INFERENCE, "time to first token under load"),
    Class(
        "passes",
        whole.passes,
        _named(("kernels", "times their sum", 1.0, 0.2), ("layer", "s", 1e-4, 1.0), ("step", "s", 1e-4, 1.0)),
        "passes of this machine",
    ),
    Class(
        "training",
        whole.training,
        _named(
            ("compute", "share of peak", 0.7, 0.3),
            ("half_shard", "columns", 300.0, 0.8),
            ("half_tokens", "tokens", 300.0, 0.8),
            ("scores", "share of peak", 0.35, 0.5),
            # frameworks without fused attention write scores too, several times the bytes that are counted
            ("pointwise", "share of bandwidth", 0.7, 0.8),
            ("optimizer", "share of bandwidth", 0.7, 0.3),
            ("link", "share of the link", 0.5, 0.6),
            ("experts", "share of the link", 0.2, 0.8),
            ("network", "share of the link", 0.1, 0.8),
            ("exposed", "share not hidden", 0.2, 1.0),
            ("layer", "s", 1e-4, 1.0),
            ("bubble", "times the ideal", 1.0, 0.3),
            ("constant", "s", 5e-3, 1.5),
        ),
        "training step",
    ),
)

CLASSES = {each.name: each for each in _CLASSES}


def class_of(kind: str) -> Class:
    """Return the class of a name, as in `gemm`; raises AttometerError for an unknown one.

    >>> class_of("gemm").coefficients[0].unit
    's'
    """
    if kind not in CLASSES:
        raise unknown("class of work", kind, CLASSES)
    return CLASSES[kind]
