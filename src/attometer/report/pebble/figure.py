"""A pebbling as a figure: who is in fast memory when, and the words moved."""

from pathlib import Path
from typing import Any

from attometer.errors import extras
from attometer.report.pebble.report import PebbleReport
from attometer.simulate.pebble.referee import boards
from attometer.view.style import COLOURS, figure_path, save

BLUE, ORANGE, LIGHT = COLOURS[0], COLOURS[1], "#C9D6DF"
MARKS = {"load": ("^", BLUE), "store": ("v", ORANGE), "compute": ("o", "black"), "slide": ("D", "black")}


def figure(report: PebbleReport, path: str | Path) -> Path:
    """Write the figure of a pebbling: a bar where a vertex is in fast memory, a mark at each load, store and compute.

    Args:
        report: what `pebble` returned.
        path: file to write, whole or not at all; `.png`, `.svg` or `.pdf`.

    Returns:
        The path written.

    Raises:
        AttometerError: the ending of the path is no format of figures.
    """
    target = figure_path(path)
    with extras("figures need"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    dag, moves = report.pebbling.dag, report.pebbling.moves
    canvas = Figure(figsize=(max(7.0, 0.16 * len(moves)), 1.8 + 0.2 * len(dag)), layout="constrained")
    FigureCanvasAgg(canvas)
    top, bottom = canvas.subplots(2, 1, sharex=True, height_ratios=[len(dag), 8])
    _draw_board(top, report)
    _draw_words(bottom, report)
    return save(canvas, target)


def _draw_board(axes: Any, report: PebbleReport) -> None:
    answer = report.pebbling
    for number, (move, board) in enumerate(boards(answer.dag, answer.moves, answer.M, answer.rule)):
        axes.barh(list(board.red), 1, left=number, height=0.8, color=LIGHT, linewidth=0)
        if move is not None and move.action in MARKS:
            shape, colour = MARKS[move.action]
            axes.plot(number, move.vertex, shape, color=colour, markersize=4)
    for action, (shape, colour) in MARKS.items():
        if any(move.action == action for move in answer.moves):
            axes.plot([], [], shape, color=colour, markersize=4, label=action)
    axes.set_yticks(range(len(answer.dag)), answer.dag.labels, fontsize=7)
    axes.invert_yaxis()
    sizes = ", ".join(f"{name} = {value}" for name, value in report.sizes.items())
    verdict = "least" if answer.optimal else f"least {answer.lower_bound}"
    axes.set_title(f"{report.name} at {sizes}, M = {answer.M}: {answer.cost} words ({verdict})", fontsize=9)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7, title="bar: in fast memory", title_fontsize=7)


def _draw_words(axes: Any, report: PebbleReport) -> None:
    answer = report.pebbling
    held, moved = [], []
    for _, board in boards(answer.dag, answer.moves, answer.M, answer.rule):
        held.append(len(board.red))
        moved.append(board.loads + board.stores)
    axes.step(range(len(held)), held, where="post", color="black", label="words held")
    axes.step(range(len(moved)), moved, where="post", color=BLUE, label="words moved")
    axes.axhline(answer.M, color="black", linestyle=":", linewidth=1, label=f"M = {answer.M}")
    axes.axhline(answer.dag.compulsory, color=BLUE, linestyle=":", linewidth=1, label="compulsory")
    axes.set_xlabel("move")
    axes.set_ylabel("words")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7)
