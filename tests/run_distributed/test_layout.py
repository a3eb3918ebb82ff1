"""Layouts hold every position once; the tiles of a block are the pairs of the mask that fall into it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.masks import (
    Mask,
    band,
    block,
    causal,
    chunked,
    document,
    fixed,
    global_,
    prefix,
    random,
    strided,
    window,
)
from attometer.run.distributed import Layout, contiguous, zigzag
from attometer.run.distributed.block_plan import Split, block_plan, needs, pairs_of
from attometer.run.distributed.layout import SCHEMES, layout_of
from attometer.run.distributed.ring import routes
from attometer.run.tiled.plan import Dense

MASKS: tuple[Mask | None, ...] = (
    None, causal(), window(3), band(1, 4), causal() | prefix(5), band(2, 2) | global_(2), causal() & strided(3),
    causal() & fixed(4, 1), document((5, 4, 9, 30)), chunked(4), random(3, 1), block(4, [[1, 0, 1], [0, 0, 0], [1, 1, 0]]),
    ~causal(), causal() & ~causal(), causal() & chunked(7),
)  # fmt: skip
sizes = st.integers(1, 40)
splits = st.builds(
    lambda mask, n, m, ranks, queries, keys: Split(mask, SCHEMES[queries](n, ranks), SCHEMES[keys](m, ranks)),
    st.sampled_from(MASKS), sizes, sizes, st.integers(1, 5), st.sampled_from(sorted(SCHEMES)), st.sampled_from(sorted(SCHEMES)),
)  # fmt: skip


def matrix(split: Split) -> np.ndarray:
    n, m = split.queries.length, split.keys.length
    return np.ones((n, m), bool) if split.mask is None else split.mask.matrix(n, m)


@given(st.integers(0, 60), st.integers(1, 9), st.sampled_from(sorted(SCHEMES)))
def test_every_position_on_one_rank(length: int, ranks: int, scheme: str) -> None:
    layout = SCHEMES[scheme](length, ranks)
    held = np.concatenate([layout.positions(rank) for rank in range(ranks)])
    assert sorted(held.tolist()) == list(range(length))
    assert layout.length == length
    assert max(layout.lengths) - min(layout.lengths) <= (1 if scheme == "contiguous" else 2)


@given(st.integers(1, 40), st.integers(1, 6), st.sampled_from(sorted(SCHEMES)), st.integers(0, 2))
def test_join_is_the_inverse_of_shard(length: int, ranks: int, scheme: str, dim: int) -> None:
    layout = SCHEMES[scheme](length, ranks)
    x = torch.randn(*[length if axis == dim else 2 for axis in range(3)])
    assert torch.equal(layout.join([layout.shard(x, rank, dim) for rank in range(ranks)], dim), x)


@settings(deadline=None)
@given(splits, st.sampled_from([1, 2, 5, 64]), st.sampled_from([1, 3, 8, 64]))
def test_tiles_of_a_block_are_its_pairs(split: Split, rows: int, columns: int) -> None:
    whole = matrix(split)
    for rank in range(split.queries.ranks):
        for owner in range(split.keys.ranks):
            wanted = whole[np.ix_(split.queries.positions(rank), split.keys.positions(owner))]
            found = np.zeros(wanted.shape, int)
            for tile in block_plan(split.block(rank, owner), rows, columns).tiles:
                for step in tile.steps:
                    assert isinstance(step, Dense)
                    hidden = step.hidden()
                    seen = np.ones((tile.stop - tile.start, step.width), bool) if hidden is None else ~hidden
                    assert seen.any()
                    found[tile.start : tile.stop, step.start : step.stop] += seen
            assert np.array_equal(found, wanted.astype(int))


@settings(deadline=None)
@given(splits)
def test_who_needs_what_and_how_many_pairs(split: Split) -> None:
    whole, ranks = matrix(split), range(split.queries.ranks)
    parts = [[whole[np.ix_(split.queries.positions(r), split.keys.positions(s))] for s in ranks] for r in ranks]
    assert needs(split) == tuple(tuple(bool(part.any()) for part in row) for row in parts)
    assert pairs_of(split) == tuple(sum(int(part.sum()) for part in row) for row in parts)
    for owner, route in enumerate(routes(split)):
        reached = [t for t in range(1, len(ranks)) if parts[(owner + t) % len(ranks)][owner].any()]
        assert (route.first, route.last) == ((reached[0], reached[-1]) if reached else (0, 0))


@given(st.integers(1, 6), st.integers(1, 50))
def test_zigzag_balances_causal_work(ranks: int, pieces: int) -> None:
    """Exactly, where the pieces are equal; contiguous pieces give the last rank up to twice the mean."""
    n = 2 * ranks * pieces
    even, skewed = (pairs_of(Split(causal(), make(n, ranks), make(n, ranks))) for make in (zigzag, contiguous))
    assert len(set(even)) == 1
    assert sum(even) == sum(skewed) == causal().pairs(n)
    assert skewed[-1] * ranks >= sum(skewed) * (2 - 1 / ranks) * n / (n + 1)


def test_a_window_stops_after_one_neighbour() -> None:
    far = routes(Split(window(4), contiguous(32, 4), contiguous(32, 4)))
    assert [(route.first, route.last) for route in far] == [(1, 1), (1, 1), (1, 1), (0, 0)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Layout((((0, 2),), ((1, 3),))),
            "layout: got positions 1 to 2 on two ranks, expected every position on",
        ),
        (
            lambda: Layout((((3, 4), (0, 3)),)),
            "layout: got ranges ((3, 4), (0, 3)) on rank 0, expected ascending ranges",
        ),
        (lambda: zigzag(4, 0), "layout: got 4 positions on 0 ranks, expected at least 0 on at least 1"),
        (lambda: layout_of(zigzag(4, 2), 5, 2), "layout: got 4 positions on 2 ranks, expected 5 on 2"),
        (lambda: zigzag(4, 2).shard(torch.zeros(3), 0, 0), "x: got 3 positions in dimension 0, expected 4"),
    ],
)
def test_errors(make: object, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        make()  # type: ignore[operator]
    assert str(error.value).startswith(words)
