"""Compiled Programs beside the plain formula in torch: forward and backward, medians of CPU time on one thread, interleaved.

python benchmarks/compiled_programs.py [--n 4096] [--heads 8] [--peer compile]     (the peer is eager torch otherwise)

Memory is by how much one forward and backward pass raises a fresh process; the ratio of two lengths shows how it grows.
"""

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import attometer as am
from attometer.emit.build import processor

FOLDER = Path(__file__).parents[1] / "examples"
D = 64
SINKS = """axis i: n, j: n, e: d
input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
weight Z[h]
A[b,h,i,j] = 50 * tanh(Q[b,h,i,d] * K[b,h,j,d] / sqrt(d) / 50)   where window(i, j, 256) & causal(i, j)
M[b,h,i] = maximum(max[j](A[b,h,i,j]), Z[h])
E[b,h,i,j] = exp(A[b,h,i,j] - M[b,h,i])   where window(i, j, 256) & causal(i, j)
T[b,h,i] = sum[j](E[b,h,i,j]) + exp(Z[h] - M[b,h,i])
O[b,h,i,e] = E[b,h,i,j] * V[b,h,j,e] / T[b,h,i]
"""


def _seen(n: int, window: int | None = None) -> torch.Tensor:
    seen = torch.ones(n, n, dtype=torch.bool).tril()
    return seen if window is None else seen.triu(1 - window)


def differential(Q: Any, R: Any, K: Any, L: Any, V: Any, scale: Any, G: Any) -> torch.Tensor:
    hidden = ~_seen(Q.shape[-2])
    one, two = ((a @ b.mT / math.sqrt(D)).masked_fill(hidden, -math.inf).softmax(-1) for a, b in ((Q, K), (R, L)))
    Y = (one - scale[:, None, None] * two) @ V
    return Y * torch.rsqrt(Y.square().mean(-1, keepdim=True) + 1e-6) * G


def sinks(Q: Any, K: Any, V: Any, Z: Any) -> torch.Tensor:
    A = 50 * torch.tanh(Q @ K.mT / math.sqrt(D) / 50)
    A = A.masked_fill(~_seen(Q.shape[-2], 256), -math.inf)
    return torch.cat([A, Z[:, None, None].expand(*A.shape[:-1], 1)], -1).softmax(-1)[..., :-1] @ V


def forgetting(Q: Any, K: Any, V: Any, G: Any) -> torch.Tensor:
    C = F.logsigmoid(G).cumsum(-1)
    S = Q @ K.mT / math.sqrt(D) + C[..., None] - C[..., None, :]
    return S.masked_fill(~_seen(Q.shape[-2]), -math.inf).softmax(-1) @ V


CASES: dict[str, tuple[str, Callable[..., torch.Tensor]]] = {
    "differential attention": (str(FOLDER / "differential.att"), differential),
    "soft cap + window 256 + sinks": (SINKS, sinks),
    "forgetting attention": (str(FOLDER / "forgetting.att"), forgetting),
}


def function_of(name: str, peer: str | None) -> tuple[Callable[..., torch.Tensor], am.Program]:
    text, plain = CASES[name]
    made = am.compile(text)
    return {None: made, "eager": plain, "compile": torch.compile(plain)}[peer], made.program


def inputs(program: am.Program, n: int, heads: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    numbers = {s: {"b": 1, "h": heads, "n": n, "d": D}[s.name] for s in program.symbols}
    return [torch.randn([int(e.xreplace(numbers)) for e in t.extents]).requires_grad_() for t in program.inputs]


def passes(function: Callable[..., torch.Tensor], tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    made = function(*tensors)
    return [made, *torch.autograd.grad(made, tensors, torch.ones_like(made))]


def memory(name: str, peer: str | None, n: int, heads: int, answer: Any) -> None:
    """Send by how much a forward and backward pass raises this process's memory, in MB."""
    torch.set_num_threads(1)
    function, program = function_of(name, peer)
    small = inputs(program, 8, 1)
    passes(function, small)
    tensors = inputs(program, n, heads)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _peak()
    passes(function, tensors)
    answer.put((_peak() - before) / 1e3)


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def apart(*arguments: Any) -> float:
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    child = context.Process(target=memory, args=(*arguments, answer))
    child.start()
    child.join()
    return answer.get()


def measured(name: str, n: int, heads: int, peer: str, repeats: int) -> None:
    ours, program = function_of(name, None)
    plain, _ = function_of(name, peer)
    tensors = inputs(program, n, heads)
    worst = max(
        float((a - b).detach().abs().max() / b.detach().abs().max())
        for a, b in zip(passes(ours, tensors), passes(plain, tensors), strict=True)
    )
    taken: list[list[float]] = [[], []]
    for _ in range(repeats):
        for function, seconds in zip((ours, plain), taken, strict=True):
            start = time.process_time()
            passes(function, tensors)
            seconds.append(time.process_time() - start)
    one, two = (statistics.median(x) for x in taken)
    grown = [apart(name, None, k, heads) for k in (n // 2, n)]
    print(
        f"{name:30} {n:6,} {one * 1e3:9.0f} {two * 1e3:9.0f} {two / one:6.2f} {worst:10.1e} "
        f"{grown[1]:9.0f} {grown[1] / grown[0]:6.2f} {apart(name, peer, n, heads):9.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=4096)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", choices=["eager", "compile"], default="eager")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{processor()[0]}, torch {torch.__version__}, one thread, float32, {options.heads} heads of {D}; ms of CPU time, MB"
    )
    print(
        f"{'forward + backward':30} {'n':>6} {'compiled':>9} {options.peer:>9} {'ratio':>6} {'difference':>10} "
        f"{'memory':>9} {'×2 n':>6} {options.peer:>9}"
    )
    for name in CASES:
        measured(name, options.n, options.heads, options.peer, options.repeats)


if __name__ == "__main__":
    main()
