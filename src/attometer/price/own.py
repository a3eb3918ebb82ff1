"""The machine `this`: which of its measured families the kernels of a model's pass are, forward and in training."""

from collections import Counter
from dataclasses import replace
from math import prod
from pathlib import Path

from attometer.count.model_cost import ModelCost
from attometer.count.placement.rank_cost import RankCost
from attometer.errors import AttometerError
from attometer.machine import Machine
from attometer.price.features import by_columns, keys_on_cpu, on_machine, own_product, own_words, step_bytes
from attometer.price.model_calls import Call, Pass, calls
from attometer.price.rows import read
from attometer.price.tables import calibration

ENGINE = "torch"
"""What runs on a machine that was calibrated: plain PyTorch, operation by operation."""
MEASURED = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}
"""Data types that a quick calibration times, and their bytes."""
_ROUNDED = 1.001  # machine files have few digits


def check_own(on: Machine, folder: Path) -> None:
    """Refuse coefficients of this machine that are wrong, and a machine file whose rates are below what was measured.

    Raises AttometerError naming file and field.
    """
    for path in sorted(folder.glob("*.json")):
        calibration(path.stem, folder)
    for row in read(folder / "measured.csv") if (folder / "measured.csv").is_file() else ():
        if row.text("source_id") != "this_gemm":
            continue
        name, flops = row.text("dtype"), 2 * row.number("m") * row.number("n") * row.number("k")
        stated = getattr(on.peak, name, None)
        if stated is None:
            raise AttometerError(
                f'hardware file "{folder / "this.toml"}", peak.{name}: missing, but {row.place} was timed in it'
            )
        if flops / row.value > _ROUNDED * stated.amount:
            raise AttometerError(
                f'hardware file "{folder / "this.toml"}", peak.{name}: {stated.amount / 1e9:g} GFLOP/s is below the '
                f"{flops / row.value / 1e9:.4g} that {row.place} measured"
            )


def own_type(bits: float, on: Machine) -> str:
    """Return in which type weights of so many bits run on the calibrated machine.

    Raises AttometerError for quantized weights, which plain PyTorch does not multiply.
    """
    known = [name for name in MEASURED if getattr(on.peak, name) is not None]
    if bits < 15:
        raise AttometerError(
            f"this machine was measured in {' and '.join(known)}, not in {bits:.0f} bits: kernels of other libraries multiply "
            "such weights (torchao, bitsandbytes, llama.cpp), and a calibration times plain PyTorch"
        )
    wide = [name for name in known if 8 * MEASURED[name] >= bits - 1]
    return min(wide or known, key=MEASURED.__getitem__)


def own_calls(
    ranks: RankCost, passes: list[Pass], mode: str, dtype: str, on: Machine, recompute: bool = False
) -> list[Call]:
    """Return the kernels of passes as the families that were measured on this machine.

    `mode` is prefill, decode or train: a training step has the gradients, the loss and the optimizer too, and where it
    keeps layer inputs alone it computes the layers again (`recompute`).
    """
    found = calls(ranks, passes, {}, 8 * MEASURED[dtype], trained=mode == "train")
    found = [each for call in found for each in _own(call, dtype, on)]
    found = _trained(found, ranks.cost, dtype, recompute) if mode == "train" else found
    return [_placed(call, dtype, on) for call in found]


def _placed(call: Call, dtype: str, on: Machine) -> Call:
    size, op = MEASURED[dtype], call.types[0][0]
    words = (size,) if call.kind == "gemm" else own_words(op, size, call.types[-1] == ("kernel_bwd",))
    more = by_columns(call.counts, dtype, call.types[-1][0], on) if call.kind == "gemm" else {}
    kind, counts = on_machine(call.kind, call.counts | more, words, on)
    return replace(call, kind=kind, counts=counts)


def _own(call: Call, dtype: str, on: Machine) -> list[Call]:
    made = _renamed(call, dtype, on)
    if made.kind != "prefill":
        return [made]
    # what heads wrote side by side is copied into rows before it is projected
    x = made.counts
    rows, width = x["batch"] * x["queries"], x["heads"] * x["value_width"]
    counts = {"bytes": 2 * MEASURED[dtype] * rows * width, "flops": 0.0, "rows": rows, "width": width}
    return [made, Call("operation", "other steps", (("copy",), ("fp32",), ("",)), made.times, counts)]


def _renamed(call: Call, dtype: str, on: Machine) -> Call:
    size = MEASURED[dtype]
    if call.kind == "gemm":
        counts = call.counts | {"left_bytes": size, "right_bytes": size}
        return replace(call, types=((dtype,), (own_product(counts["m"]),)), counts=counts)
    if call.kind in ("prefill", "encoder"):
        counts = call.counts | {"bytes": size, "cache_bytes": size, "append": 0.0}
        return replace(call, kind="prefill", types=((dtype,), ("",), ("",)), counts=on_cpu(counts, on))
    if call.kind == "decode":
        return replace(call, types=((dtype,), ("",)))
    if call.kind == "operation":
        return replace(call, types=(call.types[0], (dtype,), ("",)))
    return call


def on_cpu(counts: dict[str, float], on: Machine) -> dict[str, float]:
    """Return the counts of attention on a CPU, where a mask that is causal leaves whole blocks of keys out."""
    if on.kind != "cpu" or not counts["causal"] or counts["window"]:
        return counts
    return counts | {"keys": keys_on_cpu(counts["queries"], counts["keys"]), "causal": 0.0}


def _trained(found: list[Call], cost: ModelCost, dtype: str, recompute: bool) -> list[Call]:
    """Return a training step from its forward pass: a product with weights has two more for its gradients."""
    again = [call for call in found if call.term not in ("sampling", "head")] if recompute else []
    gradients = [back for call in found for back in _gradients(call, dtype)]
    return [*found, *again, *gradients, *_updates(cost, dtype)]


def _gradients(call: Call, dtype: str) -> list[Call]:
    x = call.counts
    if call.kind == "gemm":
        inputs = x | {"n": x["k"], "k": x["n"]}
        weights = x | {"m": x["n"], "n": x["k"], "k": x["m"]}
        return [
            replace(call, types=((dtype,), ("inputs",)), counts=inputs),
            replace(call, types=((dtype,), ("weights",)), counts=weights),
        ]
    if call.kind == "prefill":
        return [replace(call, kind="backward", types=((dtype,), ("",), ("kernel_bwd",)), counts=x | {"passes": 2.5})]
    op = call.types[0][0]
    if call.kind != "operation" or op in ("embedding", "sampler"):
        return []
    if op == "copy":
        return [call]
    return [replace(call, types=((op,), (dtype,), ("kernel_bwd",)))]


def _updates(cost: ModelCost, dtype: str) -> list[Call]:
    """Return the loss's neighbours: gradients of tables of embeddings, and the optimizer over every tensor of weights."""
    stacks = [(row.layers, row.parts) for row in cost.rows]
    sizes = Counter[float]()
    for times, parts in stacks:
        for each in parts:
            for tensor in () if each.part.tied else each.part.program.weights:
                sizes[float(prod(int(extent) for extent in tensor.extents))] += times * each.part.copies
    calls = [_operation("optimizer", 64.0, size / 64, float(times), dtype) for size, times in sizes.items()]
    width = float(cost.model.width)
    rows = cost.embedding.parameters / width
    # where the head is the table, the gradients of both uses are added into a new tensor
    added = ["tied"] if any(each.part.tied for _, parts in stacks for each in parts) else []
    return [*calls, *(_operation(op, rows, width, 1.0, dtype) for op in ("table", *added))]


def _operation(op: str, rows: float, width: float, times: float, dtype: str) -> Call:
    counts = {"bytes": step_bytes(op, width) * rows, "flops": 0.0, "rows": rows, "width": width}
    term = "optimizer" if op == "optimizer" else "other steps"
    return Call("operation", term, ((op,), (dtype,), ("",)), times, counts)
