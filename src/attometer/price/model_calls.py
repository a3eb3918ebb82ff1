"""Which kernels one pass of a model runs on the ranks of a placement: its parts as calls, each with the counts of its class.

Engines run several parts as one kernel: products of one input side by side (q, k and v; gate and up), the rotations of
queries and keys, a residual sum with the norm after it, and everything between the router and the sum of the experts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil, prod

from attometer.count.model_cost import ModelCost
from attometer.count.placement.messages import part_messages, pass_messages
from attometer.count.placement.rank_cost import RankCost, RankStage, part_work
from attometer.count.placement.rank_layer import RankLayer, RankPart
from attometer.count.placement.rank_sizes import RankSizes
from attometer.count.weights import Formats, part_weights
from attometer.machine import Machine
from attometer.price.features import collective_counts, decode_counts, moe_counts, step_bytes
from attometer.program.operations import Tensor


@dataclass(frozen=True)
class Call:
    """One kernel: its class, what it stands for in a table of terms, the types that name its families, and its counts.

    `types` are the fields of a family's name after the engine, best first in each; `times` how often a pass runs it.
    """

    kind: str
    term: str
    types: tuple[tuple[str, ...], ...]
    times: float
    counts: dict[str, float]


@dataclass(frozen=True)
class Stored:
    """How a part's weights lie in memory: bits per element, and the rate at which they are multiplied."""

    bits: float
    rate: str

    @property
    def types(self) -> tuple[str, ...]:
        """What engines call a product with such weights, best first."""
        if self.rate == "fp4":
            return ("nvfp4", "w4a8_mxfp4_mxfp8", "w4a16_mxfp4")
        if self.rate in ("fp8", "int8"):
            return ("fp8", "fp8_block", "fp8 (a8w8)") if self.rate == "fp8" else ("sq", "int8_wo")
        narrow = {4: ("int4_wo", "w4a16_mxfp4"), 8: ("int8_wo",)}
        return narrow.get(4 * ceil(self.bits / 4 - 0.2), ("bfloat16", "bf16", "fp16"))


def stored(cost: ModelCost, formats: Formats, on: Machine) -> dict[tuple[str, str], Stored]:
    """Return how the weights of each part are stored, by kind of layer and name; integers alone are widened to 16 bits."""
    stacks = [(s.kind, s.indices, s.layer.parts) for s in cost.model.layers]
    ends = [("embedding", (None,), cost.model.embedding), ("head", (None,), cost.model.head)]
    found = {}
    for kind, indices, parts in (*stacks, *ends):
        for part in parts:
            elements = part.copies * sum(int(t.size) for t in part.program.weights)
            if elements:
                held = part_weights(part, kind, indices, formats)
                found[kind, part.name] = Stored(8 * held.bytes / elements or 16.0, _rate(held.rates, on))
    return found


def _rate(rates: Iterable[str], on: Machine) -> str:
    # weights of 4 and 8 bit integers are kept so to save memory; few kernels multiply activations of so few bits
    wide = [r for r in rates if r in ("fp8", "fp4") and getattr(on.peak, r) is not None]
    return min(wide) if wide else "bf16"


@dataclass(frozen=True)
class Pass:
    """One pass of the model: `batch` sequences of `new` tokens over `keys`, `times` alike ones."""

    batch: int
    new: int
    keys: int
    times: float = 1.0


def calls(
    ranks: RankCost,
    passes: Iterable[Pass],
    held: dict[tuple[str, str], Stored],
    kv_bits: float,
    trained: bool = False,
) -> list[Call]:
    """Return the kernels of passes over every stage, one after the other, on the rank that has most.

    The logits are those of each sequence's last token; where the model is `trained`, of every token, with the loss over them.
    """
    found: list[Call] = []
    for each in passes:
        sizes = RankSizes(ranks.placement, ranks.cost.model.width, each.batch, each.new, each.keys)
        last = sizes if trained else replace(sizes, new=1)
        for stage in ranks.stages:
            for layer, times in stage.held:
                of = last if layer.kind == "head" else sizes
                found += [replace(c, times=c.times * times * each.times) for c in _layer(layer, of, held, kv_bits)]
            found += [replace(c, times=c.times * each.times) for c in _between(stage, sizes)]
        wide = max(float(t.extents[-1]) for p in ranks.cost.head.running for t in p.program.outputs)
        op, rows = ("loss", each.batch * each.new) if trained else ("sampler", each.batch)
        row = {"bytes": step_bytes(op, wide) * rows, "flops": 0.0, "rows": float(rows), "width": wide}
        found.append(_step(op, each.times, row))
    return found


def alike(found: list[Call]) -> list[Call]:
    """Return calls where all tokens choose the experts that one token chooses: the least that routing can ask for."""
    return [replace(c, counts=_fewest(c.counts)) if c.kind == "moe" else c for c in found]


def _fewest(counts: dict[str, float]) -> dict[str, float]:
    # of several ranks each has its share of the chosen ones
    few = min(counts["local"], max(1.0, counts["chosen"] * counts["local"] / counts["experts"]))
    return counts | moe_counts(counts["tokens"], few, few, few)


def _between(stage: RankStage, sizes: RankSizes) -> list[Call]:
    place = sizes.placement
    return [_sent(m.kind, m.times, m.ranks, m.payload, m.reach) for m in pass_messages(place, stage.number, sizes, 2.0)]


def _layer(layer: RankLayer, sizes: RankSizes, held: dict[tuple[str, str], Stored], kv_bits: float) -> Iterator[Call]:
    products: list[tuple[RankPart, Call]] = []
    experts = [p for p in layer.running if p.kind == "experts"]
    turned = [p for p in layer.running if p.kind == "rotary"]
    summed = False
    for part in layer.running:
        own = held.get((layer.kind, part.name), Stored(16.0, "bf16"))
        found: Call | None = None
        if part.kind == "experts":
            found = _experts(experts, sizes, own) if part is experts[0] else None
        elif part.kind == "rotary":
            found = _rotated(turned, sizes) if part is turned[0] else None
        elif part.kind == "attention":
            found = _attention(part, sizes, kv_bits)
        elif part.kind != "residual":
            found = _product(part, sizes, own) or _pointwise(part, sizes)
        if products and not (found is not None and _beside(products[-1], part, found)):
            yield _joined(products)
            products = []
        if found is not None and found.kind == "gemm":
            products.append((part, found))
        elif found is not None:
            yield found
        sums = part.cut.rule == "summed"  # queries and keys send their sums of squares together
        for m in () if sums and summed else part_messages(part, sizes, 2.0):
            if m.ranks > 1:
                yield _sent(m.kind, m.times, m.ranks, m.payload, m.reach)
        summed = sums
    if products:
        yield _joined(products)


def _beside(before: tuple[RankPart, Call], part: RankPart, found: Call) -> bool:
    """Say whether two products run as one: of the same rows and inputs, neither of the other's result."""
    made = {t.name for t in before[0].local.program.outputs}
    reads = {t.name for t in part.local.program.inputs}
    same = all(before[1].counts[name] == found.counts.get(name) for name in ("m", "k", "right_bytes"))
    return found.kind == "gemm" and same and part.kind == before[0].kind and not made & reads


def _joined(products: list[tuple[RankPart, Call]]) -> Call:
    first = products[0][1]
    return replace(first, counts=first.counts | {"n": sum(call.counts["n"] for _, call in products)})


def _contracted(part: RankPart) -> tuple[float, float]:
    """Return how many elements a product with weights adds up for one result, and how many results one row has; 0 without."""
    program = part.local.program
    # the matrices of a head that is tied to the embedding are counted there, and multiplied here
    matrices = (
        sum(int(t.size) for t in program.weights if len(t.extents) > 1)
        if part.local.part.tied
        else part.matrices_and_rest[0]
    )
    results = {axis for t in program.outputs for axis in t.indices}
    summed = {axis for t in program.inputs if t.role != "weight" for axis in t.indices} - results
    sums = [
        prod(int(e) for axis, e in zip(t.indices, t.extents, strict=True) if axis in summed)
        for t in program.weights
        if t.extents and all(e.is_Integer for e in t.extents)
    ]
    depth = max((s for s in sums if s > 1), default=0)
    return (float(depth), matrices / part.local.part.copies / depth) if depth and matrices else (0.0, 0.0)


def _product(part: RankPart, sizes: RankSizes, own: Stored) -> Call | None:
    depth, wide = _contracted(part)
    if not depth or part.local.table_rows is not None:
        return None
    b, n, m = sizes.of(part)
    left = {"fp8": 1.0, "fp4": 0.5}.get(own.rate, 2.0)
    counts = {"m": b * (m if part.of_keys else n), "n": wide, "k": depth, "left_bytes": left}
    counts |= {"right_bytes": own.bits / 8, "out_bytes": 2.0}
    term = "head" if part.kind == "head" else "products"
    return Call("gemm", term, (own.types,), part.local.part.copies, counts)


def _experts(parts: list[RankPart], sizes: RankSizes, own: Stored) -> Call:
    up = next(p for p in parts if p.whole.part.routed is not None)
    routed = up.whole.part.routed
    assert routed is not None
    matrices = [t for p in parts for t in p.local.program.weights if len(t.extents) == 3]
    local, *inner = (float(e) for e in matrices[0].extents)
    width = float(sizes.width)
    counts = {
        # texts prefer some experts: which is not known, and even draws would touch more than served models showed
        **moe_counts(max(1.0, sizes.routed_tokens), routed.top_k, routed.num_experts, local, "unknown"),
        "hidden": prod(inner) / width, "width": width, "matrices": len(matrices), "weight_bytes": own.bits / 8,
        "left_bytes": {"fp8": 1.0, "fp4": 0.5}.get(own.rate, 2.0),
    }  # fmt: skip
    return Call("moe", "experts", (own.types,), 1.0, counts)


def _attention(part: RankPart, sizes: RankSizes, kv_bits: float) -> Call:
    """Attention by its heads and widths: one query per sequence reads a cache, many run in tiles; MLA keeps one latent."""
    b, n, m = sizes.of(part)
    ends = part.local.program
    (out,) = ends.outputs
    queries = [t for t in ends.inputs if {"h", "i"} <= set(t.indices) and "j" not in t.indices]
    keys = [t for t in ends.inputs if "j" in t.indices and "i" not in t.indices]
    if not queries or not keys or "h" not in out.indices:
        return _other(part, sizes)
    extents = dict(zip(out.indices, out.extents, strict=True))
    h, e = float(extents["h"]), float(out.extents[-1])
    d = float(sum(int(t.extents[-1]) for t in queries))
    latent = all("h" not in t.indices and "g" not in t.indices for t in keys)
    g = (
        1.0
        if latent
        else float(next((x for t in keys for a, x in zip(t.indices, t.extents, strict=True) if a == "g"), h))
    )
    pair = 2 * h * (d + e)
    seen = part.at("flops", 1, 1, m) / pair
    kv = ("fp8",) if kv_bits <= 8 else ("bfloat16", "bf16", "")
    types = (("bfloat16", "bf16"), kv)
    if n == 1:
        kind = "mla_decode" if latent else "decode"
        return Call(kind, "attention", types, 1.0, decode_counts(b, seen, h, g, d, e, kv_bits, latent))
    causal = part.at("flops", 1, 2, 2) < 4 * pair
    mla = any(t.role == "input" for t in keys)
    counts = {
        "queries": n, "keys": m, "batch": b / sizes.spread(part), "heads": h, "groups": g, "width": d, "value_width": e,
        "causal": float(causal), "window": seen if seen < m else 0.0, "passes": 1.0, "bytes": 2.0,
        "cache_bytes": kv_bits / 8, "append": 1.0, "pair_bytes": 0.0, "ideal_pairs": part.at("flops", 1, n, m) / pair,
    }  # fmt: skip
    return Call("mla_prefill" if mla else "prefill" if causal else "encoder", "attention", types, 1.0, counts)


def _wide(tensor: Tensor) -> float:
    """Return the elements of a tensor for one row: its sizes that are numbers."""
    return float(prod(int(extent) for extent in tensor.extents if extent.is_Integer))


def _rotated(parts: list[RankPart], sizes: RankSizes) -> Call:
    b, n, _ = sizes.of(parts[0])
    width = sum(_wide(part.local.program.outputs[0]) for part in parts)
    counts = {"bytes": step_bytes("rotary_emb", width) * b * n, "flops": 0.0, "rows": b * n, "width": width}
    return _step("rotary_emb", 1.0, counts)


def _pointwise(part: RankPart, sizes: RankSizes) -> Call | None:
    """A norm (with the residual sum before it), an activation or a look-up; anything else by its bytes and products."""
    own = (
        "qk_norm" if part.name.split(" ")[0] == "norm" and part.name.split(" ")[-1] in ("q", "k", "kv") else "layernorm"
    )
    op = {"norm": own, "feed-forward": "act_fn", "shared experts": "act_fn", "head": "act_fn", "embedding": "embedding"}
    if part.kind not in op:
        return _other(part, sizes)
    b, n, _ = sizes.of(part)
    width = _wide(part.local.program.outputs[0])
    counts = {"bytes": step_bytes(op[part.kind], width) * b * n, "flops": 0.0, "rows": b * n, "width": width}
    return _step(op[part.kind], part.local.part.copies, counts)


def _other(part: RankPart, sizes: RankSizes) -> Call:
    flops, moved, _ = part_work(part, sizes, 2.0, 2.0, 2.0)
    rows = float(sizes.b * sizes.n)
    return _step(part.kind, 1.0, {"bytes": moved, "flops": flops, "rows": rows, "width": max(1.0, moved / rows / 4)})


def _step(op: str, times: float, counts: dict[str, float]) -> Call:
    return Call(
        "operation",
        "sampling" if op in ("sampler", "loss") else "other steps",
        ((op,), ("bf16", "bfloat16")),
        times,
        counts,
    )


def _sent(kind: str, times: float, ranks: int, payload: float, reach: int) -> Call:
    name = {"all_to_all": "alltoall", "send": "send_recv", "all_max": "all_reduce"}.get(kind, kind)
    counts = collective_counts(name, payload, float(ranks), float(reach))
    return Call("collective", "links", ((name,), ("bfloat16", "half", "")), times, counts)
