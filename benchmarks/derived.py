"""Derives a loop nest for every mechanism, every notation file and every gradient: `docs/derive.md` is its output.

    python benchmarks/derived.py [NAME ...] [--write]

Each row: phases and passes, words moved at M = 98,304 and typical sizes, words over the strongest lower bound of
algorithms with one accumulator per sum, what is stored between phases, and CPU seconds of the derivation without the bound.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import attometer as am
from attometer.errors import AttometerError
from attometer.mechanisms.subject import subject
from attometer.schedule.fused import PART

MEMORY = 98_304
HERE = Path(__file__).parent.parent
PAGE = HERE / "docs" / "derive.md"
SECONDS = "AMD EPYC (Zen 3 and 4), one thread, busy machine: read them as orders of magnitude"


@dataclass(frozen=True)
class Row:
    """What was derived for one program, or why nothing was."""

    name: str
    refused: str = ""
    phases: int = 0
    passes: int = 0
    words: int = 0
    ratio: float | None = None
    stored: tuple[str, ...] = ()
    seconds: float = 0.0


def names() -> Iterator[tuple[str, bool]]:
    """Yield every name of the catalogue and every notation file, each also with `True`: its gradient."""
    files = sorted(str(p.relative_to(HERE)) for p in (HERE / "examples").glob("*.att"))
    for name in (*am.mechanisms(), *files):
        yield name, False
        yield name, True


def program_of(name: str, gradient: bool) -> am.Program:
    """Return the program of a name or file, or of its gradients."""
    program = subject(str(HERE / name) if name.endswith(".att") else name).program
    return am.gradient(program) if gradient else program


def row(name: str, gradient: bool, M: int = MEMORY, **sizes: int) -> Row:
    """Derive one nest."""
    shown = f"gradient of {name}" if gradient else name
    begun = time.process_time()
    try:
        found = am.derive(program_of(name, gradient), M, **sizes)
    except AttometerError as error:
        return Row(shown, str(error), seconds=time.process_time() - begun)
    spent = time.process_time() - begun
    try:
        ratio = found.ratio
    except (AttometerError, ZeroDivisionError):
        ratio = None
    chunks = (n.removesuffix(PART) for n, tensor in found.schedule.tensors if tensor.blocks)
    stored = (*found.stored, *(f"{name} by chunks" for name in chunks))
    return Row(shown, "", len(found.passes), max(found.passes), found.words, ratio, stored, spent)


def line(made: Row) -> str:
    """Return a row of the table."""
    if made.refused:
        reason = made.refused.replace("|", "\\|")
        return f"| {made.name} | refused: {reason} | | | | {made.seconds:.1f} |"
    how = f"{made.phases} phase{'s' * (made.phases > 1)}" + (f", {made.passes} passes" if made.passes > 1 else "")
    stored = ", ".join(made.stored[:6]) + (f" and {len(made.stored) - 6} more" if len(made.stored) > 6 else "")
    ratio = "" if made.ratio is None else f"{made.ratio:.2f}"
    return f"| {made.name} | {how} | {made.words:,} | {ratio} | {stored} | {made.seconds:.1f} |"


HEAD = """| program | nest | words | × bound | stored between phases | CPU s |
|---|---|---|---|---|---|"""
START, END = "<!-- rows: python benchmarks/derived.py --write -->", "<!-- end of rows -->"


def main(arguments: list[str]) -> None:
    """Print the rows; with --write put them into the page, beside the rows of names that were not asked for."""
    chosen = [a for a in arguments if not a.startswith("--")]
    before, rest = PAGE.read_text().split(START)
    table, after = rest.split(END)
    lines = {row.split(" | ")[0]: row for row in table.splitlines() if row.startswith("| ")}
    made = {}
    print(HEAD, flush=True)
    for name, gradient in names():
        shown = f"| gradient of {name}" if gradient else f"| {name}"
        if not chosen or name in chosen:
            made[shown] = line(row(name, gradient))
            print(made[shown], flush=True)
        elif shown in lines:
            made[shown] = lines[shown]
    if "--write" in arguments:
        PAGE.write_text(
            "\n".join([f"{before}{START}", f"Seconds: {SECONDS}.\n", HEAD, *made.values(), f"{END}{after}"])
        )


if __name__ == "__main__":
    main(sys.argv[1:])
