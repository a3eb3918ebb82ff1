"""Models as people name them: ids and addresses of the hub, folders of its cache, Meta's files; nothing is fetched."""

import json
from pathlib import Path
from typing import Any

import pytest

from attometer.count.model_cost import parameters
from attometer.errors import AttometerError
from attometer.models import model, shipped
from attometer.models.names import SAME_SIZES


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


def test_names_of_the_same_sizes_are_no_shipped_names_and_mean_one() -> None:
    assert not set(SAME_SIZES) & set(shipped())
    assert set(SAME_SIZES.values()) <= set(shipped())


SAVE = "is not shipped, and nothing is downloaded: save huggingface.co/"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
            f"{SAVE}mistralai/Mistral-Small-3.2-24B-Instruct-2506/resolve/main/config.json",
        ),
        (
            "https://huggingface.co/tiiuae/falcon-7b",
            f'"tiiuae/falcon-7b" {SAVE}tiiuae/falcon-7b/resolve/main/config.json',
        ),
        ("falcon-7b", 'unknown model "falcon-7b"; give the path of a config.json, or one of '),
        ("gpt-4", 'unknown model "gpt-4"; give the path of a config.json, or one of '),
        ("llama-3.1-9b", 'unknown model "llama-3.1-9b"; did you mean "llama-3.1-8b"?'),
        ("Qwen/Qwen3-8B-FP8", f'"Qwen/Qwen3-8B-FP8" {SAVE}'),
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


# meta-llama/llama-models: params.json of Llama-2-7B, Llama-3.1-8B and Llama-2-70B
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
    ],
)  # fmt: skip
def test_metas_params_are_a_llama(values: dict[str, Any], name: str, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps(values))
    assert parameters(model(str(tmp_path))) == parameters(model(name))
    (tmp_path / "params.json").write_text(json.dumps(values | {"vocab_size": -1}))
    with pytest.raises(AttometerError, match=r"\$\.vocab_size is -1: the first Llama files leave it to the tokenizer"):
        model(str(tmp_path / "params.json"))


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"x")
    with pytest.raises(AttometerError, match=r"m\.safetensors: holds weights alone; give the folder"):
        model(str(tmp_path / "m.safetensors"))
