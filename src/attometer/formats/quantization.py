"""What a configuration says of how its weights are stored: `quantization_config` and its relatives."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from attometer.errors import AttometerError, unknown
from attometer.formats.more_methods import exllama, hqq, quark, torchao
from attometer.formats.rules import Rule, WeightFormats, rule
from attometer.formats.said import Values, ignored, listed, number
from attometer.formats.storage import FORMATS, Storage, storage


def _grouped(name: str, bits: int, group: int, symmetric: bool, rate: str, zero_bits: int | None = None) -> Storage:
    """`bits` per element, one fp16 scale per group and, unless symmetric, a zero point; group -1 is a whole row."""
    extra = 16 + (0 if symmetric and zero_bits is None else (zero_bits or bits))
    overhead = Fraction(extra, group) if group > 0 else Fraction(0)
    return Storage(
        name,
        bits + overhead,
        rate,
        f"{bits} bits, groups of {group}: fp16 scale" + ("" if symmetric else " and zero point"),
    )


def _gptq(values: Values, default: Storage) -> WeightFormats:
    bits, group = number(values, "bits", 4, most=8), number(values, "group_size", 128, row=True)
    method = str(values.get("quant_method", "gptq"))
    # The zero points are stored even where they are all the same.
    form = _grouped(f"{method}-int{bits}", bits, group, False, "int4" if bits <= 4 else "int8", zero_bits=bits)
    formats = WeightFormats(form.name, default, form, ignored(values, "modules_to_not_convert"))
    return replace(formats, rules=(rule("lm_head", form), *formats.rules)) if values.get("lm_head") is True else formats


def _fp8(values: Values, default: Storage) -> WeightFormats:
    block = values.get("weight_block_size")
    form = FORMATS["fp8"]
    if block is not None:
        if not isinstance(block, list) or len(block) != 2 or not all(isinstance(b, int) and b > 0 for b in block):
            raise AttometerError(f"weight_block_size must be two positive integers, got {block!r:.60}")
        scale = 8 if values.get("scale_fmt") == "ue8m0" else 32
        form = Storage("fp8_block", 8 + Fraction(scale, block[0] * block[1]), "fp8", "one scale per block of the file")
    return WeightFormats("fp8", default, form, ignored(values, "modules_to_not_convert", "ignored_layers", "ignore"))


def _mxfp4(values: Values, default: Storage) -> WeightFormats:
    return WeightFormats("mxfp4", default, FORMATS["mxfp4"], ignored(values, "modules_to_not_convert"), scope="experts")


def _bitsandbytes(values: Values, default: Storage) -> WeightFormats:
    skip = ignored(values, "llm_int8_skip_modules")
    if values.get("load_in_4bit") or values.get("_load_in_4bit"):
        form = FORMATS["nf4_double" if values.get("bnb_4bit_use_double_quant") else "nf4"]
    else:
        form = FORMATS["int8"]
    return WeightFormats(f"bitsandbytes-{form.name}", default, form, skip)


def _weights_of(values: Values) -> Storage:
    """Return the format that a `weights` entry of a configuration group describes."""
    bits, kind = number(values, "num_bits", 8, most=16), str(values.get("type", "int"))
    group = values.get("group_size")
    if kind == "float":
        if bits == 8:
            return FORMATS["fp8_block"] if values.get("strategy") == "block" else FORMATS["fp8"]
        if bits == 4:
            scaled = group == 32 or str(values.get("scale_dtype", "")).endswith("uint8")
            return FORMATS["mxfp4" if scaled else "nvfp4"]
        return FORMATS["bf16"]
    width = number(values, "group_size", -1, row=True)
    if bits == 8 and width == -1:
        return FORMATS["int8"]
    return _grouped(
        f"int{bits}", bits, width, values.get("symmetric", True) is not False, "int4" if bits <= 4 else "int8"
    )


def _compressed(values: Values, default: Storage) -> WeightFormats:
    groups = values.get("config_groups")
    if not isinstance(groups, dict) or not all(isinstance(g, dict) for g in groups.values()):
        raise AttometerError(f"config_groups must hold groups, got {groups!r:.60}")
    left_out = ignored(values, "ignore")
    named: list[Rule] = []
    general: Storage | None = None
    for group in groups.values():
        weights = group.get("weights")
        form = _weights_of(weights) if isinstance(weights, dict) else None
        for target in listed(group, "targets") or ["Linear"]:
            if target in ("Linear", "FusedMoE", "LinearBase"):
                general = form
            else:
                named.append(rule(target, form))
    shown = general or next((one.form for one in named if one.form), default)
    return WeightFormats(shown.name, default, general, (*left_out, *named))


_ALGORITHMS: dict[str, str] = {
    "FP8": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8", "FP8_BLOCK_SCALES": "fp8_block", "FP8_PB_WO": "fp8_block",
    "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4", "NVFP4_AWQ": "nvfp4", "W4A8_NVFP4_FP8": "nvfp4", "MXFP4": "mxfp4",
    "W4A8_MXFP4_FP8": "mxfp4", "W4A16_MXFP4": "mxfp4", "MXFP8": "mxfp8", "W4A16_AWQ": "int4", "W4A8_AWQ": "int4",
    "INT4_AWQ": "int4", "W8A16": "int8", "W8A8_SQ_PER_CHANNEL": "int8", "INT8_SQ": "int8",
}  # fmt: skip


def _algorithm(name: Any) -> Storage:
    if name not in _ALGORITHMS:
        raise unknown("quant_algo", str(name), _ALGORITHMS)
    return FORMATS[_ALGORITHMS[name]]


def _modelopt(values: Values, default: Storage) -> WeightFormats:
    """NVIDIA ModelOpt: one algorithm for all but what is excluded."""
    form = _algorithm(values.get("quant_algo"))
    return WeightFormats(
        form.name, default, form, ignored(values, "exclude_modules", "ignore", "modules_to_not_convert")
    )


def _by_layer(values: Values, default: Storage) -> WeightFormats:
    """A format of its own for each module of `quantized_layers`, over what `quant_method` does to the others."""
    layers = values["quantized_layers"]
    # Hundreds of thousands of entries name single experts; those of one stack are one rule.
    named = {rule(entry, _algorithm(v.get("quant_algo"))): None for entry, v in layers.items() if isinstance(v, dict)}
    method = str(values.get("quant_method", "modelopt"))
    base = (
        WeightFormats("", default)
        if method.startswith("modelopt")
        else _METHODS[method](_without_ignored(values), default)
    )
    names = {one.form.name for one in named if one.form} | ({base.name} if base.name else set())
    return replace(base, name="+".join(sorted(names)), rules=(*named, *base.rules))


def _without_ignored(values: Values) -> Values:
    """`ignore` says what the layers' own formats leave out, not the method below them."""
    return {key: value for key, value in values.items() if key not in ("quantized_layers", "ignore")}


def _mlx(values: Values, default: Storage) -> WeightFormats:
    bits, group = number(values, "bits", 4, most=8), number(values, "group_size", 64)
    form = Storage(f"mlx_{bits}bit", bits + Fraction(32, group), "fp16", f"mlx: fp16 scale and bias per {group}")
    own = []
    for entry, value in values.items():
        if value is False:
            own.append(rule(entry, None))
        elif isinstance(value, dict) and "bits" in value:
            inner, size = number(value, "bits", bits, most=8), number(value, "group_size", group)
            own.append(rule(entry, Storage(f"mlx_{inner}bit", inner + Fraction(32, size), "fp16", form.source)))
    return WeightFormats(form.name, default, form, tuple(own), everything=True)


_METHODS: dict[str, Callable[[Values, Storage], WeightFormats]] = {
    "gptq": _gptq,
    "awq": _gptq,
    "gptq_marlin": _gptq,
    "awq_marlin": _gptq,
    "auto-round": _gptq,
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "finegrained_fp8": _fp8,
    "mxfp4": _mxfp4,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "modelopt_mixed": _modelopt,
    "mlx": _mlx,
    "exl2": exllama,
    "exl3": exllama,
    "hqq": hqq,
    "quark": quark,
    "torchao": torchao,
}


def from_quantization(values: Values, default: str = "bf16", experts: str | None = None) -> WeightFormats:
    """Return how weights are stored by a `quantization_config` (or `quantization` of `hf_quant_config.json`).

    Args:
        values: the dictionary of the file.
        default: the type of what is not quantised (`dtype` of the configuration).
        experts: `expert_dtype` of the configuration, where routed experts have a type of their own.

    Raises:
        AttometerError: a method or algorithm that is not known, or a value that means nothing.

    Source: the quantisers' own documentation and Hugging Face transformers' `quantization_config` classes.

    >>> gptq = from_quantization({"quant_method": "gptq", "bits": 4, "group_size": 128})
    >>> float(gptq.of(0, "full", "down").bits), gptq.of(None, "head", "head").name
    (4.15625, 'bf16')
    """
    if not isinstance(values, dict):
        raise AttometerError(f"quantization_config must be an object, got {values!r:.60}")
    plain = storage(default)
    method = _method(values)
    if method not in _METHODS:
        raise unknown("quant_method", method, _METHODS)
    if isinstance(values.get("quantized_layers"), dict) and values["quantized_layers"]:
        return _by_layer(values, plain)
    formats = _METHODS[method](values, plain)
    if experts is not None and experts in ("fp4", "mxfp4") and formats.name == "fp8":
        # DeepSeek-V4: routed experts in FP4 with one E8M0 scale per 32, the rest in FP8.
        return replace(formats, name="fp8+mxfp4", rules=(*formats.rules, rule("mlp.experts", FORMATS["mxfp4"])))
    return formats


def _method(values: Values) -> str:
    """Return the method; files of ModelOpt name it by algorithm, those of mlx by bits alone."""
    method = values.get("quant_method")
    if "config_groups" in values and str(method or "modelopt").startswith("modelopt"):
        return "compressed-tensors"
    if method is not None:
        return str(method)
    if "quant_algo" in values:
        return "modelopt"
    if "config_groups" in values:
        return "compressed-tensors"
    if "bits" in values and "group_size" in values:
        return "mlx"
    return "bitsandbytes" if values.get("load_in_4bit") or values.get("load_in_8bit") else str(method)
