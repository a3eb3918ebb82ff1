"""Formats that elements are stored in: bits per element with scales and zero points, and the rate that products run at."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from attometer.errors import AttometerError, nearest

WIDEST = 64


@dataclass(frozen=True)
class Storage:
    """One format: `bits` per element with its scales, the `rate` (a data type of machines' peak rates), and its source.

    `rate` is the type of the products' operands when the machine multiplies the format natively; a machine without that
    rate widens first.
    """

    name: str
    bits: Fraction
    rate: str
    source: str

    def __str__(self) -> str:
        return f"{self.name} ({float(self.bits):.4g} bits)"


GGML = "ggml-common.h and ggml-quants.c of llama.cpp: block layouts"
IEEE = "IEEE 754-2019, or bfloat16"


def _plain() -> list[Storage]:
    return [
        Storage("fp64", Fraction(64), "fp64", IEEE),
        Storage("fp32", Fraction(32), "fp32", IEEE),
        Storage("bf16", Fraction(16), "bf16", IEEE),
        Storage("fp16", Fraction(16), "fp16", IEEE),
        Storage("fp8", Fraction(8), "fp8", "OCP 8-bit floating point, one scale per tensor or channel"),
        Storage("fp8_block", 8 + Fraction(32, 128 * 128), "fp8", "DeepSeek-V3: one fp32 scale per 128 × 128 block"),
        Storage("mxfp8", 8 + Fraction(8, 32), "fp8", "OCP Microscaling 1.0: one E8M0 scale per 32"),
        Storage("int8", Fraction(8), "int8", "one scale per tensor or channel"),
        Storage("int4", 4 + Fraction(16, 128), "int4", "symmetric, one fp16 scale per 128 (compressed-tensors)"),
        Storage("gptq", 4 + Fraction(20, 128), "int4", "GPTQ or AWQ: fp16 scale and 4-bit zero per 128"),
        Storage("nvfp4", 4 + Fraction(8, 16), "fp4", "NVIDIA NVFP4: one FP8 scale per 16"),
        Storage("mxfp4", 4 + Fraction(8, 32), "fp4", "OCP Microscaling 1.0: one E8M0 scale per 32"),
        Storage("nf4", 4 + Fraction(32, 64), "bf16", "QLoRA, arXiv 2305.14314: one fp32 scale per 64"),
        Storage("nf4_double", 4 + Fraction(8, 64) + Fraction(32, 64 * 256), "bf16", "QLoRA, double quantisation"),
        Storage("mlx_4bit", 4 + Fraction(32, 64), "fp16", "mlx: fp16 scale and bias per 64"),
        Storage("mlx_6bit", 6 + Fraction(32, 64), "fp16", "mlx: fp16 scale and bias per 64"),
        Storage("mlx_8bit", 8 + Fraction(32, 64), "fp16", "mlx: fp16 scale and bias per 64"),
    ]


# bytes per block, elements per block
_GGML_BLOCKS = {
    "q4_0": (18, 32), "q4_1": (20, 32), "q5_0": (22, 32), "q5_1": (24, 32), "q8_0": (34, 32), "q8_1": (36, 32),
    "q2_k": (84, 256), "q3_k": (110, 256), "q4_k": (144, 256), "q5_k": (176, 256), "q6_k": (210, 256),
    "iq1_s": (50, 256), "iq1_m": (56, 256), "iq2_xxs": (66, 256), "iq2_xs": (74, 256), "iq2_s": (82, 256),
    "iq3_xxs": (98, 256), "iq3_s": (110, 256), "iq4_nl": (18, 32), "iq4_xs": (136, 256), "tq1_0": (54, 256),
    "tq2_0": (66, 256),
}  # fmt: skip

# llama.cpp multiplies every quantised block with 8-bit integers.
FORMATS: dict[str, Storage] = {s.name: s for s in _plain()} | {
    name: Storage(name, Fraction(8 * size, elements), "int8", GGML) for name, (size, elements) in _GGML_BLOCKS.items()
}
"""Every format of elements, by name."""

CACHE_FORMATS = (
    "fp32",
    "bf16",
    "fp16",
    "fp8",
    "int8",
    "q8_0",
    "q5_1",
    "q5_0",
    "q4_1",
    "q4_0",
    "iq4_nl",
    "int4",
    "nvfp4",
    "mxfp4",
)
"""Formats that engines keep caches in; narrower ones with their scales."""

CACHE_ROWS: dict[str, tuple[int, str]] = {
    "fp8_ds_mla": (656, "vLLM/FlashMLA: 512 fp8, four fp32 scales, 64 bf16 rotary values per token and layer"),
    "nvfp4_ds_mla": (432, "512 fp4 with 32 fp8 scales, 64 bf16 rotary values, 16 bytes of padding"),
}
"""Cache formats of multi-head latent attention that are laid out per token and layer, in bytes."""

ALIASES = {
    "float64": "fp64", "double": "fp64", "float32": "fp32", "float": "fp32", "f32": "fp32", "bfloat16": "bf16",
    "float16": "fp16", "half": "fp16", "f16": "fp16", "float8_e4m3fn": "fp8", "float8_e5m2": "fp8", "float8": "fp8",
    "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "e4m3": "fp8", "f8_e4m3": "fp8", "f8_e5m2": "fp8",
    "8bit": "int8", "8-bit": "int8", "w8a8": "int8",
    "fp4": "nvfp4", "4bit": "int4", "4-bit": "int4", "w4a16": "int4", "awq": "gptq", "awq_marlin": "gptq",
    "gptq_marlin": "gptq", "bnb.nf4": "nf4", "bitsandbytes": "nf4",
    "bnb.nf4-dq": "nf4_double", "nf4-dq": "nf4_double", "bnb.int8": "int8", "mlx-4bit": "mlx_4bit", "mlx-8bit": "mlx_8bit",
    "mlx-6bit": "mlx_6bit", "u8": "int8", "i8": "int8", "uint8": "int8",
}  # fmt: skip
"""Other spellings of the same formats."""


def storage(name: str, more: Iterable[str] = ()) -> Storage:
    """Return the format called `name`.

    Of a cache whose keys and values are kept unlike it is what an element takes on average: `q8_0/f16`.

    Raises AttometerError that lists what exists (and `more` names that are known where it was asked) and never suggests a
    format of another kind.

    >>> storage("bfloat16").name, float(storage("q4_k").bits), float(storage("mxfp4").bits)
    ('bf16', 4.5, 4.25)
    >>> storage("q8_0/f16").name, float(storage("q8_0/f16").bits)
    ('q8_0/fp16', 12.25)
    """
    first, slash, second = str(name).partition("/")
    if slash:
        keys, values = storage(first, more), storage(second, more)
        wide = max(keys, values, key=lambda form: form.bits)
        both = f"{keys.name}/{values.name}"
        source = f"keys in {keys.name}, values in {values.name}"
        return keys if keys == values else Storage(both, (keys.bits + values.bits) / 2, wide.rate, source)
    short = str(name).strip().lower().removeprefix("torch.")
    short = ALIASES.get(short, short)
    if short not in FORMATS:
        known = list(dict.fromkeys((*FORMATS, *more)))
        raise AttometerError(f'unknown data type "{name}"{_kin(short, known)}; known: {", ".join(known)}')
    return FORMATS[short]


def _kin(name: str, options: Iterable[str]) -> str:
    """A near name of the same kind, which starts with the same letter: an fp format never suggests an int one."""
    close = nearest(name, [known for known in options if known[:1] == name[:1]])
    return close if "did you mean" in close else ""


def stored_bytes(elements: int, form: Storage) -> int:
    """Return the bytes of `elements` elements, rounded up.

    >>> stored_bytes(32, storage("q4_0"))
    18
    """
    return int(-(-elements * form.bits // 8))
