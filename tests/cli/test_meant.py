"""Slips of the command line: understood as meant, or refused with what is right."""

from pathlib import Path

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
        (["list"], "list needs kind: models, machines, mechanisms"),
        (["pebble", "softmax", "-M", "5"], "pebble needs --sizes: as in n=2,d=1"),
        (["models"], 'unknown command "models"; attometer list models'),
        (["list", "mahcines"], 'unknown list "mahcines"; did you mean "machines"?'),
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
        (["plan", "gpt2", "--mode", "inference"], 'unknown mode "inference"; did you mean "serve"?'),
        (["plan", "gpt2", "--mode", "chat"], 'unknown mode "chat"; did you mean "decode"?'),
        (["plan", "gpt2", "--mode", "prompt"], 'unknown mode "prompt"; did you mean "prefill"?'),
        (["io", "softmax", "-n", "64", "-d", "8", "-M", "99", "--mask", "dilated"], 'did you mean "strided"?'),
        (["io", "softmax", "-n", "64", "-d", "8", "-M", "99", "--mask", "tril"], 'did you mean "causal"?'),
        (["plan", "gpt2", "--mode", "lora"], 'unknown mode "lora"; known: decode, prefill, serve, train'),
        (["plan", "gpt2", "--gpu", "2"], '"2" is a number: a device\'s name stands after it, as in 2x-h100-sxm'),
        (["plan", "gpt2", "--gpu", "cuda:0"], '"cuda" names no one machine: say which, as in "h100-sxm"'),
        (["plan", "h100", "gpt2"], '"h100" is a machine: name the model first, as in llama-3.1-8b --on h100-sxm'),
        (
            ["plan", "gpt2", "--context", "8k,32k"],
            "context is one number here, got 8k,32k; sweep takes lists and ranges",
        ),
        (
            ["plan", "gpt2", "--context", "1k..8k"],
            "context is one number here, got 1k..8k; sweep takes lists and ranges",
        ),
        (["plan", "gpt2", "--engine", "vllm", "--utilization", "x"], '--utilization: a share is 0.9 or 90%, got "x"'),
        (["plan", "gpt2", "--ngpu", "2"], "plan has no --ngpu: how many devices there are stands before their name"),
        (
            ["plan", "gpt2", "-b", "512"],
            "-b is llama.cpp's: sequences at once are --batch, tokens of a step --batched-tokens",
        ),
        (["plan", "gpt2", "--contxt", "4k"], 'plan has no --contxt; did you mean "--context"?'),
        (["plan", "gpt2", "--zork"], "plan has no --zork; attometer plan --help"),
        (["sweep", "gpt2", "--tp", "2"], "sweep has no --tp; plan has one"),
        (
            ["io", "softmax", "-M", "99", "--window", "256"],
            "io has no --window: a window is a mask: --mask 'window(256)'",
        ),
        (["io", "softmax", "-n", "64", "-d", "x", "-M", "99"], "-d: it must be a positive integer, got x"),
        (["show", "softmax", "--at", "n=64", "d=8"], "sizes are joined by commas, as in n=1024,d=64"),
        (["show", "softmax", "--at", "n=64,d=8,n=32"], 'size "n" is given twice: 64 and 32'),
        (["pebble", "softmax", "-n", "2", "-d", "1", "--memory", "3"], "M=3 is too small for any pebbling"),
        (["show", "gla"], "its notation is examples/gated_linear.att"),
        (["show", "causal"], '"causal" is a mask, not a mechanism'),
        (["show", "fa2"], '"fa2" is a schedule of softmax attention'),
        (["show", "ring"], 'unknown mechanism "ring"; known: '),
        (["--models"], "no option --models stands before a command; attometer list models"),
        (["page", "--out", "x.pdf"], 'a page is HTML: name it as in attometer.html, got "x.pdf"'),
        (["figures", "softmax", "--out", "x"], "figures draws those of the article"),
        (["io", "softmax", "-n", "64", "-d", "8", "-M", "999", "--schedule", "fa2"], 'did you mean "flash2"?'),
        (["plan", "models--a--b"], '"a/b" is not shipped, and nothing is downloaded'),
        (["plan", "gpt2", "--tp", "auto"], "--tp takes a whole number"),
        (["plan", "gpt2", "--reserve-gib", "1GB"], "--reserve-gib takes a number without a unit, as in 1.5"),
        (
            ["plan", "gpt2", "--engine", "llamacpp", "--batch-size", "0"],
            "-b, the batch size of llama.cpp, must be a positive",
        ),
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
    ways = (["softmax", "linear"], ["softmax,linear"], ["softmax", "vs", "linear"], ["softmax and linear"])
    found = [runner.invoke(app, ["compare", *names, "-n", "512"]) for names in ways]
    assert {(each.exit_code, each.output) for each in found} == {(0, found[0].output)}
    assert parse_mask("causal and not window(256) or global(2)") == parse_mask("causal & ~window(256) | global(2)")


def test_a_class_and_round_brackets_are_told_what_is_meant(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "LlamaForCausalLM"}')
    assert 'did you mean "llama"?' in str(CliRunner().invoke(app, ["plan", str(config)]).exception)
    mine = tmp_path / "mine.att"
    mine.write_text("Y(i) = exp(X[i])")
    assert "indices stand in square brackets" in str(CliRunner().invoke(app, ["show", str(mine)]).exception)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("sweep gpt2 --gpu l4 --ctx 1k", "sweep gpt2 --on l4 --context 1k"),
        ("show softmax --sizes n=64,d=4", "show softmax --at n=64,d=4"),
        ("compare softmax sliding_window --at w=64", "compare softmax sliding_window --sizes w=64"),
        ("compare gqa softmax -n 512", "compare gqa softmax -n 512 --heads 8"),
        ("shares gpt2 --max-model-len 1k", "shares gpt2 -c 1k"),
        ("shares --model gpt2 --max_model_len=1k", "shares gpt2 -c 1k"),
        ("scale softmax --at n:64;d:8 -p 4", "scale softmax -n 64 -d 8 --processors 4"),
        ("show softmax -n 1,024 -d 4", "show softmax --at n=1,024,d=4"),
        ("show sliding_window --set w=64", "show sliding-window --set w=64"),
        ("show swiglu", "show gated_ffn"),
        ("show gated_deltanet", "show gated_delta"),
        ("show s4", "show ssm"),
        ("show rwkv", "show wkv"),
        ("show softmax --at n=4k,d=8", "show softmax --at n=4096,d=8"),
        ("plan gpt2 -c 1k --engine vllm --utilization 90%", "plan gpt2 -c 1k --engine vllm --utilization 0.9"),
        ("plan gpt2 -c 1k --engine llama-cpp --batch-size 256", "plan gpt2 -c 1k --engine llama.cpp -b 256"),
        ("plan gpt2 -c 1k --precision half", "plan gpt2 -c 1k --weights-dtype fp16"),
        ("plan gpt2 -c 1k --quantization auto", "plan gpt2 -c 1k"),
        ("list gpus h100", "list machines h100"),
        ("list mask", "list masks"),
        ("sweep gpt2 --on l4,a10 -c 1k --batch 1", "sweep gpt2 --on l4 a10 -c 1k --batch 1"),
        ("plan gpt2 --recipe lora -c 1k", "plan gpt2 --mode train --recipe lora -c 1k"),
        (
            "io softmax -n 64 -d 8 -M 999 --schedule flash1,flash2",
            "io softmax -n 64 -d 8 -M 999 --schedule flash1 --schedule flash2",
        ),
    ],
)
def test_options_are_understood_in_other_words(said: str, meant: str) -> None:
    found, expected = (CliRunner().invoke(app, line.split()) for line in (said, meant))
    assert (found.exit_code, found.output) == (0, expected.output)
