"""Random mask expressions: counting agrees with the predicate, and the algebra with that of sets."""

from hypothesis import given, settings
from hypothesis import strategies as st
from notation_strategies import mask_expressions

from attometer.masks import Mask

lengths = st.integers(1, 24)


@settings(max_examples=200, deadline=None)
@given(mask_expressions(), lengths, lengths)
def test_counts_equal_the_predicate(mask: Mask, n: int, m: int) -> None:
    seen = mask.matrix(n, m)
    rows = seen.sum(axis=1)
    assert mask.pairs(n, m) == seen.sum()
    assert mask.rows(n, m) == (rows > 0).sum()
    assert mask.longest_row(n, m) == rows.max()


@settings(max_examples=100, deadline=None)
@given(mask_expressions(leaves=3), mask_expressions(leaves=3), lengths, lengths)
def test_algebra_is_that_of_sets(one: Mask, other: Mask, n: int, m: int) -> None:
    a, b = one.matrix(n, m), other.matrix(n, m)
    assert ((one & other).matrix(n, m) == (a & b)).all()
    assert ((one | other).matrix(n, m) == (a | b)).all()
    assert ((~one).matrix(n, m) == ~a).all()
    assert (one & other).pairs(n, m) + (one | other).pairs(n, m) == one.pairs(n, m) + other.pairs(n, m)
    assert one.pairs(n, m) + (~one).pairs(n, m) == n * m


@settings(max_examples=60, deadline=None)
@given(mask_expressions(leaves=4), lengths, lengths, st.integers(1, 6), st.integers(1, 6))
def test_tiles_sum_to_the_pairs_they_hold(mask: Mask, n: int, m: int, height: int, width: int) -> None:
    kinds = mask.tiles(n, m, height, width)
    seen = mask.matrix(n, m)
    for (row, column), kind in [((r, c), kinds[r, c]) for r in range(kinds.shape[0]) for c in range(kinds.shape[1])]:
        tile = seen[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert kind == (0 if not tile.any() else 2 if tile.all() else 1)
