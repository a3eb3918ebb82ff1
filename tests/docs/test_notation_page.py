"""The page of the notation: every block parses and prints back, and nothing of the notation is missing from it."""

import re
from pathlib import Path

import pytest

from attometer.masks import MASKS
from attometer.program import parse
from attometer.program.rules import RESERVED

PAGE = (Path(__file__).parents[2] / "docs" / "notation.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```att\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_parses(block: str) -> None:
    program = parse(block)
    assert parse(str(program)) == program


@pytest.mark.parametrize("words", [RESERVED, MASKS], ids=["words", "masks"])
def test_every_word_has_an_example(words: set[str]) -> None:
    examples = "\n".join(BLOCKS)
    assert [word for word in sorted(words) if not re.search(rf"\b{word}\b", examples)] == []
    assert [word for word in sorted(words) if not re.search(rf"`{word}\b", PAGE)] == []
