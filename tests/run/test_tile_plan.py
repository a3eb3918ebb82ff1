"""Tiles cover each pair of a mask once, and cost what its pairs cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.program import band, block, causal, chunked, document, fixed, global_, prefix, random, strided, window
from attometer.run.tiled.plan import Ragged, tile_plan

ATOMS = (
    causal(), window(7), window(40), band(3, 9), global_(2), random(3, 1), strided(16), fixed(16, 2), prefix(20),
    document([30, 60, 20]), chunked(33), block(16, [[1, 0, 1], [0, 0, 0], [1, 1, 0]]),
)  # fmt: skip


def pairs_of(plan, n, m):
    seen = np.zeros((n, m), int)
    for tile in plan.tiles:
        for step in tile.steps:
            if isinstance(step, Ragged):
                np.add.at(seen, (np.repeat(step.rows, step.valid.sum(1)), step.keys[step.valid]), 1)
                continue
            columns = np.arange(step.start, step.stop) if step.columns is None else step.columns
            hidden = step.hidden()
            allowed = np.ones((tile.stop - tile.start, len(columns)), int) if hidden is None else ~hidden
            seen[np.ix_(np.arange(tile.start, tile.stop), columns)] += allowed
    return seen


@st.composite
def masks(draw):
    made = draw(st.sampled_from(ATOMS))
    for _ in range(draw(st.integers(0, 2))):
        other = draw(st.sampled_from(ATOMS))
        made = draw(st.sampled_from([lambda a, b: a & b, lambda a, b: a | b, lambda a, b: a & ~b]))(made, other)
    return made


@settings(max_examples=60, deadline=None)
@given(masks(), st.integers(1, 180), st.integers(1, 180), st.sampled_from([(16, 32), (64, 64), (128, 40)]))
def test_each_pair_once(mask, n, m, tile):
    assert np.array_equal(pairs_of(tile_plan(mask, n, m, *tile), n, m), mask.matrix(n, m))


@pytest.mark.parametrize(
    "mask",
    [window(256), band(128, 128) | global_(2), causal() & (window(128) | strided(128)), causal() & fixed(128, 8),
     band(96, 96) | global_(2) | random(3, 0), causal() & document([1000] * 16)],
    ids=str,
)  # fmt: skip
def test_scores_grow_as_the_pairs_do(mask):
    scores, pairs = (
        [count(n) for n in (2048, 8192)]
        for count in (
            lambda n: tile_plan(mask, n, n, 128, 512).scores(),
            lambda n: int(mask.pairs(n)),
        )
    )
    assert scores[1] / scores[0] < 1.3 * pairs[1] / pairs[0]
    assert scores[1] < 8192**2 / 3
