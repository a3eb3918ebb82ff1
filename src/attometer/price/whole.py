"""Whole models from counts: inference (prefill, steps, serving under load) and training steps.

Same contract as `kernels`: arrays of counts and coefficients in, seconds by term out. Counts are per device, so that
placement (tensor, pipeline, expert, data parallel) is in the counts. Sources of the forms: Pope et al., Efficiently
scaling transformer inference (2022); Narayanan et al., Efficient large-scale language model training (SC 2021) for
bubbles and traffic; Rajbhandari et al., ZeRO (SC 2020) for gathered parameters.
"""

import numpy as np

from attometer.price.kernels import Array, Counts, Terms, blend


def shared_traffic(x: Counts, c: Counts, tokens: Array) -> Array:
    """Return seconds of the two all-reduces of a layer over the tensor-parallel devices, for `tokens` rows."""
    many = x["tensor"] > 1
    moved = 2 * (x["tensor"] - 1) / x["tensor"] * tokens * x["hidden"] * 2 * x["bus"]
    time: Array = np.where(
        many, 2 * (c["hop"] * np.log2(np.maximum(x["tensor"], 2)) + moved / (x["link"] * c["link"])), 0
    )
    return time


def inference(x: Counts, c: Counts) -> Terms:
    """Prefills and decode steps of a model: each product or bytes, a cost per layer, traffic, and a cost per request."""
    gap = c["layer"] + x["routed"] * c["routed"]
    tokens = x["prefill_tokens"]
    dense = x["prefill_flops"] / (x["peak"] * c["compute"] * tokens / (tokens + c["half_tokens"]))
    scores = x["prefill_scores"] * x["narrow"] / (x["peak"] * c["scores"])
    read = x["prefill_weights"] / (x["bandwidth"] * c["memory"])
    network = x["layers"] * shared_traffic(x, c, tokens)
    prefill = blend(c["blend"], dense, read) + scores + network + x["layers"] * gap
    prefill = x["prefills_in_turn"] * prefill + c["prompt"]
    weights = x["step_weights"] / (x["bandwidth"] * c["memory"])
    products = x["step_flops"] / (x["peak"] * c["step_compute"])
    cache = x["step_cache"] / (x["bandwidth"] * c["cache"])
    between = x["layers"] * shared_traffic(x, c, x["batch"])
    overhead = x["layers"] * gap + c["step"] + x["batch"] * c["request"] + (x["stages"] - 1) * c["stage"]
    step = blend(c["blend"], weights, products) + cache + between + overhead
    prefills = x["prefills"] * (1 + c["waiting"] * x["waiting"])
    total = (prefills * prefill + x["steps"] * step) / x["per"]
    return {"total": total, "prefill": prefills * prefill / x["per"], "weights": x["steps"] * weights / x["per"],
            "products": x["steps"] * products / x["per"], "cache": x["steps"] * cache / x["per"],
            "network": x["steps"] * between / x["per"], "overhead": x["steps"] * overhead / x["per"]}  # fmt: skip


def passes(x: Counts, c: Counts) -> Terms:
    """A pass as the sum of its kernels, times a factor, and what lies between the kernels of a layer and around the pass."""
    kernels = x["kernels"] * c["kernels"]
    layers, around = x["layers"] * c["layer"], x["passes"] * c["step"]
    return {"total": kernels + layers + around, "kernels": kernels, "gaps": layers, "scheduling": around}


def training(x: Counts, c: Counts) -> Terms:
    """A step: products, scores, element-wise bytes and traffic of every microbatch, bubble, gradients, optimizer."""
    shard = x["shard"] / (x["shard"] + c["half_shard"])
    rows = x["tokens"] / (x["tokens"] + c["half_tokens"])
    # the head's products stay in 16 bits, as scores do
    products = (x["flops"] + (x["narrow"] - 1) * x["head"]) / (x["peak"] * c["compute"] * shard * rows)
    # each expert is a product of its own, as wide as it and of its tokens alone
    slim = x["hidden"] / (x["hidden"] + c["half_hidden"]) * x["each"] / (x["each"] + c["half_each"])
    routed = x["routed_flops"] / (x["peak"] * c["compute"] * np.maximum(slim, 1e-9)) + x["local"] * c["local"]
    scores = x["scores"] * x["narrow"] / (x["peak"] * c["scores"])
    # frameworks without fused attention write scores too, several times the bytes that are counted
    pointwise = x["pointwise"] / (x["bandwidth"] * c["pointwise"])
    tensor = x["tensor_bytes"] / (x["link"] * c["link"])
    experts = x["expert_bytes"] / (x["link"] * c["experts"])
    gathered = c["exposed"] * x["gather_bytes"] / (x["link"] * c["network"])
    layers = x["launches"] * c["layer"]
    busy = products + routed + scores + pointwise + tensor + experts + gathered + layers
    bubble = busy * c["bubble"] * x["bubble"]
    gradients = x["gradient_bytes"] / (x["link"] * c["network"])
    update = x["optimizer_bytes"] / (x["bandwidth"] * c["optimizer"])
    total = busy + bubble + gradients + update + c["constant"]
    return {"total": total, "products": products, "routed": routed, "scores": scores, "pointwise": pointwise,
            "tensor": tensor, "experts": experts, "gathered": gathered, "layers": layers, "bubble": bubble, "gradients": gradients,
            "update": update}  # fmt: skip
