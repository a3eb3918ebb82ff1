"""The command line: parse, call, print. Each command loads its rooms when it runs, so that `--help` stays quick."""

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from attometer.errors import EXTRAS, AttometerError, nearest, needs, positive_int, printable
from attometer.view.terminal import line_width, patient_streams


class _Panels(typer.core.TyperGroup):
    """The commands by panel, as plain text: Rich's help takes half of the time that `--help` may take."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each panel."""
        longest = max(map(len, self.commands))
        for panel in (ASK, PROVE, MEASURE, DRAW):
            listed = [c for c in self.commands.values() if getattr(c, "rich_help_panel", None) == panel]
            with formatter.section(panel):
                formatter.write_dl([(f"{c.name:{longest}}", c.get_short_help_str(200)) for c in listed])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called; of an unknown one say the nearest, or all where none is near."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = nearest(args[0], self.commands, 0.7)
            hint = "; plan --explain says where each number comes from" if args[0] == "explain" else near
            raise AttometerError(f'unknown command "{args[0]}"{hint}')
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="attometer",
    cls=_Panels,
    help="What attention costs: counted exactly, bounded from below, executed, priced, planned.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ASK, PROVE, MEASURE, DRAW = "ask", "prove", "measure", "draw"

Json = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="a parameter of the mechanism, as in --set w=256"),
]


def main() -> None:
    """Run the command line; bad input is one clear line and exit code 2, a fault of Attometer's own a traceback and 70."""
    with patient_streams():
        try:
            app()
        except AttometerError as error:
            _fail(str(error))
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in EXTRAS:
                _crash()
            _fail(needs("this needs", missing, EXTRAS[missing]))
        except OSError as error:
            _fail(printable(f"{error.filename}: {error.strerror}" if error.filename else str(error)))
        except Exception:
            _crash()


def _crash() -> NoReturn:
    # sysexits.h calls 70 a software error; Python's own 1 is what `plan` says when a model does not fit.
    traceback.print_exc()
    sys.exit(70)


def _fail(message: str) -> NoReturn:
    print(f"attometer: {message}", file=sys.stderr)
    sys.exit(2)


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.to_dict(), indent=2, allow_nan=False))
    else:
        from attometer.view.report import Report

        print(result.text(line_width()) if isinstance(result, Report) else printable(str(result)))


def _parameters(pairs: list[str] | None, flag: str = "--set") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name or not value:
            raise AttometerError(f'{flag} take{"s" * flag.startswith("-")} NAME=VALUE, got "{pair}"')
        found[name] = (
            int(value) if value.lstrip("-").isdigit() else {"true": True, "false": False}.get(value.lower(), value)
        )
    return found


def _amount(text: str) -> int:
    """Read a whole number as people write it; what it must be is for the command to say."""
    from attometer.view.amounts import amount

    written = str(text)
    if written.removeprefix("-").isdecimal():
        return int(written)
    try:
        return amount(written, "it")
    except AttometerError as error:
        raise typer.BadParameter(str(error)) from None


def _sizes(text: str) -> dict[str, int]:
    found = _parameters([part.strip().replace(" ", "=", 1) for part in text.split(",") if part.strip()], "sizes")
    for name, value in found.items():
        positive_int(f'size "{name}"', value)
    return found


def _words(text: str) -> int:
    """Return words of fast memory; an amount in bytes is told how many words it is."""
    from attometer.view.amounts import amount

    bare = str(text).strip().lower()
    if bare.endswith("b"):
        found = amount(bare.removesuffix("b").removesuffix("i"), "-M")
        raise AttometerError(
            f"-M is in words, not bytes: {text} are {found // 2:,} words of 16 bits or {found // 4:,} of 32"
        )
    return amount(str(text), "-M")


def _only(call: typer.Context, flag: str, *taken: str) -> None:
    """Raise AttometerError for an option that was given and that a command does not read under `flag`."""
    options = {option.name: option.opts[0] for option in call.command.params}
    for name, option in options.items():
        source = None if name is None else call.get_parameter_source(name)
        if name not in taken and source is not None and not source.name.startswith("DEFAULT"):
            known = ", ".join(options[each] for each in taken[1:])
            raise AttometerError(f"{flag} does not take {option}; it takes {known}")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False) -> None:
    if version:
        from attometer import __version__

        print(__version__)
        raise typer.Exit


@app.command(rich_help_panel=ASK)
def plan(
    call: typer.Context,
    model: Annotated[str, typer.Argument(help="a shipped model's name, a config.json, its folder, or a GGUF file")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL ...]", help="further models, or machines, side by side")
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on", "--gpu", help="devices, as in h100-sxm, '8x H100', '2x rtx-3090 + rtx-4090', or a TOML file"
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            "--context", "--ctx", help="tokens per sequence, as in 128k; the configuration's own maximum if not given"
        ),
    ] = None,
    batch: Annotated[str | None, typer.Option(help="sequences at once, over all devices")] = None,
    mode: Annotated[str, typer.Option(help="prefill, decode or train")] = "prefill",
    kv_dtype: Annotated[str | None, typer.Option(help="format of the cache: bf16, fp8, q8_0, fp8_ds_mla, ...")] = None,
    weights_dtype: Annotated[
        str | None, typer.Option("--weights-dtype", "--quant", help="format of the weights: fp8, awq, nf4, q4_k_m, ...")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="a serving engine, as in vllm or sglang@0.5.4")] = None,
    utilization: Annotated[
        float | None,
        typer.Option("--utilization", "--gpu-memory-utilization", "--mem-fraction-static", help="the engine's share"),
    ] = None,
    batched_tokens: Annotated[
        str | None, typer.Option("--batched-tokens", "--max-num-batched-tokens", help="tokens of one engine step")
    ] = None,
    max_requests: Annotated[
        str | None, typer.Option("--max-requests", "--max-num-seqs", help="requests of one engine step")
    ] = None,
    cache_gib: Annotated[
        float | None, typer.Option(help="GiB of cache on each device, in place of what the engine would leave")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="how it is trained: adamw, megatron, lora, qlora, ...; with parts as in lora,compiled,recompute=offloaded"
        ),
    ] = None,
    micro_batch: Annotated[
        str | None, typer.Option(help="in training, sequences of one forward pass of a replica")
    ] = None,
    tp: Annotated[int | None, typer.Option(help="tensor-parallel ranks")] = None,
    pp: Annotated[int | None, typer.Option(help="pipeline stages")] = None,
    ep: Annotated[int | None, typer.Option(help="ranks that share the experts")] = None,
    dp: Annotated[int | None, typer.Option(help="replicas")] = None,
    cp: Annotated[int | None, typer.Option(help="ranks that share each sequence")] = None,
    zero: Annotated[int | None, typer.Option(help="what replicas divide: 0 to 3 (3 is FSDP)")] = None,
    goal: Annotated[
        str | None, typer.Option(help="rank what would help by: fits, latency, throughput or context")
    ] = None,
    what_if: Annotated[
        list[str] | None, typer.Option(help="another model, which needs training: window=4096, kv_heads=4")
    ] = None,
    offload: Annotated[str | None, typer.Option(help="experts: keep routed experts in the host's memory")] = None,
    host_gb_s: Annotated[
        float | None, typer.Option("--host-bandwidth", help="GB/s of the host's memory; a typical host's if not given")
    ] = None,
    draft: Annotated[
        str | None, typer.Option(help="a smaller model that proposes tokens while this one decodes")
    ] = None,
    draft_tokens: Annotated[int | None, typer.Option(help="tokens that it proposes before each check")] = None,
    acceptance: Annotated[float | None, typer.Option(help="the chance that a proposed token is accepted")] = None,
    schedule: Annotated[str, typer.Option(help="flash (one kernel), or flash2, naive, two_pass, ...")] = "flash",
    chunk: Annotated[str | None, typer.Option(help="prefill this many tokens at a time")] = None,
    checkpoint: Annotated[bool, typer.Option("--checkpoint", help="in training, save only the layers' inputs")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="only say what of the configuration is modelled and what is not")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="say where each number comes from")] = False,
    shown: Annotated[bool, typer.Option("--open", help="open the explorer page at this plan, in the browser")] = False,
    json: Json = False,
) -> None:
    """Does a model fit, how fast, what limits it, what would help. Exits 0 if it fits, 1 if not."""
    from attometer.models import model as read
    from attometer.plan import EngineOptions, side_by_side
    from attometer.plan import plan as make
    from attometer.view.amounts import amount

    if check:
        _only(call, "--check", "check", "model", "json")
        _show(_Checked(read(model)), json)
        return

    def number(text: str | None, name: str) -> int | None:
        return None if text is None else amount(text, name)

    if shown:
        from attometer.report.page import PLAN_FLAGS, open_page

        _only(call, "--open", "shown", "model", "more", "on", *PLAN_FLAGS)
        asked = {"context": context, "batch": batch, "chunk": chunk}
        options: dict[str, Any] = {name: number(text, name) for name, text in asked.items()}
        options |= {"weights_dtype": weights_dtype, "kv_dtype": kv_dtype, "mode": mode, "checkpoint": checkpoint}
        print(f"wrote {open_page([model, *(more or ())], (on or ['h100-sxm'])[0], options)}")
        return

    degrees = {
        k: v for k, v in {"tp": tp, "pp": pp, "ep": ep, "dp": dp, "cp": cp, "zero": zero}.items() if v is not None
    }
    flags = (utilization, number(batched_tokens, "batched_tokens"), number(max_requests, "max_requests"))
    if engine is None and (cache_gib is not None or any(flag is not None for flag in flags)):
        raise AttometerError(
            "--utilization, --batched-tokens, --max-requests and --cache-gib are an engine's; name one: --engine vllm"
        )
    given = None if cache_gib is None else int(cache_gib * 2**30)
    models, machines = _models_and_machines([model, *(more or ())], on or ["h100-sxm"])
    made = [
        make(
            subject,
            place,
            context=number(context, "context"),
            batch=number(batch, "batch"),
            mode=mode,
            kv_dtype=kv_dtype,
            weights_dtype=weights_dtype,
            engine=None if engine is None else EngineOptions(engine, *flags, pool=given),
            recipe=recipe,
            micro_batch=number(micro_batch, "micro_batch"),
            placement=degrees or None,
            goal=goal,
            what_if=_what_ifs(what_if),
            offload=offload,
            host_gb_s=host_gb_s,
            draft=draft,
            draft_tokens=draft_tokens,
            acceptance=acceptance,
            schedule=schedule,
            chunk=number(chunk, "chunk"),
            checkpoint=checkpoint,
        )
        for subject in map(read, models)
        for place in machines
    ]
    _show(made[0] if len(made) == 1 else side_by_side(made), json)
    if explain and not json:
        for each in made:
            print("\n" + printable(each.explain()))
    raise typer.Exit(0 if any(each.fits for each in made) else 1)


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
    return models, machines


@app.command(rich_help_panel=ASK)
def devices(
    model: Annotated[str, typer.Argument(help="a shipped model's name, a config.json, its folder, or a GGUF file")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[MACHINE ...]", help="further machines")] = None,
    on: Annotated[
        list[str] | None, typer.Option("--on", "--gpu", help="kinds of device, as in --on h100-sxm h200-sxm b200")
    ] = None,
    context: Annotated[str | None, typer.Option("--context", "--ctx", help="tokens per sequence, as in 128k")] = None,
    batch: Annotated[str | None, typer.Option(help="sequences at once, over all devices")] = None,
    mode: Annotated[str, typer.Option(help="prefill, decode or train")] = "decode",
    kv_dtype: Annotated[str | None, typer.Option(help="format of the cache")] = None,
    weights_dtype: Annotated[
        str | None, typer.Option("--weights-dtype", "--quant", help="format of the weights")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="a serving engine, as in vllm or sglang@0.5.4")] = None,
    recipe: Annotated[str | None, typer.Option(help="how it is trained")] = None,
    json: Json = False,
) -> None:
    """How many of each kind of device a model takes at least. Exits 0 if some number of each does, 1 if not."""
    from attometer.plan import devices as make
    from attometer.view.amounts import amount

    made = make(
        model,
        [*(on or ()), *(more or ())] or ["h100-sxm"],
        context=None if context is None else amount(context, "context"),
        batch=None if batch is None else amount(batch, "batch"),
        mode=mode,
        kv_dtype=kv_dtype,
        weights_dtype=weights_dtype,
        engine=engine,
        recipe=recipe,
    )
    _show(made, json)
    raise typer.Exit(0 if all(each is not None for each in made.plans) else 1)


class _Checked:
    """What was read of a configuration, as text and as JSON."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def to_dict(self) -> dict[str, Any]:
        return {"model": self.model.name, "family": self.model.family, **vars(self.model.check)}

    def __str__(self) -> str:
        return f"{self.model}\n\n{self.model.check}"


@app.command(rich_help_panel=ASK)
def sweep(
    model: Annotated[str, typer.Argument(help="a shipped model's name, a config.json, or its folder")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[MACHINE ...]", help="further machines")] = None,
    on: Annotated[list[str] | None, typer.Option(help="machines, as in --on h100-sxm h200-sxm")] = None,
    context: Annotated[str, typer.Option(help="tokens per sequence: 1k..1M, or 8k,32k")] = "1k..128k",
    batch: Annotated[str, typer.Option(help="sequences at once: 1..64, or 1,8")] = "1..64",
    mode: Annotated[str, typer.Option(help="prefill, decode or train")] = "prefill",
    kv_dtype: Annotated[str | None, typer.Option(help="data type of the cache")] = None,
    weights_dtype: Annotated[str | None, typer.Option(help="data type of the weights")] = None,
    schedule: Annotated[str, typer.Option(help="flash (one kernel), or flash2, naive, two_pass, ...")] = "flash",
    checkpoint: Annotated[bool, typer.Option("--checkpoint", help="in training, save only the layers' inputs")] = False,
    csv: Annotated[Path | None, typer.Option(help="write every point to this file")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="draw what fits and what binds into this .png, .svg or .pdf")
    ] = None,
    json: Json = False,
) -> None:
    """Plan a model on machines over contexts and batches: what fits, how fast, what binds."""
    from attometer.plan import sweep as make
    from attometer.view.amounts import amounts
    from attometer.view.files import in_folder
    from attometer.view.style import figure_path

    if plot is not None:
        figure_path(plot)
    if csv is not None:
        in_folder(csv)
    made = make(
        model,
        [*(on or ()), *(more or ())] or "h100-sxm",
        context=amounts(context, "context"),
        batch=amounts(batch, "batch"),
        mode=mode,
        kv_dtype=kv_dtype,
        weights_dtype=weights_dtype,
        schedule=schedule,
        checkpoint=checkpoint,
    )
    _show(made, json)
    said = sys.stderr if json else sys.stdout
    if csv is not None:
        print(f"wrote {made.to_csv(csv)}", file=said)
    if plot is not None:
        from attometer.report.sweep_plot import plot_sweep

        print(f"wrote {plot_sweep(made, plot)}", file=said)


@app.command("list", rich_help_panel=ASK)
def list_(
    kind: Annotated[
        str, typer.Argument(help="models, machines, mechanisms, schedules, masks, conventions, engines or formats")
    ],
    words: Annotated[list[str] | None, typer.Argument(help="only rows that hold all of these words")] = None,
    vendor: Annotated[str | None, typer.Option(help="machines of one maker, as in nvidia")] = None,
    json: Json = False,
) -> None:
    """List what exists, each name with a line of what it is."""
    from attometer.report.listing import listing

    _show(listing(kind, tuple(words or ()), **({} if vendor is None else {"vendor": vendor})), json)


@app.command(rich_help_panel=ASK)
def show(
    name: Annotated[
        str, typer.Argument(help="a mechanism such as softmax, a notation file (mine.att), or - for stdin")
    ],
    parameters: Parameters = None,
    at: Annotated[str, typer.Option(help="give numbers too, at sizes as in n=8192,h=12,d=64")] = "",
    gradient: Annotated[bool, typer.Option("--gradient", help="the program of its gradients instead")] = False,
    json: Json = False,
) -> None:
    """Show a mechanism: notation, cost per operation, orders of growth, path length, citation."""
    from attometer.report.show import show as report

    given = _parameters(parameters)
    for taken in ("at", "gradient"):
        if taken in given:
            raise AttometerError(f'--set does not take "{taken}"; use --{taken}')
    _show(report(name, at=_sizes(at), gradient=gradient, **given), json)


@app.command(rich_help_panel=ASK)
def compare(
    names: Annotated[list[str], typer.Argument(help="two or more mechanisms, notation files, or - for stdin")],
    n: Annotated[int, typer.Option("-n", help="sequence length", parser=_amount, metavar="INTEGER")] = 16384,
    d: Annotated[
        int, typer.Option("-d", help="width of a head; of the model, with one head", parser=_amount, metavar="INTEGER")
    ] = 768,
    heads: Annotated[int, typer.Option(help="heads; a recurrent or feed-forward layer is heads × d wide")] = 1,
    of: Annotated[str, typer.Option(help="what crosses: flop, unit, flop_all, mac or article")] = "flop",
    sizes: Annotated[str, typer.Option(help="further sizes, as in w=128,k=64")] = "",
    json: Json = False,
) -> None:
    """Compare mechanisms at given sizes, and solve for the lengths at which they cross."""
    from attometer.report.compare import compare as report

    given: dict[str, Any] = dict(_sizes(sizes))
    for taken, option in {"n": "-n", "d": "-d", "h": "--heads", "of": "--of", "crossings": "fewer mechanisms"}.items():
        if taken in given:
            raise AttometerError(f'--sizes does not take "{taken}"; use {option}')
    listed = [part.strip() for name in names for part in name.split(",") if part.strip()]
    _show(report(listed, n=n, d=d, h=heads, of=of, **given), json)


@app.command("explain-tool", rich_help_panel=ASK)
def explain_tool(
    tool: Annotated[str, typer.Argument(help="flopcounter, calflops, fvcore, hf-mem, llm-viewer, ...")],
    model: Annotated[str, typer.Argument(help="a shipped model's name, a config.json, or its folder")],
    context: Annotated[str | None, typer.Option("--context", "--ctx", help="tokens per sequence, as in 8k")] = None,
    json: Json = False,
) -> None:
    """Why another tool prints another number for a model: from the exact count to what it prints, step by step."""
    from attometer.report.other_tools import explain_tool as explained
    from attometer.view.amounts import amount

    _show(explained(tool, model, None if context is None else amount(context, "context")), json)


@app.command(rich_help_panel=PROVE)
def io(
    call: typer.Context,
    name: Annotated[str, typer.Argument(help="softmax attention: a mechanism such as gqa, a notation file, or -")],
    memory: Annotated[str, typer.Option("-M", help="words of fast memory, as in 98304 or 96k")],
    n: Annotated[
        int, typer.Option("-n", help="queries (and keys, if -m is not given)", parser=_amount, metavar="INTEGER")
    ],
    d: Annotated[int, typer.Option("-d", help="width of queries and keys", parser=_amount, metavar="INTEGER")],
    m: Annotated[int | None, typer.Option("-m", help="keys", parser=_amount, metavar="INTEGER")] = None,
    e: Annotated[int | None, typer.Option("-e", help="width of values", parser=_amount, metavar="INTEGER")] = None,
    mask: Annotated[str | None, typer.Option(help="as in 'causal & window(256)'")] = None,
    sizes: Annotated[str, typer.Option(help="further sizes, as in h=32,g=8")] = "",
    schedule: Annotated[list[str] | None, typer.Option(help="only this schedule; may be given several times")] = None,
    backward: Annotated[bool, typer.Option("--backward", help="the gradients instead of the result")] = False,
    bounds: Annotated[bool, typer.Option("--bounds", help="print every lower bound")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="also execute each schedule, scaled down, and count")
    ] = False,
    others: Annotated[
        bool, typer.Option("--others", help="instead, sparse and approximate attention at n, d, M")
    ] = False,
    splits: Annotated[
        bool, typer.Option("--splits", help="instead, depth against words when the keys are split")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="draw words moved against M into this .png, .svg or .pdf")] = None,
    json: Json = False,
) -> None:
    """Words moved between memory and a fast memory of M words: every schedule, against what no algorithm can beat."""
    from attometer.mechanisms.subject import subject
    from attometer.program import parse_mask
    from attometer.report.io.report import io_report
    from attometer.view.style import figure_path

    if plot is not None:
        figure_path(plot)
    if others:
        _only(call, "--others", "others", "name", "memory", "n", "d", "json")
        return _io_others(name, n, d, _words(memory), json)
    if splits:
        _only(call, "--splits", "splits", "name", "memory", "n", "d", "m", "e", "plot", "json")
        return _io_splits(name, n, d, _words(memory), m, e, plot, json)
    given = {k: v for k, v in {"n": n, "d": d, "m": m, "e": e}.items() if v is not None} | _sizes(sizes)
    seen = parse_mask(mask) if mask else None
    report = io_report(
        subject(name),
        M=_words(memory),
        sizes=given,
        mask=seen,
        schedules=schedule,
        backward=backward,
        bounds=bounds,
        check=verify,
    )
    _show(report, json)
    if plot is not None:
        print(f"wrote {report.plot(plot)}", file=sys.stderr if json else sys.stdout)


def _io_others(name: str, n: int, d: int, memory: int, json: bool) -> None:
    from attometer.report.io.approximate import io_approximate

    _softmax_only(name, "--others")
    _show(io_approximate(n=n, d=d, M=memory), json)


def _softmax_only(name: str, flag: str) -> None:
    if name != "softmax":
        raise AttometerError(f'{flag} starts from one head of softmax, got "{name}"')


def _io_splits(
    name: str, n: int, d: int, memory: int, m: int | None, e: int | None, plot: Path | None, json: bool
) -> None:
    from attometer.report.io.splits import split_report

    _softmax_only(name, "--splits")
    made = split_report(n=n, d=d, M=memory, m=m, e=e)
    _show(made, json)
    if plot is not None:
        print(f"wrote {made.plot(plot)}", file=sys.stderr if json else sys.stdout)


@app.command(rich_help_panel=PROVE)
def derive(
    name: Annotated[str, typer.Argument(help="a mechanism, a notation file (mine.att), or - for stdin")],
    memory: Annotated[str, typer.Option("-M", help="words of fast memory, as in 98304 or 96k")],
    at: Annotated[str, typer.Option(help="sizes at which nests are compared, as in n=4096,d=64")] = "",
    json: Json = False,
) -> None:
    """Derive the loop nest that moves the fewest words: order, passes, tiles, and what forced each pass."""
    from attometer.count.derive import derive as derived
    from attometer.mechanisms.subject import subject

    sizes = _sizes(at)
    if "M" in sizes:
        raise AttometerError('--at does not take "M"; use -M')
    _show(derived(subject(name).program, _words(memory), **sizes), json)


@app.command(rich_help_panel=PROVE)
def scale(
    name: Annotated[str, typer.Argument(help="a mechanism, a notation file (mine.att), or - for stdin")],
    processors: Annotated[str, typer.Option(help="numbers of processors, as in 1,1024,1M")] = "1,64,4096,262144",
    n: Annotated[int | None, typer.Option("-n", help="size n", parser=_amount, metavar="INTEGER")] = None,
    d: Annotated[int | None, typer.Option("-d", help="size d", parser=_amount, metavar="INTEGER")] = None,
    memory: Annotated[str | None, typer.Option("-M", help="words of fast memory of each processor")] = None,
    at: Annotated[str, typer.Option(help="further sizes, as in h=8,e=64")] = "",
    json: Json = False,
) -> None:
    """Steps on p processors: work, depth, where more stop helping, and what a limited fast memory changes."""
    from attometer.mechanisms.subject import subject
    from attometer.report.scale import scale as report
    from attometer.view.amounts import amounts

    sizes = _sizes(at)
    for taken, option in {"n": "-n", "d": "-d", "M": "-M", "processors": "--processors"}.items():
        if taken in sizes:
            raise AttometerError(f'--at does not take "{taken}"; use {option}')
    given = {k: v for k, v in {"n": n, "d": d}.items() if v is not None} | sizes
    words = None if memory is None else _words(memory)
    _show(report(subject(name).program, amounts(processors, "processors"), words, **given), json)


@app.command(rich_help_panel=PROVE)
def pebble(
    name: Annotated[str, typer.Argument(help="softmax, matmul, matmul-tree, a mechanism, a notation file, or -")],
    sizes: Annotated[str, typer.Option(help="as in n=2,d=1")],
    memory: Annotated[str, typer.Option("-M", help="words of fast memory, as in 98304 or 96k")],
    slide: Annotated[bool, typer.Option("--slide", help="a result may take the place of an operand")] = False,
    no_recompute: Annotated[bool, typer.Option("--no-recompute", help="nothing may be computed twice")] = False,
    seconds: Annotated[float, typer.Option(help="limit on the search; then the proven lower bound is printed")] = 60.0,
    play: Annotated[bool, typer.Option("--play", help="show the moves one by one")] = False,
    plot: Annotated[Path | None, typer.Option(help="draw the pebbling into this .png, .svg or .pdf")] = None,
    json: Json = False,
) -> None:
    """Play the red-blue pebble game to its optimum: the fewest words a calculation can move, move by move."""
    from attometer.report.pebble.report import pebble as report
    from attometer.view.style import figure_path

    if plot is not None:
        figure_path(plot)
    made = report(name, _sizes(sizes), _words(memory), "slide" if slide else "place", not no_recompute, seconds)
    if play and not json:
        from attometer.report.pebble.play import play as animate

        animate(made)
    _show(made, json)
    if plot is not None:
        print(f"wrote {made.plot(plot)}", file=sys.stderr if json else sys.stdout)


@app.command(rich_help_panel=PROVE)
def claims(
    source: Annotated[str | None, typer.Option(help="only this document: 000, 001, 002, 003, 004 or io")] = None,
    verdict: Annotated[str | None, typer.Option(help="only agrees, wrong or convention")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="only how many of each document agree")] = False,
    json: Json = False,
) -> None:
    """Recompute what the five documents print, and say which numbers are wrong and why."""
    from attometer.ledger import ledger

    found = ledger(source=source, verdict=verdict)
    _show(found.by_document() if summary else found, json)


@app.command(rich_help_panel=MEASURE)
def measure(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MECHANISM ...]", help="such as softmax, sliding_window and linear")
    ] = None,
    lengths: Annotated[str, typer.Option("-n", help="lengths, as in 512,1024,2048")] = "512,1024,2048",
    dtype: Annotated[str, typer.Option(help="bf16, fp16, fp32 or fp64")] = "bf16",
    heads: Annotated[int, typer.Option(help="heads")] = 8,
    d: Annotated[int, typer.Option("-d", help="width of a head", parser=_amount, metavar="INTEGER")] = 64,
    batch: Annotated[int, typer.Option(help="sequences at once")] = 1,
    impl: Annotated[
        str, typer.Option(help="what runs softmax attention, with any mask: auto, sdpa, tiled, ...")
    ] = "auto",
    backward: Annotated[bool, typer.Option("--backward", help="time the gradients too")] = False,
    repeats: Annotated[int, typer.Option(help="samples of each; medians are printed")] = 5,
    device: Annotated[str, typer.Option(help="cpu, or cuda")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="threads of torch; its own number if not given")] = None,
    out: Annotated[
        Path | None, typer.Option(help="append each sample to this file; the same command continues a killed run")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="draw time against n into this .png, .svg or .pdf")] = None,
    json: Json = False,
) -> None:
    """Time mechanisms on this machine: medians, peak memory, growth with n, speed-ups against the counted ones."""
    from attometer.report.measure.options import Options
    from attometer.report.measure.report import measure as report
    from attometer.view.style import figure_path

    if plot is not None:
        figure_path(plot)
    asked = Options.of(
        names or (),
        lengths,
        dtype=dtype,
        heads=heads,
        d=d,
        batch=batch,
        impl=impl,
        backward=backward,
        repeats=repeats,
        device=device,
        threads=threads,
    )
    made = report(asked, out=out, said=_progress())
    _show(made, json)
    if plot is not None:
        print(f"wrote {made.plot(plot)}", file=sys.stderr if json else sys.stdout)


def _progress() -> Callable[[str], None] | None:
    return None if sys.stderr.isatty() else lambda line: print(f"attometer: {line}", file=sys.stderr)


@app.command(rich_help_panel=MEASURE)
def calibrate(
    source: Annotated[Path | None, typer.Option("--from", help="a folder of measurement CSVs")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="measure this machine for a minute: then --on this")] = False,
    to: Annotated[Path | None, typer.Option(help="write the coefficients into this folder")] = None,
    only: Annotated[str | None, typer.Option(help="these classes, as in gemm,decode")] = None,
    json: Json = False,
) -> None:
    """Fit the coefficients of predicted times to measurements, and print errors in sample, held out and left out."""
    if quick == (source is not None):
        raise AttometerError("calibrate takes either --from DIR (measurements) or --quick (this machine)")
    if source is None:
        _show(_quick(), json)
        return
    from attometer.price.calibrate import calibrate as fitted
    from attometer.price.load import load

    kinds = only.split(",") if only else None
    _show(fitted(str(source), load(source), to, kinds, lambda line: print(f"attometer: {line}", file=sys.stderr)), json)


def _quick() -> Any:
    from rich.console import Console
    from rich.progress import Progress

    from attometer.price.quick import quick

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("timing this machine (Ctrl-C keeps what is done)", total=1.0)
        return quick(tell=lambda share: bar.update(task, completed=share))


@app.command(rich_help_panel=MEASURE)
def validate(
    folder: Annotated[Path, typer.Argument(help="a folder of measurement CSVs (.csv or .csv.xz)")],
    coefficients: Annotated[Path | None, typer.Option(help="a folder of coefficients instead of the shipped")] = None,
    worst: Annotated[int, typer.Option(help="how many of the worst rows to print")] = 15,
    plot: Annotated[Path | None, typer.Option(help="draw predicted against measured: .png, .svg or .pdf")] = None,
    json: Json = False,
) -> None:
    """Score predicted times against measurements: errors and coverage by class, machine and engine, the worst rows."""
    from attometer.price.validate import validate as scored
    from attometer.view.style import figure_path

    if plot is not None:
        figure_path(plot)
    made = scored(folder, coefficients, worst)
    _show(made, json)
    if plot is not None:
        print(f"wrote {made.plot(plot)}", file=sys.stderr if json else sys.stdout)


@app.command(rich_help_panel=DRAW)
def figures(
    out: Annotated[Path, typer.Option(help="folder to write into; made if missing")],
    model: Annotated[str, typer.Option(help="model whose sizes are drawn")] = "gpt2",
    on: Annotated[list[str] | None, typer.Option(help="a machine to mark; may be given up to six times")] = None,
    formats: Annotated[str, typer.Option(help="of png, svg and pdf")] = "png,svg",
    json: Json = False,
) -> None:
    """Draw the article's figures from live counts, as PNG and SVG."""
    from attometer.report.figures import draw_all
    from attometer.report.figures.draw import HARDWARE

    kinds = [kind.strip() for kind in formats.split(",") if kind.strip()]
    _show(draw_all(out, model, on or HARDWARE, kinds), json)


@app.command(rich_help_panel=DRAW)
def page(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL ...]", help="configurations to offer beside the shipped models"),
    ] = None,
    out: Annotated[Path, typer.Option(help="the file to write")] = Path("attometer.html"),
) -> None:
    """Write the explorer page: one HTML file that plans in the browser, from the same formulas, without any request."""
    from attometer.report.page import write_page

    print(f"wrote {write_page(out, models or ())}")
