"""The plan as text: the sentence, memory by kind, a table by type of layer, the levers, what was assumed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attometer.plan.dtypes import BITS

if TYPE_CHECKING:
    from attometer.plan.result import Plan


def plan_text(plan: "Plan") -> str:
    """Return the whole report."""
    return "\n\n".join(
        ["\n".join(wrapped(plan.headline)), memory_text(plan), layers_text(plan), levers_text(plan), notes_text(plan)]
    )


def wrapped(text: str, width: int = 110, indent: str = "") -> list[str]:
    """Break a sentence into lines of at most `width` characters.

    >>> wrapped("a b c", width=3)
    ['a b', 'c']
    """
    import textwrap

    return textwrap.wrap(text, width, subsequent_indent=indent)


def memory_text(plan: "Plan") -> str:
    """Return the bytes on the device, by kind, with their share of the machine's memory."""
    room = plan.machine.memory_bytes
    rows: list[tuple[str, ...]] = [("memory", "GB (10^9)", "GiB (2^30)", "of device")]
    rows += [_memory_row(kind, count, room) for kind, count in vars(plan.memory).items() if count]
    rows += [_memory_row("total", plan.memory.total, room), _memory_row("device", room, room)]
    return table(rows)


def _memory_row(kind: str, count: int, room: int) -> tuple[str, ...]:
    return kind, f"{count / 1e9:,.2f}", f"{count / 2**30:,.2f}", f"{100 * count / room:.1f} %"


def layers_text(plan: "Plan") -> str:
    """Return the table by type of layer: parameters, cache, FLOPs, bytes moved, time and what binds."""
    rows = [("layer type", "layers", "parameters", "KV GB", "TFLOP", "GB moved", "ms", "bound by")]
    for layer in plan.layers:
        time = layer.time
        rows.append(
            (
                layer.kind,
                str(layer.layers),
                f"{layer.parameters:,}",
                f"{layer.kv_bytes / 1e9:,.3f}",
                f"{layer.flops / 1e12:,.3f}",
                f"{layer.bytes_moved / 1e9:,.3f}",
                f"{time.seconds * 1e3:,.3f}",
                time.binds if time.seconds else "",
            )
        )
    total = plan.time
    rows.append(
        (
            "total",
            str(plan.model.depth),
            f"{plan.parameters:,}",
            f"{plan.memory.kv / 1e9:,.3f}",
            f"{total.flops / 1e12:,.3f}",
            f"{total.bytes_moved / 1e9:,.3f}",
            f"{total.seconds * 1e3:,.3f}",
            total.binds,
        )
    )
    speed = f"{plan.tokens_per_second:,.{1 if plan.options.mode == 'decode' else 0}f} tokens/s at most"
    return f"{table(rows)}\n{total.basis}: {_seconds(total.seconds)} per {_pass(plan.options.mode)}, {speed}"


def _pass(mode: str) -> str:
    return {"prefill": "prefill", "decode": "decode step", "train": "training step"}[mode]


def levers_text(plan: "Plan") -> str:
    """Return what would help, most useful first."""
    if not plan.levers:
        return "levers: none of the known changes saves anything here"
    rows = [("what would help", "saves", "time", "then", "same result", "note")]
    for lever in plan.levers:
        rows.append(
            (
                lever.name,
                f"{lever.bytes_saved / 1e9:+,.2f} GB".replace("+", ""),
                _change(lever.seconds_saved),
                "fits" if lever.fits else "too large",
                "yes" if lever.exact else "no",
                lever.note,
            )
        )
    return table(rows)


def _change(saved: float) -> str:
    if abs(saved) < 1e-9:
        return "no change"
    return f"{_seconds(abs(saved))} {'less' if saved > 0 else 'more'}"


def notes_text(plan: "Plan") -> str:
    """Return what the numbers assume, and where the machine's figures come from."""
    o = plan.options
    stored = f"weights {o.weights} ({float(BITS[o.weights]):g} bits), cache {o.kv}, activations {o.activations}, attention {o.schedule}"
    return "\n".join(line for note in [stored, *plan.notes] for line in wrapped(f"- {note}", indent="  "))


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:,.2f} {unit}"
    return "0 s" if value <= 0 else f"{value * 1e9:,.2f} ns"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows as aligned columns: the first to the left, numbers to the right; a rule under the header.

    >>> print(table([("kind", "GB"), ("weights", "16.06")]))
    kind        GB
    -------  -----
    weights  16.06
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numeric = [all(_is_number(row[k]) for row in rows[1:]) for k in range(len(widths))]
    lines = [
        "  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _is_number(cell: str) -> bool:
    head = cell.split(" ")[0].replace(",", "").lstrip("+-")
    return not cell or head.replace(".", "", 1).isdigit()
