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
     117_616, True, 0.02),
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
    ("vllm-project/vllm#16378", "google/gemma-3-27b-it --on '4x A100 40GB' --engine vllm@0.8 --ctx 8192", 13.1664),
    (
        "vllm-project/recipes#810",
        "Qwen/Qwen3.8-27B-FP8 --on '2x RTX 5090' --engine vllm@0.26 --ctx 262144 --mode decode",
        14.28,
    ),
]
FILES = [
    # source, command, GiB of the file, whose embedding llama.cpp keeps beside the host
    ("geerlingguy/ai-benchmarks#43", "Llama-3.2-3B-Instruct-Q4_K_M --on 'RTX 4090' --engine llama.cpp --ctx 128", 1.87),
    ("geerlingguy/ai-benchmarks#23", "Qwen2.5-14B-Instruct-Q4_K_M --on 'RX 7900 XT' --engine llama.cpp --ctx 128", 8.37),
    ("ollama/ollama#6279", "llama3.1:70b-instruct-q4_0 --on '2x RTX 3090' --engine ollama --ctx 8192", 37.22),
    ("ggml-org/llama.cpp#16095", "unsloth/Qwen3-Next-80B-A3B-Instruct-GGUF:Q4_K_M --on 'Ryzen AI Max+ 395' "
     "--engine llama.cpp --ctx 4096", 45.10),
    ("geerlingguy/ai-benchmarks#43", "TinyLlama/TinyLlama-1.1B-Chat-v1.0-GGUF:Q4_K_M --on 'RTX 4090 24GB' "
     "--engine llama.cpp --ctx 128", 636.18 / 1024),
    ("ollama/ollama#14774", "qwen3:32b --on rtx-4090 --engine ollama --ctx 4096", 18.81),
    ("ggml-org/llama.cpp discussion 15396", "ggml-org/gpt-oss-20b-GGUF --on rtx-4090 --engine llama.cpp --ctx 4096", 11.27),
    ("ggml-org/llama.cpp discussion 15396", "ggml-org/gpt-oss-120b-GGUF --on strix-halo --engine llama.cpp --ctx 4096", 59.02),
]  # fmt: skip


@pytest.mark.parametrize(("source", "line", "gib"), WEIGHTS)
def test_weights(source: str, line: str, gib: float, command: Callable[..., Any]) -> None:
    found = ask(line, command)
    assert found["fits"]
    assert found["engine"]["memory"]["weights"] / GIB == pytest.approx(gib, rel=0.025)


@pytest.mark.parametrize(("source", "line", "gib"), FILES)
def test_files(source: str, line: str, gib: float, command: Callable[..., Any]) -> None:
    found = ask(line, command)
    assert found["fits"]
    assert sum(found["devices"]["rank_weights"]) / GIB == pytest.approx(gib, rel=0.025)


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


# Later questions: source, its date, as typed, and what was logged there, each with the share by which it may be missed.
V = "--mode decode --engine vllm"
NINE, DENSE = (
    "Qwen/Qwen3.5-9B --gpu-memory-utilization 0.85 --max-model-len 4096",
    "Qwen/Qwen3.8-27B-FP8 --max-model-len 131072",
)
ASKED: list[tuple[str, str, str, dict[str, tuple[float, float] | bool]]] = [
    # names of releases, formats and engines' options
    ("vllm-project/vllm#6746", "2024-07-24", f"meta-llama/Meta-Llama-3.1-405B-Instruct-FP8 --on 8xH100 {V}@0.5.3 --max-model-len 4096",
     {"weights": (57.752, 0.02)}),  # with 16 key/value heads in place of the released 8: 1 GiB
    ("vllm-project/vllm#12569", "2025-01-30", "neuralmagic/Meta-Llama-3.1-70B-Instruct-quantized.w8a8 --on H100 --max-model-len 2048 "
     f"{V}@0.7 --gpu-memory-utilization 0.98", {"weights": (67.7229, 0.01), "fits": True}),
    ("vllm-project/vllm#12865", "2025-02-07", "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B --on '2x A100 80GB' "
     f"--tensor-parallel-size 2 {V}@0.7.2", {"weights": (30.7293, 0.01)}),
    ("vllm-project/vllm#2136", "2023-12-15", "TheBloke/CodeLlama-13B-Instruct-fp16 --on '2x 4090' --max-model-len 16384 "
     f"--max-num-seqs 16 --gpu-memory-utilization 0.95 {V}@0.2.3", {"tokens": (23_424, 0.02), "fits": True}),
    ("vllm-project/vllm#17891", "2025-05-09", f"Qwen/Qwen2.5-VL-7B-Instruct --on A100-80GB --max-model-len 2048 {V}@0.8.5 "
     "--gpu-memory-utilization 0.25", {"fits": True}),
    ("vllm-project/recipes#381", "2026-04-24", "deepseek-ai/DeepSeek-V4-Pro --on 8xH200 --data-parallel-size 8 --ep 8 "
     f"--kv-cache-dtype fp8 --max-model-len 800000 {V}", {"fits": False}),
    ("ollama/ollama#10810", "2025-05-22", "qwen3:235b --on 8xH100 --engine ollama --num-ctx 4096", {"file": (132.63, 0.025)}),
    ("NVIDIA/TensorRT-LLM#6281", "2025-07-23", "Qwen/Qwen3-32B-FP8 --on '2x RTX 4090' --tp 2 --engine trtllm --ctx 4096 --mode decode",
     {"fits": True}),
    # what a link, a tower shared by ranks and a state take
    ("log of vLLM 0.15.1, github.com/ilseokoh/vllm-gce, README.md", "2026-02-06", "meta-llama/Meta-Llama-3.1-8B-Instruct "
     f"--on 'A100 40GB' --max-num-batched-tokens 8192 --enforce-eager {V}@0.15.1", {"pool": (19.28, 0.02), "weights": (14.99, 0.01)}),
    ("notes on vLLM 0.20.0, two RTX 5090", "2026-04", f"{NINE} --on 5090 {V}@0.20", {"pool": (6.56, 0.03), "tokens": (53_328, 0.03)}),
    ("notes on vLLM 0.20.0, two RTX 5090", "2026-04", f"{NINE} --on 2x5090 --tensor-parallel-size 2 {V}@0.20",
     {"pool": (15.06, 0.01), "tokens": (246_576, 0.01), "weights": (8.91, 0.025)}),
    ("noonghunna/club-3090#1087", "2026-08-22", f"{DENSE} --on 2x5090 --tensor-parallel-size 2 --kv-cache-dtype fp8 --max-num-seqs 2 "
     f"--max-num-batched-tokens 8192 --gpu-memory-utilization 0.92 {V}@0.26", {"pool": (12.25, 0.01)}),
    ("noonghunna/club-3090#104", "2026-05-07", "Qwen/Qwen3.6-27B-int4-AutoRound --on 2x3090 --max-model-len 262144 --kv-dtype fp8_e5m2 "
     f"--max-num-batched-tokens 8192 --max-num-seqs 2 --cache-gib 9.84 {V}@0.21", {"tokens": (619_202, 0.02)}),
    ("report 'Qwen3.8-27B in FP8 on an L40S', first boot", "2026-09-05", f"{DENSE} --on L40S {V}@0.26 --gpu-memory-utilization 0.86",
     {"pool": (7.04, 0.03), "largest": (112_896, 0.03), "weights": (28.51, 0.01), "fits": False}),
    ("report 'Qwen3.8-27B in FP8 on an L40S', third boot", "2026-09-05", f"{DENSE} --on L40S {V}@0.26 --gpu-memory-utilization 0.90 "
     "--max-num-seqs 16", {"pool": (9.75, 0.03), "tokens": (155_600, 0.03), "fits": True}),
    ("log of eight L40S, vLLM 0.9", "2025-06", "RedHatAI/Qwen2.5-VL-72B-Instruct-FP8-dynamic --on 8xL40S --tensor-parallel-size 8 "
     f"--gpu-memory-utilization 0.95 --max-model-len 32768 {V}@0.9", {"tokens": (803_600, 0.03)}),
    ("lab notes on Qwen3-14B-FP8, vLLM 0.27.1", "2026-08-27", f"Qwen/Qwen3-14B-FP8 --on 4090 --max-model-len 8192 {V}@0.27.1 "
     "--gpu-memory-utilization 0.90", {"tokens": (29_248, 0.04)}),
    ("github.com/samilazrak/vllm-optimization-lab, results/raw/awq.startup.log", "2026-09-12", "Qwen/Qwen3-14B-AWQ --on l40s "
     f"--quantization awq {V}@0.29.0", {"tokens": (190_672, 0.045), "weights": (9.44, 0.02)}),
    ("github.com/samilazrak/vllm-optimization-lab, results/raw/tuned.startup.log", "2026-09-12", "Qwen/Qwen3-14B-AWQ --on l40s "
     f"--quantization awq --gpu-memory-utilization 0.95 --max-num-batched-tokens 8192 --max-num-seqs 512 {V}@0.29.0",
     {"tokens": (196_784, 0.045), "weights": (9.44, 0.02)}),
    # the cache of hybrids and windows, page by page
    ("calibration of a Jetson Thor: qwen3.5-122b-a10b-nvfp4", "2026-04-08", "Sehyo/Qwen3.5-122B-A10B-NVFP4 --on 'Jetson Thor' "
     f"--kv-cache-dtype fp8 --cache-gib 21.43 --max-num-seqs 8 --max-model-len 131072 {V}@0.19", {"tokens": (467_712, 0.001)}),
    ("calibration of a Jetson Thor: gemma4-26b-a4b-it", "2026-04-07", "google/gemma-4-26B-A4B-it --on 'Jetson Thor' "
     f"--kv-cache-dtype fp8 --cache-gib 51.62 --max-model-len 131072 {V}@0.19", {"tokens": (451_040, 0.001)}),
    ("calibration of a Jetson Thor: gemma4-31b-it-nvfp4", "2026-04-07", "nvidia/Gemma-4-31B-IT-NVFP4 --on 'Jetson Thor' "
     f"--gpu-memory-utilization 0.80 --max-model-len 262144 {V}@0.19", {"pool": (64.21, 0.03)}),
    ("boot log of SGLang 0.5.17: Qwen3.8-27B", "2026-08-15", "Qwen/Qwen3.8-27B --on 'RTX PRO 6000' --engine sglang@0.5.17 "
     "--cache-gib 10.44 --context-length 169000 --mode decode", {"tokens": (171_008, 0.001)}),
    ("noonghunna/club-3090#1261", "2026-09-12", "Qwen/Qwen3.8-27B-NVFP4 --on 2x5090 --tp-size 2 --engine sglang --kv-cache-dtype fp8 "
     "--cache-gib 6.92 --context-length 65536 --mode decode", {"tokens": (454_112, 0.002)}),
    # llama.cpp's buffers, and experts in the host's memory
    ("log of llama-cpp-python: Meta-Llama-3-8B Q4_K_M on an RTX 3070", "2024-05", "Meta-Llama-3-8B-Instruct-Q4_K_M --on 'RTX 3070' "
     "--engine llama.cpp@2900 -c 512", {"weights": (4403.49 / 1024, 0.005), "buffer": (258.5 / 1024, 0.03), "kv": (64 / 1024, 0.001)}),
    ("ggml-org/llama.cpp#6122", "2024-03-26", "c4ai-command-r-v01-Q4_K_S --on '4070 Ti + 3090 Ti' --engine llama.cpp@2500 -c 4096",
     {"weights": ((5434.38 + 13989.53) / 1024, 0.005), "kv": (5.0, 0.001), "fits": True}),
    ("log of llama.cpp b10809: Qwen3.8-27B", "2026-09", "unsloth/Qwen3.8-27B-GGUF:Q4_K_M --on 'RTX 4090' --engine llama.cpp -c 32768",
     {"kv": (2.0, 0.001), "state": (149.62 / 1024, 0.02)}),
    ("notes on llama-server: Qwen3.5-9B at 262,144 tokens on 12 GB", "2026", "bartowski/Qwen_Qwen3.5-9B-GGUF:Q4_K_M --on 'RTX 3060' "
     "--engine llama.cpp -c 262144 -ctk q8_0 -ctv q8_0 --batch 1", {"kv": (4.25, 0.001), "state": (50.25 / 1024, 0.025),
     "buffer": (808.02 / 1024, 0.02), "fits": True}),
    ("log in the tests of a llama-server panel, RTX 3090", "2026", "unsloth/Qwen3.8-27B-GGUF:Q4_K_M --on 'RTX 3090' --engine llama.cpp "
     "-c 200192 -ctk q8_0 -ctv q8_0", {"kv": (6647 / 1024, 0.001), "state": (149.62 / 1024, 0.02), "buffer": (654.78 / 1024, 0.05)}),
    ("measured footprint of Qwen3-Coder-Next on Strix Halo", "2026", "unsloth/Qwen3-Coder-Next-GGUF:Q3_K_M --on 'Ryzen AI Max+ 395' "
     "--engine llama.cpp -c 131072", {"kv": (3.0, 0.001), "fits": True}),
    ("ggml-org/ci, bge-small on a V100", "2024-12", "bge-small-en-v1.5-F16 --on 'V100 32GB' --engine llama.cpp@4300 -c 512",
     {"weights": (40.73 / 1024, 0.01), "file": (63.84 / 1024, 0.01)}),
    ("ggml-org/llama.cpp#15077", "2025-08-07", "ggml-org/gpt-oss-120b-GGUF --on '2x RTX 5090' --engine llama.cpp --n-cpu-moe 3 "
     "-c 131072 --mode decode", {"fits": True}),
    ("ggml-org/llama.cpp#15077", "2025-08-07", "ggml-org/gpt-oss-120b-GGUF --on 'RTX 5090' --engine llama.cpp --n-cpu-moe 3 -c 131072",
     {"fits": False}),  # 3 of 36 layers: why two were used
    ("ikawrakow/ik_llama.cpp#822", "2025-10-10", "ggml-org/gpt-oss-20b-GGUF --on 'RTX 3070' --engine llama.cpp@6699 --n-cpu-moe 99 "
     "-c 131072", {"fits": True}),
    ("ikawrakow/ik_llama.cpp#822", "2025-10-10", "ggml-org/gpt-oss-20b-GGUF --on 'RTX 3070' --engine llama.cpp@6699 -ot exps=CPU "
     "-c 131072", {"fits": True}),
    # training
    ("axolotl-ai-cloud/axolotl#708", "2023-10-09", "mistralai/Mistral-7B-v0.1 --on 4090 --mode train --recipe qlora --sequence-len 8192 "
     "--micro-batch-size 2 --batch 2", {"fits": True}),
    ("foundation-model-stack/fms-acceleration#12", "2024-05-17", f"NousResearch/Llama-2-70b-hf --on 2xA100-80GB --zero 3 --batch 4 "
     f"--micro-batch-size 2 {FMS} hf-qlora,{QKVO}", {"trained": (36.3, 0.05), "fits": True}),
    # a further fifty: names of releases, slots, layers with the host, stages of pipelines, mixtures that quantisers leave in part
    ("LMCache/LMCache#1739", "2025-10-03", f"Qwen/Qwen3-14B --on 'RTX A6000' {V}@0.10 --max-model-len 32768 --cache-gib 6.51",
     {"tokens": (42_656, 0.001)}),
    ("sgl-project/sglang#18263", "2026-07-15", "Qwen/Qwen3-30B-A3B-Instruct-2507 --on MI355X --engine sglang --cache-gib 152.88 "
     "--mode decode", {"weights": (56.98, 0.01), "tokens": (1_669_816, 0.001)}),
    ("vllm-project/recipes#273", "2026-03-11", f"MiniMaxAI/MiniMax-M2 --on '2x MI300X' --tensor-parallel-size 2 {V}@0.17.1",
     {"tokens": (497_600, 0.04)}),
    ("startup log of vLLM 0.24, Qwen3-8B on a RTX 5090", "2026", "Qwen/Qwen3-8B --on 'RTX 5090' --max-model-len 32768 "
     f"--gpu-memory-utilization 0.92 {V}@0.24", {"tokens": (89_040, 0.01), "weights": (15.27, 0.005)}),
    ("log of vLLM: Gemma 4 E2B with a cache of 0.93 GiB", "2026", "google/gemma-4-E2B-it --on 'A100 80GB' --max-num-batched-tokens 8192 "
     f"--max-model-len 32768 --cache-gib 0.93 {V}@0.24", {"tokens": (106_443, 0.01)}),
    ("log of vLLM 0.19: Qwen2.5-7B, 31.92 GiB of cache", "2026-09-11", f"Qwen/Qwen2.5-7B-Instruct --on L40S {V}@0.19 --max-model-len 16384 "
     "--cache-gib 31.92", {"tokens": (597_776, 0.001), "weights": (14.25, 0.01)}),
    ("ai-dynamo/dynamo, examples/python_rs/llm/trtllm", "2025-02-14", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B --on H100 --engine trtllm "
     "--cache-gib 26.91 --mode decode", {"tokens": (220_480, 0.001)}),
    ("log of vLLM 0.12: Ministral 3 14B at tp 2", "2025-12-11", "mistralai/Ministral-3-14B-Reasoning-2512 --on '2x A100 80GB' "
     f"--tensor-parallel-size 2 --max-model-len 100000 --cache-gib 52.36 {V}@0.12", {"tokens": (686_320, 0.001)}),
    ("xinyuwei-david/david-share, Phi4", "2024-12-22", "kaitchup/Phi-4-AutoRound-GPTQ-4bit --on 'A100 80GB' --max-model-len 2048 "
     f"--gpu-memory-utilization 0.15 {V}@0.6.4", {"tokens": (11_440, 0.02), "weights": (8.5107, 0.001)}),
    ("log of vLLM: Phi-4 in bitsandbytes' four bits", "2025-07-02", "unsloth/phi-4-bnb-4bit --on 'A100 80GB' --max-model-len 512 "
     f"--gpu-memory-utilization 0.7 {V}@0.7.3", {"tokens": (237_040, 0.02), "weights": (8.6253, 0.025)}),
    ("log of vLLM: Phi-4-mini on an A100 of 40 GB", "2025-08-06", f"microsoft/Phi-4-mini-instruct --on 'A100 40GB' {V}@0.8 "
     "--max-model-len 2048", {"tokens": (217_888, 0.02), "weights": (7.1694, 0.005)}),
    ("log of vLLM 0.8.4: DeepSeek-V2.5 on two nodes", "2025-04-20", f"deepseek-ai/DeepSeek-V2.5 --on '16x A100 40GB' {V}@0.8.4 "
     "--tensor-parallel-size 8 --pp 2", {"weights": (28.48, 0.005)}),
    ("sgl-project/sglang#2468", "2024-12-13", "mistralai/Mistral-7B-Instruct-v0.1 --on 'RTX 4090' --engine sglang@0.4.0 --mode decode",
     {"tokens": (56_524, 0.01)}),
    ("log of SGLang: Qwen3-14B over four cards of 24 GB", "2026", "Qwen/Qwen3-14B --on '4x RTX 4090' --tp-size 4 --engine sglang "
     "--mem-fraction-static 0.80 --mode decode", {"tokens": (298_447, 0.03), "weights": (7.08, 0.035)}),
    ("log of SGLang: DeepSeek-R1-FP4 on four B200", "2025-08-13", "nvidia/DeepSeek-R1-FP4 --on 4xB200 --tp 4 --engine sglang --mode decode",
     {"weights": (94.5, 0.02)}),
    ("calibration of a Jetson Thor: qwen3.5-122b-a10b-nvfp4", "2026-04-08", "Sehyo/Qwen3.5-122B-A10B-NVFP4 --on 'Jetson Thor' "
     f"--gpu-memory-utilization 0.85 {V}@0.19", {"weights": (70.47, 0.02)}),
    ("results of two RTX 3090 with QuantTrio/Qwen3.6-35B-A3B-AWQ", "2026-04-25", "QuantTrio/Qwen3.6-35B-A3B-AWQ --on '2x RTX 3090' "
     f"--tensor-parallel-size 2 --max-model-len 32768 {V}@0.19.1", {"weights": (11.62, 0.025)}),
    ("log of SGLang on gfx1151", "2026", "cyankiwi/Qwen3.5-35B-A3B-AWQ-4bit --on 'Strix Halo' --engine sglang --mode decode",
     {"weights": (23.36, 0.03)}),
    ("log of llama.cpp: Qwen2.5-0.5B on a RTX 2080 Ti", "2026-06-13", "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M --on 'RTX 2080 Ti' "
     "--engine llama.cpp -c 512", {"weights": (373.73 / 1024, 0.001), "kv": (6 / 1024, 0.001)}),
    ("log of llama.cpp: Qwen3-30B-A3B-2507 Q8_0 with four slots", "2025-12", "unsloth/Qwen3-30B-A3B-Instruct-2507-GGUF:Q8_0 "
     "--on 'A100 80GB' --engine llama.cpp -c 65536 --parallel 4 -fa", {"weights": (30658.12 / 1024, 0.001), "kv": (6.0, 0.001),
     "buffer": (300.75 / 1024, 0.005)}),
    ("log of ollama: gemma2:2b on ROCm", "2026-05-20", "gemma2:2b --on 'RX 7600 XT' --engine ollama --num-ctx 8192",
     {"weights": (1548.29 / 1024, 0.001)}),
    ("log of llama.cpp: Qwen2.5-14B Q4_K_M on ROCm", "2025", "Qwen2.5-14B-Instruct-Q4_K_M --on 'Strix Halo' --engine llama.cpp -c 4096",
     {"weights": (8148.38 / 1024, 0.001), "kv": (0.75, 0.001)}),
    ("log of llama.cpp: Qwen3-0.6B Q8_0 on ROCm", "2025-05", "Qwen/Qwen3-0.6B-GGUF:Q8_0 --on 'RX 7900 XTX' --engine llama.cpp@5400 "
     "-c 4096", {"weights": (604.15 / 1024, 0.001), "kv": (448 / 1024, 0.001), "buffer": (298.75 / 1024, 0.015)}),
    ("log of llama.cpp: Qwen3.8-27B on Vulkan with four slots", "2026-08", "unsloth/Qwen3.8-27B-GGUF:UD-Q4_K_XL --on 'RX 7900 XTX' "
     "--engine llama.cpp -c 8192 --parallel 4", {"weights": (15009.2 / 1024, 0.015), "kv": (0.5, 0.001)}),
    ("setup of Qwen3.5-2B on a Radeon Pro Vega 48", "2026-08", "Qwen3.5-2B-Q4_K_M --on 'RX 7600 XT' --engine llama.cpp -c 262144",
     {"kv": (3.0, 0.001), "weights": (1201.48 / 1024, 0.025)}),
    ("ggml-org/ci, pythia-2.8b on a V100", "2024-12", "EleutherAI/pythia-2.8b --on 'V100 32GB' --engine llama.cpp@4300 -c 2048 --dtype f16",
     {"weights": (5049.71 / 1024, 0.001), "kv": (640 / 1024, 0.001)}),
    ("SillyTavern's guide to KoboldCpp: the last 9 of 32 layers", "2024", "mixtral-8x7b-instruct-v0.1.Q4_K_M --on 'RTX 3060' "
     "--engine llama.cpp -c 16384 --gpulayers 9", {"kv": (578.81 / 1024, 0.01), "weights": (7043.34 / 1024, 0.075)}),  # an older mix
    ("log of llama.cpp v8247: keys alone in eight bits", "2026", "Llama-3.2-3B-Q4_0 --on 'epyc-9654 64GB' --engine llama.cpp -c 4096 "
     "--cache-type-k q8_0", {"kv": (343 / 1024, 0.001)}),
    ("log of llama.cpp: Qwen3.8-27B with a cache in eight bits", "2026", "unsloth/Qwen3.8-27B-GGUF:Q4_K_M --on 'RTX 3090' "
     "--engine llama.cpp -c 32768 --cache-type-k q8_0 --cache-type-v q8_0", {"kv": (1088 / 1024, 0.001)}),
    ("log of llama.cpp on two Hexagon NPUs: OLMoE Q4_0", "2025", "allenai/OLMoE-1B-7B-0924 --quant q4_0 --kv-dtype q8_0 -c 8192 "
     "--engine llama.cpp --on 'RTX 3060'", {"kv": (544 / 1024, 0.001), "file": (3743.86 / 1024, 0.001)}),
    ("log of vLLM: Qwen2.5-1.5B beside a DGX Spark", "2026", f"Qwen/Qwen2.5-1.5B-Instruct --on 'RTX 3060' {V} --cache-gib 0.56",
     {"weights": (2.89, 0.01), "tokens": (20_992, 0.005)}),
    ("GCP A100 cohort, vLLM, Llama-3.1-8B", "2026-05-03", f"meta-llama/Llama-3.1-8B-Instruct --on 'A100-SXM4-40GB' {V}@0.19",
     {"tokens": (163_168, 0.02)}),
    ("ollama/ollama#10529", "2025-05-02", "qwen3:14b --on 'RTX 4090' --engine ollama --num-ctx 16384", {"kv": (2.5, 0.001)}),
    ("unsloth's requirements: 70B in four bits within 41 GB", "2025", "unsloth/Llama-3.3-70B-Instruct --on L40S --mode train "
     "--recipe qlora --ctx 2048", {"fits": True}),
    # what an instruct model's file says of its context: vLLM 0.7 computes prompts of up to 32,768 tokens whole
    ("notebook on a T4, vLLM 0.7.3: Qwen2.5-1.5B-Instruct", "2025-05-30", "Qwen/Qwen2.5-1.5B-Instruct --on T4 "
     f"--gpu-memory-utilization 0.50 {V}@0.7.3", {"weights": (2.8875, 0.005), "pool": (2.36, 0.05), "tokens": (88_304, 0.05)}),
    ("example 4-3 of a book on LLMs, an A100 of 80 GB: vLLM of V0, Llama-3.1-8B", "2025", "meta-llama/Llama-3.1-8B-Instruct "
     f"--on 'A100 80GB' {V}@0.6.6", {"weights": (14.9888, 0.001), "pool": (54.93, 0.01)}),
    ("log of vLLM: Lingshu-32B, a Qwen2.5-VL-32B, at tp 1", "2026", f"Qwen/Qwen2.5-VL-32B-Instruct --on 'A100 80GB' {V}@0.8.5",
     {"weights": (62.43, 0.001)}),
    ("notes on vLLM 0.8.5: DeepSeek-R1-0528-Qwen3-8B at tp 4", "2025", "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B --on '4x RTX 3090' "
     f"--tensor-parallel-size 4 --dtype float16 --max-model-len 65536 {V}@0.8.5", {"weights": (3.85, 0.01)}),
    # tables of positions, states that a prefix keeps, images that a step holds whole, windows that llama.cpp does not know
    ("vllm-project/vllm#5248", "2024-06-04", "deepseek-ai/deepseek-coder-6.7b-instruct --on '2x T4' --tensor-parallel-size 2 "
     f"--dtype float16 {V}@0.4.2", {"fits": False}),
    ("notes on eight L40S, vLLM 0.10.2", "2025-09-24", "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8 --on 8xL40S --tensor-parallel-size 8 "
     f"--enable-expert-parallel --gpu-memory-utilization 0.90 --max-model-len 32K {V}@0.10.2", {"weights": (27.72, 0.002)}),
    ("guide to a node of four L40S: Qwen3-Coder", "2026", "Qwen/Qwen3-Coder-30B-A3B-Instruct --on 4xL40S --tensor-parallel-size 4 "
     f"--max-model-len 32768 {V}@0.19", {"pool": (23.74, 0.05), "tokens": (1_037_152, 0.05)}),
    ("notes on the cache of vLLM 0.25.1, an L40S", "2026", "RedHatAI/gemma-4-26B-A4B-it-FP8-dynamic --on L40S --max-model-len 32768 "
     f"--gpu-memory-utilization 0.92 {V}@0.25.1", {"weights": (25.8, 0.025), "pool": (12.75, 0.02), "tokens": (321_600, 0.02)}),
    ("notes on the cache of vLLM 0.25.1, an L40S", "2026", "google/gemma-4-E4B-it --on L40S --gpu-memory-utilization 0.85 "
     f"--max-model-len 16384 {V}@0.25.1", {"pool": (22.01, 0.02), "tokens": (1_033_831, 0.02)}),
    ("report on Gemma 4 E2B, vLLM 0.21.0", "2026-05-29", "google/gemma-4-E2B --on L4 --language-model-only --max-model-len 8192 "
     f"--gpu-memory-utilization 0.90 --enforce-eager {V}@0.21.0", {"weights": (8.89, 0.025), "pool": (9.92, 0.01),
     "tokens": (1_062_157, 0.01)}),
    ("Arm's learning path: a voice chatbot on DGX Spark", "2026-01-23", "TheBloke/Mistral-7B-Instruct-v0.2-GPTQ --on 'DGX Spark' "
     f"--quantization gptq --dtype float16 --cache-gib 102.56 {V}@0.11.0", {"weights": (3.8844, 0.005), "tokens": (840_160, 0.001)}),
    ("log of vLLM 0.20.0 on WSL", "2026-05-01", "RedHatAI/Qwen3.6-35B-A3B-NVFP4 --on 'RTX 5090' --gpu-memory-utilization 0.80 "
     f"--max-model-len 8192 --enforce-eager --enable-prefix-caching {V}@0.20.0", {"weights": (21.86, 0.001)}),
    ("stage report on vLLM 0.29.0, an RTX PRO 6000", "2026-09-17", "Qwen/Qwen3.8-27B --on 'RTX PRO 6000' --dtype bfloat16 "
     f"--max-model-len 8192 --max-num-seqs 256 --gpu-memory-utilization 0.90 {V}@0.29.0", {"weights": (51.1, 0.002),
     "pool": (31.24, 0.02), "tokens": (314_187, 0.02)}),
    ("IBM's batch inferencing with Granite 4, vLLM 0.11.0", "2025-11-14", "ibm-granite/granite-4.0-micro --on L40S --quantization fp8 "
     f"{V}@0.11.0", {"weights": (3.4244, 0.001), "pool": (35.34, 0.01), "tokens": (463_136, 0.01)}),
    ("course on vLLM 0.23: Qwen3.5-0.8B", "2026", "Qwen/Qwen3.5-0.8B --on 'RTX 3060' --dtype float16 --max-model-len 4096 "
     f"--cache-gib 3.06 {V}@0.23", {"weights": (1.72, 0.01), "tokens": (183_202, 0.005)}),
    ("notes on TensorRT-LLM: Qwen3-Reranker-0.6B", "2026", "Qwen/Qwen3-Reranker-0.6B --on H100 --engine tensorrt-llm --mode decode",
     {"pool": (68.69, 0.01), "tokens": (643_136, 0.01)}),
    ("jinaai/jina-embeddings-v4-gguf", "2025-08", "Qwen2.5-3B-Instruct-Q8_0 --on L4 --engine llama.cpp@6000 -c 4096 -b 4096 -ub 4096 -fa",
     {"weights": (3127.61 / 1024, 0.001), "held": (144 / 1024, 0.001), "buffer": (2470.16 / 1024, 0.03)}),
    ("log of llama.cpp: Gemma 4 E2B with windows kept whole", "2026-06", "google/gemma-4-E2B-it-Q4_K_M --on 'DGX Spark' "
     "--engine llama.cpp -c 4096 --swa-full", {"held": (72 / 1024, 0.001), "buffer": (515 / 1024, 0.001)}),
    ("log of llama.cpp: Phi-3-mini, whose window it leaves out", "2025-07", "microsoft/Phi-3-mini-4k-instruct-q4_k_m --on 'RTX 3060' "
     "--engine llama.cpp@5600 -c 4096 -b 256 -ub 256", {"held": (1.5, 0.001), "buffer": (150 / 1024, 0.03)}),
    ("log of llama.cpp: GLM-Z1-32B in IQ4_XS", "2025-04", "THUDM/GLM-Z1-32B-0414-IQ4_XS --on 'RTX 3090 Ti' --engine llama.cpp@5200 -fa "
     "-ctk f16 -ctv f16 -c 32768 -ngl 99", {"weights": (16303.48 / 1024, 0.01), "kv": (1952 / 1024, 0.001)}),
]  # fmt: skip
FIGURES: dict[str, Callable[[dict[str, Any]], float]] = {
    "fits": lambda found: found["fits"],
    "tokens": lambda found: found["engine"]["cache_tokens"],
    "pool": lambda found: found["engine"]["cache_bytes"] / GIB,
    "largest": lambda found: found["engine"]["largest_context"],
    "weights": lambda found: found["engine"]["memory"]["weights"] / GIB,
    "buffer": lambda found: found["engine"]["memory"]["activations"] / GIB,
    "file": lambda found: sum(found["devices"]["rank_weights"]) / GIB,
    "kv": lambda found: found["kv_bytes"] / GIB,
    "held": lambda found: found["engine"]["cache_asked"] / GIB,
    "state": lambda found: found["bytes"]["state"] / GIB,
    "trained": lambda found: found["training"]["total"] / GIB,
}


@pytest.mark.parametrize(
    ("source", "date", "line", "said"), ASKED, ids=[f"{k}-{row[0][:40]}" for k, row in enumerate(ASKED)]
)
def test_as_asked(source: str, date: str, line: str, said: dict[str, Any], command: Callable[..., Any]) -> None:
    found = ask(line, command)
    for figure, true in said.items():
        got = FIGURES[figure](found)
        assert got == (true if isinstance(true, bool) else pytest.approx(true[0], rel=true[1])), figure
