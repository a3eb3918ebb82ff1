"""A pebbling in the terminal: one frame for each move, a square for fast memory, a ring for slow memory."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attometer.report.pebble.report import PebbleReport
from attometer.simulate.pebble.moves import Move
from attometer.simulate.pebble.referee import Board, boards

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Shapes tell the states apart, colours only help; they are those of figures, which a colour-blind reader can tell apart.
FAST, SLOW, BOTH, NEITHER = ("■", "bold #D55E00"), ("○", "#0072B2"), ("▣", "bold #CC79A7"), ("·", "dim")
LEGEND = (("fast memory", FAST), ("slow memory", SLOW), ("both", BOTH), ("neither", NEITHER))


def frames(report: PebbleReport) -> Iterator["Text"]:
    """Yield one picture of the board before the first move and after each move."""
    answer = report.pebbling
    total = len(answer.moves)
    for number, (move, board) in enumerate(boards(answer.dag, answer.moves, answer.M, answer.rule)):
        yield _frame(report, board, move, number, total)


def _frame(report: PebbleReport, board: Board, move: Move | None, number: int, total: int) -> "Text":
    from rich.text import Text

    sizes = ", ".join(f"{name} = {value}" for name, value in report.sizes.items())
    picture = Text(f"{report.name} at {sizes}, M = {board.M}\n", style="bold")
    label = report.pebbling.dag.labels[move.vertex] if move else ""
    picture.append(f"move {number:3d} of {total}: {f'{move.action} {label}' if move else 'start'}\n\n", style="default")
    for row in _rows(report):
        for vertex in row:
            mark, style = _pebble(vertex in board.red, vertex in board.blue)
            picture.append(f"{mark} {report.pebbling.dag.labels[vertex]:8s}", style=_underlined(style, move, vertex))
        picture.append("\n")
    held = "■" * len(board.red) + "□" * (board.M - len(board.red))
    picture.append(f"\nheld {held} {len(board.red)} of {board.M}", style="default")
    words = board.loads + board.stores
    picture.append(f"   moved {words} of {report.replay.cost} words ({board.loads} loads, {board.stores} stores)\n")
    for text, (mark, style) in LEGEND:
        picture.append(f"{mark} {text}   ", style=style)
    return picture


def _underlined(style: str, move: Move | None, vertex: int) -> str:
    return f"{style} underline" if move is not None and move.vertex == vertex else style


def _pebble(red: bool, blue: bool) -> tuple[str, str]:
    if red and blue:
        return BOTH
    if red:
        return FAST
    return SLOW if blue else NEITHER


def _rows(report: PebbleReport) -> list[list[int]]:
    """Return the vertices by their distance from the inputs, inputs first."""
    dag = report.pebbling.dag
    level: list[int] = []
    for operands in dag.parents:
        level.append(1 + max((level[parent] for parent in operands), default=-1))
    return [[vertex for vertex in range(len(dag)) if level[vertex] == one] for one in range(max(level) + 1)]


def play(report: PebbleReport, delay: float = 0.4, console: "Console | None" = None, step: bool = False) -> None:
    """Show the moves one after another in place; where the output is no terminal, print every frame once.

    Args:
        report: what `pebble` returned.
        delay: seconds between moves.
        console: where to draw; the standard output by default.
        step: wait for Enter after each move instead.
    """
    from rich.console import Console
    from rich.live import Live

    screen = console or Console()
    if not screen.is_terminal:
        for picture in frames(report):
            screen.print(picture, end="\n\n")
        return
    with Live(console=screen, auto_refresh=False) as live:
        for picture in frames(report):
            live.update(picture, refresh=True)
            if step:
                screen.input("")
            else:
                time.sleep(delay)
