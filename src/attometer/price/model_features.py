"""How a measured row of a whole model becomes counts per device, from its architecture columns.

Parameters, cache and products follow the usual decoder or encoder layer; a stated parameter count, active count or
weights file replaces what the widths give. Placement (tp, pp, ep, cp, dp) divides them.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from attometer.count.evaluate import evaluate
from attometer.count.model_cost import ModelCost, model_cost
from attometer.count.part_cost import PartCost
from attometer.machine import Machine
from attometer.models import model as load_model
from attometer.models.shipped import shipped, shipped_path
from attometer.price.features import Counted, _engine
from attometer.price.figures import figures, precision
from attometer.price.rows import Incomplete, Row, Unpriced
from attometer.view.files import read_json


@dataclass(frozen=True)
class Shape:
    """A model's counts: total and active parameters outside routed experts, experts, cache widths, layers."""

    layers: float
    width: float
    heads: float
    head_dim: float
    hidden: float
    shared: float
    expert: float
    experts: float
    chosen: float
    embedding: float
    cache_width: float
    groups: float

    @property
    def active(self) -> float:
        """Parameters that multiply each token, the output head included."""
        return self.shared + self.expert * self.chosen + self.embedding

    @property
    def total(self) -> float:
        """All parameters that are stored."""
        return self.shared + self.expert * self.experts + self.embedding

    def read_per_device(self, tokens: float, tensor: float, ranks: float) -> float:
        """Parameters that one device reads for `tokens` tokens whose experts are drawn evenly and independently."""
        distinct = self.experts * (1 - (1 - min(1.0, self.chosen / max(self.experts, 1.0))) ** tokens)
        return float((self.shared + self.embedding) / tensor + self.expert * distinct / ranks)


#: column → the keys of a configuration that state it
_KEYS = {
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "n_layers": ("num_hidden_layers", "n_layer"),
    "n_heads": ("num_attention_heads", "n_head"),
    "n_kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "ffn_hidden": ("moe_intermediate_size", "intermediate_size", "n_inner"),
    "n_experts": ("n_routed_experts", "num_experts", "num_local_experts"),
    "top_k": ("num_experts_per_tok",),
    "vocab": ("vocab_size",),
}


@lru_cache(maxsize=256)
def _configuration(model: str) -> dict[str, str]:
    name = re.sub(r"-(fp8|fp4|nvfp4|instruct|awq|gptq.*|it)$", "", model.split("/")[-1].lower())
    if name not in shipped():
        return {}
    config = read_json(shipped_path(name))
    config = config.get("text_config", config)
    stated = {column: next((config[key] for key in keys if config.get(key)), None) for column, keys in _KEYS.items()}
    return {column: str(value) for column, value in stated.items() if value is not None}


def completed(row: Row) -> Row:
    """Return the row with empty architecture columns filled from the shipped configuration of its model, if there is one."""
    if row.text("hidden_size") or not row.text("model"):
        return row
    found = _configuration(row.text("model"))
    return Row(row.cells | {name: value for name, value in found.items() if not row.text(name)}, row.place)


def shape(row: Row) -> Shape:
    """Return the counts of the row's architecture, a shipped model's where the columns are its; Incomplete names what lacks."""
    mla = "mla" in row.text("arch_kind") or "deepseek-r1" in row.text("model").lower()
    name = _shipped_like().get(tuple(row.text(column) for column in _ALIKE))
    if name is not None:
        length = row.number("input_len", row.number("seq_len", 4096.0)) + row.number("output_len", 0.0) / 2
        return replace(_shape_of(name, int(max(1.0, length))), groups=1.0 if mla else row.number("n_kv_heads"))
    width, layers = row.number("hidden_size"), row.number("n_layers")
    heads = row.number("n_heads")
    d = row.number("head_dim", width / heads)
    groups, hidden = row.number("n_kv_heads", heads), row.number("ffn_hidden", 4 * width)
    experts, chosen = row.number("n_experts", 0.0), row.number("top_k", 0.0)
    mla = "mla" in row.text("arch_kind") or "deepseek-r1" in row.text("model").lower()
    mixing = 2 * width * heads * d + 2 * width * groups * d
    if mla:
        mixing = width * 1536 + 1536 * heads * 192 + width * 576 + 512 * heads * 256 + heads * 128 * width
    matrices = 2.0 if hidden == 4 * width or row.text("arch_kind") == "encoder" else 3.0
    block = matrices * width * hidden
    embedding = row.number("vocab", 0.0) * width
    shared = layers * (mixing + (0.0 if experts else block))
    expert = layers * block if experts else 0.0
    stated = row.number("params_b", 0.0) * 1e9
    if stated and not experts:
        shared = max(0.5 * shared, stated - embedding)
    published = next(
        (counts for text, counts in _PUBLISHED.items() if re.search(text, row.text("model").lower())), None
    )
    if published is not None:
        expert = (published[0] - published[1]) / (experts - chosen)
        shared = published[1] - chosen * expert - 2 * embedding
    width_kept, kept = (576.0, 1.0) if mla else (2 * groups * d, groups)
    return Shape(
        layers, width, heads, d, hidden, shared, expert, experts, chosen, embedding, width_kept, kept
    )  # fmt: skip


#: total and active parameters of models whose columns say nothing of mixed layers or of a shared expert, as published
_PUBLISHED = {r"nemotron.3.super": (120.67e9, 12.77e9), r"llama-?4.scout": (108.6e9, 17.2e9)}

#: columns that tell a model's architecture from all others
_ALIKE = ("hidden_size", "n_layers", "n_heads", "ffn_hidden", "n_experts", "top_k")


@lru_cache(maxsize=1)
def _shipped_like() -> dict[tuple[str, ...], str]:
    found = {name: _configuration(name) for name in shipped()}
    return {
        tuple(stated.get(column, "") for column in _ALIKE): name
        for name, stated in found.items()
        if "n_experts" in stated
    }


@lru_cache(maxsize=1024)
def _shape_of(name: str, length: int) -> Shape:
    return shape_of(_cost(name), length)


@lru_cache(maxsize=64)
def _cost(name: str) -> ModelCost:
    return model_cost(load_model(name))


def shape_of(cost: ModelCost, length: int = 4096) -> Shape:
    """Return the counts of a model that the classes of whole models know: an embedding that is not tied counts once.

    What is cached of a token is the mean over `length` of them: windows and states keep less of long texts.

    >>> from attometer.count.model_cost import model_cost
    >>> from attometer.models import model
    >>> shape_of(model_cost(model("llama-3.1-8b"))).total == 8030261248 - 128256 * 4096
    True
    """
    table = cost.embedding.parameters
    untied = table if cost.head.parameters >= table else 0
    routed = [(times, p) for times, p in cost.parts() if p.part.routed is not None]
    first = routed[0][1].part.routed if routed else None
    experts, chosen = (0, 0) if first is None else (first.num_experts, first.top_k)
    expert = sum(times * p.weights for times, p in routed) / max(1, experts)
    shared = cost.parameters - untied - table - expert * experts
    heads = [(times, *_heads(p)) for times, p in cost.parts() if p.kind == "attention" and p.runs]
    layers = sum(times for times, _, _ in heads) or 1
    many = sum(times * h for times, h, _ in heads) / cost.model.depth
    wide = sum(times * d for times, _, d in heads) / layers
    inner = [int(t.extents[-1]) for _, p in cost.parts() if p.name in ("up", "experts up") for t in p.program.weights]
    width = cost.model.width
    kept = float(evaluate(cost.cache.kv, {"m": length})) / length / cost.model.depth
    return Shape(
        float(cost.model.depth), float(width), many, wide, float(min(inner, default=4 * width)), float(shared), expert,
        float(experts), float(chosen), float(table), kept, 1.0,
    )  # fmt: skip


def _heads(part: PartCost) -> tuple[float, float]:
    """Return the heads of attention and the mean width of its keys and values."""
    (out,) = part.program.outputs
    found = dict(zip(out.indices, out.extents, strict=True))
    queries = [int(t.extents[-1]) for t in part.program.inputs if {"h", "i"} <= set(t.indices) and "j" not in t.indices]
    return float(found.get("h", 1)), (sum(queries) + float(out.extents[-1])) / 2


def _weight_bits(row: Row) -> float:
    text = (row.text("dtype_weights") or row.text("dtype") or _stored_as(row)).lower()
    stated = re.search(r"([\d.]+) ?bpw", text)
    if stated:
        return float(stated[1])
    quantised = re.search(r"\bq(\d)(_[k01])?", text)
    if quantised:
        return float(quantised[1]) + (0.85 if quantised[2] == "_k" else 0.5)
    bits = precision(text)[1]
    return bits + 0.25 if bits == 4 else float(bits)


def _stored_as(row: Row) -> str:
    """Return the type that a row without one names in its path or model, or that its checkpoint is published in."""
    named = re.search(r"fp8|fp4|bf16|minimax-m2", f"{row.text('path')} {row.text('model')}".lower())
    return "" if named is None else "fp8" if named[0] == "minimax-m2" else named[0]


def _rate(row: Row) -> str:
    # weights alone in few bits leave the products in 16
    weights, activations = row.text("dtype_weights").lower(), (row.text("dtype") or _stored_as(row)).lower()
    alone = re.search(r"awq|gptq|weight-only|wo\b|bpw|q\d|int4|nf4|exl2|w4a16", weights)
    name = "bf16" if alone else precision(weights if "=" in weights and "nan" not in weights else activations)[2]
    return precision(weights)[2] if weights.startswith("fp8") and not alone else name


@dataclass(frozen=True)
class Placement:
    """How a model lies on devices: tensor shards, stages, ranks of experts, replicas of attention."""

    tensor: float
    stages: float
    ranks: float
    replicas: float
    apart: bool  # prefill runs on other devices than decode


def placement(row: Row, devices: float, decodes: bool) -> Placement:
    """Return the placement that the row's `parallelism` states; without one, tensor shards over all devices."""
    text = row.text("parallelism")
    letters = re.fullmatch(r"(tp|tep|dep)(\d+)", text)  # attention over tensor shards or replicas, experts over ranks
    if letters:
        tensor, replicas = (1.0, float(letters[2])) if letters[1] == "dep" else (float(letters[2]), 1.0)
        return Placement(tensor, 1.0, float(letters[2]), replicas, False)
    if "layer split" in text:
        return Placement(1.0, devices, 1.0, 1.0, False)
    if "disagg" in text:
        part = text.split("decode:")[-1] if decodes else text.split("decode:")[0]
        found = dict(re.findall(r"(tp|dp|ep)=(\d+)", part))
        tensor, replicas, ranks = (max(1.0, float(found.get(name, 1))) for name in ("tp", "dp", "ep"))
        return Placement(tensor, 1.0, max(ranks, tensor * replicas), replicas, True)
    stages = max(1.0, row.number("pp", 1.0))
    tensor = row.number("tp", 0.0) if re.search(r"\btp=\d", text) else devices / stages
    tensor, replicas = max(1.0, min(tensor, devices)), max(1.0, row.number("attn_dp", 1.0))
    ranks = max(1.0, row.number("moe_tp", 1.0)) * max(1.0, row.number("moe_ep", 1.0))
    if "attn_dp" in row.extra and not row.extra["attn_dp"]:
        replicas = max(1.0, ranks / tensor)  # experts lie on all devices: what shards of tensors leave are replicas
    elif ranks > 1 and _is_squared(row, tensor * replicas, ranks):
        ranks = ranks**0.5
        tensor, replicas = (1.0, ranks) if replicas > 1 else (ranks, 1.0)
    return Placement(tensor, stages, max(ranks, tensor * replicas), replicas, False)


def _is_squared(row: Row, attention: float, experts: float) -> bool:
    """Say whether a row states devices twice: tp and ep each count all of them, and their product was taken for the number."""
    twice = row.number("moe_tp") == row.number("moe_ep") or row.number("tp") == row.number("attn_dp")
    return twice and attention == experts and (experts**0.5).is_integer()


def together(row: Row, on: Placement) -> float:
    """Return how many sequences one engine decodes together: rows of replicas of attention state those of one replica."""
    batch = row.number("batch", row.number("concurrency", 0.0))
    if on.apart:
        return batch * on.replicas
    return row.number("concurrency", batch * on.replicas) if row.number("attn_dp", 1.0) > 1 else batch


def inference(row: Row, where: Machine) -> Counted:
    """Prefill, decode, first token, time per token or throughput of a model on devices with tp, pp and ep."""
    model, devices = shape(row), max(1.0, row.number("n_devices", 1.0))
    on = placement(row, devices, row.text("metric").startswith("tpot"))
    batch = together(row, on)
    prompt = row.number("input_len", row.number("seq_len", 0.0))
    output = row.number("output_len", 0.0)
    rate, bits = _rate(row), _weight_bits(row)
    stored = row.number("weights_gib", 0.0) * 2**30 or model.total * bits / 8
    if where.vendor == "Apple" and stored > _METAL * _memory(where, row) * devices:
        raise Unpriced("excluded: weights exceed what Metal lets a GPU keep, so that they are swapped")
    kind, prefills, steps, per, waiting, seconds = _meaning(row, batch, prompt, output)
    if kind == "model_serving" and not batch:
        batch = _largest_batch(where, model, devices, stored, prompt + output, _cache_bytes(row))
        prefills, per = batch / output if output else 0.0, batch
    if kind == "model_load":
        prefills = 0.0 if on.apart else prefills / on.replicas
    length = prompt + output / 2 if steps else prompt
    x = {
        "prefills": prefills, "steps": steps, "per": per, "waiting": waiting, "layers": model.layers,
        "hidden": model.width, "tensor": on.tensor, "stages": on.stages, "routed": float(model.experts > 0),
        "bus": devices if "row split" in row.text("parallelism") else 1.0, "replicas": on.replicas, "ranks": on.ranks,
        # what does not fit swaps: the share of memory that weights take
        "fill": stored / (_memory(where, row) * on.tensor * on.stages * on.replicas),
        "prompt_length": max(prompt, 1.0), "length": max(length, 1.0), "bits": bits,
        **_work(row, model, on, kind, max(batch, 1.0), prompt, length, stored), **figures(where, rate),
    }  # fmt: skip
    weights = f"{bits:.0f}bit" if kind in ("model_decode", "model_prefill") else rate
    # layers split over devices run as on one of them; attention on every rank is another way to serve
    spread = "tensor" if on.tensor > 1 else "data" if on.replicas > 1 else ""
    spread = "row" if "row split" in row.text("parallelism") else "apart" if on.apart else spread
    family = "|".join((_named_engine(row), row.text("mode") if kind == "model_encoder" else "", weights, spread))
    return Counted(kind, x, seconds, family, f"{row.text('model')}:{row.text('parallelism')}:{bits:.0f}")


def _work(
    row: Row, model: Shape, on: Placement, kind: str, batch: float, prompt: float, length: float, stored: float
) -> dict[str, float]:
    """Return products and bytes of one device: of a prefill, and of a step."""
    together = batch if kind in ("model_prefill", "model_encoder", "model_decode") else 1.0
    # llama.cpp runs a prompt in pieces of 512, which its pipeline overlaps
    pieces = max(1.0, prompt // 512) if "llama.cpp" in row.text("engine") and kind == "model_prefill" else 1.0
    tokens, each = together * prompt / pieces, stored / model.total
    half = 0.5 if row.text("causal") != "0" else 1.0
    own = model.shared / on.tensor
    routed = model.expert * model.chosen / on.ranks
    cache = model.cache_width * model.layers * _cache_bytes(row) / min(on.tensor, model.groups)
    return {
        "batch": batch,
        "prefills_in_turn": (pieces + on.stages - 1) / on.stages if pieces > 1 else 1.0,
        "prefill_tokens": max(1.0, tokens),
        "prefill_flops": 2 * tokens * (own + routed * on.replicas),
        "prefill_scores": 4 * tokens * prompt * model.heads * model.head_dim * model.layers * half / on.tensor,
        "prefill_weights": each * model.read_per_device(tokens * on.replicas, on.tensor, on.ranks),
        "step_weights": each * model.read_per_device(batch, on.tensor, on.ranks),
        "step_flops": 2 * batch * ((own + model.embedding / on.tensor) / on.replicas + routed),
        "step_cache": batch / on.replicas * length * cache,
    }


_METAL = 0.75  # share of unified memory that Metal recommends as a GPU's working set


def _memory(where: Machine, row: Row | None = None) -> float:
    # one Apple chip is sold with several sizes of memory; rows state theirs in the name of their log
    stated = re.search(r"_(\d+)GB", row.text("extra")) if row and where.vendor == "Apple" else None
    if stated:
        return float(stated[1]) * 1e9
    return float(where.memory_bytes) if where.memory.capacity else 1e12


def _cache_bytes(row: Row) -> float:
    return 1.0 if row.text("dtype_kv") and precision(row.text("dtype_kv"))[0] == 8 else 2.0


def _named_engine(row: Row) -> str:
    """Return the engine; of serving engines only the name, since their rows carry every version."""
    source, engine = row.text("source_id"), row.text("engine").lower()
    if source.startswith(("aic_silicon", "inferencex")):
        return engine.split()[0]
    if source.startswith(("mlperf", "tensorrt_llm_perf")):
        return "mlperf" if source.startswith("mlperf") else "tensorrt-llm"
    section = re.search(r"section=.*?(FP16|INT8|FP32|TF32)", row.text("extra"))
    return _engine(row) + (section[1] if section else "")


def _meaning(row: Row, batch: float, prompt: float, output: float) -> tuple[str, float, float, float, float, float]:
    """Return class, prefills, steps, divisor, others that wait, and seconds that the value stands for."""
    metric, mode, value = row.text("metric"), row.text("mode"), row.value
    many = max(batch, 1.0)
    if row.text("arch_kind") == "encoder" or metric in ("sequences_per_s", "samples_per_s"):
        if not batch:
            raise Incomplete("batch")
        devices = max(1.0, row.number("n_devices", 1.0))
        return "model_encoder", 1.0, 0.0, 1.0, 0.0, value if metric == "latency" else many * devices / value
    if metric in ("ttft", "ttft_median"):
        return "model_first", 1.0, 1.0, 1.0, many - 1, value
    if metric in ("tpot", "tpot_median"):
        if not output:
            raise Incomplete("output_len")
        return "model_load", many / output, 1.0, 1.0, 0.0, value
    if metric in ("prefill_latency", "latency"):
        return "model_prefill", 1.0, 0.0, 1.0, 0.0, value
    if metric == "prefill_tokens_per_s":
        return "model_prefill", 1.0, 0.0, 1.0, 0.0, many * (prompt or _lacking("input_len")) / value
    if metric == "decode_step_latency":
        return "model_decode", 0.0, 1.0, 1.0, 0.0, value
    if metric == "decode_tokens_per_s":
        return "model_decode", 0.0, 1.0, 1.0, 0.0, many / value
    if metric == "e2e_latency":
        return "model_decode", 1.0, output or _lacking("output_len"), output, 0.0, value / output
    if metric == "generation_speed":
        counted = prompt + output if "prompt+generated" in row.text("extra") else output
        return "model_decode", 1.0, output, output, 0.0, counted / value / output
    if metric == "output_throughput":
        prefills = many / output if output else 0.0
        return "model_serving", prefills, 1.0, many, 0.0, 1.0 / value
    raise Unpriced(f"no class prices {metric} of {mode}")


def _lacking(column: str) -> float:
    raise Incomplete(column)


def _largest_batch(
    where: Machine, model: Shape, devices: float, stored: float, length: float, cache_bytes: float
) -> float:
    # engines keep about 0.92 of the memory, which is counted in GiB
    room = 0.92 * _memory(where) / 1e9 * 2**30 * devices - stored
    each = max(length, 1.0) * model.cache_width * model.layers * cache_bytes
    return float(min(max(room / each, 1.0), 1024.0))


def training(row: Row, where: Machine) -> Counted:
    """A training step over data, tensor, pipeline, context and expert parallel devices."""
    model, devices = shape(row), row.number("n_devices")
    text = f"{row.text('parallelism')};{row.text('extra')}".lower()
    degree = {name: max(1.0, _degree(text, name)) for name in ("tp", "pp", "cp", "ep", "vp")}
    replicas = max(1.0, devices / (degree["tp"] * degree["pp"] * degree["cp"]))
    micro = row.number("micro_batch", row.number("batch", 0.0)) or 1.0
    whole = row.number("global_batch", micro * replicas)
    length = row.number("seq_len")
    adapters = row.text("mode") == "train_lora"  # frozen weights need no gradients of their own
    recompute = {"full": 4.0, "selective": 3.15}.get(row.text("recompute").split(" ")[0], 3.0) - adapters
    rate = precision(row.text("dtype"))[2]
    if rate == "fp32" and "nvidia" in row.text("engine").lower() and where.peak.tf32 is not None:
        rate = "tf32"  # NVIDIA's containers let it stand for FP32
    causal = 1.0 if row.text("causal") == "0" else 0.5
    sharded = bool(re.search(r"fsdp(?!=0)|zero=3", text))
    x = training_counts(
        model, degree, replicas, micro=micro, whole=whole, length=length, recompute=recompute, adapters=adapters,
        causal=causal, sharded=sharded, gradient=4.0 if rate in ("fp32", "tf32") else 2.0,
        nodes=row.number("machines", max(1.0, devices / 8)),
    ) | {"devices": devices} | figures(where, rate)  # fmt: skip
    metric = row.text("metric")
    # sources count 6 per parameter (4 for adapters) and scores in full, NeMo as far as the mask lets them be
    full = 6.0 if "nemo" in row.text("engine").lower() and metric != "mfu" else 12.0
    per = 4 / 6 if adapters else 1.0
    conventional = per * (6 * model.active + full * model.layers * model.heads * model.head_dim * length)
    if metric in ("hfu", "hardware_tflops_per_gpu"):
        conventional *= recompute / 3
    seconds = _step_seconds(row, whole, length, devices, conventional, x["peak"])
    # two sources count FLOPs as here (their rates and times agree to 2 %); the rates of others stand for themselves
    counted = row.text("source_id").startswith(("llm_foundry", "bigscience")) or metric not in _RATES
    own = "" if counted else "flops"
    family = "|".join(
        (_framework(row), rate, "moe" if model.experts else "", "adapters" if adapters else "", own, _generation(row))
    )
    return Counted("training", x, seconds, family, f"{row.text('model')}:{row.text('parallelism')}")


def training_counts(
    model: Shape,
    degree: dict[str, float],
    replicas: float,
    *,
    micro: float,
    whole: float,
    length: float,
    recompute: float,
    adapters: bool,
    causal: float,
    sharded: bool,
    gradient: float,
    nodes: float,
) -> dict[str, float]:
    """Return the counts of a step on one device: `whole` sequences of `length`, `micro` at once on each replica.

    `recompute` are forward passes' worth of products (3 with backward, 4 with the layers computed again); `degree` has tp,
    pp, cp, ep and vp (pieces of layers of a stage); `sharded` parameters are gathered for each use, and their gradients have
    `gradient` bytes.
    """
    micro = min(micro, max(1.0, whole / replicas))
    rounds = max(1.0, whole / replicas / micro)
    share = degree["tp"] * degree["pp"] * degree["cp"]
    tokens = micro * length / degree["cp"]
    products = 2 * tokens * rounds / (degree["tp"] * degree["pp"])
    scores = causal * 4 * length * tokens * model.heads * model.head_dim * model.layers * rounds
    stored = model.total / (degree["tp"] * degree["pp"])
    # with stages or ranks of experts, frameworks split the optimizer's state over the replicas
    apart = sharded or degree["pp"] * degree["ep"] > 1
    # experts lie on the ranks of expert parallelism, whose gradients meet in fewer replicas
    held = model.read_per_device(1e9, degree["tp"], max(degree["ep"], degree["tp"])) / degree["pp"]
    each = rounds * tokens * model.layers / degree["pp"] * model.width / degree["tp"]
    return {
        "flops": recompute * products * (model.shared + model.embedding),
        "routed_flops": recompute * products * model.expert * model.chosen,
        "head": 6 * model.embedding * tokens * rounds / (degree["tp"] * degree["pp"]),
        "scores": (recompute + 0.5) * scores / (degree["tp"] * degree["pp"]),
        "pointwise": 60 * each,
        "tensor_bytes": 16 * (degree["tp"] - 1) * each,
        "expert_bytes": 8 * model.chosen * (degree["ep"] - 1) / degree["ep"] * each,
        "gather_bytes": rounds * 4 * held * sharded * (replicas > 1),
        "gradient_bytes": 2 * gradient * held * (replicas - 1) / replicas * (not adapters),
        "optimizer_bytes": 24 * stored / (replicas if apart else 1.0) * (not adapters),
        "launches": rounds * model.layers / degree["pp"],
        # replicas on other machines are reached over a network, which no row states
        "nodes": nodes,
        "bubble": (degree["pp"] - 1) / (rounds * degree["vp"]),
        "shard": (model.width if model.experts else min(model.hidden, model.width)) / degree["tp"], "tokens": tokens,
        "hidden": model.hidden, "each": tokens * degree["ep"] * model.chosen / max(model.experts, 1.0),
        "local": rounds * model.layers / degree["pp"] * model.experts / degree["ep"],
        "length": length, "replicas": replicas, "rounds": rounds, "split": share, "experts": model.experts,
    }  # fmt: skip


_RATES = ("mfu", "hfu", "model_tflops_per_gpu", "hardware_tflops_per_gpu")


def _framework(row: Row) -> str:
    engine = row.text("engine").lower()
    found = re.search(r"mlperf", engine)
    return found[0] if found else re.sub(r"[ \d.]+$", "", _engine(row))


def _generation(row: Row) -> str:
    """Return the half-year of a stated release: what a framework brings in it holds for the releases around it."""
    found = re.match(r"(\d\d)\.(\d\d)", row.extra.get("release", ""))
    return f"{found[1]}.{1 if int(found[2]) < 6 else 2}" if found else ""


def _degree(text: str, name: str) -> float:
    found = re.search(rf"(?<![a-z_]){name}=?(\d+)", text)
    return float(found[1]) if found else 1.0


def _step_seconds(row: Row, whole: float, length: float, devices: float, flops: float, peak: float) -> float:
    metric, value = row.text("metric"), row.value
    if metric == "step_time":
        return value
    tokens = whole * length
    done = {
        "train_tokens_per_s": tokens, "train_tokens_per_s_per_gpu": tokens / devices, "sequences_per_s": whole,
        "sequences_per_s_per_gpu": whole / devices, "samples_per_s": whole,
        "model_tflops_per_gpu": flops * tokens / devices, "hardware_tflops_per_gpu": flops * tokens / devices,
        "mfu": flops * tokens / devices / peak, "hfu": flops * tokens / devices / peak,
    }  # fmt: skip
    if metric not in done:
        raise Unpriced(f"no class prices {metric} of training")
    return done[metric] / value
