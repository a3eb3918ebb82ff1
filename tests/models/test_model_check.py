"""`check`: what became of each key; and the shipped files, whose every key must be known."""

from __future__ import annotations

import json
import re

import pytest

from attometer.models import from_values, model, shipped
from attometer.models.shipped import shipped_path

SMALL = {
    "model_type": "mistral",
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "vocab_size": 100,
    "rms_norm_eps": 1e-5,
    "flux_capacitor": 3,
}


def test_check_sorts_every_key() -> None:
    check = from_values(SMALL).check
    assert "$.hidden_size" in check.read
    assert ("$.sliding_window", "4096") in check.defaulted
    assert "$.rms_norm_eps" in check.ignored
    assert check.unread == ("$.flux_capacitor",)


def test_check_prints_what_is_not_modelled() -> None:
    text = str(from_values(SMALL).check)
    assert "not modelled $.flux_capacitor" in text
    assert "defaulted   $.num_key_value_heads = 8" in text


def test_keys_of_the_text_model_carry_its_path() -> None:
    check = model("qwen3.5-397b-a17b").check
    assert "$.text_config.linear_num_value_heads" in check.read
    assert "$.linear_num_value_heads" not in check.read


def test_defaults_inside_a_text_config_are_listed() -> None:
    values = {
        "model_type": "llava",
        "text_config": {"model_type": "llama", "vocab_size": 32064},
        "vision_config": {"hidden_size": 1},
    }
    read = from_values(values)
    assert ("$.text_config.hidden_size", "4096") in read.check.defaulted
    assert "$.text_config.hidden_size" not in read.check.read
    assert read.check.notes == (
        "vision_config is not counted: config.json: $.vision_config.hidden_size is 1, which is not a multiple of "
        "$.vision_config.num_attention_heads = 12",
        "only the text model is modelled; vision_config and what projects into the text are not",
    )


@pytest.mark.parametrize("name", shipped())
def test_shipped_files_say_where_they_come_from_and_hold_no_unknown_key(name: str) -> None:
    assert json.loads(shipped_path(name).read_text())["_source"]
    assert model(name).check.unread == ()
    assert model(name).name == name


def test_names_are_lower_case_and_found_in_any_case() -> None:
    assert all(name == name.lower() for name in shipped())
    assert model("Llama-3.1-8B").layers == model("llama-3.1-8b").layers


def test_a_model_prints_its_layers_by_type() -> None:
    lines = str(model("gemma-3-1b")).splitlines()
    assert lines[0] == "gemma-3-1b (gemma3): 26 layers, width 1152"
    assert [line.split()[:3] for line in lines if "×" in line] == [["22", "×", "sliding"], ["4", "×", "full"]]


def test_what_was_read_of_a_configuration_fits_a_narrow_page() -> None:
    read = model("deepseek-v3")
    lines = f"{read}\n{read.check}".splitlines()
    assert max(map(len, lines)) <= 80
    assert set(re.findall(r"\$\.\w+", "\n".join(lines))) == {*read.check.read, *read.check.ignored}


def test_hybrids_keep_their_order() -> None:
    read = model("nemotron-3-nano-30b-a3b")
    assert read.kinds() == {"ssm": 23, "experts": 23, "full": 6}
    order = {index: stack.kind for stack in read.layers for index in stack.indices}
    assert [order[i] for i in range(6)] == ["ssm", "experts", "ssm", "experts", "ssm", "full"]
