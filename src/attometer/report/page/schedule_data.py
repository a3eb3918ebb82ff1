"""What the page holds of schedules and of lower bounds: words moved and held as JavaScript of sizes and tiles."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import sympy

from attometer.count.bounds.attention import ATTENTION_BOUNDS, CLASSES
from attometer.count.formulas import compiled
from attometer.count.traffic.tile_group import free_tiles, groups
from attometer.count.traffic.walk import problem
from attometer.count.traffic.words import footprint, held, moved, traffic
from attometer.masks import causal
from attometer.schedule.catalogue import SCHEDULES, schedule
from attometer.schedule.nest import Loop, Schedule
from attometer.sizes import size
from attometer.view.numbers import formula

SIZES = ("n", "m", "d", "e")
_VISITS = ("tile_rows", "tile_columns", "tile_scores")


@lru_cache(maxsize=1)
def schedules_data() -> dict[str, Any]:
    """Return every forward schedule: its tiles with the size that each divides, and its groups of phases.

    >>> schedules_data()["flash1"]["tiles"], schedules_data()["flash1"]["formula"][1]
    ({'B_r': 'n', 'B_c': 'm'}, 'B_c B_r + B_c d + B_c e + B_r d + B_r e + 2 B_r')
    """
    return {name: _schedule(one) for name in SCHEDULES if not (one := schedule(name)).backward}


def _schedule(one: Schedule) -> dict[str, Any]:
    axes = {axis: str(extent) for axis, extent in one.axes}
    return {
        "title": one.title,
        "tiles": {symbol.name: "" if one.clipped else axes[axis] for symbol, axis in one.tiles},
        "formula": [formula(traffic(one).words), formula(footprint(one))],
        "groups": [_group(one, phases, names) for phases, names in groups(one)],
    }


def _group(one: Schedule, phases: tuple[Loop, ...], names: tuple[str, ...]) -> dict[str, Any]:
    """Return a group: names of its tiles, those searched, and functions of `SIZES`, tiles, and what a mask leaves.

    `masked` takes after these what is visited: for each entry of `visits` rows, columns or scores of the tiles of a height and a width.
    """
    whole = problem(one)
    words, seen = moved(one, phases, whole).words, moved(one, phases, problem(one, mask=causal())).words
    asked = sorted((f for f in seen.atoms(sympy.Function) if type(f).__name__ in _VISITS), key=str)
    given = {f: size(f"v{k}") for k, f in enumerate(asked)}
    tiles = (*SIZES, *names)
    return {
        "names": list(names),
        "free": free_tiles(one, phases, names),
        "words": _script([words], tiles),
        "held": _script([held(one, phases, whole)], tiles),
        "masked": _script([seen.xreplace(given)], (*tiles, *(s.name for s in given.values()))) if asked else None,
        "visits": [_VISITS.index(type(f).__name__) for f in asked],
        "shapes": _script([side for f in asked for side in f.args[2:4]], tiles) if asked else None,
    }


def _script(outputs: Iterable[sympy.Expr], names: Iterable[str]) -> str:
    return compiled({str(k): sympy.sympify(e) for k, e in enumerate(outputs)}, tuple(names)).javascript(
        "f", listed=True
    )


def bounds_data() -> dict[str, Any]:
    """Return the lower bounds as they are stated, in the order in which the page computes them, and the classes."""
    stated = [[b.name, b.statement, f"{b.status}: {b.source}", b.holds_for] for b in ATTENTION_BOUNDS]
    return {"stated": stated, "classes": list(CLASSES)}
