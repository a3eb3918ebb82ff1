"""What a name says of how the weights are stored: endings such as `-AWQ`, `-FP8`, `-MLX-4bit`, and tags such as `:Q4_K_M`."""

import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

from attometer.formats import MIXES

Quantization = dict[str, Any]
PLAIN: Quantization = {}
"""16 bits, whatever the configuration of the first release says."""


def _grouped(method: str, bits: int = 4) -> Quantization:
    return {"quant_method": method, "bits": bits, "group_size": 128}


def _packed(bits: int, group: int | None) -> Quantization:
    weights = {"num_bits": bits, "type": "int", "group_size": group, "strategy": "group" if group else "channel"}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ["lm_head"]}


def _mlx(bits: int) -> Quantization:
    return {"quant_method": "mlx", "bits": bits, "group_size": 64}


def _gguf(name: str) -> Quantization:
    return {"quant_method": "gguf", "file_type": name.replace("-", "_")}


_BNB = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}
_MIX = "|".join(re.escape(name).replace("_", "[_-]") for name in sorted(MIXES, key=len, reverse=True) if "_" in name)
# Endings in the order in which they are tried; what quantisers publish under them is the usual: groups of 128 (64 for mlx).
_ENDINGS: tuple[tuple[str, Quantization], ...] = (
    (r"(?:unsloth-)?bnb-4bit", _BNB),
    (r"bnb-8bit", {"quant_method": "bitsandbytes", "load_in_8bit": True}),
    (r"(?:int4-)?awq(?:-int4|-4bit|-4bits|-marlin|-g128)?", _grouped("awq")),
    (r"(?:int8-)?awq-(?:int8|8bit)", _grouped("awq", 8)),
    (r"(?:int8-)?gptq-(?:int8|8bit)", _grouped("gptq", 8)),
    (r"(?:int4-)?gptq(?:-int4|-4bit|-4bits)?(?:-128g|-g128|-gs128)?", _grouped("gptq")),
    (r"(?:int4-)?auto-?round(?:-int4|-4bit)?|int4-auto-?round", _grouped("auto-round")),
    (r"(?:dynamic-|fbgemm-)?fp8(?:-dynamic|-static|-block|-kv)?", {"quant_method": "fp8"}),
    (r"nvfp4|fp4", {"quant_method": "modelopt", "quant_algo": "NVFP4"}),
    (r"mxfp4", {"quant_method": "modelopt", "quant_algo": "MXFP4"}),
    (r"(?:quantized[.-])?w4a16(?:-g128)?|int4(?:-w4a16)?", _packed(4, 128)),
    (r"(?:quantized[.-])?w8a(?:8|16)|int8(?:-w8a8)?", _packed(8, None)),
    *((rf"(?:mlx-)?{bits}-?bit(?:-mlx|-dwq)?", _mlx(bits)) for bits in (3, 4, 5, 6, 8)),
    (r"mlx", _mlx(4)),
    (r"bf16|fp16|f16|16-?bit", PLAIN),
    (r"gguf", _gguf("q4_k_m")),
)
# Unsloth's dynamic files choose tensor by tensor; they are read as the type after which they are called.
_DYNAMIC = {"q2": "q2_k", "q3": "q3_k_m", "q4": "q4_k_m", "q5": "q5_k_m", "q6": "q6_k", "q8": "q8_0"}
# A tag of llama.cpp or ollama: the size or another word, and after it perhaps a type.
_TAG = re.compile(rf"(?P<size>(?:\d+x)?[\d.]+[bm](?:-a[\d.]+b)?)?(?P<rest>[a-z0-9-]*?)-?(?P<mix>{_MIX}|fp16|bf16|f16)?")
# What ollama gives for a name without a tag.
_LATEST = {
    "llama2": "7b", "llama3": "8b", "llama3.1": "8b", "llama3.2": "3b", "llama3.3": "70b", "mistral": "7b", "mixtral": "8x7b",
    "mistral-small": "24b", "mistral-nemo": "12b", "phi3": "mini", "phi4": "14b", "gemma2": "9b", "gemma3": "4b", "qwen2.5": "7b",
    "qwen2.5-coder": "7b", "qwen3": "8b", "qwen3-coder": "30b", "deepseek-r1": "8b", "codellama": "7b", "gpt-oss": "20b",
    "tinyllama": "1.1b", "qwq": "32b", "mistral-small3.1": "24b", "mistral-small3.2": "24b", "devstral": "24b", "command-r": "35b",
    "gemma": "7b", "yi": "6b", "glm4": "9b", "deepseek-coder-v2": "16b", "qwen2": "7b", "olmo2": "7b", "granite3.3": "8b",
    "falcon3": "10b", "smollm2": "1.7b", "starcoder2": "3b",
}  # fmt: skip
# What ollama published before mid 2024 is Q4_0 where a tag says no type (its library states the sizes: gemma2:9b 5.4 GB).
_IN_Q4_0 = frozenset({
    "llama2", "llama3", "codellama", "vicuna", "gemma", "gemma2", "codegemma", "mixtral", "phi3", "qwen", "qwen2", "yi", "glm4",
    "deepseek-coder", "deepseek-coder-v2", "deepseek-v2", "starcoder2", "tinyllama", "mistral-nemo", "zephyr", "solar", "falcon",
    "stablelm2", "command-r", "command-r-plus", "aya", "internlm2", "dolphin-mixtral", "wizardlm2", "mathstral",
})  # fmt: skip


def quantized_name(text: str) -> tuple[str, Quantization | None]:
    """Return a name without what it says of the weights' format, and that as a `quantization_config`; None if it says nothing.

    An empty one is 16 bits. Tags of llama.cpp (`-GGUF:Q8_0`) and of ollama (`qwen3:32b`, 4 bits unless it says another type)
    are read, too.

    >>> quantized_name("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4")
    ('Qwen/Qwen2.5-72B-Instruct', {'quant_method': 'gptq', 'bits': 4, 'group_size': 128})
    >>> quantized_name("unsloth/Qwen3-8B-GGUF:Q8_0"), quantized_name("Qwen/Qwen3-8B")
    (('unsloth/Qwen3-8B', {'quant_method': 'gguf', 'file_type': 'q8_0'}), ('Qwen/Qwen3-8B', None))
    """
    mean = re.fullmatch(r"(?i)(.+?)[-_:](?:exl([23])[-_:])?(\d(?:\.\d+)?)bpw(?:[-_]h(\d))?(?:[-_]exl([23]))?", text)
    if mean is not None:
        method = f"exl{mean[2] or mean[5] or 2}"
        plain = re.sub(r"(?i)-exl[23]$", "", mean[1])
        return plain, {"quant_method": method, "bits": float(mean[3]), "head_bits": int(mean[4] or 6)}
    text = re.sub(r"(?i)\b(?:ud-)?(q[2-68])_k_xl$", lambda m: _DYNAMIC[m[1].lower()], text)
    text = re.sub(r"(?i)\bud-(?=i?q\d)", "", text)
    name, colon, tag = text.partition(":")
    if not colon and text.lower() in _LATEST:
        name, colon, tag = text, ":", _LATEST[text.lower()]
    if colon and "//" not in text:
        found = _TAG.fullmatch(tag.lower().removesuffix("latest"))
        if found is None:
            return text, None
        if not tag.lower().removesuffix("latest") and name.lower() in _LATEST:
            return quantized_name(name)
        old = found["rest"].endswith("-qat") or name.lower() in _IN_Q4_0
        form = found["mix"] or ("q4_0" if old else "q4_k_m")
        said = PLAIN if form in ("fp16", "bf16", "f16") else _gguf(form)
        size, rest = found["size"] or "", found["rest"].removesuffix("-qat")
        short = f"{name}-{size}{rest}" if size or rest else name
        return re.sub(r"(?i)-gguf(?=$|-)", "", short), said
    # Of two endings the inner one is the type: `-q4_0-gguf`, `-AutoRound-GPTQ-4bit`.
    text = re.sub(rf"(?i)([-._](?:{_MIX}))-gguf$", r"\1", text)
    text = re.sub(r"(?i)-auto-?round(?=-gptq)|(?<=fp4)-(?:v\d|preview)$", "", text)
    for pattern, values in ((_MIX, None), *_ENDINGS):
        match = re.search(rf"(?i)[-._]({pattern})$", text)
        if match is not None:
            rest = re.sub(r"(?i)-(?:qat|gguf|mlx)$", "", text[: match.start()])
            return rest, _gguf(match[1].lower()) if values is None else values
    return text, None


@lru_cache(maxsize=1)
def _rules() -> tuple[dict[str, Any], ...]:
    text = (files("attometer") / "data" / "left_out.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["rules"])


def of_family(said: Quantization, family: object) -> Quantization:
    """Return what a name says of the format with what quantisers leave out of it in models of a family.

    >>> of_family({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "kimi_k2")["modules_to_not_convert"]
    ['*self_attn*']
    """
    found = dict(said)
    for rule in _rules():
        if family in rule["families"] and said.get("quant_method") in rule["methods"]:
            found["modules_to_not_convert"] = list(rule["modules"])
            if "group" in rule:
                found["group_size"] = rule["group"]
    return found
