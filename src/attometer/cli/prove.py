"""What is proved: words moved, bounds, optimal orders, claims."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from attometer.cli import complete
from attometer.cli.app import PROVE, D, Json, N, app, only, show_result, sizes_of, whole, words_of
from attometer.errors import AttometerError, unknown


@app.command(rich_help_panel=PROVE)
def io(
    call: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="a mechanism such as gqa, a notation file (mine.att), or - for stdin",
            autocompletion=complete.mechanisms,
        ),
    ],
    memory: Annotated[str, typer.Option("-M", help="words of fast memory, as in 98304 or 96k")],
    n: Annotated[
        int | None, typer.Option("-n", help="queries (and keys, if -m is not given)", parser=whole, metavar="INTEGER")
    ] = None,
    d: Annotated[
        int | None, typer.Option("-d", help="width of queries and keys", parser=whole, metavar="INTEGER")
    ] = None,
    m: Annotated[int | None, typer.Option("-m", help="keys", parser=whole, metavar="INTEGER")] = None,
    e: Annotated[int | None, typer.Option("-e", help="width of values", parser=whole, metavar="INTEGER")] = None,
    mask: Annotated[str | None, typer.Option(help="as in 'causal & window(256)'")] = None,
    sizes: Annotated[str, typer.Option(help="further sizes, as in h=32,g=8")] = "",
    schedule: Annotated[list[str] | None, typer.Option(help="only this schedule; may be given several times")] = None,
    backward: Annotated[bool, typer.Option("--backward", help="the gradients instead of the result")] = False,
    bounds: Annotated[bool, typer.Option("--bounds", help="print every lower bound")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="also execute each schedule, scaled down, and count")
    ] = False,
    compiled: Annotated[
        bool,
        typer.Option("--compiled", help="with --verify: cache lines of the compiled nests, by valgrind's cachegrind"),
    ] = False,
    others: Annotated[
        bool, typer.Option("--others", help="instead, sparse and approximate attention at n, d, M")
    ] = False,
    strassen: Annotated[
        bool, typer.Option("--strassen", help="instead, the scores by Strassen's recursion beside the standard product")
    ] = False,
    splits: Annotated[
        bool, typer.Option("--splits", help="instead, depth against words when the keys are split")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="draw words moved against M into this .png, .svg or .pdf")] = None,
    json: Json = False,
) -> None:
    """Words moved through a fast memory of M words: every schedule, or one derived, against what no algorithm can beat."""
    from attometer.view.style import figure_path

    if plot is not None:
        figure_path(plot)
    if others:
        only(call, "--others", "others", "name", "memory", "n", "d", "json")
        _io_others(name, n, d, words_of(memory), json)
    elif strassen:
        only(call, "--strassen", "strassen", "name", "memory", "n", "d", "json")
        _io_strassen(name, n, d, words_of(memory), json)
    elif splits:
        only(call, "--splits", "splits", "name", "memory", "n", "d", "m", "e", "plot", "json")
        _io_splits(name, n, d, words_of(memory), m, e, plot, json)
    else:
        _io(call.params)


def _io(given: Mapping[str, Any]) -> None:
    from attometer.mechanisms.subject import subject
    from attometer.report.io.report import io_report

    if given["compiled"] and not given["verify"]:
        raise AttometerError("--compiled goes with --verify")
    report = io_report(
        subject(given["name"]),
        M=words_of(given["memory"]),
        mask=given["mask"] or None,
        schedule=[one.strip() for each in given["schedule"] or () for one in each.split(",")] or None,
        backward=given["backward"],
        bounds=given["bounds"],
        verify=given["verify"],
        compiled=given["compiled"],
        **sizes_of(given["sizes"], **{k: given[k] for k in ("n", "d", "m", "e")}),
    )
    show_result(report, given["json"])
    if given["plot"] is not None:
        print(f"wrote {report.plot(given['plot'])}", file=sys.stderr if given["json"] else sys.stdout)


def _io_others(name: str, n: int | None, d: int | None, memory: int, json: bool) -> None:
    from attometer.report.io.approximate import io_approximate

    n, d = _softmax_only(name, "--others", n, d)
    show_result(io_approximate(n=n, d=d, M=memory), json)


def _io_strassen(name: str, n: int | None, d: int | None, memory: int, json: bool) -> None:
    from attometer.report.io.strassen import io_strassen

    n, d = _softmax_only(name, "--strassen", n, d)
    show_result(io_strassen(n=n, d=d, M=memory), json)


def _softmax_only(name: str, flag: str, n: int | None, d: int | None) -> tuple[int, int]:
    if name != "softmax":
        raise AttometerError(f'{flag} starts from one head of softmax, got "{name}"')
    if n is None or d is None:
        raise AttometerError(f"{flag} needs -n and -d")
    return n, d


def _io_splits(
    name: str, n: int | None, d: int | None, memory: int, m: int | None, e: int | None, plot: Path | None, json: bool
) -> None:
    from attometer.report.io.splits import split_report

    n, d = _softmax_only(name, "--splits", n, d)
    made = split_report(n=n, d=d, M=memory, m=m, e=e)
    show_result(made, json)
    if plot is not None:
        print(f"wrote {made.plot(plot)}", file=sys.stderr if json else sys.stdout)


@app.command(rich_help_panel=PROVE)
def derive(
    name: Annotated[
        str,
        typer.Argument(
            help="a mechanism, a notation file (mine.att), or - for stdin", autocompletion=complete.mechanisms
        ),
    ],
    memory: Annotated[str, typer.Option("-M", help="words of fast memory, as in 98304 or 96k")],
    n: N = None,
    d: D = None,
    at: Annotated[str, typer.Option(help="sizes at which nests are compared, as in n=4096,d=64")] = "",
    splits: Annotated[
        str, typer.Option(help="chunks that run at once and are merged: 16 of the longest axis that can be, or j=16")
    ] = "",
    processors: Annotated[
        int | None,
        typer.Option(
            help="cut into as few chunks as let depth be at most work / processors", parser=whole, metavar="INTEGER"
        ),
    ] = None,
    gradient: Annotated[bool, typer.Option("--gradient", help="the program of its gradients instead")] = False,
    emit: Annotated[
        str | None, typer.Option(help="cpp or triton: print what compile builds, its nest of few operations")
    ] = None,
    json: Json = False,
) -> None:
    """Derive the loop nest that moves the fewest words: order, passes, tiles, and what forced each pass."""
    from attometer.count.derive import derive as derived
    from attometer.mechanisms.subject import subject
    from attometer.program.gradient import gradient as gradients

    program = subject(name).program
    program = gradients(program) if gradient else program
    if emit is not None:
        from attometer.emit.program import emitted
        from attometer.emit.triton_source import triton_of

        if emit not in ("cpp", "triton"):
            raise unknown("--emit", emit, ["cpp", "triton"])
        dtype = "float32"
        typer.echo((emitted(program, dtype) if emit == "cpp" else triton_of(program, dtype).emitted).text, nl=False)
        return
    sizes = sizes_of(at, n=n, d=d)
    if "M" in sizes:
        raise AttometerError('--at does not take "M"; use -M')
    chunks = _chunks(splits) if splits else 1
    show_result(derived(program, words_of(memory), chunks, processors, **sizes), json)


def _chunks(text: str) -> int | dict[str, int]:
    """Return a number of chunks, or the axis with it."""
    from attometer.view.amounts import amount

    axis, _, pieces = text.rpartition("=")
    number = amount(pieces, "--splits")
    return {axis: number} if axis else number


@app.command(rich_help_panel=PROVE)
def scale(
    name: Annotated[
        str,
        typer.Argument(
            help="a mechanism, a notation file (mine.att), or - for stdin", autocompletion=complete.mechanisms
        ),
    ],
    processors: Annotated[str, typer.Option(help="numbers of processors, as in 1,1024,1M")] = "1,64,4096,262144",
    n: N = None,
    d: D = None,
    memory: Annotated[str | None, typer.Option("-M", help="words of fast memory of each processor")] = None,
    at: Annotated[str, typer.Option(help="further sizes, as in h=8,e=64")] = "",
    json: Json = False,
) -> None:
    """Steps on p processors: work, depth, where more stop helping, and what a limited fast memory changes."""
    from attometer.report.scale import scale as report
    from attometer.view.amounts import amounts

    sizes = sizes_of(at, n=n, d=d)
    for taken, option in {"M": "-M", "processors": "--processors"}.items():
        if taken in sizes:
            raise AttometerError(f'--at does not take "{taken}"; use {option}')
    words = None if memory is None else words_of(memory)
    show_result(report(name, amounts(processors, "processors"), words, **sizes), json)


@app.command(rich_help_panel=PROVE)
def pebble(
    name: Annotated[
        str,
        typer.Argument(
            help="softmax, matmul, matmul-tree, a mechanism, a notation file, or -", autocompletion=complete.mechanisms
        ),
    ],
    memory: Annotated[str, typer.Option("-M", help="words of fast memory, as in 98304 or 96k")],
    sizes: Annotated[str, typer.Option(help="as in n=2,d=1")] = "",
    n: N = None,
    d: D = None,
    slide: Annotated[bool, typer.Option("--slide", help="a result may take the place of an operand")] = False,
    no_recompute: Annotated[bool, typer.Option("--no-recompute", help="nothing may be computed twice")] = False,
    seconds: Annotated[float, typer.Option(help="limit on the search; then the proven lower bound is printed")] = 60.0,
    play: Annotated[bool, typer.Option("--play", help="show the moves one by one")] = False,
    delay: Annotated[float, typer.Option(min=0.0, help="seconds between the moves of --play")] = 0.4,
    step: Annotated[bool, typer.Option("--step", help="with --play: wait for Enter after each move")] = False,
    plot: Annotated[Path | None, typer.Option(help="draw the pebbling into this .png, .svg or .pdf")] = None,
    json: Json = False,
) -> None:
    """Play the red-blue pebble game to its optimum: the fewest words a calculation can move, move by move."""
    from attometer.report.pebble.report import pebble as report
    from attometer.view.style import figure_path

    if plot is not None:
        figure_path(plot)
    at = sizes_of(sizes, n=n, d=d)
    if not at:
        raise AttometerError("pebble needs --sizes: as in n=2,d=1")
    made = report(name, words_of(memory), slide, not no_recompute, seconds, **at)
    if (play or step) and not json:
        from attometer.report.pebble.play import play as animate

        animate(made, delay, step=step)
    show_result(made, json)
    if plot is not None:
        print(f"wrote {made.plot(plot)}", file=sys.stderr if json else sys.stdout)


@app.command(rich_help_panel=PROVE)
def claims(
    source: Annotated[
        str | None, typer.Argument(metavar="[DOCUMENT]", help="only this document: 000, 001, 002, 003, 004 or io")
    ] = None,
    said: Annotated[str | None, typer.Option("--source", help="the same")] = None,
    verdict: Annotated[str | None, typer.Option(help="only agrees, wrong or convention")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="only how many of each document agree")] = False,
    json: Json = False,
) -> None:
    """Recompute what the five documents print, and say which numbers are wrong and why."""
    from attometer.ledger import ledger

    found = ledger(source=source or said, verdict=verdict)
    show_result(found.by_document() if summary else found, json)
