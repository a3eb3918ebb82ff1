"""Options in other people's words: each stands for one that a command has, and what is told names options that exist."""

import re

import pytest
import typer

from attometer.cli import app
from attometer.cli.words import INSTEAD, SAID, no_such_option, own_words

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS = {
    name: [option for param in command.params if param.param_type_name == "option" for option in param.opts]
    for name, command in COMMANDS.items()
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_takes_its_options_in_all_the_words_for_them(name: str) -> None:
    own = {option.lstrip("-"): option for option in OPTIONS[name]}
    for group in SAID:
        had = [word for word in group if word in own]
        for word in group:
            meant = {own[other] for many in SAID if word in many for other in many if other in own}
            for typed in (f"--{word}", f"--{word.replace('-', '_')}"):
                (found,) = own_words([typed], OPTIONS[name])
                assert found == own[word] if word in had else found in (meant or {typed})


def test_what_is_no_option_stays_as_it_is() -> None:
    args = ["a.att", "-5", "-M5", "--mask", "i - j < 3", "--", "--max-model-len"]
    assert own_words(args, OPTIONS["io"]) == args
    assert own_words(["--memory=96k", "--max_model_len=4k"], ["-M", "--context"]) == ["-M96k", "--context=4k"]


@pytest.mark.parametrize("number", range(len(INSTEAD)))
def test_hints_name_options_that_the_command_has(number: int) -> None:
    words, hints = INSTEAD[number]
    for option, text in hints.items():
        having = [name for name, options in OPTIONS.items() if f"--{option}" in options]
        assert having
        # At least one word is one that a command with this option lacks, else nobody is ever told.
        lacking = [(n, w) for n in having for w in words if own_words([f"--{w}"], OPTIONS[n]) == [f"--{w}"]]
        told = {n for n, w in lacking if text in no_such_option(n, f"--{w}", OPTIONS)}
        assert told
        for name in told:
            assert set(re.findall(r"(?<!\w)--[a-z-]+", text)) <= set(OPTIONS[name])
