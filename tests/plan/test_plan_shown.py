"""A plan as it is shown: 80 columns, JSON with explanations and a version, figures and frames."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attometer.cli import app
from attometer.errors import AttometerError
from attometer.plan import plan, side_by_side
from attometer.view.table import Table

SERVED = {"engine": "vllm", "mode": "decode", "context": 8192, "batch": 32}
PLANS: list[tuple[str, str, dict[str, Any]]] = [
    ("llama-3.1-8b", "h100-sxm", {}),
    ("llama-3.1-8b", "h100-sxm", SERVED),
    ("deepseek-v3", "8x h200-sxm", SERVED | {"engine": "sglang"}),
    ("llama-3.1-8b", "h100-sxm", {"mode": "train", "context": 4096, "recipe": "adamw"}),
    ("llama-3.1-8b", "h100-sxm", {"engine": "vllm", "concurrency": 64}),
    ("gemma-2-27b", "2x rtx-4090", {"mode": "decode", "context": 32768}),
]


@pytest.mark.parametrize(("model", "on", "asked"), PLANS, ids=[f"{m}-{k}" for k, (m, _, _) in enumerate(PLANS)])
def test_every_line_fits_eighty_columns_and_no_row_is_folded(model: str, on: str, asked: dict[str, Any]) -> None:
    made = plan(model, on, **asked)
    lines = made.text(80).splitlines()
    assert max(map(len, lines)) <= 80
    (first,) = (k for k, line in enumerate(lines) if line.startswith("layer type"))
    kinds = [line.split("  ")[0].strip() for line in lines[first + 2 : first + 3 + len(made.layers)]]
    assert kinds == [*(layer.kind for layer in made.layers), "total"]
    assert all(lever.name in made.text(80) for lever in made.levers)


def test_json_has_a_version_and_explanations_where_they_are_asked_for() -> None:
    asked = ["plan", "gpt2", "--on", "l4", "--context", "512", "--json"]
    plain, told = (json.loads(CliRunner().invoke(app, [*asked, *more]).stdout) for more in ([], ["--explain"]))
    assert (plain["schema"], "explanation" in plain) == (1, False)
    said = {each["name"]: each["said"] for each in told.pop("explanation")}
    assert told == plain
    assert said["weights"] == "parameters × 16 bits / 8 = 248,879,616 bytes (bf16)"
    assert said["predicted time"].startswith("sum of the terms = ")
    assert said["sensitivities"].startswith("more tokens/s for 10 % more of a figure: ")
    both = side_by_side([plan("gpt2", "l4"), plan("gpt2", "a10")]).to_dict(explain=True)
    assert all(each["explanation"] for each in both["plans"])


@pytest.mark.parametrize("asked", [{}, SERVED, {"mode": "train", "recipe": "lora"}, {"schedule": "naive"}])
def test_a_plan_is_drawn(tmp_path: Path, asked: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    made = plan("gpt2", "l4", **({"context": 512} | asked))
    drawn = made.plot(tmp_path / "plan.svg").read_text()
    assert "datasheet bound" in drawn
    assert ("predicted" in drawn) == (made.predicted is not None)
    with pytest.raises(AttometerError, match=r"must end in \.png, \.svg or \.pdf"):
        made.plot(tmp_path / "plan.jpg")


def test_a_table_of_a_plan_is_a_frame_of_values() -> None:
    pytest.importorskip("pandas", reason="pandas makes the frame")
    made = plan("gpt2", "l4", context=512)
    frame = made.to_frame(1)
    assert list(frame["layer type"]) == [*(layer.kind for layer in made.layers), "total"]
    assert frame["parameters"].tolist()[-1] == made.parameters
    assert made.to_frame()["GB (10^9)"].tolist()[-2] == made.memory.total


def test_a_plan_shows_itself_in_a_notebook() -> None:
    shown = plan("gpt2", "l4", context=512)._repr_html_()
    assert shown.startswith("<pre>gpt2 in bf16 fits")
    assert shown.count("<table>") == sum(isinstance(block, Table) for block in plan("gpt2", "l4", context=512).page())


def test_explained_training_adds_up_to_what_the_plan_needs():
    made = plan("llama-3.1-8b", "a100-80gb-sxm", context=4096, mode="train", recipe="qlora")
    line = " ".join(made.explain("peak of training").split())
    terms = re.findall(r"\w+ ([\d,]+) (?:\+|=)", line)
    assert sum(int(each.replace(",", "")) for each in terms) == made.needed
    assert f"= {made.needed:,} bytes" in line
