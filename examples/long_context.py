"""Causal attention over a sequence that is spread over processes: what each sends, keeps and computes, and the prediction.

    torchrun --nproc-per-node 2 examples/long_context.py
    torchrun --nproc-per-node 4 examples/long_context.py --length 65536 --dtype bfloat16

Every process holds its part of the sequence and nobody the whole. The bytes that each process sends and keeps are measured
and compared with the symbolic prediction; a difference is an error.
"""

import argparse
import time
from dataclasses import dataclass
from typing import Any

try:
    import torch
except ModuleNotFoundError:
    raise SystemExit('this example needs torch; install it with: pip install "attometer[torch]"') from None
import torch.distributed as dist
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attometer.count.traffic.communication import ring_communication, ring_kept, ulysses_communication, ulysses_kept
from attometer.count.traffic.sequence_split import Split, pairs_by_rank, sequence_split
from attometer.errors import AttometerError
from attometer.program import causal
from attometer.run.distributed import contiguous, count_sent, distributed_attention, sequence_mesh, zigzag

BYTES = {"float32": (4, 4), "bfloat16": (2, 4)}
LAYOUTS = {"zigzag": zigzag, "contiguous": contiguous}
WAYS = (("ring", "zigzag"), ("ring", "contiguous"), ("ulysses", "zigzag"))


@dataclass(frozen=True)
class Row:
    """What one process measured, and what was predicted for it; bytes, pairs and seconds."""

    rank: int
    forward: int
    backward: int
    kept: int
    predicted: tuple[int, int, int]
    peak: int
    pairs: int
    seconds: float


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=4096, help="positions of the whole sequence")
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--width", type=int, default=64, help="of a head")
    parser.add_argument("--dtype", choices=sorted(BYTES), default="float32")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds until a lost process is an error")
    return parser.parse_args()


class Alive(TorchDispatchMode):
    """Follows the tensors that are made inside the block: bytes alive now, and the most at one time."""

    def __init__(self, *known: torch.Tensor) -> None:
        super().__init__()
        self.known = {x.untyped_storage()._cdata for x in known}
        self.made: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for x in tree_leaves(found):
            if isinstance(x, torch.Tensor) and x.untyped_storage()._cdata not in self.known:
                storage = x.untyped_storage()
                self.made[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, self.bytes())
        return found

    def bytes(self) -> int:
        """Return the bytes of tensors that are alive."""
        self.made = {key: held for key, held in self.made.items() if not held[0].expired()}
        return sum(size for _, size in self.made.values())


def settled(alive: Alive) -> int:
    """Return the bytes alive once they fall no more: a message that has arrived is held a moment longer by its sender."""
    least, quiet = alive.bytes(), 0
    while quiet < 25:
        time.sleep(0.01)
        now = alive.bytes()
        least, quiet = (now, 0) if now < least else (least, quiet + 1)
    return least


def measure(way: tuple[str, str], split: Split, options: argparse.Namespace, mesh: dist.DeviceMesh) -> Row:
    """Run forward and backward on this process."""
    method, scheme = way
    rank = mesh.get_local_rank()
    length = LAYOUTS[scheme](options.length, mesh.size()).lengths[rank]
    torch.manual_seed(rank)
    shapes = [(1, heads, length, options.width) for heads in (options.heads, options.kv_heads, options.kv_heads)]
    q, k, v = (torch.randn(s).to(getattr(torch, options.dtype)).requires_grad_() for s in shapes)
    slope = torch.randn(shapes[0]).to(q.dtype)
    dist.barrier()
    # The first run is timed and makes the plans of tiles; the second is watched, which costs some.
    start = time.process_time()
    distributed_attention(q, k, v, mesh=mesh, mask=causal(), impl=method, layout=scheme).backward(slope)
    seconds = time.process_time() - start
    q.grad = k.grad = v.grad = None
    with count_sent() as forward, Alive(q, k, v, slope) as alive:
        output = distributed_attention(q, k, v, mesh=mesh, mask=causal(), impl=method, layout=scheme)
    dist.barrier()
    kept = settled(alive)
    with count_sent() as backward, alive:
        output.backward(slope)
    inputs = sum(x.numel() * x.element_size() for x in (q, k, v))
    return Row(
        rank,
        forward.total,
        backward.total,
        inputs + kept,
        predicted(method, split, rank),
        inputs + alive.peak,
        pairs_by_rank(split)[rank] if method == "ring" else int(causal().pairs(options.length)) // mesh.size(),
        seconds,
    )


def predicted(method: str, split: Split, rank: int) -> tuple[int, int, int]:
    """Return the bytes sent forward and backward, and kept between, that are predicted for a process."""
    count, kept = {"ring": (ring_communication, ring_kept), "ulysses": (ulysses_communication, ulysses_kept)}[method]
    sent = count(split, rank)
    return int(sent.forward), int(sent.backward), int(kept(split, rank))


def show(way: tuple[str, str], rows: list[Row]) -> bool:
    """Print the table of one way and return whether all that was predicted came true."""
    method, scheme = way
    mib = 1 << 20
    print(f"\n{method}, {scheme}")
    print("rank  sent forward MiB  sent backward MiB      kept MiB   peak MiB         pairs  CPU s")
    print("      measured predict  measured  predict  meas.  pred.   measured     predicted  meas.")
    for row in rows:
        forward, backward, kept = (x / mib for x in row.predicted)
        print(
            f"{row.rank:4d}  {row.forward / mib:8.3f} {forward:7.3f}  {row.backward / mib:8.3f}  {backward:7.3f}  "
            f"{row.kept / mib:5.2f}  {kept:5.2f}   {row.peak / mib:8.2f}  {row.pairs:12,d}  {row.seconds:5.2f}"
        )
    pairs, seconds = [row.pairs for row in rows], [row.seconds for row in rows]
    print(
        f"imbalance, slowest over mean: {max(pairs) * len(pairs) / sum(pairs):.3f} in pairs, "
        f"{max(seconds) * len(seconds) / sum(seconds):.3f} in CPU seconds"
    )
    return all((row.forward, row.backward, row.kept) == row.predicted for row in rows)


def main() -> None:
    options = arguments()
    try:
        mesh = sequence_mesh(timeout=options.timeout)
    except AttometerError as problem:  # not under torchrun
        raise SystemExit(str(problem)) from None
    first, ranks = mesh.get_local_rank() == 0, mesh.size()
    if first:
        print(
            f"causal attention of {options.length:,} positions on {ranks} processes: {options.heads} query and "
            f"{options.kv_heads} key/value heads of width {options.width}, {options.dtype}; MiB = 2^20 bytes"
        )
    element, accumulator = BYTES[options.dtype]
    held = []
    for way in WAYS:
        if way[0] == "ulysses" and (options.heads % ranks or options.kv_heads % ranks):
            continue
        split = sequence_split(
            ranks=ranks, b=1, h=options.heads, g=options.kv_heads, n=options.length, d=options.width,
            element=element, accumulator=accumulator, layout=way[1], mask=causal(),
        )  # fmt: skip
        rows: list[Row] = [None] * ranks  # type: ignore[list-item]
        dist.all_gather_object(rows, measure(way, split, options, mesh))
        held.append(show(way, rows) if first else True)
    if not all(held):
        raise SystemExit("measured bytes differ from the prediction")
    if first:
        print("\nbytes sent and kept: every measured number equals its prediction")


if __name__ == "__main__":
    main()
