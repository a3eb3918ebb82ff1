"""What is asked of a model or a mechanism."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from attometer.cli import complete
from attometer.cli.app import ASK, D, Json, N, Parameters, app, machines_of, parameters_of, show_result, sizes_of, whole
from attometer.errors import AttometerError


@app.command(rich_help_panel=ASK)
def devices(
    model: Annotated[
        str,
        typer.Argument(
            help="a shipped model's name, a config.json, its folder, or a GGUF file", autocompletion=complete.models
        ),
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MACHINE ...]", help="further machines", autocompletion=complete.machines),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on", "--gpu", help="kinds of device, as in --on h100-sxm h200-sxm b200", autocompletion=complete.machines
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", "--ctx", "-c", help="tokens per sequence, as in 128k")
    ] = None,
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
        machines_of(on, more) or ["h100-sxm"],
        context=None if context is None else amount(context, "context"),
        batch=None if batch is None else amount(batch, "batch"),
        mode=mode,
        kv_dtype=kv_dtype,
        weights_dtype=weights_dtype,
        engine=engine,
        recipe=recipe,
    )
    show_result(made, json)
    raise typer.Exit(0 if all(each is not None for each in made.plans) else 1)


@app.command(rich_help_panel=ASK)
def sweep(
    model: Annotated[
        str, typer.Argument(help="a shipped model's name, a config.json, or its folder", autocompletion=complete.models)
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MACHINE ...]", help="further machines", autocompletion=complete.machines),
    ] = None,
    on: Annotated[list[str] | None, typer.Option(help="machines, as in --on h100-sxm h200-sxm")] = None,
    context: Annotated[
        str, typer.Option("--context", "--ctx", "-c", help="tokens per sequence: 1k..1M, or 8k,32k")
    ] = "1k..128k",
    batch: Annotated[str, typer.Option(help="sequences at once: 1..64, or 1,8")] = "1..64",
    mode: Annotated[
        str, typer.Option(help="prefill, decode, train, or serve (first token and each token)")
    ] = "prefill",
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
        machines_of(on, more) or "h100-sxm",
        context=amounts(context, "context"),
        batch=amounts(batch, "batch"),
        mode=mode,
        kv_dtype=kv_dtype,
        weights_dtype=weights_dtype,
        schedule=schedule,
        checkpoint=checkpoint,
    )
    show_result(made, json)
    said = sys.stderr if json else sys.stdout
    if csv is not None:
        print(f"wrote {made.to_csv(csv)}", file=said)
    if plot is not None:
        from attometer.report.sweep_plot import plot_sweep

        print(f"wrote {plot_sweep(made, plot)}", file=said)


@app.command("list", rich_help_panel=ASK)
def list_(
    kind: Annotated[
        str,
        typer.Argument(
            help="models, machines, mechanisms, schedules, masks, conventions, engines, recipes, tools or formats"
        ),
    ],
    words: Annotated[list[str] | None, typer.Argument(help="only rows that hold all of these words")] = None,
    vendor: Annotated[str | None, typer.Option(help="machines of one maker, as in nvidia")] = None,
    json: Json = False,
) -> None:
    """List what exists, each name with a line of what it is."""
    from attometer.report.listing import listing

    show_result(listing(kind, tuple(words or ()), **({} if vendor is None else {"vendor": vendor})), json)


@app.command(rich_help_panel=ASK)
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="a mechanism such as softmax, a notation file (mine.att), or - for stdin",
            autocompletion=complete.mechanisms,
        ),
    ],
    parameters: Parameters = None,
    at: Annotated[str, typer.Option(help="give numbers too, at sizes as in n=8192,h=12,d=64")] = "",
    n: N = None,
    d: D = None,
    gradient: Annotated[bool, typer.Option("--gradient", help="the program of its gradients instead")] = False,
    loads: Annotated[bool, typer.Option("--loads", help="also count loads of inputs and stores of outputs")] = False,
    json: Json = False,
) -> None:
    """Show a mechanism: notation, cost per operation, orders of growth, path length, citation."""
    from attometer.program import parse_mask
    from attometer.report.show import show as report

    given = parameters_of(parameters)
    for taken in ("at", "gradient", "loads"):
        if taken in given:
            raise AttometerError(f'--set does not take "{taken}"; use --{taken}')
    if isinstance(given.get("mask"), str):
        given["mask"] = parse_mask(given["mask"])
    show_result(report(name, at=sizes_of(at, n=n, d=d), gradient=gradient, loads=loads, **given), json)


@app.command(rich_help_panel=ASK)
def shares(
    model: Annotated[
        str,
        typer.Argument(
            help="a shipped model's name, a config.json, its folder, or a GGUF file", autocompletion=complete.models
        ),
    ],
    context: Annotated[
        str, typer.Option("--context", "--ctx", "-c", help="tokens: 1k..128k, or 512,8k")
    ] = "512,2k,8k,32k,128k",
    causal: Annotated[
        str, typer.Option(help="full (the whole square, as most counters) or exact (allowed pairs)")
    ] = "full",
    plot: Annotated[Path | None, typer.Option(help="draw the shares into this .png, .svg or .pdf")] = None,
    json: Json = False,
) -> None:
    """Where the FLOPs of a model's layers go by length: attention core, projections, feed-forward; where they cross."""
    from attometer.report.shares import shares as report
    from attometer.view.amounts import amounts
    from attometer.view.style import figure_path

    if plot is not None:
        figure_path(plot)
    made = report(model, amounts(context, "context"), causal)
    show_result(made, json)
    if plot is not None:
        print(f"wrote {made.plot(plot)}", file=sys.stderr if json else sys.stdout)


@app.command(rich_help_panel=ASK)
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            help="two or more mechanisms, notation files, or - for stdin", autocompletion=complete.mechanisms
        ),
    ],
    n: Annotated[int, typer.Option("-n", help="sequence length", parser=whole, metavar="INTEGER")] = 16384,
    d: Annotated[
        int, typer.Option("-d", help="width of a head; of the model, with one head", parser=whole, metavar="INTEGER")
    ] = 768,
    heads: Annotated[
        int | None,
        typer.Option(help="heads, one or as many as share keys; a recurrent or feed-forward layer is heads × d wide"),
    ] = None,
    of: Annotated[str, typer.Option(help="what crosses: flop, unit, flop_all, flop_outer, mac or article")] = "flop",
    sizes: Annotated[str, typer.Option(help="further sizes, as in w=128,k=64")] = "",
    json: Json = False,
) -> None:
    """Compare mechanisms at given sizes, and solve for the lengths at which they cross."""
    from attometer.report.compare import compare as report

    given: dict[str, Any] = dict(sizes_of(sizes))
    for taken, option in {"n": "-n", "d": "-d", "h": "--heads", "of": "--of", "crossings": "fewer mechanisms"}.items():
        if taken in given:
            raise AttometerError(f'--sizes does not take "{taken}"; use {option}')
    listed = [part.strip() for name in names for part in _BETWEEN.split(name) if part.strip()]
    show_result(report(*listed, n=n, d=d, h=heads, of=of, **given), json)


_BETWEEN = re.compile(r",|(?:^|\s)(?:vs\.?|versus|and)(?:\s|$)", re.IGNORECASE)
"""What people put between mechanisms that are compared."""


@app.command("explain-tool", rich_help_panel=ASK)
def explain_tool(
    tool: Annotated[
        str,
        typer.Argument(help="flopcounter, calflops, fvcore, hf-mem, llm-viewer, ...", autocompletion=complete.tools),
    ],
    model: Annotated[
        str, typer.Argument(help="a shipped model's name, a config.json, or its folder", autocompletion=complete.models)
    ],
    context: Annotated[
        str | None, typer.Option("--context", "--ctx", "-c", help="tokens per sequence, as in 8k")
    ] = None,
    json: Json = False,
) -> None:
    """Why another tool prints another number for a model: from the exact count to what it prints, step by step."""
    from attometer.report.other_tools import explain_tool as explained
    from attometer.view.amounts import amount

    show_result(explained(tool, model, None if context is None else amount(context, "context")), json)
