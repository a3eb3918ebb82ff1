"""The benchmark of memory errors runs on a folder of rows and predicts them."""

import csv
import importlib.util
import sys
from pathlib import Path

# ashishkamra/vllm-memory-estimator; pytorch/torchtitan benchmarks/llama3_h100_202412_torchtitan.md
LOG = {
    "source_id": "log", "model": "Llama-3.3-70B-Instruct", "arch_source": "configs/meta-llama__Llama-3.3-70B-Instruct.json",
    "dtype_weights": "bfloat16", "dtype_kv": "bfloat16", "hardware": "H200", "hw_id": "H200-SXM", "n_devices": "4",
    "parallelism": "tp=4;pp=1;dp=1", "engine": "vLLM v0.11.2", "mode": "capacity",
    "extra": "max_model_len=8192;gpu_memory_utilization=0.92;kv_gib=90.23",
}  # fmt: skip
TRAINED = {
    "source_id": "torchtitan", "model": "Llama-3.1-8B", "arch_source": "configs/meta-llama__Meta-Llama-3.1-8B.json",
    "dtype_weights": "bf16", "n_devices": "8", "parallelism": "FSDP=8", "engine": "torchtitan", "mode": "train",
    "recompute": "selective", "extra": "compile", "seq_len": "8192", "batch": "2", "micro_batch": "2",
}  # fmt: skip
EMPTY = {"hidden_size", "n_layers", "dtype", "input_len", "output_len", "path", "locator", "note", "head_dim", "vocab"}
ROWS = [
    {**LOG, "metric": "weights_size", "value": "32.8894", "unit": "GiB per GPU"},
    {**LOG, "metric": "kv_cache_available", "value": "90.23", "unit": "GiB per GPU"},
    {**LOG, "metric": "kv_cache_capacity_tokens", "value": "1182608", "unit": "tokens"},
    {**TRAINED, "metric": "peak_memory_per_gpu", "value": "77.0", "unit": "GiB"},
    {**TRAINED, "model": "no such model", "arch_source": "", "metric": "weights_size", "value": "1", "unit": "GiB"},
]


def test_a_folder_of_rows_is_scored(tmp_path, monkeypatch, capsys):
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        columns = {key for row in ROWS for key in row} | EMPTY
        table = csv.DictWriter(file, sorted(columns), restval="")
        table.writeheader()
        table.writerows(ROWS)
    path = Path(__file__).parents[2] / "benchmarks" / "memory_errors.py"
    spec = importlib.util.spec_from_file_location("memory_errors", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", ["memory_errors.py", str(tmp_path)])
    script.main()
    printed = capsys.readouterr().out
    assert "predictable: 4 of 5 rows (80.0%)" in printed
    lines = [line.split() for line in printed.splitlines() if line.startswith(("weights_size  ", "kv_", "peak"))]
    assert all(float(words[4].rstrip("%")) < 4 for words in lines if int(words[2]))
