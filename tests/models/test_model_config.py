"""Bad configurations: a sentence that names the file and the key, and never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attometer.errors import AttometerError
from attometer.models import from_values, model
from attometer.models.config import LARGEST_FILE
from attometer.models.layer import Layer
from attometer.models.readers.decoder import alike

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "vocab_size": 100,
}

BAD = [
    ({"num_key_value_heads": 3}, "$.num_attention_heads is 8, which is not a multiple of $.num_key_value_heads = 3"),
    (
        {"num_attention_heads": 7, "num_key_value_heads": 7},
        "$.hidden_size is 64, which is not a multiple of $.num_attention_heads = 7",
    ),
    ({"hidden_size": 0}, "$.hidden_size must be between 1 and 1000000000000, got 0"),
    ({"hidden_size": -4}, "$.hidden_size must be between 1 and 1000000000000, got -4"),
    ({"hidden_size": "64"}, "$.hidden_size must be a whole number, got '64'"),
    ({"hidden_size": True}, "$.hidden_size must be a whole number, got true"),
    ({"hidden_size": 64.5}, "$.hidden_size must be a whole number, got 64.5"),
    ({"hidden_size": None}, "$.hidden_size must be a whole number, got null"),
    ({"hidden_size": float("nan")}, "$.hidden_size must be a whole number, got nan"),
    ({"num_hidden_layers": 10**9}, "$.num_hidden_layers is 1000000000; at most 1000 layers are modelled"),
    ({"vocab_size": [1]}, "$.vocab_size must be a whole number, got [1]"),
    ({"hidden_act": "silo"}, "$.hidden_act is 'silo', which is not modelled; did you mean \"silu\"?"),
    ({"tie_word_embeddings": "yes"}, "$.tie_word_embeddings must be true or false, got 'yes'"),
    ({"model_type": "lama"}, '$.model_type is "lama", which is not modelled; did you mean "llama"?'),
    ({"model_type": None}, "$.model_type is missing: nothing else says which family this is"),
    ({"model_type": 3}, "$.model_type must be a text, got 3"),
    (
        {"architectures": ["LlamaForRewardModel"]},
        "$.architectures names LlamaForRewardModel, whose head",
    ),
    ({"add_cross_attention": True}, "$.add_cross_attention is true; only false is modelled"),
    ({"n_head": 4}, "$.n_head is 4, but num_attention_heads is 8: they name one thing"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_a_bad_value_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(AttometerError) as caught:
        from_values(LLAMA | change, "models/config.json")
    assert str(caught.value).startswith("models/config.json: ")
    assert words in str(caught.value)


def test_a_missing_size_is_not_guessed() -> None:
    values = {k: v for k, v in LLAMA.items() if k != "intermediate_size"} | {"intermediate_sise": 96}
    with pytest.raises(
        AttometerError, match=r"\$\.intermediate_size is missing, and nothing certain stands for it; did you mean"
    ):
        from_values(values)


def test_a_key_inside_the_text_model_is_named_with_its_path() -> None:
    values = {
        "model_type": "qwen3_vl",
        "text_config": {"model_type": "qwen3_vl_text", **LLAMA, "num_key_value_heads": 3},
    }
    values["text_config"]["model_type"] = "qwen3_vl_text"
    with pytest.raises(AttometerError, match=r"\$\.text_config\.num_attention_heads is 8, which is not a multiple of"):
        from_values(values)


def test_per_layer_lists_have_an_entry_per_layer() -> None:
    values = LLAMA | {"model_type": "gemma2", "head_dim": 8, "sliding_window": 4, "layer_types": ["full_attention"]}
    with pytest.raises(AttometerError, match=r"\$\.layer_types has 1 entries for 2 layers"):
        from_values(values)
    values["layer_types"] = ["full_attention", "quantum_attention"]
    with pytest.raises(AttometerError, match=r"\$\.layer_types\[1\] is 'quantum_attention', which is not modelled"):
        from_values(values)


def test_more_chosen_experts_than_experts() -> None:
    values = LLAMA | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 5}
    with pytest.raises(AttometerError, match=r"\$\.num_experts_per_tok is 5, more than the 4 experts"):
        from_values(values)
    # ERNIE's default is six, also for a file with fewer experts.
    with pytest.raises(AttometerError, match=r"\$\.num_experts_per_tok is 6, more than the 5 experts"):
        from_values(LLAMA | {"model_type": "ernie4_5_moe", "moe_num_experts": 5, "moe_intermediate_size": 28})


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "config.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_truncated_file(tmp_path: Path) -> None:
    file = write(tmp_path, json.dumps(LLAMA)[:-20])
    with pytest.raises(AttometerError, match="is not JSON, or is cut off"):
        model(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON, or is cut off"),
        ("not json", "is not JSON"),
        ("[1, 2]", "must hold a JSON object, got a list"),
        ("3", "must hold a JSON object, got a number"),
        ("null", "must hold a JSON object, got null"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 60 + "1" + "}" * 60, "is nested deeper than 40 levels"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "holds a number that no such file has"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str | bytes, words: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(AttometerError) as caught:
        model(file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    with file.open("wb") as stream:
        stream.truncate(50 * 2**20)
    with pytest.raises(AttometerError, match=f"is {50 * 2**20:,} bytes; at most {LARGEST_FILE:,} are read"):
        model(file)


def test_values_that_contain_themselves() -> None:
    values: dict[str, Any] = dict(LLAMA)
    values["self"] = values
    with pytest.raises(AttometerError, match="is nested deeper than 40 levels"):
        from_values(values)


def test_a_folder_and_a_file_read_the_same(tmp_path: Path) -> None:
    file = write(tmp_path, json.dumps(LLAMA))
    assert model(tmp_path).layers == model(file).layers == model(str(file)).layers
    assert model(tmp_path).name == tmp_path.name


def test_a_path_is_never_taken_for_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llama-3.1-8b").mkdir()
    write(tmp_path / "llama-3.1-8b", json.dumps(LLAMA))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AttometerError, match="is both a shipped model and a path here"):
        model("llama-3.1-8b")
    assert model("./llama-3.1-8b").depth == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llama-3.1-9B", 'unknown model "llama-3.1-9B"; did you mean "llama-3.1-8b"?'),
        ("no/such/folder", "no/such/folder: no such file"),
        ("missing.json", "missing.json: no such file"),
        ("", 'unknown model ""'),
        ("a\0b", "unknown model"),
    ],
)
def test_names_and_paths_that_lead_nowhere(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AttometerError) as caught:
        model(name)
    assert words in str(caught.value)


def test_a_model_type_that_needs_its_architecture() -> None:
    with pytest.raises(
        AttometerError, match=r"\$\.architectures must name DeepseekV3ForCausalLM for this model_type, got ''"
    ):
        from_values({"model_type": "kimi_k2"})


def test_what_no_reference_implements_is_refused_by_its_key() -> None:
    text = {"model_type": "kimi_linear", "hidden_size": 64, "num_hidden_layers": 2, "attn_res_block_size": 12}
    with pytest.raises(AttometerError, match=r"\$\.text_config\.attn_res_block_size is not modelled"):
        from_values({"model_type": "kimi_k3", "text_config": text})


def test_two_names_of_the_longest_context_may_differ() -> None:
    values = LLAMA | {"max_position_embeddings": 4096, "seq_length": 2048}
    assert from_values(values).context == 4096


def test_the_tied_head_of_a_whole_model_is_settled_by_the_rule_of_its_family() -> None:
    text = LLAMA | {"model_type": "qwen3_vl_text", "tie_word_embeddings": True}
    own = from_values({"model_type": "qwen3_vl", "text_config": text})
    assert [part.tied for part in own.head] == [False, False]
    assert any("its head is not tied" in note for note in own.check.notes)
    tied = from_values({"model_type": "qwen3_vl", "text_config": text, "tie_word_embeddings": True})
    assert [part.tied for part in tied.head] == [False, True]


def test_a_text_only_file_of_a_multimodal_family() -> None:
    read = from_values(LLAMA | {"model_type": "qwen2_vl", "vision_config": {"depth": 2}})
    assert read.family == "qwen2"
    assert any("vision_config" in note for note in read.check.notes)


def test_pruned_heads_are_refused() -> None:
    with pytest.raises(AttometerError, match=r"\$\.pruned_heads is not empty"):
        from_values(LLAMA | {"pruned_heads": {"0": [1]}})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("t5", "T5ForTokenClassification"),
        ("gpt2", "GPT2DoubleHeadsModel"),
        ("bert", "BertForRewardModel"),
        ("llama", "InternLM2ForRewardModel"),
    ],
)
def test_classes_whose_head_is_not_modelled(kind: str, name: str) -> None:
    values = {
        "model_type": kind,
        "architectures": [name],
        "n_embd": 8,
        "n_head": 2,
        "n_layer": 1,
        "num_layers": 1,
        "vocab_size": 9,
    }
    values = LLAMA | {"architectures": [name]} if kind == "llama" else values
    with pytest.raises(AttometerError, match=rf"\$\.architectures names {name}"):
        from_values(values | ({"num_hidden_layers": 1} if kind == "bert" else {}))


def test_no_key_is_listed_twice() -> None:
    check = from_values(LLAMA | {"max_position_embeddings": 4096}).check
    listed = [*check.read, *(key for key, _ in check.defaulted), *check.ignored, *check.unread]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("values", [LLAMA | {"num_hidden_layers": 1001}, {"model_type": "t5", "num_layers": 1001}])
def test_thousands_of_layers_are_refused_before_they_are_built(values: dict[str, Any]) -> None:
    with pytest.raises(AttometerError, match="is 1001; at most 1000 layers are modelled"):
        from_values(values)


def test_layers_that_are_alike_are_built_once() -> None:
    keys: list[int] = []

    def build(key: int) -> Layer:
        keys.append(key)
        return Layer(str(key), ())

    layers = alike([4, 0, 4, 4], build)
    assert keys == [4, 0]
    assert layers[0] is layers[2] is layers[3]
