"""Options in other people's words: those that mean one of ours are taken for it, of others what says the same here is told."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

from attometer.errors import nearest

SAID = (
    ("context", "max-model-len", "context-length", "ctx-size", "max-seq-len", "sequence-len", "max-seq-length", "num-ctx", "ctx",
     "max-model-length", "model-max-length", "max-length", "seq-len", "seqlen", "seq-length", "sequence-length", "n-ctx",
     "context-size", "context-len", "ctx-len", "max-context", "max-context-length", "cutoff-len"),
    ("batch", "batch-size", "bs", "bsz"),
    ("on", "gpu", "machine", "hardware", "device"),
    ("tp", "tensor-parallel-size", "tp-size", "tensor-parallel", "tensor-model-parallel-size"),
    ("pp", "pipeline-parallel-size", "pp-size", "pipeline-parallel", "pipeline-model-parallel-size"),
    ("dp", "data-parallel-size", "dp-size", "data-parallel"),
    ("ep", "expert-parallel-size", "ep-size", "expert-parallel", "expert-model-parallel-size"),
    ("cp", "context-parallel-size", "cp-size", "context-parallel"),
    ("zero", "zero-stage"),
    ("kv-dtype", "kv-cache-dtype", "kv-quant", "kv-cache-quant", "kv-format"),
    ("weights-dtype", "quantization", "quant", "weight-dtype", "weights-format"),
    ("dtype", "torch-dtype", "precision"),
    ("batched-tokens", "max-num-batched-tokens", "chunked-prefill-size", "ubatch-size", "max-num-tokens"),
    ("max-requests", "max-num-seqs", "max-running-requests"),
    ("utilization", "gpu-memory-utilization", "mem-fraction-static", "gpu-mem-util", "gpu-memory-util", "gpu-util"),
    ("input-length", "input-len", "isl", "prompt-length", "prompt-len", "prompt-tokens", "input-tokens"),
    ("output-length", "output-len", "osl", "gen-len", "output-tokens"),
    ("concurrency", "max-concurrency", "num-concurrent", "concurrent-requests"),
    ("new-tokens", "max-new-tokens", "n-predict", "num-predict"),
    ("enforce-eager", "disable-cuda-graph"), ("micro-batch", "micro-batch-size", "per-device-train-batch-size",
     "per-device-batch-size"),
    ("checkpoint", "gradient-checkpointing"), ("n-gpu-layers", "gpu-layers", "gpulayers", "num-gpu"),
    ("parallel", "num-parallel", "n-parallel"),
    ("draft", "draft-model", "model-draft", "speculative-model", "speculative-draft-model-path"),
    ("draft-tokens", "num-speculative-tokens", "speculative-num-draft-tokens", "draft-max"),
    ("at", "sizes", "set"), ("heads", "num-heads", "n-heads"),
    ("processors", "procs", "cores", "p"), ("M", "memory", "sram", "fast-memory"), ("n", "seqlen", "seq-len", "seq", "length"),
    ("d", "head-dim", "d-head"), ("gradient", "backward", "grad"), ("repeats", "repeat", "iters"), ("seconds", "timeout"),
    ("out", "output", "output-dir", "o"), ("formats", "format"), ("source", "document"),
)  # fmt: skip
"""Options in the words of engines, trainers, launchers and other commands: a command takes whichever of them it has as any."""

INSTEAD: tuple[tuple[tuple[str, ...], Mapping[str, str]], ...] = (
    (
        ("ngpu", "ngpus", "num-gpus", "n-gpus", "n-gpu", "gpus", "gpu-count", "num-devices", "nproc-per-node", "world-size"),
        {"on": "how many devices there are stands before their name, as in --on 2x-h100-sxm"},
    ),
    (
        ("vram", "memory", "mem", "ram", "gpu-memory", "max-memory"),
        {"on": "memory is that of a device: name it, as in --on rtx-4090"},
    ),
    (
        ("window", "w", "sliding-window"),
        {
            "mask": "a window is a mask: --mask 'window(256)'",
            "what-if": "another window is --what-if window=256",
            "set": "the window of a mechanism that has one is --set w=256",
            "sizes": "the window of a mechanism that has one is --sizes w=256",
            "at": "the window of a mechanism that has one is --at w=256",
        },
    ),
    (("causal", "is-causal", "mask"), {"mask": "--mask causal", "set": "--set mask=causal"}),
    (
        ("heads", "num-heads", "batch", "batch-size", "b", "h", "kv-heads", "num-kv-heads"),
        {"sizes": "further sizes are --sizes h=8,g=2,b=1", "at": "further sizes are --at h=8,g=2,b=1"},
    ),
    (
        ("n", "max-tokens", "tokens", "num-tokens", "generate", "predict"),
        {"new-tokens": "tokens of a sequence are --context, those to generate --new-tokens, in serving --output-length"},
    ),
    (("input", "prompt", "p"), {"input-length": "in serving, tokens of a prompt are --input-length"}),
    (
        ("users", "clients", "requests", "num-prompts", "request-rate", "qps"),
        {"concurrency": "in serving, requests at once are --concurrency"},
    ),
    (("kv", "kv-cache", "cache-type", "cache-dtype"), {"kv-dtype": "the format of the cache is --kv-dtype"}),
    (
        ("bits", "wbits", "load-in", "4bit", "8bit"),
        {"weights-dtype": "the format of the weights is --weights-dtype, as in int4, nf4, awq or q4_k_m"},
    ),
    (
        ("decode", "prefill", "train", "training", "serve", "serving", "inference"),
        {"mode": "--mode is prefill, decode, train or serve"},
    ),
    (
        ("lora", "qlora", "peft", "lora-rank", "lora-r", "optimizer", "optim", "full-finetune"),
        {"recipe": "how it is trained is --mode train --recipe lora,lora_rank=16, or adamw-8bit: attometer list recipes"},
    ),
    (("fsdp", "deepspeed", "sharding-strategy"), {"zero": "what replicas divide is --zero: 3 is FSDP"}),
    (
        ("gradient-accumulation-steps", "grad-accum", "global-batch-size"),
        {"micro-batch": "--batch is the sequences of a step over all devices, --micro-batch those of one pass of a replica"},
    ),
    (
        ("swap-space", "cpu-offload-gb", "cpu-offload", "device-map"),
        {"offload": "what stays in the host's memory is --offload layers=12 or --offload experts"},
    ),
    (
        ("enable-prefix-caching", "prefix-caching"),
        {"prefix-hit-rate": "in serving, the share of a prompt that is cached is --prefix-hit-rate 0.5"},
    ),
    (("enable-chunked-prefill", "chunked-prefill", "chunk-size"), {"chunk": "tokens of one chunk of a prefill are --chunk 8192"}),
    (("flash-attention", "attn-implementation"), {"schedule": "how attention runs is --schedule: flash, one kernel, if not given"}),
    (
        ("trust-remote-code", "host", "port", "api-key", "served-model-name", "tokenizer", "seed", "download-dir", "mlock",
         "no-mmap", "threads", "t", "verbose", "v", "disable-log-requests"),
        {"on": "it changes nothing that is counted: leave it out"},
    ),
    (("csv", "plot", "output", "save"), {"csv": "--csv FILE writes the points, --plot FILE draws them"}),
    (("speed", "fps"), {"delay": "seconds between moves are --delay 0.2"}),
    (("animate",), {"play": "--play shows the moves one by one"}),
    (("wrong", "agrees", "convention"), {"verdict": "--verdict agrees, wrong or convention"}),
)  # fmt: skip
"""What other people's options are here, where they are no option of ours: by the option that a command must have for it."""


def own_words(args: list[str], options: Iterable[str]) -> list[str]:
    """Return arguments with each option of `SAID` as the one of a command's `options` (`-n`, `--mask`) that it stands for.

    >>> own_words(["gpt2", "--max_model_len=4k", "-bs", "2"], ["--context", "-c", "--batch"])
    ['gpt2', '--context=4k', '--batch', '2']

    llama.cpp's `--batch-size` is the tokens of a step, as its `-b` is:

    >>> own_words(["gpt2", "--engine", "llamacpp", "--batch-size", "2048"], ["--engine", "--batch", "-b"])
    ['gpt2', '--engine', 'llamacpp', '-b', '2048']
    """
    known = {option.lstrip("-"): option for option in options}
    end = args.index("--") if "--" in args else len(args)
    if "b" in known and _under_llama_cpp(args[:end]):
        known["batch-size"] = known["b"]
    return [_own_word(word, known) for word in args[:end]] + args[end:]


def _under_llama_cpp(args: list[str]) -> bool:
    """Return whether the engine that is named is llama.cpp, by any of its names."""
    named = [word[9:] for word in args if word.startswith("--engine=")]
    named += [value for word, value in pairwise(args) if word == "--engine"]
    if not named:
        return False
    from attometer.engines import canonical

    return any(canonical(name)[0] == "llama.cpp" for name in named)


def _own_word(word: str, known: Mapping[str, str]) -> str:
    if not word.startswith("-") or word in known.values():
        return word
    typed, equals, value = word.partition("=")
    name = typed.lstrip("-").replace("_", "-")
    alike = (name, *(one for group in SAID if name in group for one in group))
    found = next((known[one] for one in alike if one in known), None)
    if found is None or typed in known.values():
        return word
    # the value of an option of one letter follows it at once
    return found + (equals + value if len(found) > 2 else value)


def no_such_option(command: str, typed: str, options: Mapping[str, Iterable[str]]) -> str:
    """Return what is said of an option that a command lacks; `options` are those of every command."""
    own = {option.lstrip("-") for option in options[command]}
    name = typed.lstrip("-").replace("_", "-")
    for words, hints in INSTEAD:
        hint = next((text for option, text in hints.items() if option in own), None) if name in words else None
        if hint is not None:
            return f"{command} has no {typed}: {hint}"
    near = nearest(name, [one for one in own if len(one) > 1], 0.75)
    if "did you mean" in near:
        return f"{command} has no {typed}" + near.replace('"', '"--', 1)
    also = [other for other, theirs in options.items() if f"--{name}" in theirs]
    verb = "have" if len(also) > 1 else "has"
    return f"{command} has no {typed}; " + (f"{', '.join(also)} {verb} one" if also else f"attometer {command} --help")
