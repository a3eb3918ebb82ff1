"""What the claims about I/O are held against: schedules at their best tiles, bounds and exact optima, all counted."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from attometer.count.bounds.attention import ATTENTION_BOUNDS, attention_sizes, best_bound
from attometer.count.traffic.tile_search import best_tiles
from attometer.count.traffic.words import footprint, traffic
from attometer.errors import AttometerError
from attometer.schedule.catalogue import SCHEDULES, schedule
from attometer.sizes import size

n, m, d, e, M = (size(name) for name in "nmdeM")
B, B_r, B_c = size("B"), size("B_r"), size("B_c")
FORWARD = tuple(name for name in SCHEDULES if not schedule(name).backward)
LONG, HEAD = 1 << 26, 256
Truth = tuple[bool, str]


@lru_cache(maxsize=4096)
def words(name: str, length: int, width: int, memory: int, values: int | None = None) -> float:
    """Return the words of a schedule at its best tiles; infinite where it cannot run."""
    try:
        return best_tiles(name, n=length, d=width, M=memory, e=values).words
    except AttometerError:
        return math.inf


def best(length: int, width: int, memory: int) -> float:
    """Return the fewest words of any forward schedule."""
    return min(words(name, length, width, memory) for name in FORWARD)


def bound(name: str, length: int, width: int, memory: int) -> int:
    """Return a lower bound by name."""
    rule = next(rule for rule in ATTENTION_BOUNDS if rule.name == name)
    return rule.value(attention_sizes(length, width, memory))


def strongest(algorithm: Any, length: int, width: int, memory: int) -> int:
    """Return the strongest bound that covers a class of algorithms."""
    return best_bound(attention_sizes(length, width, memory), algorithm)[1]


def coefficient(name: str, power: float, share: float, values: int | None = None) -> float:
    """Return words in units of N² d² / M (power 1) or N² d / √M (power 1/2) at M = share d², for N far above M."""
    memory = round(share * HEAD * HEAD)
    scale = LONG * LONG * HEAD * (HEAD / memory if power == 1 else 1 / math.sqrt(memory))
    return words(name, LONG, HEAD, memory, values) / scale


def reads(name: str) -> Any:
    """Return the words read, in symbols."""
    return traffic(schedule(name)).read


def writes(name: str) -> Any:
    """Return the words written, in symbols."""
    return traffic(schedule(name)).written


def given(name: str, tiles: dict[str, int], length: int, width: int) -> tuple[int, int]:
    """Return (words, footprint) of a schedule at given tiles."""
    both = {"n": length, "m": length, "d": width, "e": width, **tiles}
    return int(traffic(schedule(name), both).words), int(footprint(schedule(name), both))


def crossing() -> float:
    """Return M / d² where FlashAttention 2 starts to move fewer words than the two passes, for N far above M."""
    width, length = 1 << 10, 1 << 24
    low, high = width**2 // 4, 2 * width**2
    while high - low > 256:
        middle = (low + high) // 2
        ahead = words("flash2", length, width, middle) < words("two_pass_outer", length, width, middle)
        low, high = (low, middle) if ahead else (middle, high)
    return high / width**2


def violations(check: Callable[[int, int, int], bool], cases: int = 60) -> Truth:
    """Return whether `check(n, d, M)` holds on random cases, and how many it fails."""
    rng = np.random.default_rng(2024)
    failed = 0
    for _ in range(cases):
        length, width = int(rng.integers(8, 400)), int(rng.integers(1, 33))
        memory = int(2 ** rng.uniform(3, 14))
        failed += not check(length, width, memory)
    return failed == 0, f"{failed} of {cases} random cases fail"


def ratio(value: float, unit: str = "") -> str:
    """Write a ratio with three digits."""
    return f"{value:.3g}{unit}"
