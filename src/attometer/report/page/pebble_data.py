"""Pebblings that the page plays: proved least by the search once, kept as moves, replayed by the referee whenever they are read.

`keep()` searches them again and writes `data/pebblings.json`.
"""

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError
from attometer.report.pebble.report import FORMS, pebble
from attometer.simulate.pebble.moves import Move
from attometer.simulate.pebble.referee import referee

GAMES: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("softmax", {"n": 2, "m": 2, "d": 1, "e": 1}, 5),
    ("softmax", {"n": 2, "m": 2, "d": 1, "e": 1}, 7),
    ("matmul", {"m": 2, "n": 2, "k": 2}, 4),
    ("matmul", {"m": 2, "n": 2, "k": 2}, 6),
    ("matmul-tree", {"m": 2, "n": 2, "k": 2}, 4),
)
"""Calculation, sizes, and words of fast memory."""


@lru_cache(maxsize=1)
def games() -> list[dict[str, Any]]:
    """Return the games: labels, rows of vertices from the inputs on, moves as action and vertex, and the words moved.

    Raises AttometerError where the kept moves are not legal, or do not move the words that they are kept with.

    >>> [(game["name"], game["M"], game["words"]) for game in games()][0]
    ('softmax', 5, 11)
    """
    kept = json.loads((files("attometer") / "data" / "pebblings.json").read_text(encoding="utf-8"))
    return [_checked(game) for game in kept]


def _checked(game: dict[str, Any]) -> dict[str, Any]:
    dag = FORMS[game["name"]].dag(**game["sizes"])
    replay = referee(dag, [Move(action, vertex) for action, vertex in game["moves"]], game["M"], "place")
    if replay.cost != game["words"]:
        raise AttometerError(f"the kept pebbling of {game['name']} moves {replay.cost} words, not {game['words']}")
    level: list[int] = []
    for operands in dag.parents:
        level.append(1 + max((level[parent] for parent in operands), default=-1))
    rows = [[v for v in range(len(dag)) if level[v] == one] for one in range(max(level) + 1)]
    return {**game, "labels": dag.labels, "rows": rows, "inputs": dag.inputs, "compulsory": dag.compulsory}


def solved() -> list[dict[str, Any]]:
    """Return what is kept: every game searched to its optimum."""
    found = []
    for name, sizes, M in GAMES:
        answer = pebble(name, M, **sizes).pebbling
        if not answer.optimal:
            raise AttometerError(f"{name} at M = {M} was not proved least")
        moves = [[move.action, move.vertex] for move in answer.moves]
        found.append({"name": name, "sizes": sizes, "M": M, "words": answer.cost, "moves": moves})
    return found


def keep() -> Path:
    """Search every game and write what is kept."""
    target = Path(str(files("attometer") / "data" / "pebblings.json"))
    target.write_text(json.dumps(solved(), separators=(",", ":")) + "\n", encoding="utf-8")
    return target
