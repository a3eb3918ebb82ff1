"""Models as people name them: ids and addresses of the hub, folders of its cache, Meta's files; nothing is fetched."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from attometer.count.model_cost import parameters
from attometer.errors import AttometerError
from attometer.models import model, shipped
from attometer.models.names import CHANGED, SAME_SIZES
from attometer.models.stored import weight_formats


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("meta-llama/Llama-3.1-8B", "llama-3.1-8b"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("Qwen/Qwen3-235B-A22B", "qwen3-235b-a22b"),
        ("google/gemma-2-9b-it", "gemma-2-9b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("https://huggingface.co/meta-llama/Llama-3.1-8B", "llama-3.1-8b"),
        ("https://huggingface.co/meta-llama/Llama-3.1-8B/blob/main/config.json", "llama-3.1-8b"),
        ("hf.co/deepseek-ai/DeepSeek-V3", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "qwen2.5-32b"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.1-70b"),
        ("meta-llama/Meta-Llama-3-8B", "llama-3-8b"),
        ("google/gemma-3-27b-it", "gemma-3-27b"),
        ("mistralai/Mistral-Small-24B-Instruct-2501", "mistral-small-24b"),
    ],
)
def test_an_id_of_the_hub_is_the_shipped_model(text: str, name: str) -> None:
    assert model(text).name == name


@pytest.mark.parametrize(
    ("text", "name", "form"),
    [
        ("Qwen/Qwen3-8B-FP8", "qwen3-8b", "fp8"),
        ("TheBloke/Llama-2-13B-chat-AWQ", "llama-2-13b", "awq-int4"),
        ("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int8", "qwen2.5-72b", "gptq-int8"),
        ("hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4", "llama-3.1-8b", "awq-int4"),
        ("RedHatAI/Llama-3.3-70B-Instruct-quantized.w8a8", "llama-3.1-70b", "int8"),
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "llama-3.1-70b", "fp8"),
        ("nvidia/Llama-3.1-405B-Instruct-FP4", "llama-3.1-405b", "nvfp4"),
        ("unsloth/llama-3-8b-bnb-4bit", "llama-3-8b", "bitsandbytes-nf4_double"),
        ("mlx-community/Qwen2.5-72B-Instruct-6bit", "qwen2.5-72b", "mlx_6bit"),
        ("lmstudio-community/Qwen3-30B-A3B-MLX-4bit", "qwen3-30b-a3b", "mlx_4bit"),
        ("unsloth/Qwen3-8B-GGUF:Q8_0", "qwen3-8b", "q8_0"),
        ("Qwen2.5-14B-Instruct-Q4_K_M", "qwen2.5-14b", "q4_k_m"),
        ("ggml-org/gpt-oss-120b-GGUF", "gpt-oss-120b", "mxfp4_moe"),
        ("qwen3:32b", "qwen3-32b", "q4_k_m"),
        ("llama3.1:8b-instruct-q6_K", "llama-3.1-8b", "q6_k"),
        ("llama3.1:8b-instruct-fp16", "llama-3.1-8b", "bf16"),
        ("deepseek-r1:70b", "llama-3.1-70b", "q4_k_m"),
        ("unsloth/DeepSeek-R1-BF16", "deepseek-v3", "bf16"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b", "bf16"),
        ("openai/gpt-oss-20b", "gpt-oss-20b", "mxfp4"),
    ],
)
def test_a_name_says_how_its_weights_are_stored(text: str, name: str, form: str) -> None:
    found = model(text)
    assert (found.name, weight_formats(found).name) == (name, form)


def test_a_release_has_its_own_context_and_vocabulary() -> None:
    assert model("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8").context == 262_144
    assert model("mistralai/Mistral-7B-Instruct-v0.2").values["vocab_size"] == 32_000
    assert set(CHANGED) <= set(SAME_SIZES)


def test_names_of_the_same_sizes_are_no_shipped_names_and_mean_one() -> None:
    assert not set(SAME_SIZES) & set(shipped())
    assert set(SAME_SIZES.values()) <= set(shipped())


SAVE = "is not shipped, and nothing is downloaded: save huggingface.co/"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mistralai/Pixtral-12B-2409",
            f"{SAVE}mistralai/Pixtral-12B-2409/resolve/main/config.json",
        ),
        (
            "https://huggingface.co/tiiuae/falcon-7b",
            f'"tiiuae/falcon-7b" {SAVE}tiiuae/falcon-7b/resolve/main/config.json',
        ),
        ("falcon-7b", 'unknown model "falcon-7b"; give the path of a config.json, or one of the '),
        ("gpt-4", 'unknown model "gpt-4"; give the path of a config.json, or one of the '),
        ("llama-3.1-9b", 'unknown model "llama-3.1-9b"; did you mean "llama-3.1-8b"?'),
        ("tiiuae/falcon-7b-FP8", f'"tiiuae/falcon-7b-FP8" {SAVE}'),
    ],
)
def test_what_is_not_here_is_told_with_a_way_forward(text: str, message: str) -> None:
    with pytest.raises(AttometerError) as error:
        model(text)
    assert message in str(error.value)


def test_a_folder_of_the_hubs_cache(tmp_path: Path) -> None:
    top = tmp_path / "models--meta-llama--Llama-3.1-8B"
    for revision, layers in (("aaa", 2), ("bbb", 3)):
        folder = top / "snapshots" / revision
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(
            json.dumps(dict(model("llama-3.1-8b").values) | {"num_hidden_layers": layers})
        )
    (top / "refs").mkdir()
    (top / "refs" / "main").write_text("bbb")
    read = model(str(top))
    assert (read.name, read.depth) == ("Llama-3.1-8B", 3)
    (top / "snapshots" / "bbb" / "config.json").unlink()
    (top / "snapshots" / "aaa" / "config.json").unlink()
    with pytest.raises(AttometerError, match=r"none of its snapshots holds a config\.json"):
        model(str(top))


# params.json of Llama-2-7B, Llama-3.1-8B and Llama-2-70B (meta-llama/llama-models), Mistral-7B-v0.1, Nemo and Mixtral 8x7B
@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"dim": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 32000, "multiple_of": 256}, "llama-2-7b"),
        (
            {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024,
             "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": True},
            "llama-3.1-8b",
        ),
        (
            {"dim": 8192, "n_layers": 80, "n_heads": 64, "n_kv_heads": 8, "vocab_size": 32000, "multiple_of": 4096,
             "ffn_dim_multiplier": 1.3},
            "llama-2-70b",
        ),
        (
            {"dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8,
             "norm_eps": 1e-05, "vocab_size": 32000, "sliding_window": 4096},
            "mistral-7b",
        ),
        (
            {"dim": 5120, "n_layers": 40, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8,
             "norm_eps": 1e-05, "vocab_size": 131072, "rope_theta": 1000000.0},
            "mistral-nemo-12b",
        ),
        (
            {"dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8,
             "norm_eps": 1e-05, "vocab_size": 32000, "moe": {"num_experts_per_tok": 2, "num_experts": 8}},
            "mixtral-8x7b",
        ),
    ],
)  # fmt: skip
def test_params_are_what_their_makers_build(values: dict[str, Any], name: str, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps(values))
    assert parameters(model(str(tmp_path))) == parameters(model(name))
    (tmp_path / "params.json").write_text(json.dumps(values | {"vocab_size": -1}))
    with pytest.raises(AttometerError, match=r"\$\.vocab_size is -1: the first Llama files leave it to the tokenizer"):
        model(str(tmp_path / "params.json"))
    (tmp_path / "params.json").write_text(json.dumps(values | {"vision_encoder": {"hidden_size": 1024}}))
    assert "$.vision_encoder" in model(str(tmp_path)).check.unread


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"moe": True}, "$.moe must be an object, got True"),
        ({"moe": {"num_experts": 8}}, "$.moe: $.num_experts_per_tok must be a whole number, got None"),
        ({"hidden_dim": "14336"}, "$.hidden_dim must be a whole number, got '14336'"),
        ({"head_dim": 0}, "$.head_dim must be a whole number, got 0"),
    ],
)
def test_params_that_say_no_size_are_refused(wrong: dict[str, Any], words: str, tmp_path: Path) -> None:
    values = {"dim": 64, "n_layers": 1, "n_heads": 2, "hidden_dim": 128, "vocab_size": 100} | wrong
    (tmp_path / "params.json").write_text(json.dumps(values))
    with pytest.raises(AttometerError, match=re.escape(words)):
        model(str(tmp_path))


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"x")
    with pytest.raises(AttometerError, match=r"m\.safetensors: holds weights alone; give the folder"):
        model(str(tmp_path / "m.safetensors"))
