"""Whatever a file holds, the reader returns a model or raises an AttometerError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from family_configs import FAMILIES
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.models import Model, from_values, model, shipped
from attometer.models.config import read_config
from attometer.models.readers.families import READERS
from attometer.models.shipped import shipped_path

REAL = {name: json.loads(shipped_path(name).read_text()) for name in shipped()} | FAMILIES
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**9, 10**13, 10**30, 7, 48]),
    st.floats(),
    st.text(max_size=8),
)
JUNK = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def attempt(values: Any) -> None:
    try:
        read = from_values(values)
    except AttometerError as error:
        message = str(error)
    else:
        assert isinstance(read, Model)
        return
    assert message.startswith("config.json: ")


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    values = json.loads(json.dumps(REAL[draw(st.sampled_from(sorted(REAL)))]))
    inner = values.get("text_config")
    target = inner if isinstance(inner, dict) and draw(st.booleans()) else values
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(target)))
        match draw(st.sampled_from(["drop", "junk", "list", "borrow"])):
            case "drop":
                target.pop(key, None)
            case "junk":
                target[key] = draw(JUNK)
            case "list" if isinstance(target.get(key), list) and target[key]:
                target[key][draw(st.integers(0, len(target[key]) - 1))] = draw(ODD)
            case _:
                other = REAL[draw(st.sampled_from(sorted(REAL)))]
                target |= {
                    k: other[k]
                    for k in draw(st.lists(st.sampled_from(sorted(other)), max_size=3))
                    if k != "text_config"
                }
        if not target:
            break
    return values


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_mutated_real_configurations(values: dict[str, Any]) -> None:
    attempt(values)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=12), JUNK, max_size=6), st.sampled_from([*sorted(READERS), "nothing"]))
def test_random_objects(values: dict[str, Any], kind: str) -> None:
    attempt(values | {"model_type": kind})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b'{"model_type": "llama", "hidden_size": NaN}')
@example(b'{"model_type": "gemma3", "sliding_window_pattern": 1000000000000, "hidden_size": 1}')
def test_random_files(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(data)
    with pytest.raises(AttometerError):
        model(file)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(REAL)), st.data())
def test_truncated_files(tmp_path: Path, name: str, data: st.DataObject) -> None:
    text = json.dumps(REAL[name])
    file = tmp_path / "config.json"
    file.write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    with pytest.raises(AttometerError):
        read_config(file)
