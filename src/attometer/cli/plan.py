"""plan: does a model fit, how fast, what limits it, what would help."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from attometer.cli import complete
from attometer.cli.app import ASK, Json, app, machines_of, only, show_result
from attometer.errors import AttometerError, printable
from attometer.view.terminal import line_width

# The options of `plan`, by name.
Model = Annotated[
    str,
    typer.Argument(
        help="a shipped model's name, a config.json, its folder, or a GGUF file", autocompletion=complete.models
    ),
]
More = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL ...]",
        help="further models, or machines, side by side",
        autocompletion=complete.models_and_machines,
    ),
]
On = Annotated[
    list[str] | None,
    typer.Option(
        "--on",
        "--gpu",
        help="devices, as in h100-sxm, '8x H100', '2x rtx-3090 + rtx-4090', or a TOML file",
        autocompletion=complete.machines,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context", "--ctx", "-c", help="tokens per sequence, as in 128k; the configuration's own maximum if not given"
    ),
]
Batch = Annotated[str | None, typer.Option(help="sequences at once, over all devices")]
Mode = Annotated[str | None, typer.Option(help="prefill, decode, train or serve; serve where a load is given")]
Concurrency = Annotated[
    str | None, typer.Option("--concurrency", "--max-concurrency", help="in serving, requests at once")
]
InputLength = Annotated[
    str | None,
    typer.Option("--input-length", "--input-len", "--random-input-len", help="in serving, tokens of a prompt"),
]
OutputLength = Annotated[
    str | None,
    typer.Option("--output-length", "--output-len", "--random-output-len", help="in serving, tokens of an answer"),
]
PrefixHitRate = Annotated[
    float | None, typer.Option(help="in serving, share of a prompt's tokens that are already cached")
]
NewTokens = Annotated[
    str | None, typer.Option(help="in decode, tokens one after the other: the mean over the growing context")
]
KvDtype = Annotated[str | None, typer.Option(help="format of the cache: bf16, fp8, q8_0, fp8_ds_mla, ...")]
WeightsDtype = Annotated[
    str | None, typer.Option("--weights-dtype", "--quant", help="format of the weights: fp8, awq, nf4, q4_k_m, ...")
]
Engine = Annotated[str | None, typer.Option(help="a serving engine, as in vllm or sglang@0.5.4")]


def share(text: str) -> float:
    """Read a share, as in 0.9 or 90%."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f'a share is 0.9 or 90%, got "{text}"') from None


Utilization = Annotated[
    float | None,
    typer.Option(
        "--utilization", "--gpu-memory-utilization", "--mem-fraction-static", help="the engine's share", parser=share
    ),
]
BatchedTokens = Annotated[
    str | None, typer.Option("--batched-tokens", "--max-num-batched-tokens", "-ub", help="tokens of one engine step")
]
MaxRequests = Annotated[
    str | None, typer.Option("--max-requests", "--max-num-seqs", help="requests of one engine step")
]
EnforceEager = Annotated[bool, typer.Option("--enforce-eager", help="no captured graphs, which hold memory")]
CacheGib = Annotated[
    float | None, typer.Option(help="GiB of cache on each device, in place of what the engine would leave")
]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="how it is trained: adamw, megatron, lora, qlora, ...; with parts as in lora,compiled,recompute=offloaded"
    ),
]
MicroBatch = Annotated[str | None, typer.Option(help="in training, sequences of one forward pass of a replica")]
Tp = Annotated[int | None, typer.Option("--tp", "-tp", help="tensor-parallel ranks")]
Pp = Annotated[int | None, typer.Option(help="pipeline stages")]
Ep = Annotated[int | None, typer.Option(help="ranks that share the experts")]
Dp = Annotated[int | None, typer.Option(help="replicas")]
Cp = Annotated[int | None, typer.Option(help="ranks that share each sequence")]
Zero = Annotated[int | None, typer.Option(help="what replicas divide: 0 to 3 (3 is FSDP)")]
Goal = Annotated[str | None, typer.Option(help="rank what would help by: fits, latency, throughput or context")]
WhatIf = Annotated[list[str] | None, typer.Option(help="another model, which needs training: window=4096, kv_heads=4")]
GpuLayers = Annotated[str | None, typer.Option("--n-gpu-layers", "-ngl", hidden=True)]
CacheTypeK = Annotated[str | None, typer.Option("--cache-type-k", "-ctk", hidden=True)]
CacheTypeV = Annotated[str | None, typer.Option("--cache-type-v", "-ctv", hidden=True)]
Slots = Annotated[str | None, typer.Option("--parallel", "-np", hidden=True)]
FlashAttention = Annotated[str | None, typer.Option("--flash-attn", "-fa", hidden=True)]
LogicalBatch = Annotated[str | None, typer.Option("-b", hidden=True)]
LanguageOnly = Annotated[bool, typer.Option("--language-model-only", hidden=True)]
SwaFull = Annotated[bool, typer.Option("--swa-full", hidden=True)]
Prefixes = Annotated[bool | None, typer.Option("--enable-prefix-caching/--no-enable-prefix-caching", hidden=True)]
ExpertParallel = Annotated[bool, typer.Option("--enable-expert-parallel", hidden=True)]
Dtype = Annotated[str | None, typer.Option("--dtype", hidden=True)]
FourBit = Annotated[bool, typer.Option("--load-in-4bit", hidden=True)]
EightBit = Annotated[bool, typer.Option("--load-in-8bit", hidden=True)]
Offload = Annotated[
    str | None,
    typer.Option(
        help="experts: keep routed experts in the host's memory; experts=12 those of 12 layers; layers=12 whole"
    ),
]
CpuMoe = Annotated[bool, typer.Option("--cpu-moe", help="as --offload experts, in llama.cpp's words")]
NCpuMoe = Annotated[int | None, typer.Option("--n-cpu-moe", min=0, help="as --offload experts=N, in llama.cpp's words")]
Override = Annotated[
    list[str] | None, typer.Option("--override-tensor", "-ot", help="llama.cpp's exps=CPU: as --offload experts")
]
HostGbS = Annotated[
    float | None, typer.Option("--host-bandwidth", help="GB/s of the host's memory; a typical host's if not given")
]
ReserveGib = Annotated[
    float, typer.Option(help="GiB of each device kept for what is not counted: runtime, fragmentation")
]
Draft = Annotated[str | None, typer.Option(help="a smaller model that proposes tokens while this one decodes")]
DraftTokens = Annotated[int | None, typer.Option(help="tokens that it proposes before each check")]
Acceptance = Annotated[float | None, typer.Option(help="the chance that a proposed token is accepted")]
Schedule = Annotated[str, typer.Option(help="flash (one kernel), or flash2, naive, two_pass, ...")]
Chunk = Annotated[str | None, typer.Option(help="prefill this many tokens at a time")]
Checkpoint = Annotated[bool, typer.Option("--checkpoint", help="in training, save only the layers' inputs")]
Attention = Annotated[
    str | None,
    typer.Option(help="another attention in every layer: a mechanism or mine.att, with sizes as in mine.att,h=16"),
]
Check = Annotated[bool, typer.Option("--check", help="only say what of the configuration is modelled and what is not")]
Explain = Annotated[bool, typer.Option("--explain", help="say where each number comes from")]
Shown = Annotated[bool, typer.Option("--open", help="open the explorer page at this plan, in the browser")]


@app.command(rich_help_panel=ASK)
def plan(
    call: typer.Context,
    model: Model,
    more: More = None,
    on: On = None,
    context: Context = None,
    batch: Batch = None,
    mode: Mode = None,
    concurrency: Concurrency = None,
    input_length: InputLength = None,
    output_length: OutputLength = None,
    prefix_hit_rate: PrefixHitRate = None,
    new_tokens: NewTokens = None,
    kv_dtype: KvDtype = None,
    weights_dtype: WeightsDtype = None,
    engine: Engine = None,
    utilization: Utilization = None,
    batched_tokens: BatchedTokens = None,
    max_requests: MaxRequests = None,
    enforce_eager: EnforceEager = False,
    cache_gib: CacheGib = None,
    recipe: Recipe = None,
    micro_batch: MicroBatch = None,
    tp: Tp = None,
    pp: Pp = None,
    ep: Ep = None,
    dp: Dp = None,
    cp: Cp = None,
    zero: Zero = None,
    goal: Goal = None,
    what_if: WhatIf = None,
    n_gpu_layers: GpuLayers = None,
    cache_type_k: CacheTypeK = None,
    cache_type_v: CacheTypeV = None,
    parallel: Slots = None,
    flash_attn: FlashAttention = None,
    logical_batch: LogicalBatch = None,
    language_model_only: LanguageOnly = False,
    enable_prefix_caching: Prefixes = None,
    swa_full: SwaFull = False,
    enable_expert_parallel: ExpertParallel = False,
    dtype: Dtype = None,
    load_in_4bit: FourBit = False,
    load_in_8bit: EightBit = False,
    offload: Offload = None,
    cpu_moe: CpuMoe = False,
    n_cpu_moe: NCpuMoe = None,
    override_tensor: Override = None,
    host_gb_s: HostGbS = None,
    reserve_gib: ReserveGib = 0.0,
    draft: Draft = None,
    draft_tokens: DraftTokens = None,
    acceptance: Acceptance = None,
    schedule: Schedule = "flash",
    chunk: Chunk = None,
    checkpoint: Checkpoint = False,
    attention: Attention = None,
    check: Check = False,
    explain: Explain = False,
    shown: Shown = False,
    json: Json = False,
) -> None:
    """Does a model fit, how fast, what limits it, what would help. Exits 0 if it fits, 1 if not."""
    if check:
        _check(call, model, json)
    elif shown:
        _open(call)
    else:
        _plan(call.params)


def _check(call: typer.Context, model: str, json: bool) -> None:
    from attometer.models import model as read

    only(call, "--check", "check", "model", "json")
    show_result(_Checked(read(model)), json)


def _number(given: Mapping[str, Any], name: str, said: str = "") -> int | None:
    from attometer.view.amounts import amount

    return None if given[name] is None else amount(given[name], said or name)


def _open(call: typer.Context) -> None:
    from attometer.report.page import PLAN_FLAGS, open_page

    only(call, "--open", "shown", "model", "more", "on", *PLAN_FLAGS)
    given = call.params
    options: dict[str, Any] = {name: _number(given, name) for name in ("context", "batch", "chunk")}
    options |= {
        n: given[n]
        for n in (
            "weights_dtype",
            "kv_dtype",
            "checkpoint",
            "engine",
            "utilization",
            "recipe",
            "schedule",
            "reserve_gib",
        )
    }
    options |= {"mode": given["mode"] or "prefill"}
    machine = (machines_of(given["on"]) or ["h100-sxm"])[0]
    print(f"wrote {open_page([given['model'], *(given['more'] or ())], machine, options)}")


_NUMBERS = ("context", "batch", "chunk", "micro_batch", "concurrency", "input_length", "output_length", "new_tokens")
_DEGREES = ("tp", "pp", "ep", "dp", "cp", "zero")
_AS_GIVEN = (
    "mode", "kv_dtype", "weights_dtype", "recipe", "goal", "offload", "host_gb_s", "reserve_gib", "draft", "draft_tokens", "acceptance",
    "schedule", "checkpoint", "prefix_hit_rate",
)  # fmt: skip


def _plan(given: Mapping[str, Any]) -> None:
    from attometer.models import model as read
    from attometer.plan import plan as make
    from attometer.plan import side_by_side

    # What the files say anyway.
    given = {
        **given,
        **{name: None for name in ("kv_dtype", "weights_dtype", "dtype") if str(given[name]).lower() in _AS_STORED},
    }
    given["weights_dtype"], given["kv_dtype"] = _weights(given), _kept(given)
    options = {name: given[name] for name in _AS_GIVEN} | {name: _number(given, name) for name in _NUMBERS}
    options["offload"] = _offload(given)
    options |= _slots(given, options)
    options["placement"] = {k: given[k] for k in _DEGREES if given[k] is not None} or None
    options |= {"engine": _engine(given), "what_if": _what_ifs(given["what_if"])}
    models, machines = _models_and_machines([given["model"], *(given["more"] or ())], machines_of(given["on"]))
    subjects = [_mixed(read(name), given["attention"], given["mode"]) for name in models]
    if given["language_model_only"]:
        subjects = [replace(subject, towers=()) for subject in subjects]
    spread = given["enable_expert_parallel"]
    made = [
        make(s, place, **options | _plain(s, given) | _layers(s, given) | (_experts(options, place) if spread else {}))
        for s in subjects
        for place in machines
    ]
    more = {"explain": True} if given["explain"] else {}
    show_result(made[0] if len(made) == 1 else side_by_side(made), given["json"], **more)
    if given["explain"] and not given["json"]:
        for each in made:
            print("\n" + printable(each.explain(width=line_width())))
    raise typer.Exit(0 if any(each.fits for each in made) else 1)


_AS_STORED = ("auto", "compressed-tensors", "modelopt", "modelopt_fp4", "auto-round", "auto_round")


def _weights(given: Mapping[str, Any]) -> str | None:
    """Return the format of the weights, however it was said: with bitsandbytes' words, too."""
    said = [given["weights_dtype"], "nf4" if given["load_in_4bit"] else None, "int8" if given["load_in_8bit"] else None]
    found = {each for each in said if each is not None}
    if len(found) > 1:
        raise AttometerError(f"the format of the weights is said more than once: {', '.join(sorted(found))}")
    return found.pop() if found else None


def _kept(given: Mapping[str, Any]) -> str | None:
    """Return the format of the cache; llama.cpp says that of keys and of values, each 16 bits where it is not said."""
    keys, values = given["cache_type_k"], given["cache_type_v"]
    if keys is None and values is None:
        kept: str | None = given["kv_dtype"]
        return kept
    if given["kv_dtype"] is not None:
        raise AttometerError("the format of the cache is said more than once: --kv-dtype, and --cache-type-k or -v")
    return f"{keys or 'f16'}/{values or 'f16'}"


def _plain(model: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `--dtype` of engines as the format of weights that are not quantized; those that are stay as they are."""
    from attometer.models.stored import weight_formats

    if given["dtype"] is None or given["weights_dtype"] is not None:
        return {}
    return {"weights_dtype": given["dtype"]} if weight_formats(model).name in ("bf16", "fp16", "fp32") else {}


def _layers(model: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return llama.cpp's `-ngl`: the last layers on the device, the head after them as one more, the others with the host."""
    layers = given["n_gpu_layers"]
    if layers is None or not layers.isdecimal() or int(layers) > model.depth:
        return {}
    if _offload(given) is not None:
        raise AttometerError(f"-ngl {layers} keeps whole layers in the host's memory: leave what else stays there out")
    return {"offload": f"layers={model.depth - int(layers)}"}


def _slots(given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return llama.cpp's `--parallel`: so many sequences share the context, of which ollama's have one each."""
    slots = _number(given, "parallel")
    if slots is None or slots < 1:
        return {}
    if options["batch"] is not None:
        raise AttometerError("--parallel and --batch both say how many sequences there are: give one")
    own = given["engine"] is not None and str(given["engine"]).startswith("ollama")
    context = options["context"]
    return {"batch": slots, "context": context if own or context is None else -(-context // slots)}


def _experts(options: Mapping[str, Any], place: Any) -> dict[str, Any]:
    """Return the degrees with experts over all ranks of a stage, as vLLM spreads them."""
    from attometer.machine import cluster

    degrees = options["placement"] or {}
    return {"placement": {"ep": cluster(place).count // degrees.get("pp", 1), **degrees}}


def _offload(given: Mapping[str, Any]) -> str | None:
    """Return what stays in the host's memory, however it was said."""
    said = [given["offload"]] if given["offload"] is not None else []
    said += ["experts"] * given["cpu_moe"]
    said += [f"experts={given['n_cpu_moe']}"] * (given["n_cpu_moe"] is not None)
    for rule in given["override_tensor"] or []:
        if re.fullmatch(r"(\.?ffn_?)?[^0-9]*exps[^0-9]*=CPU", rule) is None:
            raise AttometerError(
                f'--override-tensor is read where it keeps all experts, as in exps=CPU, got "{rule}"; those of the first layers: '
                "--n-cpu-moe N"
            )
        said.append("experts")
    if len(set(said)) > 1:
        raise AttometerError(f"what stays in the host's memory is said more than once: {', '.join(said)}")
    return said[0] if said else None


def _mixed(model: Any, attention: str | None, mode: str) -> Any:
    """Return the model with the attention that was asked for."""
    if attention is None:
        return model
    from attometer.cli.app import sizes_of
    from attometer.models.mixer import with_attention

    name, _, sizes = attention.partition(",")
    return with_attention(model, name, decode=mode == "decode", **sizes_of(sizes))


def _engine(given: Mapping[str, Any]) -> Any:
    """Return the engine with its flags, which mean nothing without one."""
    from attometer.plan import EngineOptions

    flags = (given["utilization"], _step(given), _number(given, "max_requests"))
    cache = given["cache_gib"]
    if given["engine"] is not None:
        held = None if cache is None else int(cache * 2**30)
        flash = _FLASH.get(str(given["flash_attn"]).lower())
        graphs = not given["enforce_eager"]
        more = (given[name] for name in ("enable_prefix_caching", "language_model_only", "swa_full"))
        return EngineOptions(given["engine"], *flags, graphs, held, flash, *more)
    if cache is not None or given["enforce_eager"] or any(flag is not None for flag in flags):
        raise AttometerError(
            "--utilization, --batched-tokens, --max-requests, --enforce-eager and --cache-gib are an engine's; "
            "name one: --engine vllm"
        )
    return None


def _step(given: Mapping[str, Any]) -> int | None:
    """Return the tokens of a step; llama.cpp's are those of its `-ub`, 512, of which no more than `-b`, 2,048, go together."""
    from attometer.engines import canonical

    whole, parts = _number(given, "logical_batch", "-b, the batch size of llama.cpp,"), _number(given, "batched_tokens")
    if canonical(given["engine"] or "")[0] == "llama.cpp":
        return None if whole is None and parts is None else min(whole or 2048, parts or 512)
    if whole is not None:
        raise AttometerError("-b is llama.cpp's: sequences at once are --batch, tokens of a step --batched-tokens")
    return parts


_FLASH = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}
"""llama.cpp's words; "auto" is what its version does."""


def _what_ifs(pairs: list[str] | None) -> dict[str, int]:
    from attometer.view.amounts import amount

    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise AttometerError(f'--what-if takes NAME=VALUE, as in window=4096, got "{pair}"')
        found[name.strip()] = amount(value, name.strip())
    return found


def _models_and_machines(names: list[str], on: list[str]) -> tuple[list[str], list[str]]:
    """Tell further models from further machines: `plan A B --on X Y` gives A, B and Y before it gives X."""
    from attometer.machine import cluster
    from attometer.models import shipped

    models, machines = names[:1], list(on)
    for name in names[1:]:
        try:
            if name in shipped():
                raise AttometerError(name)
            cluster(name)
            machines.append(name)
        except AttometerError:
            models.append(name)
    return models, machines or ["h100-sxm"]


class _Checked:
    """What was read of a configuration, as text and as JSON."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def to_dict(self) -> dict[str, Any]:
        return {"model": self.model.name, "family": self.model.family, **vars(self.model.check)}

    def __str__(self) -> str:
        return f"{self.model}\n\n{self.model.check}"
