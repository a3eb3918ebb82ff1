"""Synthetic measurement files of the schema that the price tests share."""

import csv
from pathlib import Path

COLUMNS = (
    *("source_id", "split_group", "block_id", "model", "arch_kind", "hidden_size", "n_layers", "n_heads", "n_kv_heads"),
    *("head_dim", "head_dim_v", "ffn_hidden", "n_experts", "top_k", "vocab", "seq_len", "input_len", "output_len"),
    *("kv_len", "window", "batch", "micro_batch", "global_batch", "dtype", "dtype_weights", "dtype_kv", "hardware"),
    *("hw_id", "n_devices", "parallelism", "engine", "mode", "causal", "recompute", "extra", "metric", "value", "unit"),
    *("path", "tier"),
)


def row(**cells: object) -> dict[str, str]:
    """A GEMM row with the cells given instead of its own."""
    plain = {
        "source_id": "aic_gemm", "split_group": "g1", "dtype": "bfloat16", "hw_id": "H100-SXM", "n_devices": "1",
        "engine": "vllm 0.24.0 linear", "mode": "kernel_fwd", "extra": "m=512;n=4096;k=4096", "metric": "latency",
        "value": "0.05", "unit": "ms", "tier": "A",
    }  # fmt: skip
    return {**plain, **{name: str(value) for name, value in cells.items()}}


def write(path: Path, rows: list[dict[str, str]], columns: tuple[str, ...] = COLUMNS) -> Path:
    """Write rows as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path
