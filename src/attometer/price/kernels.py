"""From counts to seconds: one function per class of kernel, on arrays, with named coefficients.

Every function takes `x`, counts and machine figures (arrays of shape (rows,), base units: bytes, FLOP/s, bytes/s), and
`c`, coefficients by name (arrays of the same shape or numbers), and returns the seconds by term; `total` is their time.
A kernel family, such as one engine's FP8 GEMM, is a row in a data file, never a class here.
Sources of the forms: Williams, Waterman, Patterson, Roofline (CACM 2009); Osama et al., Stream-K (PPoPP 2023) for waves
and tails; Dao et al., Flash-Decoding (2023) for split keys; Thakur, Rabenseifner, Gropp (2005) for collectives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = dict[str, Array]
Terms = dict[str, Array]

#: tile heights, tile widths and splits of the inner dimension that GEMM libraries choose among
TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 64), (16, 64))
SPLITS = (1, 2, 4, 8)
ROWS = (16, 32, 64, 128)  # heights of the tiles that grouped products choose among
LOW = 2.0**14  # bytes to a peer that NCCL sends in low latency (NCCL_P2P_LL_THRESHOLD, src/enqueue.cc)
BUS = 64e9  # bytes/s: devices without links of their own talk over PCIe, 5.0 x16 at most
QUERIES, KEYS = 128, 128  # the largest attention tile
NEAR, REACH = 2.0**15, 2.0**23  # bytes of a core's first cache, and of the pages whose places it remembers
GROUP = 32  # query heads of a key head that decoding kernels were written for


@dataclass(frozen=True)
class Coefficient:
    """A fitted number: its unit, the value expected before any measurement, its spread (of the logarithm).

    A `local` one belongs to a machine as it was built, not to a kernel: what other machines showed says nothing of it.
    """

    name: str
    unit: str
    prior: float
    spread: float
    local: bool = False


def blend(power: Array, *times: Array) -> Array:
    """Return a soft maximum of times: their sum at power 1 and below, their maximum as the power grows."""
    power = np.where(power > 0, np.maximum(power, 1.0), power)
    top = np.maximum(np.max(np.stack(np.broadcast_arrays(*times)), axis=0), 1e-12)
    total: Array = top * sum((t / top) ** power for t in times) ** (1 / power)
    return total


def waves(units: Array, slots: Array, paid: Array) -> Array:
    """Return rounds of `units` equal pieces on `slots` workers; of the last round's idle part, the share `paid`."""
    exact = units / slots
    rounds: Array = np.maximum(1.0, (1 - paid) * exact + paid * np.ceil(exact))
    return rounds


def cache_rate(x: Counts, c: Counts) -> Array:
    """Return bytes/s between the last-level cache and the multiprocessors."""
    rate: Array = x["wires"] * np.minimum(c["cache"], 1.0)
    return rate


def memory_time(moved: Array, x: Counts, c: Counts) -> Array:
    """Return seconds to move bytes: from main memory, or faster where repeated launches leave them in the cache."""
    resident = 1 / (1 + (moved / (x["cache"] * c["resident"] + 1)) ** 2)
    far = x["bandwidth"] * np.minimum(c["memory"], 1.0)
    time: Array = moved * ((1 - resident) / far + resident / np.maximum(cache_rate(x, c), far))
    return time


def tiles_seen(rows: Array, before: Array, keys: Array, most: Array, causal: Array) -> Array:
    """Return key tiles that `rows` tiles of queries visit: all, or causally with `before` tiles of keys before them.

    `most` caps the tiles of a row (a window).
    """
    growing = np.clip(most - before, 0, rows)
    seen: Array = np.where(
        causal > 0, growing * before + growing * (growing + 1) / 2 + (rows - growing) * most, rows * keys
    )
    return seen


def gemm(x: Counts, c: Counts) -> Terms:
    """m×k by k×n: the best of 24 tilings, each a soft maximum of compute over waves, cache traffic and memory."""
    choices = np.array([(tm, tn, s) for tm, tn in TILES for s in SPLITS], dtype=np.float64)
    tm, tn, split = (choices[:, i, None] for i in range(3))
    m, n, k = x["m"], x["n"], x["k"]
    depth = np.ceil(k / split / 64) * 64
    blocks = np.ceil(m / tm) * np.ceil(n / tn) * split
    full = tm * tn / (tm * tn + c["half_tile"])
    one = 2 * tm * tn * depth * x["units"] / (x["peak"] * c["compute"] * full) + c["prologue"]
    compute = waves(blocks, x["units"], c["tail"]) * one
    near = blocks * (tm * x["left_bytes"] + tn * x["right_bytes"]) * depth / cache_rate(x, c)
    moved = m * k * x["left_bytes"] + k * n * x["right_bytes"] + m * n * x["out_bytes"]
    far = memory_time(moved, x, c)
    partial = np.where(split > 1, 8 * m * n * split / cache_rate(x, c) + c["reduce"], 0.0)
    time = blend(c["blend"], compute, near, far + 0 * near) + partial
    best = np.argmin(time, axis=0)[None]
    quantise = np.where(x["left_bytes"] < 2, c["quantise"] + 3 * m * k / (x["bandwidth"] * c["memory"]), 0.0)
    terms = {"compute": compute, "cache": near, "split": partial, "work": time}
    chosen = {name: np.take_along_axis(value + 0 * time, best, 0)[0] for name, value in terms.items()}
    chosen |= {"memory": far, "launch": c["floor"] + 0 * m, "quantise": quantise}
    return chosen | {"total": chosen["launch"] + chosen["work"] + quantise, "waves": m * n / (128 * 128 * x["units"])}


def cpu_gemm(x: Counts, c: Counts) -> Terms:
    """m×k by k×n on a CPU: products at a rate that short sides halve, and the bytes of operands that are packed.

    Where no kernel packs a type, products that read columns walk down each, the slower the more of cache and pages it fills.
    """
    m, n, k = x["m"], x["n"], x["k"]
    short = (1 + c["half_rows"] / m) * (1 + c["half_columns"] / n) * (1 + c["half_depth"] / k)
    far = np.maximum(x["crowded"] / NEAR, 1.0) ** c["crowd"] * np.maximum(x["spanned"] / REACH, 1.0) ** c["span"]
    walked = m * n * k * c["walk"] * far * (x["crowded"] > 0)
    compute = 2 * m * n * k / (x["peak"] * c["compute"]) * short + walked
    memory = memory_time((m * k + m * n) * x["left_bytes"] + k * n * x["right_bytes"], x, c)
    pages = x["fresh"] * c["pages"]
    total = c["floor"] + blend(c["blend"], compute, memory) + pages
    return {"total": total, "launch": c["floor"] + 0 * m, "compute": compute, "memory": memory, "pages": pages}


def cpu_attention(x: Counts, c: Counts) -> Terms:
    """Attention over many queries on a CPU, forward or backward: products, a cost per score, per query and per head."""
    heads = x["batch"] * x["heads"]
    scores = heads * x["queries"] * x["keys"]
    width = x["width"] + x["value_width"]
    products = 2 * scores * width * x["passes"] * (1 + c["half_width"] / width)
    compute = (products + scores * c["score"]) / (x["peak"] * c["compute"])
    each = heads * (c["head"] + x["queries"] * c["row"])
    moved = x["batch"] * (x["heads"] * x["queries"] + x["groups"] * x["keys"]) * width * x["bytes"] * x["passes"]
    memory = memory_time(moved, x, c)
    total = c["floor"] + blend(c["blend"], compute, memory) + each
    return {"total": total, "launch": c["floor"] + 0 * scores, "compute": compute, "memory": memory, "rows": each}


def attention(x: Counts, c: Counts) -> Terms:
    """Tiled attention over many queries, forward or backward: makespan of the tiles against the bytes that move."""
    s, keys = x["queries"], x["keys"]
    few = np.array([[0.0], [1.0]])  # each head alone, or the query heads of a key head packed into one tile
    pack = np.where(few > 0, np.maximum(x["heads"] / x["groups"], 1), 1.0)
    rows, columns = np.ceil(s * pack / QUERIES), np.ceil(keys / KEYS)
    causal, window = x["causal"] > 0, np.where(x["window"] > 0, x["window"], keys)
    before = np.where(causal, (keys - s) / KEYS, 0.0) * pack
    longest = np.minimum(columns, np.ceil(window / KEYS) + 1)
    full = tiles_seen(rows, before, columns * pack, columns * pack, x["causal"]) / pack
    near = tiles_seen(rows, before, columns * pack, longest * pack, x["causal"]) / pack
    hidden = c["unskipped"] * (full - near) + c["masked"] * (rows * columns - full)
    tiles = np.maximum(near + hidden, rows * np.minimum(1.0, 0.5 + before))
    width = x["width"] + x["value_width"]
    factor = np.select(
        [width <= 160, width <= 288, width <= 416, width <= 640],
        [c["width64"], 1.0 + 0 * width, c["width192"], c["width256"]],
        c["width512"],
    )
    rate = x["peak"] / x["units"] * c["compute"] * factor * np.where(x["window"] > 0, c["windowed"], 1.0)
    filled = np.minimum(s * pack, QUERIES) / QUERIES * np.minimum(keys, KEYS) / KEYS
    # a kernel rounds the width of a head up, to a power of two at most
    wide = 2 ** np.ceil(np.log2(x["width"])) + 2 ** np.ceil(np.log2(x["value_width"]))
    rounded = width * (wide / width) ** np.minimum(c["rounded"], 1.0)
    scores = QUERIES * KEYS * x["passes"] * x["units"]
    tile = 2 * scores * rounded / (rate * x["units"]) + c["exponentials"] * scores / x["exponentials"]
    # widths that 16 does not divide are loaded in narrow pieces
    tile = tile * (c["padding"] + (1 - c["padding"]) * filled) * np.where(x["width"] % 16, c["uneven"], 1.0)
    blocks = x["batch"] * x["heads"] / pack * rows
    even = blocks / rows * tiles * tile / x["units"]
    stepped = waves(blocks, x["units"] * c["per_unit"], c["last_wave"]) * longest * tile * c["per_unit"]
    spans = np.where(causal, np.maximum(even, longest * tile) + c["tail"] * longest * tile, stepped)
    spans = spans + blocks / x["units"] * c["block"]
    # how far a kernel packs heads for few queries lies between never and always
    packed = np.minimum(c["packed"], 1.0) * (s <= QUERIES / 2)
    span, chosen = (value[0] ** (1 - packed) * value[1] ** packed for value in (spans, blocks))
    heads = x["batch"] * x["heads"]
    io = x["batch"] * (x["heads"] * s + x["groups"] * keys) * width * x["bytes"] * np.maximum(x["passes"], 1.0)
    memory = memory_time(io + heads * s * keys * (x["pair_bytes"] + c["spill"]), x, c)
    append = x["append"] * x["batch"] * x["groups"] * s * width * (x["bytes"] + x["cache_bytes"])
    appended = c["append"] * append / x["bandwidth"]
    total = c["floor"] + blend(c["blend"], span, memory) + appended
    return {"total": total, "launch": c["floor"] + 0 * s, "compute": span, "memory": memory, "append": appended,
            "waves": chosen / x["units"]}  # fmt: skip


def decode(x: Counts, c: Counts) -> Terms:
    """One query per sequence: keys are split over blocks until the machine is full; bytes bind, or the waves do."""
    split = np.minimum(np.array((1, 2, 4, 8, 16, 32, 64, 128))[:, None], np.maximum(c["splits"], 1.0))
    seen = np.where(x["window"] > 0, np.minimum(x["window"], x["keys"]), x["keys"])
    keys = seen + c["unskipped"] * (x["keys"] - seen)
    # under a window, and for groups that no tile was written for, some kernels give each query head a block of its own
    apart = np.maximum(c["unpacked"] * (x["window"] > 0), c["ungrouped"] * (x["group"] > GROUP))
    alone = (x["heads"] / x["streams"]) ** np.minimum(apart, 1.0)
    streams = x["batch"] * x["streams"] * alone
    share = np.ceil(keys / split / 64) * 64
    draw = x["draw"] * c["draw"]
    slots = x["units"] * c["per_unit"]
    one = c["block"] + (share * x["key_bytes"] + c["queries"] * x["out_bytes"] / alone) / draw
    merged = np.where(split > 1, c["combine"] + streams * x["out_bytes"] * split / (x["bandwidth"] * 2), 0.0)
    spans = waves(streams * split, slots, c["tail"]) * one + merged
    best = np.argmin(spans, axis=0)[None]
    span = np.take_along_axis(spans, best, 0)[0]
    memory = memory_time(streams / alone * keys * x["key_bytes"], x, c)
    compute = streams * keys * x["key_flops"] / (x["peak"] * c["compute"])
    sequences = c["sequence"] * x["batch"]
    total = c["floor"] + blend(c["blend"], span, memory, compute) + sequences
    return {"total": total, "launch": c["floor"] + 0 * keys, "span": span, "memory": memory, "compute": compute,
            "sequences": sequences, "waves": streams / x["units"], "splits": np.take_along_axis(split + 0 * keys, best, 0)[0]}  # fmt: skip


def moe(x: Counts, c: Counts) -> Terms:
    """The experts of one rank: two products over padded tiles of each one's rows, their weights read once, tokens moved."""
    tile = np.array(ROWS, dtype=np.float64)[:, None]
    tiles = np.stack([x[f"tiles{rows}"] for rows in ROWS])
    rate = x["peak"] * c["compute"] * tile / (tile + c["half_tile"]) / x["units"]
    draw = x["draw"] * c["draw"]
    spans: Array = 0 * tiles
    for n, k in (((x["matrices"] - 1) * x["hidden"], x["width"]), (x["width"], x["hidden"])):
        blocks = tiles * np.ceil(n / 128)
        one = (
            blend(c["blend"], 2 * tile * 128 * k / rate, 128 * k * x["weight_bytes"] / draw + 0 * tile) + c["prologue"]
        )
        spans = spans + waves(blocks, x["units"], c["tail"]) * one
    compute = np.min(spans, axis=0)
    memory = memory_time(x["touched"] * x["matrices"] * x["width"] * x["hidden"] * x["weight_bytes"], x, c)
    rows = x["tokens"] * x["width"] * 2 + x["pairs"] * (4 * x["width"] + 6 * x["hidden"])
    gather = rows / (x["bandwidth"] * c["gather"])
    routed = x["pairs"] * c["pair"] + x["tokens"] * c["token"] + x["local"] * c["expert"]
    total = c["floor"] + blend(c["blend"], compute, memory) + gather + routed
    return {"total": total, "launch": c["floor"] + 0 * memory, "compute": compute, "memory": memory, "gather": gather,
            "route": routed, "each": x["pairs"] / x["touched"], "waves": tiles[2] * np.ceil(x["hidden"] / 64) / x["units"]}  # fmt: skip


def collective(x: Counts, c: Counts) -> Terms:
    """A collective of n devices: ring (in low latency or at full rate), sums in the switch, or one or two shots."""
    n, moved = x["devices"], x["bytes"]
    bus = x["link"] <= BUS
    # what a bus must share, a switch need not: beyond a pair words cross the host's bridge, beyond four they share it
    crowd = bus & (n > 2) & (n <= x["per_node"])
    sharing = np.where(crowd, c["bridge"] * (np.maximum(n, 4) / 4) ** c["sharing"], 1.0)
    rate = x["link"] * c["link"] / sharing * c["adding"] ** x["reduces"]
    steps = np.where(x["spread"] > 0, (n - 1) ** c["peers"], (n - 1) * x["rounds"])
    # beside what a device sends it passes on, adds or copies each byte once
    sent = x["rounds"] * ((n - 1) / n + c["own"]) * moved
    far = np.where(bus, c["bus"], 1.0)  # word from a peer through the host's bus
    quick = c["hop"] * far * steps + sent / (rate * np.minimum(c["quick"], 1.0))
    full = (c["hop"] * far + c["sync"]) * steps + sent / rate
    # a switch that adds (NVLink SHARP) takes each device's share once and sends the sum once
    switched = (x["adds"] > 0) & (x["reduces"] * x["rounds"] > 1) & (n > 2) & (n <= x["per_node"])
    summed = np.where(switched, c["join"] + (1 + 1 / n) * moved / (x["link"] * c["switch"]), full)
    slow = (x["spread"] > 0) & (np.where(x["rounds"] > 1, moved, moved / n) > LOW)
    ring = np.where(slow, full, blend(-c["blend"], quick, np.minimum(full, summed)))
    # engines' own all-reduce: one shot below half a MiB (a quarter from 5 devices on), else two
    most = moved < np.where(n <= 2, 2.0**23, np.where(n <= 4, 2.0**19, 2.0**18))
    # several peers together draw more than one, up to what they share
    near = x["link"] * c["shot_link"] * (n / 2) ** c["fan"] / sharing
    start = c["shot"] + c["peer"] * bus * (n - 1)  # peers on a switch are heard at once, those on a bus in turn
    shot = np.where(most, start + (n - 1) * moved / near, 2 * start + 2 * (n - 1) / n * moved / near)
    # above some size, and for more than a pair without links, the ring (vLLM, device_communicators/custom_all_reduce.py)
    own = (x["shots"] > 0) * ~crowd / (1 + (moved / c["limit"]) ** 8)
    best = shot**own * (ring + c["leave"] * (x["shots"] > 0)) ** (1 - own)
    # launched one by one, it is the slower of host and devices that shows
    total = c["floor"] + blend(c["blend"], best, c["host"] + 0 * n)
    return {"total": total, "launch": c["floor"] + 0 * n, "ring": ring, "shot": shot}


def operation(x: Counts, c: Counts) -> Terms:
    """A norm, rotation, activation, look-up, scan, loss or other step: bytes against products, and a cost per row.

    Its instructions pass bytes at a share of the wires, which binds where memory is fast beside the multiprocessors.
    """
    return _step(x, c, x["bytes"] * c["passes"] / (x["wires"] * c["handled"]))


def _step(x: Counts, c: Counts, handled: Array) -> Terms:
    memory = blend(c["blend"], memory_time(x["bytes"] * c["passes"], x, c), handled)
    compute = x["flops"] / (x["peak"] * c["compute"])
    rows = x["rows"] * c["row"] / x["bandwidth"]
    launch = c["floor"] * x["launched"]
    total = launch + blend(c["blend"], memory, compute) + rows
    return {"total": total, "launch": launch + 0 * memory, "memory": memory, "compute": compute, "rows": rows}


def cpu_operation(x: Counts, c: Counts) -> Terms:
    """A step of a layer on a CPU: as any operation, and pages that the system hands out for a large result."""
    terms = _step(x, c, 0 * x["bytes"])
    pages = x["fresh"] * c["pages"]
    return terms | {"pages": pages, "total": terms["total"] + pages}


def mixed(x: Counts, c: Counts) -> Terms:
    """One kernel for a chunk of prefill and several decoding sequences: their work shares the machine."""
    pairs = x["queries"] * (x["before"] + (x["queries"] + 1) / 2)
    rows = np.ceil(x["queries"] / QUERIES) * x["heads"]
    chunk = 4 * pairs * x["heads"] * x["width"] / (x["peak"] * c["compute"]) * waves(rows, x["units"], c["tail"])
    chunk = chunk / np.maximum(rows / x["units"], 1e-9)
    longest = (x["before"] + x["queries"]) * 4 * QUERIES * x["width"] * x["units"] / (x["peak"] * c["compute"])
    keys = x["before"] + x["queries"] + x["sequences"] * x["keys"]
    memory = memory_time(keys * 2 * x["groups"] * x["width"] * x["bytes"], x, c)
    # without split keys each decoding sequence and head group is one long block
    serial = x["keys"] * c["key"] + c["sequence"] * x["sequences"] * x["groups"]
    padded = 4 * QUERIES * x["sequences"] * x["keys"] * x["groups"] * x["width"] / (x["peak"] * c["padded"])
    total = c["floor"] + blend(c["blend"], chunk + padded, longest * c["longest"], memory, serial)
    return {"total": total, "launch": c["floor"] + 0 * pairs, "compute": chunk, "decode": padded, "memory": memory,
            "serial": serial, "longest": longest}  # fmt: skip


Model = Callable[[Counts, Counts], Terms]
