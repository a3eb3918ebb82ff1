"""How a measured row becomes counts: one short function per class, from the row's columns to named numbers.

Widths, heads and shapes are the row's; heads of profiled layers and MLA are per rank as stored. `Counted` names the
class, the counts (base units), the time the value stands for and the kernel family.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, gcd

import numpy as np

from attometer.machine import Machine
from attometer.price.figures import figures, precision, shots
from attometer.price.kernels import ROWS, Array
from attometer.price.rows import Row, Unpriced


@dataclass(frozen=True)
class Counted:
    """A row as counts: its class, counts by name, seconds measured, family, and its geometry (for blocks)."""

    kind: str
    x: dict[str, float]
    seconds: float
    family: str
    geometry: str


def _engine(row: Row) -> str:
    """Return the engine without its patch version, as in `vllm 0.24 triton`."""
    return re.sub(r"(\d+\.\d+)[\w.+]*", r"\1", row.text("engine").lower()).strip()


def _family(row: Row, *more: str) -> str:
    return "|".join([_engine(row), *more])


def _tensor(row: Row) -> float:
    return max(1.0, row.number("tp_shard", row.number("tp", 1.0)))


def _seconds(row: Row, flops: float = 0.0, moved: float = 0.0) -> float:
    metric, value = row.text("metric"), row.value
    if metric == "achieved_tflops":
        return flops / value
    return moved / value if metric == "achieved_bandwidth" else value


def gemm(row: Row, where: Machine) -> Counted:
    """A matrix product m×k by k×n; of groups, when the row states some (they become MoE)."""
    extra = row.extra
    m, n, k = (row.number(name) for name in "mnk") if "n" in extra else _layer_product(row)
    left, right, rate = precision(row.text("dtype"))
    dtype = row.text("dtype")
    machine = figures(where, rate)
    flops, moved = 2 * m * n * k, (m * k * left + k * n * right) / 8 + 2 * m * n
    x = {"m": m, "n": n, "k": k, "left_bytes": left / 8, "right_bytes": right / 8, "out_bytes": 2.0, **machine}
    seconds = _seconds(row, flops, moved)
    variant = re.sub(r"_(tuned|untuned).*|^.*configs/", "", row.text("path").split("/")[-1])
    variant = "-".join(re.findall(r"blockscale|bpreshuffle|batched", variant))
    op = extra.get("op", "")
    if row.text("source_id").startswith("this_"):
        own = own_product(m, extra.get("gradient", ""))
        x |= by_columns(x, dtype, own, where)
        return Counted(*on_machine("gemm", x, (left / 8,), where), seconds, _family(row, dtype, own), f"{n:g}x{k:g}")
    family = _family(row, dtype, variant or ("layer" if op else ""))
    if row.number("groups", 1) > 1:
        groups = row.number("groups")
        x = moe_counts(m, 1.0, groups, groups, "balanced") | machine
        x |= {"hidden": n, "width": k, "matrices": 1.0, "weight_bytes": right / 8, "left_bytes": left / 8}
        return Counted("moe", x, seconds, family, f"{n:g}x{k:g}")
    return Counted("gemm", x, seconds, family, f"{n:g}x{k:g}")


def own_product(m: float, gradient: str = "") -> str:
    """Return the variant of a product on the calibrated machine: those of gradients, and of few rows, run kernels of their own."""
    return gradient or ("few" if m <= _FEW_ROWS else "")


_CPU = {"gemm": "cpu_gemm", "operation": "cpu_operation", "prefill": "cpu_attention", "backward": "cpu_attention"}
_FEW_ROWS = 3  # rows up to which weights are multiplied where they lie, not packed first
_FRESH = 32 << 20  # bytes from which glibc asks the system for the pages of each result anew (M_MMAP_THRESHOLD's most)
_LINE, _PAGE = 64, 4096  # bytes: what a cache reads at once, and the distance at which lines contend for its places


def on_machine(
    kind: str, x: dict[str, float], words: tuple[float, ...], where: Machine
) -> tuple[str, dict[str, float]]:
    """Return the class and the counts of a call on the calibrated machine, which makes a result of each of `words` bytes.

    On a CPU products, attention and operations have classes of their own, and large results new pages: `fresh` is the
    seconds in which the system hands them out.
    """
    if where.kind != "cpu" or kind not in _CPU:
        return kind, x
    entries = x["m"] * x["n"] if kind == "gemm" else x["rows"] * x["width"] if kind == "operation" else 0.0
    pages = where.memory.fresh
    made = sum(entries * word for word in words if entries * word >= _FRESH)
    found = x | {"fresh": made / float(pages.amount) if pages is not None else 0.0}
    return _CPU[kind], found


def by_columns(x: dict[str, float], dtype: str, gradient: str, where: Machine) -> dict[str, float]:
    """Return the bytes of cache, and those of pages, that one column of a product's right operand fills; 0 where rows are read.

    Libraries pack an operand first. A type that a processor multiplies slower than FP32 has no kernel that does, and gradients
    of inputs then walk down columns (aten/native/CPUBlas.cpp): each entry has a line, and where rows lie so that their lines
    contend for places as much as a whole row's.
    """
    own, wide = getattr(where.peak, dtype), where.peak.fp32
    if gradient != "inputs" or own is None or wide is None or own.amount >= wide.amount:
        return {"crowded": 0.0, "spanned": 0.0}
    row = x["n"] * x["right_bytes"]
    return {"crowded": x["k"] * max(_LINE, gcd(int(row), _PAGE)), "spanned": x["k"] * min(row, _PAGE)}


def own_words(op: str, size: float, back: bool = False) -> tuple[float, ...]:
    """Return the bytes of a word of each tensor that an operation makes, in elements of `size` bytes.

    Losses and optimizers work in 32 bits and copy narrower words first. Forward a loss makes its logarithms; `back`, two
    gradients of them; AdamW makes the root of the second moment and a quotient of it (aten, `torch/optim/adamw.py`).
    """
    widened = (4.0,) if size < 4 else ()
    if op == "optimizer":
        return (4.0, 4.0, *widened)
    if op == "loss":
        return (4.0, 4.0, *((size,) if widened else ())) if back else (4.0, *widened)
    return (size,)


def _layer_product(row: Row) -> tuple[float, float, float]:
    op, shards = row.option("op"), _tensor(row)
    tokens = row.number("tokens", row.number("sequences", 1.0))
    width = row.number("hidden_size")
    d = row.number("head_dim", 128.0)
    heads, groups = row.number("n_heads", 0.0), row.number("n_kv_heads", 0.0)
    kv = max(1.0, groups / shards) * d
    hidden = row.number("ffn_hidden", 0.0) / shards
    gated = 2.0 if row.extra.get("gated_mlp", "True") == "True" else 1.0
    shapes = {
        "attn_pre_proj": (heads * d / shards + 2 * kv, width),
        "qkv_proj": (heads * d / shards + 2 * kv, width),
        "q_proj": (heads * d / shards, width),
        "k_proj": (kv, width),
        "v_proj": (kv, width),
        "attn_post_proj": (width, heads * d / shards),
        "o_proj": (width, heads * d / shards),
        "mlp_up_proj": (hidden * gated, width),
        "gate_up_proj": (hidden * 2, width),
        "gate_proj": (hidden, width),
        "up_proj": (hidden, width),
        "expert.w1": (hidden, width),
        "expert.w3": (hidden, width),
        "mlp_down_proj": (width, hidden),
        "down_proj": (width, hidden),
        "expert.w2": (width, hidden),
        "gate": (row.number("n_experts", 8.0), width),
        "lm_head": (row.number("vocab", 0.0) / shards, width),
    }
    n, k = shapes[op]
    if not n or not k:
        raise Unpriced(f"incomplete: {op} without its widths")
    return tokens, n, k


#: operations of a layer that are matrix products
PRODUCTS = (
    *("attn_pre_proj", "qkv_proj", "q_proj", "k_proj", "v_proj", "attn_post_proj", "o_proj", "mlp_up_proj", "gate"),
    *("gate_up_proj", "gate_proj", "up_proj", "expert.w1", "expert.w3", "mlp_down_proj", "down_proj", "expert.w2"),
    "lm_head",
)


def attention(row: Row, where: Machine) -> Counted:
    """Attention over many queries: prefill, encoder, backward, or MLA prefill."""
    activations, _, rate = precision(row.text("dtype") or "bf16")
    cache_bits = precision(row.text("dtype_kv"))[0] if row.text("dtype_kv") else activations
    source, mode = row.text("source_id"), row.text("mode")
    s, keys = row.number("seq_len"), row.number("kv_len", row.number("seq_len"))
    if "prefill_chunk" in row.extra:
        keys = row.number("kv_prefill") + s
    elif source.startswith("llmservingsim") or keys < s:
        keys += s
    b, h, g = row.number("batch"), row.number("n_heads"), row.number("n_kv_heads", row.number("n_heads"))
    d = row.number("head_dim")
    e = row.number("head_dim_v", d)
    ranks = max(1.0, row.number("cp", 1.0))
    causal, window = row.number("causal", 0.0), row.number("window", 0.0)
    pairs = s * keys if not causal else s * (keys - s) + s * (s + 1) / 2
    nominal = 2 * b * h * (d + e) * (s * keys * (0.5 if causal else 1.0))
    if window and causal:
        nominal = 2 * b * h * (d + e) * (min(window, s) * s - min(window, s) ** 2 / 2)
    passes = {"kernel_bwd": 2.5, "kernel_fwd_bwd": 3.5}.get(mode, 1.0)
    kind = "backward" if passes > 1 else "encoder" if source.startswith("aic_encoder") else "prefill"
    if row.text("arch_kind") == "mla-kernel":
        kind = "mla_prefill"
    if source.startswith("this_"):
        keys, causal = (keys_on_cpu(s, keys), 0.0) if causal and where.kind == "cpu" else (keys, causal)
    bias = 2.0 * ("bias=" in row.text("extra")) + 1.0 * ("mask." in row.text("extra"))
    x = {
        "queries": s, "keys": keys, "batch": b / ranks, "heads": h, "groups": g, "width": d, "value_width": e,
        "causal": causal, "window": window if window < keys else 0.0, "passes": passes, "bytes": activations / 8,
        "cache_bytes": cache_bits / 8, "append": float(source.startswith(("aic_attention", "aic_mla"))),
        "pair_bytes": bias, "ideal_pairs": pairs, **figures(where, rate),
    }  # fmt: skip
    family = _family(row, row.text("dtype"), row.text("dtype_kv"), mode if kind == "backward" else "")
    if source.startswith("this_"):
        kind, x = on_machine(kind, x, (), where)
    return Counted(kind, x, _seconds(row, nominal * passes), family, f"{h:g}:{g:g}:{d:g}")


_KEYS = 512  # keys that PyTorch's attention on a CPU reads at once (aten/native/cpu/FlashAttentionKernel.cpp)


def keys_on_cpu(queries: float, keys: float) -> float:
    """Return the mean keys that a causal query computes on a CPU: whole blocks of keys, up to the end of its block of queries.

    >>> keys_on_cpu(512, 512), keys_on_cpu(1024, 1024)
    (512.0, 768.0)
    """
    block = 256 if queries >= 768 else 64 if queries >= 192 else 32
    starts = range(0, int(queries), block)
    ends = [min(start + block, queries) for start in starts]
    seen = [min(keys, _KEYS * -(-min(keys, end + keys - queries) // _KEYS)) for end in ends]
    return float(sum((e - s) * n for s, e, n in zip(starts, ends, seen, strict=True)) / queries)


def decode(row: Row, where: Machine) -> Counted:
    """One query per sequence against a cache; MLA reads one packed stream of 576 for 64 heads."""
    _, _, rate = precision(row.text("dtype") or "bf16")
    cache_bits = precision(row.text("dtype_kv") or row.text("dtype") or "bf16")[0]
    h, g, d = row.number("n_heads"), row.number("n_kv_heads", row.number("n_heads")), row.number("head_dim")
    e = row.number("head_dim_v", d)
    mla = row.text("arch_kind") == "mla-kernel"
    x = decode_counts(row.number("batch"), row.number("kv_len"), h, g, d, e, cache_bits, mla) | figures(where, rate)
    x["window"] = row.number("window", 0.0)
    kind = "mla_decode" if mla else "decode"
    return Counted(kind, x, _seconds(row), _family(row, row.text("dtype"), row.text("dtype_kv")), f"{h:g}:{g:g}:{d:g}")


def decode_counts(
    batch: float, keys: float, heads: float, groups: float, d: float, e: float, cache_bits: float, latent: bool = False
) -> dict[str, float]:
    """Return the counts of one query per sequence; `latent` keys hold the values too, as MLA's do."""
    packed = ceil(heads / groups / 64)
    return {
        "batch": batch, "keys": keys, "window": 0.0, "streams": groups * packed,
        "key_bytes": (d if latent else d + e) * cache_bits / 8,
        "key_flops": 2 * (d + e) * max(heads / groups / packed, 16.0), "out_bytes": 8 * e * heads / groups / packed,
        "heads": heads, "group": heads / groups, "width": d,
    }  # fmt: skip


def mixed(row: Row, where: Machine) -> Counted:
    """A chunk of prefill and several decoding sequences in one call."""
    activations, _, rate = precision(row.text("dtype"))
    x = {
        "queries": row.number("prefill_chunk"), "before": row.number("kv_prefill"),
        "sequences": row.number("n_decode"), "keys": row.number("kv_decode"), "heads": row.number("n_heads"),
        "groups": row.number("n_kv_heads"), "width": row.number("head_dim"), "bytes": activations / 8,
        **figures(where, rate),
    }  # fmt: skip
    return Counted("mixed", x, _seconds(row), _family(row, row.text("dtype")), row.text("model") + row.text("n_heads"))


def moe(row: Row, where: Machine) -> Counted:
    """The experts of one rank's shard for a batch of tokens."""
    activations, weights, rate = precision(row.text("dtype"))
    experts, chosen = row.number("n_experts"), row.number("top_k")
    shards, spread = row.number("moe_tp", _tensor(row)), row.number("moe_ep", 1.0)
    local = max(1.0, experts / spread)
    if "activated_experts" in row.extra:
        experts = local = row.number("activated_experts")
        chosen = min(chosen, experts)
    tokens = row.number("tokens", row.number("batch"))
    x = moe_counts(tokens, chosen, experts, local, row.extra.get("distribution", "")) | {
        "hidden": row.number("ffn_hidden") / shards, "width": row.number("hidden_size"),
        "matrices": 2.0 if "nongated" in row.text("engine") else 3.0, "weight_bytes": weights / 8,
        "left_bytes": activations / 8, **figures(where, rate),
    }  # fmt: skip
    geometry = f"{row.text('hidden_size')}:{row.text('ffn_hidden')}:{row.number('n_experts'):g}:{row.text('top_k')}"
    return Counted("moe", x, _seconds(row), _family(row, row.text("dtype")), geometry)


def moe_counts(tokens: float, chosen: float, experts: float, local: float, law: str = "") -> dict[str, float]:
    """Return what the busiest rank, with `local` of the experts, does for `tokens` that choose `chosen` experts each.

    `law` says how tokens fall on experts: evenly (`balanced`), by a power law as profilers draw it (`power_law_1.2`: shares
    between 1 and 0.8 of the tokens), by an unknown preference (`unknown`: an expert's chance p is Beta(1, E/k - 1), whose mean
    is k/E, so that T tokens leave it out with chance (E/k - 1)/(E/k - 1 + T)), or else drawn evenly and independently.

    >>> moe_counts(4, 2, 8, 8, "balanced")["touched"], round(moe_counts(4, 2, 8, 8)["touched"], 2)
    (8.0, 5.47)
    >>> round(moe_counts(4, 2, 8, 8, "unknown")["touched"], 2), moe_counts(1, 2, 8, 8, "unknown")["touched"]
    (4.57, 2.0)
    """
    pairs = tokens * chosen
    if law.startswith("power_law"):
        loads = _power_law(tokens, pairs, int(experts), int(local), float(law.split("_")[-1]))
        touched, share = max(1.0, float(np.mean(np.sum(loads > 0, axis=1)))), 1 / len(loads)
    else:
        even = min(local, pairs * local / experts)
        missed = max(experts / chosen, 1.0) - 1
        drawn = local * (1 - (1 - min(chosen / experts, 1.0)) ** tokens)
        unknown = local * tokens / (tokens + missed)
        touched = float(max(1.0, {"balanced": even, "unknown": unknown}.get(law, drawn)))
        loads, share = np.array([pairs * local / experts / touched]), touched
    found = {"tokens": tokens, "chosen": chosen, "experts": experts, "local": local, "touched": touched}
    found["pairs"] = share * float(np.sum(loads))
    return found | {f"tiles{rows}": share * float(np.sum(np.ceil(loads / rows))) for rows in ROWS}


def _power_law(tokens: float, pairs: float, experts: int, local: int, power: float) -> Array:
    """Return the tokens of each expert of the busiest rank, shape (draws, local): shares even in the law's quantiles."""
    low, high = (1.0, 0.8 * tokens) if pairs > experts else (0.01, 2.0)
    ends = [end ** (1 - power) for end in (low, high)]
    share = (ends[0] + (ends[1] - ends[0]) * (np.arange(experts) + 0.5) / experts) ** (1 / (1 - power))
    loads = np.round(share / share.sum() * pairs)
    missing = int(pairs - loads.sum())
    loads[np.argsort(-loads)[: abs(missing)]] += np.sign(missing)
    loads = np.clip(loads, 0, tokens)
    if local >= experts:
        return np.stack([loads])
    random = np.random.default_rng(0)
    ranks = np.stack([random.permutation(loads)[: experts // local * local].reshape(-1, local) for _ in range(8)])
    busiest: Array = np.take_along_axis(ranks, ranks.sum(2).argmax(1)[:, None, None], 1)[:, 0]
    return busiest


def collective(row: Row, where: Machine) -> Counted:
    """A collective over devices; sizes are elements of two bytes, or bytes for int8."""
    op, n = row.option("op"), row.number("n_devices")
    size = row.number("message_elems_or_bytes", row.number("size", 0.0))
    size *= 1.0 if "int8" in row.text("dtype") or row.text("source_id").startswith("vidur") else 2.0
    found = figures(where, "bf16")
    each = row.number("devices_per_node", n)
    path, rate = _path(row.text("path"), n, each, found["link"], where.architecture or "")
    family = _family(row, op, row.text("dtype"), path)
    x = collective_counts(op, size, n, each) | found | {"link": rate}
    # switches add floats alone
    x |= {"adds": found["adds"] * (path in ("", "switch")) * ("int8" not in row.text("dtype")), "shots": shots(family)}
    return Counted("collective", x, _seconds(row), family, f"{op}:{n:g}{path and f':{path}:{each:g}'}")


def collective_counts(op: str, size: float, devices: float, each: float) -> dict[str, float]:
    """Return the counts of a collective of `size` bytes over `devices`, of which `each` are in one node."""
    return {
        "bytes": size, "devices": devices, "rounds": 2.0 if op in ("all_reduce", "send_recv") else 1.0,
        "per_node": each, "spread": float(op in ("alltoall", "send_recv")),
        "reduces": float(op in ("all_reduce", "reduce_scatter")),
    }  # fmt: skip


#: bytes/s per direction and device, by architecture: PCIe 4.0 x16 and HDR with Ampere, PCIe 5.0 and NDR since
_BUS = {"Ampere": (32e9, 25e9), "Ada Lovelace": (32e9, 25e9)}
_BRIDGED = 64e9  # a card with less has its link on a bridge, which profiles of such machines do not show to be there
_HOST = 4e9  # copies from card to card through the host's memory
_NETWORK = 3.125e9  # 25 Gbit/s Ethernet between machines with pairs


def _path(profile: str, devices: float, each: float, link: float, architecture: str) -> tuple[str, float]:
    """Return what connects the devices of a network profile and its bytes/s: the path tells, the GPU's name does not."""
    pairs = "pairwise" in profile
    if not pairs and "_dgx" not in profile:
        return "", link
    if pairs and link < _BRIDGED and each == devices:
        return "host", _HOST
    bus, fabric = _BUS.get(architecture, (64e9, 50e9))
    if each < devices:
        return ("network", _NETWORK * each) if pairs else ("fabric", fabric * each)
    return ("bus", bus) if pairs and devices > 2 else ("bridge" if pairs else "switch", link)


#: operation → (bytes per token and element read and written, the width it runs over)
_OPERATIONS: dict[str, tuple[float, str]] = {
    "input_layernorm": (8, "hidden"), "post_layernorm": (8, "hidden"), "post_attention_layernorm": (8, "hidden"),
    "final_layernorm": (8, "hidden"), "layernorm": (8, "hidden"), "norm": (8, "hidden"), "embedding": (4, "hidden"),
    "attn_rope": (4, "heads"), "rotary_emb": (4, "heads"), "qk_norm": (4, "heads"), "mlp_act": (6, "ffn"),
    "act_fn": (6, "ffn"), "sampler": (6, "vocab"), "copy": (8, "hidden"),
    "loss": (8, "vocab"), "table": (4, "hidden"), "tied": (12, "hidden"), "optimizer": (32, "hidden"),
}  # fmt: skip


def step_bytes(op: str, width: float) -> float:
    """Return the bytes that an operation moves for one row of `width` elements."""
    return _OPERATIONS[op][0] * width


_FASTEST = 4  # times main memory's bandwidth: the fastest copy in a cache that was measured reaches 3.8


def operation(row: Row, where: Machine) -> Counted:
    """A norm, rotation, activation, look-up, sampling step or fused loss; a ragged product among them is grouped GEMM."""
    if row.text("arch_kind") == "gemm-kernel":
        return gemm(row, where)
    source, mode = row.text("source_id"), row.text("mode")
    _, _, rate = precision(row.text("dtype"))
    op = row.extra.get("op", row.extra.get("norm", row.text("arch_kind")))
    width, flops, nominal = row.number("hidden_size", 0.0), 0.0, 0.0
    if source.startswith("cudnn_norms"):
        rows = row.number("batch")
        moved = nominal = rows * width * (6 if mode == "kernel_bwd" else 4)
    elif source.startswith("tokamax"):
        rows, vocabulary = row.number("batch"), row.number("vocab")
        flops = 2 * rows * width * vocabulary * (2 if mode == "kernel_bwd" else 1)
        moved = 2 * (rows * width + width * vocabulary) + rows * vocabulary * 4
    else:
        shards, rows = _tensor(row), row.number("tokens", row.number("sequences", 0.0) or None)
        if op not in _OPERATIONS:
            raise Unpriced(f"no class prices the operation {op}")
        each, over = _OPERATIONS[op]
        each -= 2.0 * (op == "mlp_act" and row.extra.get("gated_mlp") == "False")  # one input, not two
        heads = (row.number("n_heads", 1) + row.number("n_kv_heads", 1)) * row.number("head_dim", 128)
        widths = {"hidden": row.number("hidden_size", 0.0), "heads": heads / shards}
        widths |= {"ffn": row.number("ffn_hidden", 0.0) / shards, "vocab": row.number("vocab", 0.0)}
        width = widths[over]
        moved = rows * each * width
    if not width:
        raise Unpriced(f"incomplete: {op} without its width")
    x = {"bytes": moved, "flops": flops, "rows": rows, "width": width, **figures(where, rate)}
    family = _family(row, op, row.text("dtype"), mode if mode == "kernel_bwd" else "")
    seconds = _seconds(row, flops, nominal)
    if moved / seconds > _FASTEST * x["bandwidth"] and where.id != "this":
        raise Unpriced("excluded: faster than any cache could move its bytes (the compiler removed the work)")
    words = own_words(op, precision(row.text("dtype"))[0] / 8, mode == "kernel_bwd")
    named = on_machine("operation", x, words, where) if source.startswith("this_") else ("operation", x)
    return Counted(*named, seconds, family, f"{row.text('model')}:{width:g}")


Reader = Callable[[Row, Machine], Counted]
