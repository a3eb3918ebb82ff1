"""K. Doan (2025): what happens on a machine with a cache, as computed curves."""

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from attometer.count.work.schedule_work import depth
from attometer.ledger.checks import Exactly, Says
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.programs import TILE, at, cost, entries
from attometer.machine import machine
from attometer.price import brent
from attometer.schedule.catalogue import schedule

_LENGTHS = tuple(2**power for power in range(10, 18))
_PROCESSORS = 2**14


def claims() -> tuple[Claim, ...]:
    """Return the claims about cut-offs, caches and tiles."""
    return (
        Claim(
            "000.machines.constant", "case 1", "it looks like constant time until a mysterious cutoff point",
            Says("constant, then not"), _flat,
        ),
        Claim(
            "000.machines.cache", "case 3", "a tensor that does not fit the cache makes the problem sequential at that level",
            Says("sequential"), _sequential,
        ),
        Claim(
            "000.machines.overflow", "so why isn't attention logarithmic?",
            "QKᵀ will almost certainly overfill the L2 cache (one head, n = 8,192, fp16, on an H100)",
            Says("overfills"), _overflow,
        ),
        Claim(
            "000.machines.nlogn", "so why isn't attention logarithmic?",
            "for regular computers the depth of attention is more something like O(n log n)",
            Exactly("n log n"), partial(_growth, _whole_rows),
            Otherwise("key/value tiles streamed through a cache of fixed size, one for each query tile", partial(_growth, _streamed)),
            "true of whole rows of scores, one at a time, in a cache that grows with n; in a fixed cache streamed tiles "
            "take (n/B)(log2 d + 3 log2 B + 9) steps: linear with a fast memory for each query tile, quadratic with one",
        ),
        Claim(
            "000.machines.irreducible", "so why isn't attention logarithmic?", "this in no way is an irreducible problem",
            Says("a logarithmic schedule exists"), _split_growth,
        ),
    )  # fmt: skip


def _flat() -> tuple[bool, str]:
    edge = bisect_right(range(1, 4 * _PROCESSORS), _steps(1), key=_steps)
    return (
        _steps(4 * edge) > _steps(edge),
        f"{_steps(edge)} steps up to n = {edge:,} on {_PROCESSORS:,} processors, {_steps(4 * edge)} at 4 times that",
    )


def _steps(length: int) -> int:
    """Return the steps that no schedule of `c = a * b` over `length` numbers beats, loads and stores included."""
    product = cost("map", loads=True)
    return int(brent(at(product.work, n=length), product.depth, _PROCESSORS).lower)


def _sequential() -> tuple[bool, str]:
    nest, rows = schedule("flash2"), TILE["B_r"]
    depths = [depth(nest, {"n": tiles * rows, "m": 128, **TILE}, serial=True) for tiles in (1, 2, 4)]
    one = depths[0]
    return depths == [one, 2 * one, 4 * one], f"depth {depths} for 1, 2 and 4 tiles in one fast memory"


def _overflow() -> tuple[bool, str]:
    scores, cache = 2 * int(at(entries("attention", "S"), h=1, n=8192)), machine("h100-sxm").l2_bytes
    return scores > cache, f"{scores / 2**20:.0f} MiB of scores, {cache / 2**20:.0f} MiB of cache"


def _growth(depth_of: Callable[[int], int]) -> str:
    """Name the growth of a depth by its ratio at the last two lengths."""
    exact = {
        "log n": lambda n: n.bit_length() - 1,
        "n": lambda n: n,
        "n log n": lambda n: n * (n.bit_length() - 1),
        "n²": lambda n: n * n,
    }
    before, after = _LENGTHS[-2:]
    first, last = depth_of(before), depth_of(after)
    return min(exact, key=lambda name: abs(last / first - exact[name](after) / exact[name](before)))


def _whole_rows(length: int) -> int:
    """Return the depth in one fast memory that holds one whole row of scores at a time."""
    rows = {"B_r": 1, "B_c": length, "B_d": 1, "B_e": 1}
    return int(depth(schedule("flash2"), {"n": length, "m": length, **TILE, **rows}, serial=True))


def _streamed(length: int) -> int:
    return int(depth(schedule("flash2"), {"n": length, "m": length, **TILE}))


def _split_growth() -> tuple[bool, str]:
    nest = schedule("split_kv")
    depths = [depth(nest, {"n": length, "m": length, "t": 1, **TILE}, tree=True) for length in _LENGTHS]
    steps = {after - before for before, after in pairwise(depths)}
    return len(steps) == 1, f"key/value tiles merged in a tree: {steps.pop()} steps more for each doubling of n"
