"""Slips of the command line: understood as meant, or refused with what is right."""

import pytest
from typer.testing import CliRunner

from attometer.cli import app
from attometer.errors import AttometerError
from attometer.program import parse_mask


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "flashattention"], "is a schedule of softmax attention, which it computes exactly: show softmax"),
        (["show", "softmax", "--at", "n"], 'sizes take NAME=VALUE, got "n"'),
        (
            ["io", "softmax", "-n", "4096", "-d", "64", "-M", "228KB"],
            "-M is in words, not bytes: 228KB are 116,736 words of 16 bits",
        ),
        (["explain", "gpt2"], 'unknown command "explain"; plan --explain says where each number comes from'),
        (["swep", "gpt2"], 'unknown command "swep"; did you mean "sweep"?'),
        (["plan", "claude-3"], 'unknown model "claude-3"; give the path of a config.json'),
    ],
)
def test_slips_are_told_what_is_right(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, AttometerError)
    assert message in str(done.exception)


def test_what_people_call_things_is_understood() -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["show", "self-attention"]).output == runner.invoke(app, ["show", "softmax"]).output
    commas, spaces = (
        runner.invoke(app, ["compare", *names, "-n", "512"]) for names in (["softmax,linear"], ["softmax", "linear"])
    )
    assert commas.output == spaces.output
    assert commas.exit_code == 0
    assert parse_mask("causal and not window(256) or global(2)") == parse_mask("causal & ~window(256) | global(2)")
