"""Write the tables of docs/models.md: the families that are read and the models that are shipped, counted by the code itself."""

import re
from pathlib import Path

from attometer.count.model_cost import active_parameters, cache, flops, parameters
from attometer.models import model, names, shipped
from attometer.models.names import releases
from attometer.models.readers.families import AROUND, READERS
from attometer.view.files import write_atomically

HERE = Path(__file__).parent


def families() -> str:
    """Return the table of families that are no others' wrappers."""
    rows = ["| `model_type` | what is read |", "|---|---|"]
    for name, reader in sorted((name, reader) for name, reader in READERS.items() if name not in AROUND):
        rows.append(f"| `{name}` | {' '.join((reader.__doc__ or '').strip().split(chr(10) + chr(10))[0].split())} |")
    return "\n".join(rows)


def models() -> str:
    """Return the table of shipped models."""
    rows = [
        "| name | layers | parameters | active | KV and state at 1,024 tokens | at 131,072 | forward, 2,048 tokens |"
    ]
    rows.append("|---|---|---:|---:|---:|---:|---:|")
    for name in shipped():
        read = model(name)
        kinds = " + ".join(f"{count} {kind}" for kind, count in read.kinds().items())
        kept, work = cache(read), flops(read, n=2048) / 1e12
        sizes = f"{parameters(read):,} | {active_parameters(read):,} | {kept.at(1024):,} | {kept.at(131_072):,}"
        rows.append(f"| `{name}` | {kinds} | {sizes} | {work:,.2f} TFLOP |")
    return "\n".join(rows)


def same_sizes() -> str:
    """Return the sentences of names that mean a shipped model, or one with other sizes or formats."""
    same = ", ".join(f"`{a}` ({b})" for a, b in sorted(names.same_sizes().items()))
    others = ", ".join(f"`{name}`" for name in sorted(releases()))
    return f"Of the same sizes, and read as such: {same}.\n\nKnown by name too, with sizes or formats of their own: {others}."


def placed(text: str, name: str, made: str) -> str:
    """Return the page with what stands between two comments of a name made anew."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)", lambda m: m[1] + made + m[2], text, flags=re.DOTALL
    )


if __name__ == "__main__":
    page = HERE / "models.md"
    text = placed(page.read_text("utf-8"), "families", families())
    write_atomically(page, placed(text, "shipped models", f"{models()}\n\n{same_sizes()}"))
