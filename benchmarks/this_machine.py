"""Calibrate this machine, then compare predicted with measured times at 20 sizes each that the calibration did not time.

    OMP_NUM_THREADS=1 python benchmarks/this_machine.py

Products, attention (forward), and GPT-2 (width 768, 12 heads, 50,257 tokens; 1 to 3 layers, so that a run takes minutes):
forward passes and training steps, drawn by a seed, in FP32 and 16 bits by turns. Kinds take turns, and each sample is taken
relative to a reference (a product and a copy), at the pace that it had in the calibration, which runs directly before; one
thread is timed by what the process ran, so that other processes lengthen neither. The calibration is written to a folder of
its own (`--keep` uses the user's).
"""

import argparse
import os
import platform
import random
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from attometer.machine import machine, this_folder
from attometer.models import from_values
from attometer.plan import plan
from attometer.plan.predicted import predicted
from attometer.price.load import counts
from attometer.price.predict import kernel_seconds
from attometer.price.quick import REFERENCE, measure, quick, reference, timer
from attometer.price.quick_cases import Case, attention, passes, products, types
from attometer.price.quick_model import Shape
from attometer.price.rows import Row, read

SIZES = 20
_ROWS = (1, 8, 24, 48, 100, 160, 300, 450, 600, 900, 1300)
_WIDTHS = (192, 320, 400, 576, 640, 896, 1152, 1280, 1600, 2400)


def drawn(seed: int, device: str) -> Iterator[tuple[str, Case]]:
    """Yield the cases of each kind with its name."""
    draw = random.Random(seed)
    kinds = list(types(device).items())
    for k in range(SIZES):
        name, dtype = kinds[k % len(kinds)]
        shape = draw.choice(_ROWS), draw.choice(_WIDTHS), draw.choice(_WIDTHS)
        yield "GEMM", next(products(*shape, name, dtype, device))
        b, h, s, d = (
            draw.choice((1, 2, 3)),
            draw.choice((3, 6, 10)),
            draw.randrange(40, 1200),
            draw.choice((48, 64, 96)),
        )
        yield "SDPA", next(attention(b, h, s, d, draw.randrange(2), name, dtype, device))
        for what, mode, most in (("GPT-2 forward", "prefill", 512), ("GPT-2 training step", "train", 320)):
            layers, b, n = draw.randint(1, 3), draw.choice((1, 2, 3)), draw.randrange(20, most)
            shape = Shape(layers, 768, 12, 50257, b, max(16, n // b))
            yield what, passes(mode, shape, name, dtype, device)


def expected(case: Case) -> tuple[float, float, float]:
    """Return the predicted seconds of a case and the ends of the 90 % interval."""
    cells, here = case.cells, machine("this")
    if cells["source_id"] != "this_pass":
        made = counts(Row({**cells, "value": "1"}, "case"), here)
        found = kernel_seconds(made.kind, made.family, here, **made.x)
        return float(found.seconds[0]), float(found.low[0]), float(found.high[0])
    names = ("n_layers", "hidden_size", "n_heads", "vocab", "batch", "seq_len")
    shape = Shape(*(int(cells[name]) for name in names))
    model = from_values(shape.configuration, "case", "gpt2")
    mode = cells["mode"].removeprefix("pass_")
    told = plan(model, here, context=shape.length, batch=shape.batch, mode=mode, weights_dtype=cells["dtype"])
    whole = predicted(told)
    assert whole is not None
    return whole.seconds, whole.low, whole.high


def main() -> None:
    """Calibrate, measure, print."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--keep", action="store_true", help="use what was calibrated before")
    ask.add_argument("--seconds", type=float, default=60.0, help="of calibration")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument(
        "--each", type=float, default=0.0, help="seconds of measuring one size, where three samples take less"
    )
    given = ask.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if not given.keep:
        os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()
        print(f"load {load()}\n{quick(given.seconds, device=device)}")
    print(f"load {load()}")
    usual = next(row.value for row in read(this_folder() / "measured.csv") if row.text("source_id") == REFERENCE)
    speeds: list[float] = []
    table: dict[str, list[tuple[float, bool]]] = {}
    for what, case in drawn(given.seed, device):
        (ratios,), beside, _ = measure([case], timer(device), reference(device), given.each, lambda share: None)
        each, speeds = [ratio * usual for ratio in ratios], [*speeds, *beside]
        seconds, (guess, low, high) = statistics.median(each), expected(case)
        table.setdefault(what, []).append((guess / seconds - 1, low <= seconds <= high))
        spread = (max(each) - min(each)) / seconds
        skipped = ("source_id", "hw_id", "engine", "metric", "unit", "tier", "mode", "split_group", "arch_kind")
        size = " ".join(f"{k}={v}" for k, v in case.cells.items() if k not in skipped)
        del case
        print(f"{what}: {size}: {1e3 * seconds:.3f} ms (± {50 * spread:.0f} %), predicted {1e3 * guess:.3f}, "
              f"{1e3 * low:.3f} to {1e3 * high:.3f}: {100 * (guess / seconds - 1):+.0f} %")  # fmt: skip
    ratio = statistics.median(speeds) / usual
    print(
        f"load {load()}; the reference took {ratio:.2f} times as long as in the calibration: times above are of its pace"
    )
    for what, found in table.items():
        errors = np.abs([error for error, _ in found])
        inside = sum(held for _, held in found)
        print(f"{what}: median {100 * np.median(errors):.1f} %, mean {100 * errors.mean():.1f} %, "
              f"{inside} of {len(found)} inside the 90 % interval")  # fmt: skip


def load() -> str:
    """Return the load averages, and how many cores share them."""
    return f"{', '.join(f'{each:.1f}' for each in os.getloadavg())} on {os.cpu_count()} cores"


def processor() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
