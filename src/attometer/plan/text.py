"""The plan as a page: the sentence, memory by kind, a table by type of layer, the levers, what was assumed."""

from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from attometer.plan.options import PASSES
from attometer.plan.predicted import FROM
from attometer.view.numbers import Cell, amount, seconds
from attometer.view.report import Block
from attometer.view.table import Table

if TYPE_CHECKING:
    from attometer.engines import Training
    from attometer.plan.placement_search import Found
    from attometer.plan.result import Plan

WIDTH = 110
"""Sentences are no longer than this, however wide the terminal."""


def plan_page(plan: "Plan", width: int | None = None) -> list[Block]:
    """Return the whole report, its sentences in lines of at most `width` characters."""
    sentence = min(width or WIDTH, WIDTH)
    held = [memory_table(plan)]
    if plan.served is not None:
        held = [plan.served.table()]
    elif plan.trained is not None:
        held = [training_table(plan, plan.trained)]
    return [
        wrapped(plan.headline, width=sentence),
        *held,
        *([placements_table(plan.found)] if plan.found is not None else []),
        layers_table(plan, width),
        *_times(plan, sentence),
        levers_table(plan, width),
        notes_text(plan, sentence),
    ]


def _times(plan: "Plan", width: int) -> list[Block]:
    """Return what is predicted, or why nothing is: a sentence on the pass, or under a workload a table."""
    if plan.load is not None:
        return [plan.load.table()]
    said = f"no predicted time: {plan.unpredicted}" if plan.predicted is None else str(plan.predicted)
    return [wrapped(said, width=width)]


def wrapped(*sentences: str, indent: str = "", width: int = WIDTH) -> str:
    """Return the sentences as one paragraph of lines of at most `width` characters.

    >>> wrapped("a b c")
    'a b c'
    """
    return "\n".join(line for text in sentences for line in wrap(text, width, subsequent_indent=indent))


def memory_table(plan: "Plan") -> Table:
    """Return the bytes on the device, by kind, with their share of the machine's memory."""
    room = plan.planner.room
    held = {kind: count for kind, count in vars(plan.memory).items() if count}
    rows = tuple(
        _memory_row(kind, count, room) for kind, count in {**held, "total": plan.memory.total, "usable": room}.items()
    )
    return Table("", ("memory", "GB (10^9)", "GiB (2^30)", "of device"), rows)


def training_table(plan: "Plan", trained: "Training") -> Table:
    """Return the bytes of the fullest rank while it trains, by kind."""
    room = plan.planner.room
    held = {name: size for name, size in trained.terms.items() if size}
    rows = tuple(
        _memory_row(kind, count, room) for kind, count in {**held, "total": trained.total, "usable": room}.items()
    )
    notes = (f"{trained.recipe}; recomputation: {trained.recipe.recompute}; loss: {trained.recipe.loss}",)
    return Table("", ("memory", "GB (10^9)", "GiB (2^30)", "of device"), rows, notes)


def _memory_row(kind: str, count: int, room: int) -> tuple[Any, ...]:
    share = Cell(count / room, f"{100 * count / room:.1f} %")
    return kind, Cell(count, f"{count / 1e9:,.2f}"), Cell(count, f"{count / 2**30:,.2f}"), share


def placements_table(found: "Found") -> Table:
    """Return the best placements, and why each is not the first; what became of the others."""
    rows = tuple(
        (
            str(each.placement),
            Cell(each.total, f"{each.total / 1e9:,.2f}"),
            Cell(each.seconds, seconds(each.seconds)),
            Cell(each.tokens_per_second, f"{each.tokens_per_second:,.0f}"),
            found.why(each),
        )
        for each in found.best
    )
    lost = tuple(f"{count:,} lost: {reason}" for reason, count in found.lost.items())
    said = f"{found.legal:,} legal placements, by {found.goal}; datasheet rates with links and waiting, even routing: estimates"
    return Table("", ("placement", "GB a rank", "a pass", "tokens/s", "why"), rows, (said, *lost))


def layers_table(plan: "Plan", width: int | None = None) -> Table:
    """Return the table by type of layer: parameters, cache, FLOPs, bytes moved, time and what binds.

    Each column has the unit in which its total reads well; parameters are rounded where a line would be longer than `width`.
    """
    total = plan.time
    kept = sum(layer.kv_bytes for layer in plan.layers)
    rows = [(x.kind, x.layers, x.parameters, x.kv_bytes, x.flops, x.bytes_moved, x.time) for x in plan.layers]
    rows.append(("total", plan.model.depth, plan.parameters, kept, total.flops, total.bytes_moved, total))
    scales = [_scale(kept, _BYTES), _scale(total.flops, _FLOPS), _scale(total.bytes_moved, _BYTES)]
    scales.append(_scale(total.seconds, _SECONDS))
    kv, flops, moved, time = (name for _, name, _ in scales)
    columns = ("layer type", "layers", "parameters", f"KV {kv}", flops, f"{moved} moved", time, "bound by")
    cells = [_layer_row(scales, *row) for row in rows]
    found = _without(3, Table("", columns, tuple(cells))) if not kept else Table("", columns, tuple(cells))
    if width is not None and max(map(len, found.text().splitlines())) > width:
        short = tuple((*row[:2], Cell(row[2], amount(row[2])), *row[3:]) for row in found.rows)
        found = replace(found, rows=short)
    return replace(found, notes=(_layers_note(plan),))


_FLOPS = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def _scale(total: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str, int]:
    """Return the largest unit of which the total is at least ten (the smallest where it is less), and decimals to show."""
    size, name = next((unit for unit in units if total >= 10 * unit[0]), units[-1])
    return size, name, 3 if total < 1000 * size else 1


def _without(column: int, table: Table) -> Table:
    def rest(cells: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*cells[:column], *cells[column + 1 :])

    return Table(table.title, rest(table.columns), tuple(map(rest, table.rows)), table.notes)


def _layers_note(plan: "Plan") -> str:
    total, mode = plan.time, plan.options.mode
    if plan.workload is not None:
        return (
            f"{total.basis} of the last step, at {plan.options.context:,} tokens; on the mean {seconds(plan.seconds)}"
        )
    decode = mode == "decode"
    if plan.speculation is not None:
        return (
            f"{total.basis}: the table is of the model's own step, {seconds(total.seconds)}; with the draft {seconds(plan.seconds)} "
            f"per token, {plan.tokens_per_second:,.1f} tokens/s at most"
        )
    speed = f"{plan.tokens_per_second:,.{int(decode)}f} tokens/s at most{', one token a step' * decode}"
    note = f"{total.basis}: {seconds(plan.seconds)} per {PASSES[mode]}, {speed}"
    if plan.at is not None and plan.at.devices.count > 1:
        note += (
            f"; the table is of one device's time, the pass is shared evenly by {plan.at.devices.count}, links left out"
        )
    return note


def _layer_row(
    scales: list[tuple[float, str, int]],
    kind: str,
    layers: int,
    parameters: int,
    kv: int,
    flops: int,
    moved: int,
    time: Any,
) -> tuple[Any, ...]:
    values = (kv, flops, moved, time.seconds)
    cells = [
        Cell(value, f"{value / unit:,.{digits}f}") for value, (unit, _, digits) in zip(values, scales, strict=True)
    ]
    return kind, layers, parameters, *cells, time.binds if time.seconds else ""


def levers_table(plan: "Plan", width: int | None = None) -> Block:
    """Return what would help, most useful first: of time what the datasheet's bound and what the predicted time changes.

    What each takes stands in a column, or below where a line would be longer than `width`.
    """
    if not plan.levers:
        return "levers: none of the known changes saves anything here"
    told = plan.predicted if any(lever.predicted_saved is not None for lever in plan.levers) else None
    columns = ("what would help", "saves", "bound", "predicted", "then", "exact", "note")
    rows = tuple(
        (
            lever.name,
            Cell(lever.bytes_saved, f"{lever.bytes_saved / 1e9:,.2f} GB"),
            _change(lever.seconds_saved, plan.seconds),
            Cell(None, "-")
            if told is None or lever.predicted_saved is None
            else _change(lever.predicted_saved, told.seconds),
            "fits" if lever.fits else "too large",
            "yes" if lever.exact else "no",
            lever.note,
        )
        for lever in plan.levers
    )
    each = pass_of(plan)
    said = f"time of a {each}: datasheet bound{'' if told is None else f', and predicted from {FROM[told.way]}'}"
    found = Table("", columns, rows, (f"{said}; exact: the same result",))
    found = found if told is not None else _without(3, found)
    if width is None or max(map(len, replace(found, notes=()).text().splitlines())) <= width:
        return found
    takes = [f"{lever.name}: {lever.note.removeprefix('same result; ')}" for lever in plan.levers]
    short = _without(len(found.columns) - 1, found)
    return replace(short, notes=(*takes, *found.notes))


def pass_of(plan: "Plan") -> str:
    """Return what a plan's time is of."""
    return PASSES[plan.options.mode] if plan.speculation is None else "token"


def _change(saved: float, of: float) -> Cell:
    if abs(saved) < 1e-4 * of:
        return Cell(saved, "no change")
    return Cell(saved, f"{seconds(abs(saved))} {'less' if saved > 0 else 'more'}")


def notes_text(plan: "Plan", width: int = WIDTH) -> str:
    """Return what the numbers assume, and where the machine's figures come from."""
    o = plan.options
    cache = f"cache {o.kv}, " * (o.mode != "train")
    stored = f"weights {plan.weights_said}, {cache}activations {o.activations}, attention {o.schedule}"
    return wrapped(*(f"- {note}" for note in [stored, *plan.notes]), indent="  ", width=width)
