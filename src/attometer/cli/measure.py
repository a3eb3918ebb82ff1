"""What is measured, fitted and scored."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from attometer.cli.app import (
    MEASURE,
    Json,
    app,
    show_result,
    whole,
)
from attometer.errors import AttometerError


@app.command(rich_help_panel=MEASURE)
def measure(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MECHANISM ...]", help="such as softmax, linear, mine.att or -")
    ] = None,
    lengths: Annotated[str, typer.Option("-n", help="lengths, as in 512,1024,2048")] = "512,1024,2048",
    dtype: Annotated[str, typer.Option(help="bf16, fp16, fp32 or fp64")] = "bf16",
    heads: Annotated[int, typer.Option(help="heads")] = 8,
    d: Annotated[int, typer.Option("-d", help="width of a head", parser=whole, metavar="INTEGER")] = 64,
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
    from attometer.view.files import in_folder
    from attometer.view.style import figure_path

    if plot is not None:
        figure_path(plot)
    if out is not None:
        in_folder(out)
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
    show_result(made, json)
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
    refit: Annotated[bool, typer.Option("--refit", help="move the shipped ones to new machines: 20 rows do")] = False,
    json: Json = False,
) -> None:
    """Fit the coefficients of predicted times to measurements, and print errors in sample, held out and left out."""
    if quick == (source is not None):
        raise AttometerError("calibrate takes either --from DIR (measurements) or --quick (this machine)")
    if source is None:
        show_result(_quick(), json)
        return
    from attometer.price.load import load

    kinds = only.split(",") if only else None
    if refit:
        from attometer.price.refit import refitted

        show_result(refitted(str(source), load(source), to, kinds), json)
        return
    from attometer.price.calibrate import calibrate as fitted

    show_result(
        fitted(str(source), load(source), to, kinds, lambda line: print(f"attometer: {line}", file=sys.stderr)), json
    )


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
    show_result(made, json)
    if plot is not None:
        print(f"wrote {made.plot(plot)}", file=sys.stderr if json else sys.stdout)
