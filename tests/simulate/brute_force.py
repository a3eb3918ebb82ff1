"""Slow, obvious oracles: Dijkstra over single pebble moves, list-based LRU, heap-based Belady."""

import heapq
from collections import OrderedDict

from attometer.simulate import Dag


def optimum(dag: Dag, M: int, rule: str, recompute: bool) -> int:
    """Return the least cost over all lists of single moves, every rule applied literally."""
    start = (frozenset(), frozenset(dag.inputs), frozenset())
    queue, best, order = [(0, 0, start)], {start: 0}, 0
    while queue:
        cost, _, state = heapq.heappop(queue)
        if best[state] < cost:
            continue
        red, blue, done = state
        if set(dag.outputs) <= blue:
            return cost
        for price, following in _moves(dag, M, rule, recompute, red, blue, done):
            if best.get(following, 1 << 30) > cost + price:
                best[following] = cost + price
                order += 1
                heapq.heappush(queue, (cost + price, order, following))
    raise AssertionError("no pebbling")


def _moves(dag, M, rule, recompute, red, blue, done):
    for v in range(len(dag)):
        if v in red:
            yield 0, (red - {v}, blue, done)
            if v not in blue:
                yield 1, (red, blue | {v}, done)
            continue
        if v in blue and len(red) < M:
            yield 1, (red | {v}, blue, done)
        if v in dag.inputs or not set(dag.parents[v]) <= red or v in done:
            continue
        after = done if recompute else done | {v}
        if len(red) < M:
            yield 0, (red | {v}, blue, after)
        if rule == "slide":
            for parent in dag.parents[v]:
                yield 0, (red - {parent} | {v}, blue, after)


def lru_misses(trace: list[int], capacity: int) -> int:
    """Return the misses of a fully associative LRU cache."""
    cache: OrderedDict[int, None] = OrderedDict()
    misses = 0
    for word in trace:
        if word in cache:
            cache.move_to_end(word)
            continue
        misses += 1
        if len(cache) == capacity:
            cache.popitem(last=False)
        cache[word] = None
    return misses


def belady_misses(trace: list[int], capacity: int) -> int:
    """Return the misses of optimal replacement, which evicts the farthest next use, kept in a heap."""
    following, last = [len(trace)] * len(trace), {}
    for time in range(len(trace) - 1, -1, -1):
        following[time] = last.get(trace[time], len(trace) + time)
        last[trace[time]] = time
    cache: dict[int, int] = {}
    heap: list[tuple[int, int]] = []
    misses = 0
    for time, word in enumerate(trace):
        if word not in cache:
            misses += 1
            while len(cache) >= capacity:
                use, victim = heapq.heappop(heap)
                if cache.get(victim) == -use:
                    del cache[victim]
        cache[word] = following[time]
        heapq.heappush(heap, (-following[time], word))
    return misses
