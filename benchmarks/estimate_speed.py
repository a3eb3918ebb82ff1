"""Estimates a second beside llm-flops and llm-analysis, and cold starts: `python benchmarks/estimate_speed.py`.

The peers are asked for what they answer: llm-flops for FLOPs, memory and latency of one pass, llm-analysis for an
inference summary. Ours gives verdict, bytes, time and the largest context that fits. All are warm, in one process and on
one core, and take turns; rates are medians of rounds in CPU time. `pip install llm-flops fire termcolor`, and
`pip install --no-deps llm-analysis`, which asks for an older transformers than Attometer is tested with, and needs none
for its own list of models.
"""

import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

import attometer as am
from attometer.price import kernel_seconds

MODEL, MACHINE, PEER = "llama-2-7b", "a100-80gb-sxm", "meta-llama/Llama-2-7b-hf"
ROUNDS = 7
POINTS = [(64 + 61 * k % 4000, 1 + k % 16) for k in range(2000)]
Ask = Callable[[int, int], object]


def main() -> None:
    print(f"{MODEL} on {MACHINE}; {_cpu()}; Python {platform.python_version()}, NumPy {np.__version__}\n")
    asks: dict[str, tuple[Ask, int]] = {"attometer planner": (am.planner(MODEL, MACHINE), 2000)}
    asks |= dict(_peers())
    asks["attometer plan(), with levers and rows"] = (lambda c, b: am.plan(MODEL, MACHINE, context=c, batch=b), 20)
    rates: dict[str, list[float]] = {name: [] for name in asks}
    for ask, _ in asks.values():
        ask(*POINTS[0])
    for _ in range(ROUNDS):
        for name, (ask, points) in asks.items():
            rates[name].append(points / _cpu_seconds(lambda a=ask, p=points: [a(*point) for point in POINTS[:p]]))
    for name, found in rates.items():
        print(f"{name:42} {statistics.median(found):12,.0f} estimates/s")
    print()
    for name in (MODEL, "deepseek-v3", "gemma-4-26b-a4b"):
        for mode in ("prefill", "decode"):
            _grid(name, mode)
    print()
    _predicted()
    print()
    for arguments in (["--help"], ["plan", "llama-3.1-8b"], ["plan", "deepseek-v3"]):
        taken = [_cold(arguments) for _ in range(6)][1:]  # the first writes the bytecode that an installed package has
        print(f"cold attometer {' '.join(arguments):20} {statistics.median(taken):6.2f} s CPU")


def _predicted() -> None:
    family, machine = "vllm 0.24 vllm_flash_attn_fa3|bfloat16|bfloat16", "h100-sxm"
    fixed = {"window": 0, "streams": 8, "key_bytes": 512, "key_flops": 8192, "out_bytes": 4096, "heads": 32}
    batch, keys = (each.ravel() for each in np.meshgrid(np.arange(1, 1001), np.arange(16, 16016, 16)))
    for what, residual, points in (("physics", False, len(batch)), ("with residual", True, 100_000)):
        counts = {"batch": batch[:points], "keys": keys[:points], **fixed, "group": 4, "width": 128}
        ask = partial(kernel_seconds, "decode", family, machine, residual=residual, **counts)
        ask()
        taken = statistics.median(_cpu_seconds(ask) for _ in range(3))
        print(
            f"predicted decode attention, {what:13} {points / taken:12,.0f} points/s ({points:,} points: {taken:.2f} s)"
        )


def _grid(name: str, mode: str) -> None:
    asked = am.planner(name, MACHINE, mode=mode)
    contexts, batches = np.arange(1, 16001) * 7, np.arange(1, 65)
    asked.grid(contexts[:8], batches)
    taken = [_cpu_seconds(lambda: asked.grid(contexts, batches)) for _ in range(ROUNDS)]
    points = len(contexts) * len(batches)
    print(f"grid {name:18} {mode:8} {points / statistics.median(taken):12,.0f} points/s ({points:,} points)")


def _peers() -> Iterator[tuple[str, tuple[Ask, int]]]:
    try:
        from llmflops import estimate
    except ImportError:
        print("llm-flops is not installed")
    else:

        def ask(context: int, batch: int) -> object:
            return estimate(model=PEER, batch_size=batch, sequence_length=context, precision="bf16", gpu="A100")

        yield "llm-flops", (ask, 200)
    try:
        from llm_analysis.analysis import LLMAnalysis
        from llm_analysis.config import get_gpu_config_by_name, get_model_config_by_name
        from llm_analysis.logger import logger
    except ImportError:
        print("llm-analysis is not installed")
    else:
        logger.setLevel(logging.CRITICAL)
        model = get_model_config_by_name("NousResearch_Llama-2-7b-hf")
        analysis = LLMAnalysis(model, get_gpu_config_by_name("a100-sxm-80gb"))

        def infer(context: int, batch: int) -> object:
            return analysis.inference(batch_size_per_gpu=batch, seq_len=context, num_tokens_to_generate=1)

        yield "llm-analysis", (infer, 50)


def _cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _cold(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "attometer", *arguments]
    subprocess.run(command, capture_output=True, check=False, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
