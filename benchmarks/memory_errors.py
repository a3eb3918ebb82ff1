"""How far are predicted bytes from measured ones? Errors by kind of row over a folder of measurement tables.

`python benchmarks/memory_errors.py MEASUREMENTS [--configs FOLDER ...] [--rows]` reads every `*.csv` and `*.csv.xz` of the
folder (columns: model, sizes, dtype_weights, hardware, parallelism, engine, mode, extra, metric, value, unit) and predicts
each row that is about memory: weights per rank, tokens given the pool, the pool given the budget, llama.cpp's buffers,
memory of a generation, memory of training. It prints the median and the 90th percentile of the errors by metric and source,
and how many rows can be predicted at all. Models are the shipped ones, the files of `--configs`, or the row's own sizes.
"""

import argparse
import csv
import lzma
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from statistics import mean, median
from typing import Any

from attometer.count.placement.rank_cost import shard
from attometer.count.weights import Formats, matrices_and_rest
from attometer.engines import (
    Engine,
    Recipe,
    cache_layout,
    engine,
    padding,
    pool,
    recipe,
    rotary_tables,
    tokens,
    training,
)
from attometer.engines.engine import GIB
from attometer.engines.pool import graph_buffer, seen, step_activations, vocabulary
from attometer.errors import AttometerError
from attometer.formats import WeightFormats, from_quantization, mix, storage, stored_bytes, uniform
from attometer.formats.rules import rule
from attometer.machine import machine
from attometer.models import Model, from_values, model, shipped
from attometer.schedule.placement import Placement

MIB, GB = 2**20, 10**9
Row = dict[str, str]

# rows' types of weights in the words of `formats`
TYPES = (
    (r"gptq.?int8|int8|w8a8", "int8"), (r"nf4-dq|bnb-4bit", "nf4_double"), (r"nf4|q-?lora|bnb", "nf4"), (r"fp8", "fp8"),
    (r"gptq|awq|int4", "gptq"), (r"fp32|float32", "fp32"),
    (r"^(bf16|bfloat16|fp16|float16|f16|bf16-true|)", "bf16"),
)  # fmt: skip

# files of rows that are a shipped model under another name (same sizes)
SHIPPED = {
    "llama-3.3-70b": "llama-3.1-70b", "llama-3-70b": "llama-3.1-70b", "llama-3-8b": "llama-3.1-8b",
    "kimi-k2.5": "kimi-k2", "kimi-k2.6-nvfp4": "kimi-k2", "deepseek-r1": "deepseek-v3",
    "nvidia-nemotron-3-nano-30b-a3b-bf16": "nemotron-3-nano-30b-a3b", "llama-4-maverick-17b-128e": "llama-4-maverick",
}  # fmt: skip

DECODER = {
    "hidden_size": "hidden_size", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
    "num_key_value_heads": "n_kv_heads", "head_dim": "head_dim", "intermediate_size": "ffn_hidden", "vocab_size": "vocab",
}  # fmt: skip
# model names → the class of their configuration, and how that names the row's columns
CLASSES: tuple[tuple[str, dict[str, Any], dict[str, str]], ...] = (
    (r"opt-", dict(model("opt-125m").values), {
        "hidden_size": "hidden_size", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
        "ffn_dim": "ffn_hidden", "vocab_size": "vocab", "word_embed_proj_dim": "hidden_size"}),
    (r"^GPT-\d+B", dict(model("bloom-176b").values), {
        "hidden_size": "hidden_size", "n_layer": "n_layers", "n_head": "n_heads"}),
    (r"phi-1|phi-2", dict(model("phi-2").values), {"n_embd": "hidden_size", "n_layer": "n_layers", "n_head": "n_heads"}),
    (r"gemma-2-", {"model_type": "gemma2"}, DECODER),
    (r"gemma", {"model_type": "gemma", "tie_word_embeddings": True}, DECODER),
    (r"qwen3.*(a3b|a22b)", dict(model("qwen3-30b-a3b").values), {
        **{k: v for k, v in DECODER.items() if k != "intermediate_size"}, "moe_intermediate_size": "ffn_hidden",
        "num_experts": "n_experts", "num_experts_per_tok": "top_k"}),
    (r"qwen3", {"model_type": "qwen3"}, DECODER),
    (r"qwen", {"model_type": "qwen2"}, DECODER),
    (r"llama|mistral|koala|vicuna|wizard|phi-4|deepseek-r1-distill|tinyllama|tiny-llama|codellama|phind|deepseek 33b", {
        "model_type": "llama"}, DECODER),
)  # fmt: skip
TIED = r"qwen3-(0\.6|1\.7|4)b|qwen3-reranker-0|qwen2\.5-(0\.5|1\.5|3)b|llama-3\.2|gemma|distill-qwen-1\.5b"


def rows(folder: Path) -> Iterator[Row]:
    """Yield the rows about memory of every table in a folder."""
    for path in sorted(folder.glob("*.csv*")):
        with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as lines:
            for row in csv.DictReader(lines):
                if row.get("metric") in METRICS:
                    yield row


class Models:
    """The models of rows: a file of the folders, a shipped model, or the row's own sizes."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.files = {re.sub(r"[^a-z0-9]+", "", p.stem.lower()): p for f in folders for p in f.glob("*.json")}

    def of(self, row: Row) -> Model:
        """Return the model of a row. Raises AttometerError when nothing says its sizes."""
        key = "|".join(row.get(name, "") for name in ("model", "arch_source", *DECODER.values(), "n_experts", "top_k"))
        return self._of(key, tuple(row.items()))

    def _of(self, key: str, items: tuple[tuple[str, str], ...]) -> Model:
        known = self.__dict__.setdefault("known", {})
        if key not in known:
            try:
                known[key] = self._read(dict(items))
            except AttometerError as error:
                known[key] = error
        if isinstance(known[key], AttometerError):
            raise known[key]
        found: Model = known[key]
        return found

    def _read(self, row: Row) -> Model:
        stem = Path(row.get("arch_source", "")).stem if row.get("arch_source", "").endswith(".json") else ""
        short = re.sub(r"^.*?__|-instruct.*$|-hf$", "", stem.lower()).removeprefix("meta-")
        short = SHIPPED.get(short, short)
        flat = re.sub(r"[^a-z0-9]+", "", stem.lower())
        named = self.files.get(flat) or self.files.get(f"{flat}config")
        if named is None and short in shipped():
            return model(short)
        # a quantised file of the same sizes
        named = named or next((path for name, path in self.files.items() if flat and name.startswith(flat)), None)
        return self._from_sizes(row) if named is None else model(named)

    @staticmethod
    def _from_sizes(row: Row) -> Model:
        for pattern, values, keys in CLASSES:
            if re.search(pattern, row["model"], re.IGNORECASE) and row.get("hidden_size") and row.get("n_layers"):
                own = {key: int(float(row[column])) for key, column in keys.items() if row.get(column)}
                made = {"tie_word_embeddings": bool(re.search(TIED, row["model"].lower())), **values, **own}
                for stale in ("_source", "layer_types"):
                    made.pop(stale, None)
                return from_values(made, row["model"])
        raise AttometerError(f'no sizes of "{row["model"]}"')


def formats(row: Row, found: Model) -> Formats:
    """Return how a row's weights are stored."""
    written = (row.get("dtype_weights") or row.get("dtype") or "").lower()
    if row["engine"].startswith("llama.cpp") or written.startswith("q8_0"):
        name = {"q4_k - medium": "q4_k_m"}.get(written, written)
        return uniform("fp16") if name == "f16" else mix(name, found.depth)
    if re.search("Nemotron-3-Nano.*FP8", row["model"]):
        # NVIDIA's report of the model: attention and the Mamba layers before it stay in bf16
        kept = {n - back for stack in found.layers if stack.kind == "full" for n in stack.indices for back in (0, 1)}
        return replace(uniform("fp8"), rules=tuple(rule(f"layers.{n}.mixer", None) for n in sorted(kept)))
    if "method=Q-LoRA" in row.get("extra", ""):
        return uniform("gptq")
    declared = found.values.get("quantization_config")
    if isinstance(declared, dict) and "quantization=None" not in row.get("extra", ""):
        return from_quantization(found.values)
    if bits := re.search(r"\(([\d.]+) bpw\)", written):
        grouped = replace(storage("mlx_4bit"), name="mlx", bits=Fraction(bits[1]))
        return WeightFormats("mlx", storage("bf16"), grouped, everything=True)
    for pattern, name in TYPES:
        if re.search(pattern, f"{written} {row['model'].lower()}" if name == "nf4_double" else written):
            return uniform(name)
    raise AttometerError(f'no format "{written}"')


def rank_weights(found: Model, forms: Formats, place: Placement) -> int:
    """Return the bytes of the fullest rank."""
    return max(shard(found, place).weights(forms))


def placement(row: Row) -> Placement:
    """Return how a row's model is spread over devices."""
    zero = degree(row, "zero") if "zero=" in row["parallelism"] else 0
    if "torchtitan" in row["engine"]:
        context = degree(row, "cp")
        return Placement(
            tp=degree(row), pp=degree(row, "pp"), dp=degree(row, "fsdp"), cp=context, zero=3, sp=degree(row) > 1
        )
    if "FSDP" in row["parallelism"]:
        return Placement(dp=int(row["n_devices"]), zero=3)
    experts = degree(row) if "enable-expert-parallel" in row["extra"] else 1
    return Placement(tp=degree(row), pp=degree(row, "pp"), dp=degree(row, "dp"), ep=experts, zero=zero)


def options(row: Row) -> dict[str, str]:
    """Return the settings that a row's `extra` lists, as names and values."""
    pairs = (
        re.split(r"[=:]\s*", part, maxsplit=1)
        for part in f"{row['extra']};{row['note']}".split(";")
        if re.search("[=:]", part)
    )
    return {name.strip(): value.strip() for name, value in pairs}


def degree(row: Row, name: str = "tp") -> int:
    """Return a degree of the row's parallelism."""
    found = re.search(rf"\b{name}=(\d+)", row.get("parallelism", "").lower())
    return int(found[1]) if found else 1


def engine_of(row: Row) -> Engine:
    """Return the engine of a row at its version."""
    text = row["engine"].replace("TensorRT-LLM", "tensorrt-llm")
    name = re.match(r"[\w.-]+", text)[0].lower().removesuffix("-ascend")  # type: ignore[index]
    version = re.search(r"v?(\d+\.\d[\w.]*)", text.removeprefix("llama.cpp"))
    platform = "rocm" if re.search(r"MI\d|Strix", row["hardware"]) else "cuda"
    return engine(f"{name}@{version[1]}" if version and name == "vllm" else name, platform)


def cache_format(row: Row) -> str:
    """Return the format of a row's cache."""
    return {"bfloat16": "bf16", "float16": "fp16", "": "bf16", "f16": "fp16"}.get(row["dtype_kv"], row["dtype_kv"])


def usable(row: Row) -> int:
    """Return the bytes of a row's device. Raises AttometerError for a device that is not named."""
    stated = options(row).get("total_gib", "None")
    if stated != "None":
        # what the engine saw: what it sees less of a device is added back
        fixed, share = engine_of(row).version.driver
        return int((float(stated) + fixed.value) * GIB / (1 - share.value))
    return machine(row["hw_id"] or row["hardware"]).usable_bytes


def predict_weights(row: Row, found: Model) -> float:
    """GiB of one rank."""
    return engine_weights(row, found) / GIB


def engine_weights(row: Row, found: Model) -> int:
    """Return the bytes of one rank as the row's engine stores them: padded, and with vLLM's table of positions."""
    forms, place = formats(row, found), placement(row)
    if not re.match("vLLM", row["engine"]):
        return rank_weights(found, forms, place)
    # towers stay in 16 bits, and nearly whole on every rank
    towers = sum(max(shard(tower, Placement()).weights()) for tower in found.towers)
    extra = padding(engine_of(row), found, forms, place) // place.tp + rotary_tables(found)
    return rank_weights(found, forms, place) + extra + towers


def predict_pool(row: Row, found: Model) -> float:
    """GiB that the engine leaves; weights are predicted too."""
    asked, used = options(row), engine_of(row)
    fraction: float | None = float(asked["gpu_memory_utilization"])
    if fraction == 0.9 and used.version.fraction.value != 0.9:
        fraction = None  # the recorder's default, where the log did not say
    numbers = {
        "batched_tokens": asked.get("max-num-batched-tokens"),
        "max_requests": asked.get("max-num-seqs") or asked.get("max_num_seqs"),
    }
    sizes = {key: int(value) for key, value in numbers.items() if value}
    if "V0" in row["engine"] and asked.get("max_model_len", "").isdigit():
        sizes.setdefault("batched_tokens", max(2048, int(asked["max_model_len"])))
    return pool(used, found, usable(row), engine_weights(row, found), placement(row), fraction, **sizes).bytes / GIB  # type: ignore[arg-type]


def predict_tokens(row: Row, found: Model) -> float:
    """Tokens of the pool that the row states."""
    asked = options(row)
    if "kv_gib" not in asked:
        # DistServe's profiler: like vLLM of its day at 0.95 (the file does not say), each stage with its share of the layers
        place, day = placement(row), engine("vllm@0.6")
        weights = rank_weights(found, uniform("fp16"), place)
        layout = cache_layout(found, day, place, "fp16")
        return tokens(pool(day, found, usable(row), weights, place, 0.95).bytes, layout)
    held = float(asked["kv_gib"]) * GIB
    layout = cache_layout(found, engine_of(row), placement(row), cache_format(row))
    longest = asked.get("max_model_len", "")
    return tokens(int(held), layout, int(longest) if longest.isdigit() else None)


def predict_graphs(row: Row, found: Model) -> float:
    """GiB of captured graphs."""
    used, asked = engine_of(row), options(row).get("max-num-seqs")
    return used.version.graph_gib(int(asked) if asked else used.version.scale(seen(used, usable(row))).requests)


def predict_llamacpp(row: Row, found: Model) -> float:
    """MiB of llama.cpp's cache, compute buffer, or all that it puts on the device."""
    cells = 8192 if found.values.get("vocab_size") == 128256 else 512
    cells = 512 if row["metric"] == "kv_cache_bytes" and float(row["value"]) < 100 else cells
    layout = cache_layout(found, engine("llama.cpp@0"), kv_format=cache_format(row))
    kept, buffer = layout.request(cells), graph_buffer(found, cells, 512, False)
    if row["metric"] == "kv_cache_bytes":
        return kept / MIB
    if row["metric"] == "compute_buffer":
        return buffer / MIB
    forms = formats(row, found)
    host = sum(stored_bytes(matrices_and_rest(p)[0], forms.of(None, "embedding", p.name)) for p in found.embedding)
    return (rank_weights(found, forms, Placement()) - host + kept + buffer) / MIB


def recipe_of(row: Row) -> Recipe:
    """Return how a row was trained."""
    how, source = row["extra"], row["engine"]
    if "torchtitan" in source:
        return recipe("torchtitan" if "_2025" in row["path"] else "torchtitan-2024").with_(
            compiled="eager" not in how, recompute=row["recompute"].split()[0]
        )
    if "Megatron" in source:
        # early 2022, before flash attention; with BF16_Optimizer gradients are kept in fp32 as well
        gradients = 6.0 if "date=02-28" in how else 2.0
        return recipe("megatron").with_(recompute="full", scores=True, gradients=gradients)
    if "DeepSpeed" in source:
        # rank 64 and 16-bit adapters with fp32 states; before transformers 4.45 the loss kept 8 bytes per logit
        logits = {"value": 8, "source": "slope of the rows over length"}
        if "Full" in how:
            return recipe("megatron").with_(recompute="full", logit_bytes=logits)
        kind = recipe("qlora").with_(weights="gptq") if "Q-LoRA" in how else recipe("lora")
        logits |= {"value": 4} if "Q-LoRA" in how else {}
        return kind.with_(loss="whole", state="fp32", lora_rank=64, master=2.0, ends="(emb)" in how, logit_bytes=logits)
    if "full" in how:
        return recipe("adamw-bf16")
    quantised = "nf4" in row["dtype_weights"] or "qlora" in how
    kind = recipe("qlora" if quantised else "lora").with_(loss="whole", recompute="none", lora_targets=("q", "v"))
    return kind if row["dtype_weights"] != "bnb.nf4" else kind.with_(weights="nf4")


def predict_training(row: Row, found: Model) -> float:
    """GB or GiB of one rank: what the allocator hands out where the row says so, else all of the process."""
    batch, length, place = int(row["micro_batch"] or row["batch"]), int(row["seq_len"]), placement(row)
    if "DeepSpeed" in row["engine"] and "HF" in row["engine"]:
        if int(row["n_devices"] or 1) > 1 or "Zero3" in row["extra"]:
            raise AttometerError("memory of several devices together")
    elif "torchtitan" in row["engine"]:
        batch = max(1, batch // place.pp)
    found_memory = training(found, recipe_of(row), batch, length, place)
    size = found_memory.allocated if "LitGPT" in row["engine"] else found_memory.total
    return size / (GIB if row["unit"] == "GiB" else GB)


def predict_generation(row: Row, found: Model) -> float:
    """GB of a generation without a pool: weights, cache, and a step over the prompt; LitGPT and mlx print 10^9 bytes as GB."""
    prompt, new, batch = int(row["input_len"] or 1), int(row["output_len"] or 0), int(row["batch"] or 1)
    if not row["input_len"] and row["seq_len"]:
        new = int(row["seq_len"]) - prompt
    layout = cache_layout(found, engine("transformers"))
    step = step_activations(found, prompt * batch)
    # transformers before 4.45 computed the logits of the whole prompt, in 16 bits and again in fp32
    old = row["model"].startswith(("Qwen-", "Qwen2-", "Llama 2"))
    step += (6 if old else 0) * prompt * batch * vocabulary(found)
    weights = rank_weights(found, formats(row, found), Placement())
    # some tables print the process's memory, and some the allocator's
    weights += int(engine("transformers").version.runtime.value * GIB) if row["unit"] == "MB" else 0
    return (weights + batch * layout.request(prompt + new) + step) / (
        MIB if row["unit"] == "MB" else GB if re.match("LitGPT|mlx", row["engine"]) else GIB
    )


POOLED = r"vllm|TensorRT"


def predict(row: Row, found: Model) -> float:
    """Return the prediction of a row in its own unit. Raises AttometerError for a row that cannot be predicted."""
    metric = row["metric"]
    if row["source_id"].startswith("llamacpp") and metric != "weights_size":
        return predict_llamacpp(row, found)
    if metric in ("peak_memory_per_gpu", "gpu_memory"):
        if row["mode"].startswith("train") or "Megatron" in row["engine"] or "torchtitan" in row["engine"]:
            return predict_training(row, found)
        if re.search(POOLED, row["engine"], re.IGNORECASE):
            # all of the pool is taken, whatever is in it
            used = engine("vllm@0.6" if "vllm" in row["engine"] else "tensorrt-llm")
            taken = pool(used, found, usable(row), engine_weights(row, found))
            size = max(taken.bytes, 0) + sum(taken.terms.values())
            return size / (MIB if row["unit"] == "MB" else GIB)
        return predict_generation(row, found)
    known = {"weights_size": predict_weights, "kv_cache_available": predict_pool, "cudagraph_memory": predict_graphs}
    return {**known, "kv_cache_capacity_tokens": predict_tokens}[metric](row, found)


METRICS = (
    "weights_size", "kv_cache_available", "kv_cache_capacity_tokens", "cudagraph_memory", "peak_memory_per_gpu",
    "gpu_memory", "kv_cache_bytes", "compute_buffer", "vram_used",
)  # fmt: skip


SAID = ("model", "hardware", "parallelism", "engine", "dtype_weights", "dtype_kv", "batch", "seq_len")


def with_pools(read: list[Row]) -> list[Row]:
    """Give each row of tokens the pool that another row of the same log states."""

    def log(row: Row) -> str:
        return "|".join(row.get(key, "") for key in ("source_id", "path", "locator", "model", "engine"))

    held = {log(row): row["value"] for row in read if row["metric"] == "kv_cache_available"}
    for row in read:
        if row["metric"] == "kv_cache_capacity_tokens" and "kv_gib=" not in row["extra"] and log(row) in held:
            row["extra"] += f";kv_gib={held[log(row)]}"
    return read


def main() -> None:
    """Score a folder and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--configs", type=Path, nargs="*", default=[])
    parser.add_argument("--rows", action="store_true", help="print the rows as well")
    asked = parser.parse_args()
    models, errors, missed = Models(asked.configs), defaultdict(list), defaultdict(list)
    for row in with_pools(list(rows(asked.folder))):
        key = (row["metric"], row["source_id"])
        try:
            value = predict(row, models.of(row))
        except (AttometerError, KeyError, ValueError) as error:
            missed[key].append(str(error))
            continue
        error = value / float(row["value"]) - 1
        errors[key].append(abs(error))
        if asked.rows:
            said = " ".join(row[k] for k in SAID)
            print(f"{error:+8.2%} {value:12.2f} {float(row['value']):12.2f} {row['metric']} {said} {row['extra'][:60]}")
    report(errors, missed)


def report(errors: dict[tuple[str, str], list[float]], missed: dict[tuple[str, str], list[str]]) -> None:
    """Print the errors by metric and source, then by metric, and what could not be predicted."""
    print(f"{'metric':26} {'source':28} {'rows':>5} {'missed':>6} {'median':>8} {'mean':>8} {'p90':>8}")
    for metric, keys in groupby(sorted({*errors, *missed}), key=lambda key: key[0]):
        listed = list(keys)
        for key in listed:
            _line(metric, key[1], errors.get(key, []), len(missed.get(key, [])))
        if len(listed) > 1:
            every = [e for key in listed for e in errors.get(key, [])]
            _line(metric, "all", every, sum(len(missed.get(key, [])) for key in listed))
    total, lost = sum(map(len, errors.values())), sum(map(len, missed.values()))
    print(f"predictable: {total} of {total + lost} rows ({total / (total + lost):.1%})")
    for key, reasons in sorted(missed.items()):
        print(f"  not {' of '.join(key)}: {len(reasons)}, as in: {reasons[0]:.90}")


def _line(metric: str, source: str, found: list[float], lost: int) -> None:
    ordered = sorted(found)
    shown = [median(found), mean(found), ordered[int(0.9 * (len(found) - 1))]] if found else []
    print(f"{metric:26} {source:28} {len(found):5} {lost:6} " + " ".join(f"{value:8.2%}" for value in shown))


if __name__ == "__main__":
    main()
