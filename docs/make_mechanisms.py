"""Write the table of docs/mechanisms.md from live counts. Run `python docs/make_mechanisms.py`."""

import re
from collections.abc import Iterator
from pathlib import Path

from attometer.count import count, path_length_formula
from attometer.mechanisms import MECHANISMS, Mechanism, mechanism
from attometer.view.files import write_atomically

PAGE = Path(__file__).parent / "mechanisms.md"


def rows() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| name | what it is | result | work | depth | longest path | source |"
    yield "|---|---|---|---|---|---|---|"
    for name in MECHANISMS:
        made = mechanism(name)
        cost = count(made)
        cells = [f"`{name}`", made.title, made.result, str(cost.order())]
        yield f"| {' | '.join([*cells, str(cost.order(of='depth')), longest(made), made.citation])} |"


def longest(made: Mechanism) -> str:
    """Return the longest path's closed form, or a dash where none is known."""
    formula = path_length_formula(made)
    if formula is None:
        return "-"
    text = re.sub(r" \(.*\)$", "", str(formula).split(", mean")[0].removeprefix("longest "))
    return str(formula.longest).replace("ceiling", "ceil") if text == "q" else text


def parameters() -> Iterator[str]:
    """Yield the lines of the table of parameters."""
    yield "| mechanism | parameter | default | meaning |"
    yield "|---|---|---|---|"
    for name in MECHANISMS:
        for parameter in mechanism(name).parameters.values():
            yield f"| `{name}` | `{parameter.name}` | {parameter.default} | {parameter.meaning} |"


def page(text: str) -> str:
    """Return `text` with both tables rewritten."""
    for what, lines in (("mechanisms", rows()), ("parameters", parameters())):
        table = f"<!-- {what} -->\n" + "\n".join(lines) + f"\n<!-- end of {what} -->"
        text = re.sub(f"<!-- {what} -->.*<!-- end of {what} -->", lambda _, t=table: t, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    write_atomically(PAGE, page(PAGE.read_text("utf-8")))
