"""Further quantisers' words in a `quantization_config`: ExLlama's averages, HQQ, AMD Quark and torchao."""

from fractions import Fraction

from attometer.errors import AttometerError, unknown
from attometer.formats.rules import WeightFormats, rule
from attometer.formats.said import Values, ignored, number
from attometer.formats.storage import FORMATS, Storage


def exllama(values: Values, default: Storage) -> WeightFormats:
    """EXL2 and EXL3: `bits` on average over the matrices of layers, scales included, and `head_bits` in the head."""
    method = str(values["quant_method"])
    body, head = _average(values, "bits", 4.0), _average(values, "head_bits", 6.0)
    form, last = (
        Storage(
            f"{method}_{bits:g}",
            Fraction(bits).limit_denominator(1000),
            "fp16",
            f"{method}: mean bits, scales included",
        )
        for bits in (body, head)
    )
    return WeightFormats(form.name, default, form, (rule("lm_head", last),))


def _average(values: Values, key: str, usual: float) -> float:
    found = values.get(key, usual)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 1 <= found <= 16:
        raise AttometerError(f"{key} must be a number from 1 to 16, got {found!r:.40}")
    return float(found)


def hqq(values: Values, default: Storage) -> WeightFormats:
    """HQQ: a scale and a zero point per group, in 16 bits, or in 8 where they are quantised themselves."""
    said = values.get("quant_config")
    params = said.get("weight_quant_params") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(params, dict):
        raise AttometerError("hqq: quant_config must hold weight_quant_params that all layers share")
    bits, group = number(params, "nbits", 4), number(params, "group_size", 64)
    meta = sum(8 if isinstance(said.get(f"{name}_quant_params"), dict) else 16 for name in ("scale", "zero"))
    form = Storage(
        f"hqq_int{bits}", bits + Fraction(meta, group), "fp16", f"hqq: {bits} bits, scale and zero per {group}"
    )
    return WeightFormats(form.name, default, form, ignored(values, "skip_modules", "modules_to_not_convert"))


def quark(values: Values, default: Storage) -> WeightFormats:
    """AMD Quark: one format for all but what is excluded, and others by layer."""
    general = values.get("global_quant_config")
    if not isinstance(general, dict):
        raise AttometerError("quark: global_quant_config must be an object")
    own = values.get("layer_quant_config") or {}
    named = tuple(rule(entry, _of_quark(spec)) for entry, spec in own.items() if isinstance(spec, dict))
    form = _of_quark(general)
    shown = form or next((one.form for one in named if one.form), default)
    return WeightFormats(shown.name, default, form, (*ignored(values, "exclude"), *named))


def _of_quark(spec: Values) -> Storage | None:
    """Return the format of weights in a specification of Quark's; None where it leaves them as they are."""
    weight = spec.get("weight")
    weight = weight[0] if isinstance(weight, list) and weight else weight
    if not isinstance(weight, dict):
        return None
    kind, group = str(weight.get("dtype")), weight.get("group_size")
    known = {"fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "fp4": "mxfp4", "int8": "int8"}
    if kind in known:
        return FORMATS[known[kind]]
    if kind in ("int4", "uint4") and isinstance(group, int) and group > 0:
        extra = 16 + (4 if kind == "uint4" else 0)
        return Storage(f"quark_{kind}", 4 + Fraction(extra, group), "int4", f"quark: {kind}, a scale per {group}")
    raise unknown("quark dtype", kind, (*known, "int4", "uint4"))


_TORCHAO = {
    "int4_weight_only": "int4", "Int4WeightOnlyConfig": "int4", "int8_weight_only": "int8", "Int8WeightOnlyConfig": "int8",
    "int8_dynamic_activation_int8_weight": "int8", "Int8DynamicActivationInt8WeightConfig": "int8",
    "float8_weight_only": "fp8", "Float8WeightOnlyConfig": "fp8", "float8_dynamic_activation_float8_weight": "fp8",
    "Float8DynamicActivationFloat8WeightConfig": "fp8",
}  # fmt: skip


def torchao(values: Values, default: Storage) -> WeightFormats:
    """torchao: a kind by name, or an object with its class and data; of int4 groups have a scale and a zero point in bf16."""
    said = values.get("quant_type")
    inner = said.get("default") if isinstance(said, dict) else None
    kind = inner.get("_type") if isinstance(inner, dict) else said
    data = inner.get("_data") if isinstance(inner, dict) else values.get("quant_type_kwargs")
    if kind not in _TORCHAO:
        raise unknown("torchao quant_type", str(kind), _TORCHAO)
    form = FORMATS[_TORCHAO[kind]]
    if form.name == "int4":
        group = number(data if isinstance(data, dict) else {}, "group_size", 128)
        form = Storage(
            "torchao_int4", 4 + Fraction(32, group), "int4", f"torchao: bf16 scale and zero point per {group}"
        )
    return WeightFormats(form.name, default, form, ignored(values, "modules_to_not_convert"))
