"""What a person sees while samples come: a bar on a terminal, a line for each round elsewhere, both on stderr."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attometer.report.measure.options import Options
    from attometer.run import Sample


def follow(
    samples: Iterator["Sample"],
    order: Sequence[tuple[str, int]],
    options: "Options",
    said: Callable[[str], None] | None,
) -> Iterator["Sample"]:
    """Yield `samples`, of rounds that run `order`, and tell how far they are."""
    if said is None and sys.stderr.isatty():
        yield from _bar(samples, order, options)
        return
    for done, sample in enumerate(samples, 1):
        if said is not None and done % len(order) == 0:
            said(f"round {done // len(order)} of {options.repeats} measured")
        yield sample


def _bar(samples: Iterator["Sample"], order: Sequence[tuple[str, int]], options: "Options") -> Iterator["Sample"]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        total = len(order) * options.repeats
        task = progress.add_task("measuring", total=total)
        for done, sample in enumerate(samples, 1):
            following = order[done % len(order)]
            progress.update(task, completed=done, description="{} at n = {:,}".format(*following))
            yield sample
