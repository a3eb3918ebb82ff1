"""Slips of the command line: understood as meant, or refused with what is right."""

import pytest
import typer
from typer.testing import CliRunner

from attometer.cli import app
from attometer.cli.app import SAID, _spelled
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
        (["list"], "list needs kind: models, machines, mechanisms"),
        (["pebble", "softmax", "-M", "5"], "pebble needs --sizes: as in n=2,d=1"),
        (["models"], 'unknown command "models"; attometer list models'),
        (["list", "gpus"], 'unknown list "gpus"; did you mean "machines"?'),
        (["plan", "gpt2", "--mode", "finetune"], 'unknown mode "finetune"; did you mean "train"?'),
        (
            ["plan", "gpt2", "--on", "h100", "--tp", "4"],
            "tp 4 takes 4 devices, H100 SXM5 80GB are 1; name them, as in --on 4x-h100-sxm",
        ),
        (
            ["plan", "gpt2", "--mode", "train", "--recipe", "lora,r=8"],
            'unknown part of a recipe "r"; did you mean "lora_rank"?',
        ),
        (["plan", "llama-4"], '"llama-4" may be llama-4-maverick, llama-4-scout'),
        (["plan", "gpt2", "--gpu", "24GB"], '"24GB" is a size of memory; name the device'),
        (["sweep", "gpt2", "--context", "1k-8k"], 'context "1k-8k" is no amount; a range is written 1k..8k'),
        (
            ["io", "softmax", "-n", "64", "-d", "8", "-M", "99", "--mask", "sliding"],
            'unknown mask "sliding"; did you mean "window"?',
        ),
        (["show", "softmax", "--at", "n=x"], 'size "n" must be a positive integer, got x'),
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
    assert runner.invoke(app, ["show", "linear_attention"]).output == runner.invoke(app, ["show", "linear"]).output
    assert runner.invoke(app, ["show", "s6"]).output == runner.invoke(app, ["show", "mamba"]).output
    assert runner.invoke(app, ["claims", "004"]).output == runner.invoke(app, ["claims", "--source", "004"]).output
    alone, named = (runner.invoke(app, ["plan", "gpt2", *on, "-c", "1k"]).output for on in (["l4"], ["--on", "l4"]))
    assert alone == named
    commas, spaces = (
        runner.invoke(app, ["compare", *names, "-n", "512"]) for names in (["softmax,linear"], ["softmax", "linear"])
    )
    assert commas.output == spaces.output
    assert commas.exit_code == 0
    assert parse_mask("causal and not window(256) or global(2)") == parse_mask("causal & ~window(256) | global(2)")


COMMANDS = typer.main.get_command(app)


@pytest.mark.parametrize("name", sorted(COMMANDS.commands))  # type: ignore[attr-defined]
def test_a_command_takes_its_options_in_all_the_words_for_them(name: str) -> None:
    params = COMMANDS.commands[name].params  # type: ignore[attr-defined]
    own = {option.lstrip("-") for param in params for option in param.opts}
    for group in SAID:
        had = [word for word in group if word in own]
        for word in group:
            assert _spelled(own)(word) == (word if word in had or not had else had[0])


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("sweep gpt2 --gpu l4 --ctx 1k", "sweep gpt2 --on l4 --context 1k"),
        ("show softmax --sizes n=64,d=4", "show softmax --at n=64,d=4"),
        ("compare softmax sliding_window --at w=64", "compare softmax sliding_window --sizes w=64"),
        ("compare gqa softmax -n 512", "compare gqa softmax -n 512 --heads 8"),
        ("shares gpt2 --max-model-len 1k", "shares gpt2 -c 1k"),
    ],
)
def test_options_are_understood_in_other_words(said: str, meant: str) -> None:
    found, expected = (CliRunner().invoke(app, line.split()) for line in (said, meant))
    assert (found.exit_code, found.output) == (0, expected.output)
