"""K. Doan (2025): what happens on a machine with a cache, as computed curves."""

from itertools import pairwise

from attometer.ledger.checks import Exactly, Says
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.programs import at, entries
from attometer.machine import TwoLevelMemory, machine
from attometer.price import constant_until, rows_at_a_time, split, streamed, tiled_map

_LENGTHS = tuple(2**power for power in range(10, 18))
_HEAD = 64
_TILE = (128, 128)
_WORDS = 2**16


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
            Exactly("n log n"), _rows_growth,
            Otherwise("key/value tiles streamed through a cache of fixed size, a unit for each query tile", _streamed_growth),
            "true of whole rows of scores, one at a time, in a cache that grows with n; in a fixed cache streamed tiles "
            "take (n/B)(log2 d + 2 log2 B + 8) steps: linear on many units, quadratic on one",
        ),
        Claim(
            "000.machines.irreducible", "so why isn't attention logarithmic?", "this in no way is an irreducible problem",
            Says("a logarithmic schedule exists"), _split_growth,
        ),
    )  # fmt: skip


def _flat() -> tuple[bool, str]:
    memory = TwoLevelMemory(words=3 * 2**20, processors=2**14)
    edge = constant_until(lambda n: tiled_map(n, memory))
    before, after = tiled_map(edge, memory).lower, tiled_map(4 * edge, memory).lower
    return (
        before < after,
        f"{before} steps up to n = {edge:,} on {memory.processors:,} processors, {after} at 4 times that",
    )


def _sequential() -> tuple[bool, str]:
    memory = TwoLevelMemory(words=3 * 1024)
    depths = [tiled_map(n, memory).depth for n in (1024, 2048, 4096)]
    return depths == [3, 6, 12], f"depth {depths} for 1, 2 and 4 tiles"


def _overflow() -> tuple[bool, str]:
    scores, cache = 2 * int(at(entries("attention", "S"), h=1, n=8192)), machine("h100-sxm").l2_bytes
    return scores > cache, f"{scores / 2**20:.0f} MiB of scores, {cache / 2**20:.0f} MiB of cache"


def _growth(depths: list[int]) -> str:
    """Name the growth of depths at doubling lengths by their last ratio."""
    exact = {
        "log n": lambda n: n.bit_length() - 1,
        "n": lambda n: n,
        "n log n": lambda n: n * (n.bit_length() - 1),
        "n²": lambda n: n * n,
    }
    first, last = depths[-2:]
    before, after = _LENGTHS[-2:]
    return min(exact, key=lambda name: abs(last / first - exact[name](after) / exact[name](before)))


def _rows_growth() -> str:
    return _growth([rows_at_a_time(n, n, _HEAD, _HEAD, TwoLevelMemory(words=n)).depth for n in _LENGTHS])


def _streamed_growth() -> str:
    memory = TwoLevelMemory(_WORDS, units=None)
    return _growth([streamed(n, n, _HEAD, _HEAD, memory, _TILE).depth for n in _LENGTHS])


def _split_growth() -> tuple[bool, str]:
    memory = TwoLevelMemory(_WORDS, units=None)
    depths = [split(n, n, _HEAD, _HEAD, memory, n // _TILE[1], _TILE).depth for n in _LENGTHS]
    steps = {after - before for before, after in pairwise(depths)}
    return len(steps) == 1, f"key/value tiles merged in a tree: {steps.pop()} steps more for each doubling of n"
