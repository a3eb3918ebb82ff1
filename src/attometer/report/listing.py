"""What exists: the names that commands take, each with a line of what it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from attometer.errors import AttometerError, unknown
from attometer.view.numbers import amount
from attometer.view.table import Table

Rows = Iterator[tuple[Any, ...]]


@dataclass(frozen=True)
class Kind:
    """One kind of thing that can be listed: its columns, its rows, and the columns that `--vendor`-like filters match."""

    columns: tuple[str, ...]
    rows: Callable[[], Rows]


def _models() -> Rows:
    from attometer.count.model_cost import parameters
    from attometer.models import model, shipped

    for name in shipped():
        read = model(name)
        yield name, read.family, amount(parameters(read)), read.context, ", ".join(read.kinds())


def _machines() -> Rows:
    from attometer.machine import machine, machines

    for name in machines():
        one = machine(name)
        usable = one.memory.usable
        bandwidth = one.memory.bandwidth
        yield (
            name,
            one.vendor,
            one.kind,
            f"{one.usable_bytes / 2**30:.1f}" if usable else None,
            f"{one.bandwidth / 1e9:,.0f}" if bandwidth else None,
            ", ".join(one.aliases),
        )


def _mechanisms() -> Rows:
    from attometer.mechanisms import mechanism, mechanisms

    for name in mechanisms():
        one = mechanism(name)
        yield name, one.title, one.result


def _schedules() -> Rows:
    from attometer.schedule import schedule
    from attometer.schedule.catalogue import APPROXIMATE, SCHEDULES

    for name in (*SCHEDULES, *APPROXIMATE):
        one = schedule(name)
        yield name, one.title, ", ".join(one.tile_names), one.source


def _masks() -> Rows:
    from attometer.masks.catalogue import MASKS

    for name, make in MASKS.items():
        yield name, (make.__doc__ or "").strip().split("\n")[0]


def _conventions() -> Rows:
    from attometer.count.conventions import CONVENTIONS

    for convention in CONVENTIONS.values():
        yield convention.name, convention.reason


def _engines() -> Rows:
    from attometer.engines import NAMES, engine

    for name in NAMES:
        one = engine(name)
        yield name, "any" if one.version.since == "0" else one.version.since


def _recipes() -> Rows:
    from attometer.engines import recipe, recipes

    for name in recipes():
        yield name, str(recipe(name)).partition(": ")[2]


def _tools() -> Rows:
    from attometer.report.other_tools import TOOLS

    for tool in TOOLS.values():
        yield tool.name, tool.version, tool.checked


def _formats() -> Rows:
    from attometer.formats import FORMATS, MIXES

    for form in FORMATS.values():
        yield form.name, f"{float(form.bits):.4g}", form.source
    for name in MIXES:
        if name not in FORMATS:
            yield name, None, "a GGUF file type: block formats by tensor and layer"


KINDS: dict[str, Kind] = {
    "models": Kind(("model", "family", "parameters", "trained context", "layers"), _models),
    "machines": Kind(("machine", "vendor", "kind", "usable GiB", "GB/s", "also called"), _machines),
    "mechanisms": Kind(("mechanism", "what it is", "computes"), _mechanisms),
    "schedules": Kind(("schedule", "what it is", "tiles", "source"), _schedules),
    "masks": Kind(("mask", "which keys a query sees"), _masks),
    "conventions": Kind(("convention", "what counts"), _conventions),
    "engines": Kind(("engine", "newest version known"), _engines),
    "recipes": Kind(("recipe of training", "what it holds"), _recipes),
    "tools": Kind(("tool that explain-tool explains", "version", "checked"), _tools),
    "formats": Kind(("format", "bits per element", "source"), _formats),
}
"""Everything that `attometer list` lists."""


_MEANT = {
    **{kind.removesuffix("s"): kind for kind in KINDS},
    **dict.fromkeys(("gpus", "gpu", "devices", "device", "hardware", "cards", "cpus"), "machines"),
    **dict.fromkeys(("dtypes", "datatypes", "data-types", "quantizations", "quants", "quantization"), "formats"),
    **dict.fromkeys(("families", "architectures"), "models"),
    **dict.fromkeys(("attention", "attentions", "mixers"), "mechanisms"),
}
"""What people call a list."""


def listing(kind: str, words: str | tuple[str, ...] = (), **equal: str) -> Table:
    """Return the names of one kind, each with a line of what it is.

    Args:
        kind: one of `KINDS`.
        words: only rows that hold this word, or every one of these, in any column.
        **equal: only rows whose column of that name holds the value, as in `vendor="nvidia"`; case does not matter.

    Raises AttometerError for an unknown kind, or a column that the kind does not have.

    >>> print(listing("masks", "stride").rows[0][0])
    strided
    """
    words = (words,) if isinstance(words, str) else words
    if not isinstance(kind, str):
        raise unknown("list", kind, KINDS)
    kind = kind.lower() if kind.lower() in KINDS else _MEANT.get(kind.lower(), kind)
    if kind not in KINDS:
        raise unknown("list", kind, KINDS)
    one = KINDS[kind]
    for column in equal:
        if column not in one.columns:
            raise AttometerError(f"{kind} have no {column}; columns: {', '.join(one.columns)}")
    places = {one.columns.index(column): value.lower() for column, value in equal.items()}
    rows = tuple(
        row
        for row in one.rows()
        if all(value in str(row[place]).lower() for place, value in places.items())
        and all(word.lower() in " ".join(map(str, row)).lower() for word in words)
    )
    found = f"{len(rows)} of them" if rows else "none of them match"
    return Table(kind, one.columns, rows, (found,))
