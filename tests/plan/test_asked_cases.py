"""Questions from public threads, each typed as a user would, with what a log, a repository or a measurement there said.

Bytes and tokens of cache within 5 %, unless a row says why not; what ran fits, what ran out of memory does not.
"""

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

GIB = 2**30
pytestmark = pytest.mark.slow


def ask(line: str, command: Callable[..., Any]) -> dict[str, Any]:
    """Return what `attometer plan LINE --json` prints."""
    done = command("plan", *shlex.split(line), "--json")
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["fits"] is (done.returncode == 0)
    return found


V0 = "meta-llama/Llama-3.1-8B-Instruct --on 'RTX 3090' --engine vllm@0.6.4 --mode decode --ctx"
FMS = "--ctx 4096 --mode train --recipe"
QKVO = "lora_rank=16,lora_targets=q+k+v+o"

TOKENS = [
    # source, command, tokens of cache, whether a request of the context fits, tolerance
    ("vllm-project/vllm#10517", f"{V0} 20000", 31_232, True, 0.055),
    ("vllm-project/vllm#10517", f"{V0} 29000", 23_648, False, 0.075),  # 0.1 GiB more outside of torch than other logs say
    ("vllm-project/vllm#2031", "meta-llama/Llama-2-7b-hf --on a100-80gb --engine vllm@0.2.5 --ctx 4096 --mode decode",
     117_616, True, 0.05),
    ("vllm-project/vllm#13061", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B --on '2x RTX 4090' --engine vllm@0.7 "
     "--gpu-memory-utilization 0.98 --ctx 131072 --mode decode", 81_536, False, 0.05),
    ("vllm-project/vllm#21348", "Qwen/Qwen3-235B-A22B-FP8 --on 4xH100 --engine sglang@0.4.9 --mem-fraction-static 0.93 "
     "--mode decode", 367_404, True, 0.05),
    ("NVIDIA/TensorRT-LLM#1400", "llama-2-7b --quant w8a8 --on A100-80GB --engine trtllm --ctx 4096 --mode decode",
     132_608, True, 0.05),
    ("noonghunna/club-3090#612", "nvidia/Qwen3.6-35B-A3B-NVFP4 --on 'RTX 5090' --engine vllm@0.24 --kv-dtype fp8 "
     "--cache-gib 5.98 --max-num-seqs 1 --max-num-batched-tokens 8192 --ctx 131072 --mode decode", 567_978, True, 0.05),
]  # fmt: skip


@pytest.mark.parametrize(("source", "line", "tokens", "fits", "share"), TOKENS)
def test_tokens_of_cache(
    source: str,
    line: str,
    tokens: int,
    fits: bool,
    share: float,
    command: Callable[..., Any],
) -> None:
    found = ask(line, command)
    assert found["engine"]["cache_tokens"] == pytest.approx(tokens, rel=share)
    assert found["fits"] is fits


WEIGHTS = [
    # source, command, GiB of weights on each device
    ("vllm-project/vllm#17327", "Qwen/Qwen3-30B-A3B --on 4xA100-40GB --engine vllm@0.8.5 --mode decode", 14.2474),
    ("geerlingguy/ai-benchmarks#43", "Llama-3.2-3B-Instruct-Q4_K_M --on 'RTX 4090' --engine llama.cpp --ctx 128", 1.87),
    ("geerlingguy/ai-benchmarks#23", "Qwen2.5-14B-Instruct-Q4_K_M --on 'RX 7900 XT' --engine llama.cpp --ctx 128", 8.37),
    ("ollama/ollama#6279", "llama3.1:70b-instruct-q4_0 --on '2x RTX 3090' --engine ollama --ctx 8192", 37.22 / 2),
    ("ggml-org/llama.cpp#16095", "unsloth/Qwen3-Next-80B-A3B-Instruct-GGUF:Q4_K_M --on 'Ryzen AI Max+ 395' "
     "--engine llama.cpp --ctx 4096", 45.10),
    ("geerlingguy/ai-benchmarks#43", "TinyLlama/TinyLlama-1.1B-Chat-v1.0-GGUF:Q4_K_M --on 'RTX 4090 24GB' "
     "--engine llama.cpp --ctx 128", 636.18 / 1024),
    ("vllm-project/vllm#16378", "google/gemma-3-27b-it --on '4x A100 40GB' --engine vllm@0.8 --ctx 8192", 13.1664),
    ("vllm-project/recipes#810", "Qwen/Qwen3.8-27B-FP8 --on '2x RTX 5090' --engine vllm@0.26 --ctx 262144 --mode decode", 14.28),
    ("ollama/ollama#14774", "qwen3:32b --on rtx-4090 --engine ollama --ctx 4096", 18.81),
    ("ggml-org/llama.cpp discussion 15396", "ggml-org/gpt-oss-20b-GGUF --on rtx-4090 --engine llama.cpp --ctx 4096", 11.27),
    ("ggml-org/llama.cpp discussion 15396", "ggml-org/gpt-oss-120b-GGUF --on strix-halo --engine llama.cpp --ctx 4096", 59.02),
]  # fmt: skip


@pytest.mark.parametrize(("source", "line", "gib"), WEIGHTS)
def test_weights(source: str, line: str, gib: float, command: Callable[..., Any]) -> None:
    found = ask(line, command)
    assert found["fits"]
    assert found["engine"]["memory"]["weights"] / GIB == pytest.approx(gib, rel=0.025)


FMS_BENCH = "foundation-model-stack/fms-acceleration, scripts/benchmarks/refs/a100_80gb.csv"
TRAINED = [
    # source, command, bytes that torch handed out at the peak; None where it ran out of memory
    (FMS_BENCH, f"mistral-7b --on a100-80gb --checkpoint --batch 4 {FMS} hf", 72_971_724_288),
    (FMS_BENCH, f"mistral-7b --on 2xa100-80gb --zero 3 --checkpoint --batch 4 --micro-batch 2 {FMS} hf", 36_762_859_520),
    (FMS_BENCH, f"mistral-7b --on a100-80gb --batch 4 {FMS} hf-lora,{QKVO}", 26_108_963_328),
    (FMS_BENCH, f"mistral-7b --on a100-80gb --batch 8 {FMS} hf-lora,{QKVO}", 37_098_695_168),
    (FMS_BENCH, f"mistral-7b --on a100-80gb --batch 4 {FMS} hf-qlora,{QKVO}", 15_860_019_712),
    (FMS_BENCH, f"mistral-7b --on a100-80gb --batch 8 {FMS} hf-qlora,{QKVO}", 26_849_751_552),
    (FMS_BENCH, f"mixtral-8x7b --on a100-80gb --batch 4 {FMS} hf-qlora,{QKVO}", 36_218_024_448),
    (FMS_BENCH, f"mixtral-8x7b --on 2xa100-80gb --zero 3 --batch 4 --micro-batch 2 {FMS} hf-lora,{QKVO}", 57_540_387_840),
    (FMS_BENCH, f"llama-2-70b --on a100-80gb --batch 4 {FMS} hf-qlora,{QKVO}", 68_159_977_472),
    (FMS_BENCH, f"llama-2-70b --on a100-80gb --batch 8 {FMS} hf-qlora,{QKVO}", None),
    (FMS_BENCH, f"mixtral-8x7b --on 2xa100-80gb --zero 3 --checkpoint --batch 4 --micro-batch 2 {FMS} hf", None),
    ("hiyouga/LLaMA-Factory#6999", "Qwen/Qwen2.5-32B-Instruct --on 7xA800 --zero 3 --checkpoint --ctx 1024 --mode train "
     "--recipe megatron", None),
    ("deepspeedai/DeepSpeed#7482", "Qwen/Qwen2.5-14B --on 4xA100-40GB --zero 2 --batch 8 --micro-batch 2 --ctx 512 --mode train "
     "--recipe megatron,offload=optimizer", None),
    ("hiyouga/LLaMA-Factory#4559", "meta-llama/Meta-Llama-3-70B-Instruct --on 4xA10G --dp 4 --ctx 1024 --mode train "
     "--recipe hf-qlora", None),
    ("InternLM/xtuner#88", "meta-llama/Llama-2-70b-hf --on A100-40GB --ctx 2048 --mode train --recipe hf-qlora", None),
]  # fmt: skip
PEAK = ("weights", "master", "optimizer", "gradients", "activations", "logits", "scratch", "gathered")


@pytest.mark.parametrize(("source", "line", "peak"), TRAINED)
def test_memory_of_training(source: str, line: str, peak: int | None, command: Callable[..., Any]) -> None:
    found = ask(line, command)
    assert found["fits"] is (peak is not None)
    if peak is not None:
        assert sum(found["training"].get(name, 0) for name in PEAK) == pytest.approx(peak, rel=0.05)


FITS = [
    # source, command, whether it ran
    ("meta-pytorch/torchtune#979", "meta-llama/Meta-Llama-3-8B --on A100-80GB --ctx 8192 --batch 2 --mode train --recipe lora",
     True),
    ("ml-explore/mlx-examples#1069", "meta-llama/Meta-Llama-3-70B-Instruct --on 'M2 Ultra' --engine mlx --ctx 116 --mode decode",
     True),
    ("vllm-project/vllm#41695", "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8 --on 'RTX 5090' --engine vllm --utilization 0.95 "
     "--ctx 16384 --mode decode", False),
    ("vllm-project/vllm#16712", "meta-llama/Llama-4-Scout-17B-16E-Instruct --on '2x H100 NVL' --engine vllm@0.8.4 "
     "--utilization 0.99 --kv-dtype fp8 --ctx 1000 --mode decode", False),
    ("local-inference-lab/rtx6kpro#7", "Qwen/Qwen3.5-397B-A17B-FP8 --on '6x RTX PRO 6000' --tp 2 --pp 3 --engine vllm "
     "--gpu-memory-utilization 0.87 --kv-dtype fp8 --ctx 98304 --max-num-batched-tokens 32768 --max-num-seqs 128 --mode decode",
     True),
]  # fmt: skip


@pytest.mark.parametrize(("source", "line", "ran"), FITS)
def test_what_ran_fits(source: str, line: str, ran: bool, command: Callable[..., Any]) -> None:
    assert ask(line, command)["fits"] is ran


TOTAL = [
    # source, command, GB at the peak
    ("ml-explore/mlx-examples#1281", "mlx-community/Qwen2.5-72B-Instruct-6bit --on 'M4 Max' --engine mlx --ctx 676 "
     "--mode decode", 59.349),
    ("ml-explore/mlx-lm#40", "mlx-community/Mistral-7B-Instruct-v0.3-4bit --on 'M2 Ultra' --engine mlx --ctx 33898", 9.111),
]  # fmt: skip


@pytest.mark.parametrize(("source", "line", "gigabytes"), TOTAL)
def test_peak_of_a_generation(source: str, line: str, gigabytes: float, command: Callable[..., Any]) -> None:
    found = ask(line, command)
    taken = sum(found["engine"]["memory"].values()) + found["kv_bytes"]
    assert taken / 1e9 == pytest.approx(gigabytes, rel=0.05)


STEPS = [
    # source, command, measured seconds of a token
    ("ml-explore/mlx-examples#1281", "mlx-community/Qwen2.5-72B-Instruct-6bit --on 'M4 Max' --engine mlx --ctx 676 "
     "--mode decode", 1 / 7.919),
    ("ml-explore/mlx-examples#1069", "meta-llama/Meta-Llama-3-70B-Instruct --on 'M2 Ultra' --engine mlx --ctx 116 --mode decode",
     1 / 4.7),
    ("ggml-org/llama.cpp#16095", "unsloth/Qwen3-Next-80B-A3B-Instruct-GGUF:Q4_K_M --on 'Ryzen AI Max+ 395' "
     "--engine llama.cpp --ctx 128 --mode decode", 1 / 28.4),
]  # fmt: skip


@pytest.mark.parametrize(("source", "line", "seconds"), STEPS)
def test_measured_steps_are_above_the_bound_and_near_the_prediction(
    source: str, line: str, seconds: float, command: Callable[..., Any]
) -> None:
    found = ask(line, command)
    assert found["time"]["seconds"] < seconds
    said = found["predicted"]
    assert said["low"] <= seconds <= said["high"] or said["seconds"] == pytest.approx(seconds, rel=0.2)


def test_one_request_of_a_long_context(command: Callable[..., Any]) -> None:
    # vllm-project/recipes#12: 62.00 GiB of cache are needed on each of eight replicas of attention, of 141 GB each: it does not start
    line = "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8 --on 8xH200 --dp 8 --ep 8 --engine vllm@0.10 --ctx 262144 --mode decode"
    found = ask(line, command)
    assert not found["fits"]
    assert found["kv_bytes"] == 62 * GIB
