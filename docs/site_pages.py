"""Pages of the documentation site that are tables of the code: masks, conventions, machines, formats, bounds, claims.

MkDocs calls `on_files` while it builds; the pages are nowhere else, so that none can be out of date.
"""

from collections.abc import Callable, Iterable
from typing import Any

from attometer.count.bounds.attention import ATTENTION_BOUNDS
from attometer.count.conventions import CONVENTIONS
from attometer.formats import CACHE_ROWS, FORMATS
from attometer.ledger.ledger import ledger
from attometer.machine import machine, machines
from attometer.masks import MASKS

# What the masks that take parameters are drawn with, at 8 tokens.
DRAWN: dict[str, tuple[Any, ...]] = {
    "window": (3,), "band": (1, 2), "global": (2,), "random": (2,), "strided": (3,), "fixed": (3,), "prefix": (3,),
    "document": ((3, 5),), "chunked": (4,), "block_causal": (4,), "block": (4, ((1, 0), (1, 1))),
}  # fmt: skip


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; bars inside cells are escaped."""
    head = list(columns)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _masks() -> str:
    parts = [
        "# Masks",
        "Combine them with `&`, `|` and `~`; rows are queries, columns keys. [Add one](../how-to/mask.md).",
    ]
    for name, make in MASKS.items():
        parts.append(f"## {name}\n\n{(make.__doc__ or '').split('>>>')[0].strip()}")
        mask = make(*DRAWN.get(name, ()))
        parts.append(f"`{mask.text()}`, 8 tokens:\n\n```text\n{mask.picture(8)}\n```")
    return "\n\n".join(parts)


def _conventions() -> str:
    rows = (
        (f"`{c.name}`", c.reason, ", ".join(f"{k}: {w}" for k, w in c.weights.items())) for c in CONVENTIONS.values()
    )
    note = "Your own is a `Convention`, or a table of weights: `cost.flops({'exp': 16, '*': 1})`."
    return f"# Counting conventions\n\n{table(('name', 'what it counts, and why', 'weights'), rows)}\n\n{note}"


def _machines() -> str:
    parts = ["# Machines", "Rates are dense; GB is 10^9 bytes, GiB 2^30. [Add one](../how-to/machine.md)."]
    for each in map(machine, machines()):
        rows = (
            (path, f"{figure.value:,} {figure.unit}", figure.status, figure.source) for path, figure in each.figures()
        )
        parts += [f"## {each.id}", f"{each.name}, {each.vendor}", table(("figure", "value", "status", "source"), rows)]
    return "\n\n".join(parts)


def _formats() -> str:
    elements = ((f"`{f.name}`", f"{float(f.bits):.5g}", f.rate, f.source) for f in FORMATS.values())
    rows = ((f"`{name}`", size, source) for name, (size, source) in CACHE_ROWS.items())
    first = table(("format", "bits per element with scales", "rate of its products", "source"), elements)
    second = table(("cache of latents", "bytes per token and layer", "source"), rows)
    return f"# Formats\n\n{first}\n\n{second}\n\n[Add one](../how-to/format.md)."


def _bounds() -> str:
    columns = ("name", "statement", "holds for", "recomputation", "status", "source", "grows as")
    rows = (
        (b.name, b.statement, b.holds_for, "allowed" if b.recomputation else "not allowed", b.status, b.source, b.order)
        for b in ATTENTION_BOUNDS
    )
    said = "Words that softmax attention moves between memory and M words of fast memory, one head. [Add one](../how-to/bound.md)."
    return f"# Lower bounds\n\n{said}\n\n{table(columns, rows)}"


def _claims() -> str:
    found = ledger()
    parts = ["# Claims", f"{found.summary}. `attometer claims` recomputes them; every one that is not right:"]
    rows = (
        (f.id, f.place, f.statement, f.printed, f.ours, f.verdict, f.why)
        for f in found.findings
        if f.verdict != "agrees"
    )
    return "\n\n".join([*parts, table(("claim", "where", "statement", "printed", "computed", "verdict", "why"), rows)])


PAGES: dict[str, Callable[[], str]] = {
    "masks": _masks,
    "conventions": _conventions,
    "machines": _machines,
    "formats": _formats,
    "bounds": _bounds,
    "claims": _claims,
}
"""The pages, by their name under `reference/`."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those that MkDocs found."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files
