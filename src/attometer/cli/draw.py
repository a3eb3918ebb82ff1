"""What is drawn."""

from pathlib import Path
from typing import Annotated

import typer

from attometer.cli.app import DRAW, Json, app, machines_of, show_result
from attometer.errors import AttometerError


@app.command(rich_help_panel=DRAW)
def figures(
    names: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    *,
    out: Annotated[Path, typer.Option(help="folder to write into; made if missing")],
    model: Annotated[str, typer.Option(help="model whose sizes are drawn")] = "gpt2",
    on: Annotated[list[str] | None, typer.Option(help="a machine to mark; may be given up to six times")] = None,
    formats: Annotated[str, typer.Option(help="of png, svg and pdf")] = "png,svg",
    json: Json = False,
) -> None:
    """Draw the article's figures from live counts, as PNG and SVG."""
    if names:
        raise AttometerError(
            f"figures draws those of the article, at the sizes of a --model, got {names[0]}; a mechanism or a file of "
            "notation is drawn by io --plot and measure --plot"
        )
    from attometer.report.figures import draw_all
    from attometer.report.figures.draw import HARDWARE

    kinds = [kind.strip() for kind in formats.split(",") if kind.strip()]
    show_result(draw_all(out, model, machines_of(on) or HARDWARE, kinds), json)


@app.command(rich_help_panel=DRAW)
def page(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL ...]", help="configurations and .att files of notation to offer beside what is shipped"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="the file to write")] = Path("attometer.html"),
    on: Annotated[
        list[str] | None,
        typer.Option("--on", "--gpu", help="a machine to show first, as in this or my-card.toml; more by more --on"),
    ] = None,
) -> None:
    """Write the explorer page: one HTML file that plans in the browser, from the same formulas, without any request."""
    from attometer.emit.kept import kept_data
    from attometer.ledger.ledger import ledger
    from attometer.machine import machine
    from attometer.mechanisms.subject import SUFFIX
    from attometer.models import model as read
    from attometer.report.page import write_page
    from attometer.view.files import in_folder

    in_folder(out, "page")  # asked before a minute of work, not after
    if out.suffix.lower() not in (".html", ".htm"):
        raise AttometerError(f'a page is HTML: name it as in attometer.html, got "{out.name}"')
    subjects = [one if one.endswith(SUFFIX) else read(one) for one in models or ()]
    places = [machine(one) for one in machines_of(on)]
    claims = kept_data("claims", lambda: ledger().to_dict())
    print(f"wrote {write_page(out, subjects, claims=claims, places=places)}")
