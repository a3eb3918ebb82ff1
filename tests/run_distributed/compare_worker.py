"""Started by torchrun on every rank: runs the cases, compares with one process, and rank 0 writes what came out."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.utils.checkpoint import checkpoint

sys.path.insert(0, str(Path(__file__).parent))
from distributed_cases import CASES, LARGE, Case
from distributed_dense import dense, run

from attometer.errors import AttometerError
from attometer.program import causal
from attometer.run import attention
from attometer.run.biases import Alibi, SoftCap
from attometer.run.distributed import (
    count_sent,
    distributed_attention,
    gather_sequence,
    sequence_mesh,
    shard_sequence,
)

# float64 has no independent reference that is better: the error of float32, scaled by the ratio of the two epsilons.
PEER = {"float64": (torch.float32, 2.0**-29), "float32": (torch.float32, 1.0), "bfloat16": (torch.bfloat16, 1.0)}
MARGIN = {"float64": 4.0, "float32": 4.0, "bfloat16": 1.5}  # the largest of a few errors scatters; bf16 has many


def inputs_of(case: Case, seed: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    torch.manual_seed(seed)
    dtype = getattr(torch, case.dtype)
    shapes = (
        (case.b, case.h, case.n, case.d),
        (case.b, case.g, case.keys, case.d),
        (case.b, case.g, case.keys, case.e),
        (case.b, case.h, case.n, case.e),
        (case.b, case.h, case.n),
    )
    made = [torch.randn(shape, dtype=torch.float64).to(dtype) for shape in shapes]
    return tuple(made[:3]), tuple(made[3:])


def on_ranks(
    case: Case, mesh: Any, inputs: tuple[Any, ...], grads: tuple[Any, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return whole results, gathered, and what this rank sent forward and backward."""
    sent: dict[str, Any] = {}

    def shard(x: Any) -> Any:
        own = shard_sequence(x, mesh=mesh, layout=case.layout)
        # Half of the cases come as [b, n, h, d] in memory, as projections make them.
        return own if len(case.name) % 2 else own.transpose(1, 2).contiguous().transpose(1, 2)

    def attend(q: Any, k: Any, v: Any) -> tuple[Any, Any]:
        options: dict[str, Any] = {"mesh": mesh, "mask": case.mask, "scale": case.scale, "return_lse": case.with_lse}
        with count_sent() as forward:
            if case.method == "auto":
                found = attention(q, k, v, **options)
            else:
                options |= {"impl": case.method, "layout": case.layout, "replicate_kv": case.replicate_kv}
                cap = None if case.cap is None else SoftCap(case.cap)
                found = distributed_attention(q, k, v, bias=cap, **options)
        sent["forward"] = forward.bytes
        return found if case.with_lse else (found, torch.zeros(q.shape[:3]))

    with count_sent() as both:
        found = run(attend, tuple(map(shard, inputs)), tuple(map(shard, grads)), case.with_lse)
    sent["backward"] = both.bytes - sent["forward"]
    lengths = {"output": case.n, "lse": case.n, "dq": case.n, "dk": case.keys, "dv": case.keys}
    gathered = {name: gather_sequence(x, lengths[name], mesh=mesh, layout=case.layout) for name, x in found.items()}
    return gathered, {phase: dict(counted) for phase, counted in sent.items()}


def difference(one: Any, other: Any) -> float:
    """Return the largest difference; equal infinities differ by 0, and NaN by infinity."""
    gap = (one.double() - other.double()).abs().masked_fill(one.double() == other.double(), 0.0)
    return float(gap.nan_to_num(torch.inf, torch.inf).max()) if gap.numel() else 0.0


def report(case: Case, found: dict[str, Any], inputs: tuple[Any, ...], grads: tuple[Any, ...]) -> dict[str, Any]:
    """Return error and allowed error of each result."""

    def one_process(dtype: torch.dtype) -> dict[str, Any]:
        def attend(q: Any, k: Any, v: Any) -> tuple[Any, Any]:
            return dense(q, k, v, case.mask, case.scale, case.cap)

        return run(attend, tuple(x.to(dtype) for x in inputs), grads, case.with_lse)

    exact = one_process(torch.float64)
    dtype, factor = PEER[case.dtype]
    peer = one_process(dtype)
    names = [name for name in exact if case.with_lse or name != "lse"]
    # Never below a few units in the last place of the largest entry: on tiny cases the peer may be exact by luck.
    least = {
        name: 4 * torch.finfo(found[name].dtype).eps * float(exact[name].nan_to_num(0, 0, 0).abs().max())
        for name in names
    }
    return {
        name: (
            difference(found[name], exact[name]),
            max(MARGIN[case.dtype] * factor * difference(peer[name], exact[name]), least[name]),
            str(found[name].dtype),
        )
        for name in names
    }


def refusals(mesh: Any) -> dict[str, str]:
    """Return what this rank says to calls that are wrong on some rank or on all."""
    rank, x, y = dist.get_rank(), torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 6)
    three, one = torch.zeros(1, 3, 4, 8), torch.zeros(1, 1, 4, 8)
    last = rank == mesh.size() - 1
    calls: dict[str, tuple[Any, ...]] = {
        "width": (y, y, x, {}) if last else (x, x, x, {}),
        "dtype": (x.double(), x.double(), x.double(), {}) if last else (x, x, x, {}),
        "own": (x, x, x[:, :, :3], {}) if last else (x, x, x, {}),
        "mask": (x, x, x, {"mask": causal() if last else None}),
        "scale": (x, x, x, {"scale": 0.5 if last else 0.25}),
        "grad": (x.clone().requires_grad_(last), x, x, {}),
        "lengths": (x[:, :, : 1 + 2 * rank], x, x, {}),
        "heads": (three, three, three, {"impl": "ulysses"}),
        "key heads": (torch.cat([x] * mesh.size(), 1), one, one, {"impl": "ulysses"}),
        "bias": (x, x, x, {"bias": Alibi((0.5, 0.25))}),
        "impl": (x, x, x, {"impl": "rings"}),
        "layout": (x, x, x, {"layout": "zig-zag"}),
        "mesh": (x, x, x, {"mesh": init_device_mesh("cpu", (mesh.size(), 1), mesh_dim_names=("data", "sequence"))}),
    }
    said = {}
    for name, (q, k, v, options) in calls.items():
        try:
            distributed_attention(q, k, v, **{"mesh": mesh, **options})
        except AttometerError as error:
            said[name] = str(error)
    return said


def edges(mesh: Any, method: str) -> dict[str, Any]:
    """Return what comes of empty sequences, of NaN and inf, and of a checkpointed call."""

    def attend(q: Any, k: Any, v: Any) -> Any:
        return distributed_attention(q, k, v, mesh=mesh, mask=causal(), impl=method)

    def whole(x: Any) -> Any:
        return gather_sequence(x, 8, mesh=mesh)

    empty = torch.zeros(1, 4, 0, 2)
    q = torch.ones(1, 4, 4, 2, requires_grad=True)
    alone = attend(q, empty, empty)
    alone.sum().backward()
    x = torch.randn(1, 4, 8, 2, generator=torch.Generator().manual_seed(1))
    poisoned = x.clone()
    poisoned[:, :, 6], poisoned[:, :, 7] = torch.inf, torch.nan
    own, values = shard_sequence(x, mesh=mesh), shard_sequence(poisoned, mesh=mesh)
    found = whole(attend(own, own, values))
    one, other = own.clone().requires_grad_(), own.clone().requires_grad_()
    attend(one, one, one).sum().backward()
    checkpoint(attend, other, other, other, use_reentrant=False).sum().backward()
    return {
        "no queries": list(attend(empty, empty, empty).shape),
        "no keys": [float(alone.abs().sum()), float(q.grad.abs().sum())],
        "finite": [bool(torch.isfinite(found[:, :, i]).all()) for i in range(8)],
        "inf": bool((found[:, :, 6] == torch.inf).all()),
        "nan": bool(found[:, :, 7].isnan().all()),
        "checkpoint": torch.equal(one.grad, other.grad),
    }


def main() -> None:
    target = Path(sys.argv[1])
    mesh = sequence_mesh(timeout=60)
    results = {}
    for seed, case in enumerate(LARGE if sys.argv[2:] == ["large"] else CASES):
        inputs, grads = inputs_of(case, seed)
        found, sent = on_ranks(case, mesh, inputs, grads)
        by_rank: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(by_rank, sent)
        if dist.get_rank() == 0:
            results[case.name] = {"errors": report(case, found, inputs, grads), "sent": by_rank}
    said: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(said, refusals(mesh))
    special = {method: edges(mesh, method) for method in ("ring", "ulysses")}
    if dist.get_rank() == 0:
        target.write_text(json.dumps({"cases": results, "refusals": said, "edges": special}))


if __name__ == "__main__":
    main()
