"""Models as people name them: ids and addresses of the hub, folders of its cache, Meta's files; nothing is fetched."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from attometer.count.model_cost import parameters
from attometer.count.weights import stored_weights
from attometer.errors import AttometerError
from attometer.models import model, shipped
from attometer.models.names import changed, releases, same_sizes
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
        ("unsloth/gpt-oss-20b-GGUF:F16", "gpt-oss-20b", "bf16"),
        ("unsloth/Qwen3-30B-A3B-GGUF:UD-Q4_K_XL", "qwen3-30b-a3b", "q4_k_m"),
        ("Qwen3-8B-UD-Q6_K_XL", "qwen3-8b", "q6_k"),
        ("bartowski/Qwen_Qwen3-8B-GGUF:IQ4_XS", "qwen3-8b", "iq4_xs"),
        ("hf.co/unsloth/Qwen3-8B-GGUF:Q8_0", "qwen3-8b", "q8_0"),
        ("qwen3:30b-a3b-instruct-2507-q4_K_M", "qwen3-30b-a3b", "q4_k_m"),
        ("gemma3:27b-it-qat", "gemma-3-27b", "q4_0"),
        ("llama4:scout", "llama-4-scout", "q4_k_m"),
        ("llama3.3", "llama-3.1-70b", "q4_k_m"),
        ("gemma2:2b", "gemma-2-2b", "q4_0"),
        ("LoneStriker/Mixtral-8x7B-Instruct-v0.1-4.0bpw-h6-exl2", "mixtral-8x7b", "exl2_4"),
        ("turboderp/Qwen2.5-72B-Instruct-exl3:4.5bpw", "qwen2.5-72b", "exl3_4.5"),
        ("command-r", "command-r-08-2024", "q4_0"),
        ("google/gemma-3-12b-it-qat-q4_0-gguf", "gemma-3-12b", "q4_0"),
        ("kaitchup/Phi-4-AutoRound-GPTQ-4bit", "phi-4", "gptq-int4"),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "deepseek-v3", "nvfp4"),
        ("mistralai/Ministral-3-14B-Instruct-2512", "ministral-3-14b", "fp8"),
        ("mistralai/Ministral-3-14B-Reasoning-2512", "ministral-3-14b", "bf16"),
        ("mistral:latest", "mistral-7b", "q4_k_m"),
        ("deepseek-ai/DeepSeek-Coder-V2-Instruct", "deepseek-v2", "bf16"),
        ("neuralmagic/Yi-34B-Chat-AWQ", "yi-34b", "awq-int4"),
    ],
)
def test_a_name_says_how_its_weights_are_stored(text: str, name: str, form: str) -> None:
    found = model(text)
    assert (found.name, weight_formats(found).name) == (name, form)


def test_a_release_has_its_own_context_and_vocabulary() -> None:
    assert model("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8").context == 262_144
    assert model("mistralai/Mistral-7B-Instruct-v0.2").values["vocab_size"] == 32_000
    assert set(changed()) <= set(same_sizes())


def test_names_of_the_same_sizes_are_no_shipped_names_and_mean_one() -> None:
    assert not set(same_sizes()) & set(shipped())
    assert set(same_sizes().values()) <= {*shipped(), *releases()}


@pytest.mark.parametrize("name", releases())
def test_a_release_has_its_published_parameters(name: str) -> None:
    found, said = model(name), releases()[name].parameters
    assert found.name == name
    # What is published in round numbers (ends in zeros) is near.
    assert said is None or parameters(found) == (said if said % 10**6 else pytest.approx(said, rel=1e-3))


def test_an_owners_own_file_of_a_name_that_others_quantise() -> None:
    gib = {o: stored_weights(m, weight_formats(m)).total / 2**30 for o in OWNERS for m in [model(f"{o}/{FP8}")]}
    # vllm-project/vllm#6746: 57.752 GiB on each of eight, with 16 key/value heads in place of 8 (about 1 GiB)
    assert gib == pytest.approx({"meta-llama": 8 * 56.7, "neuralmagic": 8 * 47.7}, rel=0.005)


def test_a_file_that_is_not_here_is_asked_for_by_name() -> None:
    with pytest.raises(
        AttometerError, match=r"Qwen3-32B-Q4_K_M.gguf: no such file; without it, ask by name: Qwen3-32B-Q4_K_M$"
    ):
        model("Qwen3-32B-Q4_K_M.gguf")


OWNERS, FP8 = ("meta-llama", "neuralmagic"), "Meta-Llama-3.1-405B-Instruct-FP8"
SAVE = "is not shipped, and nothing is downloaded: save huggingface.co/"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mistralai/Pixtral-12B-2409",
            f"{SAVE}mistralai/Pixtral-12B-2409/resolve/main/config.json",
        ),
        (
            "https://huggingface.co/tiiuae/falcon-11b",
            f'"tiiuae/falcon-11b" {SAVE}tiiuae/falcon-11b/resolve/main/config.json',
        ),
        ("claude-3", 'unknown model "claude-3"; give the path of a config.json, or one of the '),
        ("gpt-4", 'unknown model "gpt-4"; give the path of a config.json, or one of the '),
        ("llama-3.1-9b", 'unknown model "llama-3.1-9b"; did you mean "llama-3.1-8b"?'),
        ("tiiuae/falcon-11b-FP8", f'"tiiuae/falcon-11b-FP8" {SAVE}'),
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


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "Qwen/Qwen3-8B", "peft_type": "LORA", "r": 16}'
    )
    for path in (tmp_path, tmp_path / "adapter_config.json"):
        with pytest.raises(AttometerError, match="an adapter of rank 16 to Qwen/Qwen3-8B: ask for that model"):
            model(path)
