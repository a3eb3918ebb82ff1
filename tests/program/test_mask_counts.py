"""Exact pair counts against the predicate: closed forms by brute force for all n ≤ 64, and row counting for n != m."""

from collections.abc import Callable

import numpy as np
import pytest
import sympy

from attometer.errors import AttometerError
from attometer.masks.counts import substitute, symbols
from attometer.program import (
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
    size,
    strided,
    window,
)

N, M, A, B = map(size, ("n", "m", "a", "c"))
LARGEST = 64

SQUARE: dict[str, Callable[..., Mask]] = {
    "causal": lambda a: causal(),
    "window": lambda a: window(a),
    "band": lambda a: band(a, a),
    "band, lopsided": lambda a: band(a, 3),
    "global": lambda a: global_(a),
    "prefix": lambda a: prefix(a),
    "strided": lambda a: strided(a),
    "chunked": lambda a: chunked(a),
    "prefix language model": lambda a: causal() | prefix(a),
    "longformer": lambda a: band(a, a) | global_(2),
    "longformer, wide globals": lambda a: global_(a) | band(2, 1),
    "causal longformer": lambda a: causal() & (window(a) | global_(3)),
    "causal longformer, wide globals": lambda a: (global_(a) | band(4, 4)) & causal(),
    "causal strided": lambda a: causal() & strided(a),
    "sparse transformer, strided": lambda a: causal() & (window(a) | strided(a)),
    "causal chunked": lambda a: chunked(a) & causal(),
    "causal band": lambda a: causal() & band(a, 5),
}
"""Masks of one parameter with a closed form in n and in the parameter, when n = m."""

RECTANGLE = ("causal", "window", "prefix")
"""Those whose closed form also holds for n != m."""

COUNTED: dict[str, Mask] = {
    "causal": causal(),
    "window": window(3),
    "band": band(2, 1),
    "left open": band(None, 2),
    "right open": band(1, None),
    "open": band(None, None),
    "global": global_(2),
    "prefix": prefix(3),
    "strided": strided(3),
    "fixed": fixed(4, 1),
    "fixed, all summary": fixed(3, 7),
    "chunked": chunked(3),
    "random": random(2, 5),
    "random, more than there are": random(90, 1),
    "document": document([3, 1, 4]),
    "block": block(2, [[1, 0, 1], [0, 1, 0]]),
    "longformer": band(2, 2) | global_(1),
    "big bird": band(1, 1) | global_(1) | random(2, 3),
    "causal document": causal() & document([5, 2, 6]),
    "not causal": ~causal(),
    "not of a union": ~(window(2) | strided(3)),
    "nested": (causal() & ~window(2)) | (chunked(4) & ~prefix(1)),
    "empty": window(2) & ~causal(),
    "two strides": strided(2) & ~strided(3),
    "either stride": strided(2) | strided(5),
    "blocks and strides": fixed(4, 1) & strided(2) | chunked(3),
    "a stride of drawn keys": random(9, 3) & strided(2) & fixed(5, 2),
}


def fast(expression: sympy.Expr, *arguments: sympy.Symbol) -> Callable[..., float]:
    """Compile with Python's own numbers; quotients of numbers below 2^20 are floored exactly."""
    return sympy.lambdify(arguments, expression, modules=[{"Min": min, "Max": max}, "math"])


@pytest.mark.parametrize("name", SQUARE)
def test_closed_form_holds_for_every_n_up_to_64(name: str) -> None:
    formula = SQUARE[name](A).pairs(N)
    assert not formula.atoms(sympy.Function) - formula.atoms(sympy.floor, sympy.Min, sympy.Max)
    count = fast(formula, N, A)
    for a in range(1, LARGEST + 2):
        got = [count(n, a) for n in range(1, LARGEST + 1)]
        assert got == [SQUARE[name](a).matrix(n).sum() for n in range(1, LARGEST + 1)], a


@pytest.mark.parametrize("name", SQUARE)
def test_closed_form_is_the_same_with_a_number_for_the_parameter(name: str) -> None:
    for a in (1, 2, 3, 8):
        formula = SQUARE[name](a).pairs(N)
        for n in (1, 2, 3, 7, 8, 9, 30):
            expected = SQUARE[name](a).matrix(n).sum()
            assert formula.xreplace({N: sympy.Integer(n)}) == expected
            assert SQUARE[name](a).pairs(n) == expected


@pytest.mark.parametrize(("stride", "summary"), [(1, 1), (2, 1), (3, 3), (4, 2), (5, 1), (8, 3)])
def test_fixed_closed_forms_for_every_n_up_to_64(stride: int, summary: int) -> None:
    for mask in (fixed(stride, summary), causal() & fixed(stride, summary)):
        count = fast(mask.pairs(N), N)
        assert [count(n) for n in range(1, LARGEST + 1)] == [mask.matrix(n).sum() for n in range(1, LARGEST + 1)]


@pytest.mark.parametrize("name", RECTANGLE)
def test_closed_form_for_more_or_fewer_queries_than_keys(name: str) -> None:
    count = fast(SQUARE[name](A).pairs(N, M), N, M, A)
    for n in range(1, 20):
        for m in (1, 2, 3, 7, 12, 13, 19):
            for a in (1, 2, 5, 12, 13, 14):
                assert count(n, m, a) == SQUARE[name](a).matrix(n, m).sum(), (n, m, a)


@pytest.mark.parametrize("name", COUNTED)
def test_pairs_rows_and_columns_for_any_two_lengths(name: str) -> None:
    mask = COUNTED[name]
    for n, m in [(1, 1), (1, 9), (9, 1), (4, 4), (13, 13), (5, 14), (14, 5), (16, 17)]:
        seen = mask.matrix(n, m)
        lengths = seen.sum(axis=1)
        assert mask.row_lengths(n, m).tolist() == lengths.tolist(), (n, m)
        assert mask.pairs(n, m) == lengths.sum(), (n, m)
        assert mask.rows(n, m) == np.count_nonzero(lengths), (n, m)
        assert mask.longest_row(n, m) == lengths.max(), (n, m)
        columns = seen.sum(axis=0)
        assert mask.column_lengths(n, m).tolist() == columns.tolist(), (n, m)
        assert mask.columns(n, m) == np.count_nonzero(columns), (n, m)
        assert mask.longest_column(n, m) == columns.max(), (n, m)


@pytest.mark.parametrize("name", COUNTED)
def test_symbolic_counts_evaluate_to_the_same_integers(name: str) -> None:
    mask = COUNTED[name]
    for what in ("pairs", "rows", "longest_row", "columns", "longest_column"):
        square, rectangle = getattr(mask, what)(N), getattr(mask, what)(N, M)
        for n, m in [(1, 1), (6, 6), (3, 8), (8, 3)]:
            expected = getattr(mask, what)(n, m)
            assert rectangle.xreplace({N: sympy.Integer(n), M: sympy.Integer(m)}) == expected, (what, n, m)
            if n == m:
                assert square.xreplace({N: sympy.Integer(n)}) == expected, (what, n)


@pytest.mark.parametrize("name", COUNTED)
def test_tiles_are_empty_mixed_or_full(name: str) -> None:
    mask = COUNTED[name]
    for n, m, height, width in [(8, 8, 2, 2), (9, 7, 4, 3), (5, 12, 5, 5), (7, 7, 9, 1), (6, 6, 1, 1)]:
        seen = mask.matrix(n, m)
        expected = [
            [
                0 if not tile.any() else 2 if tile.all() else 1
                for left in range(0, m, width)
                for tile in [seen[top : top + height, left : left + width]]
            ]
            for top in range(0, n, height)
        ]
        got = mask.tiles(n, m, height, width)
        assert got.dtype == np.int8
        assert got.tolist() == expected, (n, m, height, width)


@pytest.mark.parametrize(("n", "keys"), [(7, 28), (8, 36), (9, 44)])
def test_window_of_eight_is_full_at_eight_and_first_drops_a_key_at_nine(n: int, keys: int) -> None:
    # Mistral's convention: the window counts the query's own position.
    mask = window(8)
    assert mask.matrix(n).sum() == mask.pairs(n) == keys
    assert mask.matrix(n)[-1].sum() == min(n, 8)
    assert mask.matrix(n)[-1, 0] == (n <= 8)


def test_symmetric_window_is_the_band() -> None:
    assert band(2, 2).matrix(9)[4].tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]


def test_masks_are_aligned_bottom_right() -> None:
    assert causal().matrix(1, 5).tolist() == [[True] * 5]
    assert window(2).matrix(1, 5).tolist() == [[False, False, False, True, True]]
    assert causal().matrix(2, 4).astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    # More queries than keys: the first ones stand before every key.
    assert causal().matrix(4, 2).astype(int).tolist() == [[0, 0], [0, 0], [1, 0], [1, 1]]


def test_causal_pairs_are_n_times_n_plus_one_over_two() -> None:
    assert sympy.expand(causal().pairs(N) - N * (N + 1) / 2) == 0


def test_random_draws_the_same_distinct_keys_for_the_same_seed() -> None:
    one, other = random(3, 1).matrix(40), random(3, 2).matrix(40)
    assert (one.sum(axis=1) == 3).all()
    assert (one == random(3, 1).matrix(40)).all()
    assert (one != other).any()
    assert (random(3, 1).allows(np.arange(40)[:, None], np.arange(40), 40, 40) == one).all()


def test_large_counts_are_exact_and_quick() -> None:
    mask = causal() & document([400_000, 600_000])
    assert mask.pairs(1_000_000) == 400_000 * 400_001 // 2 + 600_000 * 600_001 // 2
    assert window(4096).pairs(10**12) == 4096 * 10**12 - 4096 * 4095 // 2
    assert (causal() & strided(128)).pairs(2**20) == sum(k // 128 + 1 for k in range(2**20))


def test_algebra_flattens_and_drops_repeats() -> None:
    assert causal() & causal() == causal()
    assert ~~causal() == causal()
    assert (causal() & window(2)) & strided(3) == causal() & (window(2) & strided(3))
    assert str(~(causal() | strided(2)) & window(4)) == "~(causal | strided(2)) & window(4)"
    assert len({causal(), band(None, 0), window(3), band(2, 0)}) == 2


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: window(0), "window must be at least 1, got 0"),
        (lambda: window(-3), "window must be at least 1, got -3"),
        (lambda: window(True), "window must be an integer of at least 1 or a size symbol, got True"),
        (lambda: window(2.5), "window must be an integer of at least 1 or a size symbol, got 2.5"),
        (
            lambda: window(sympy.Rational(1, 2)),
            "window must be an integer of at least 1 or a size symbol, got 1/2",
        ),
        (lambda: window(-A), "window must be an integer of at least 1 or a size symbol, got -a"),
        (lambda: window("2x"), 'size name "2x" is not an identifier'),
        (lambda: band(-1, 0), "left must be at least 0, got -1"),
        (lambda: global_(0), "global count must be at least 1, got 0"),
        (lambda: strided(0), "stride must be at least 1, got 0"),
        (lambda: fixed(4, 0), "summary must be at least 1, got 0"),
        (lambda: chunked(0), "chunk must be at least 1, got 0"),
        (lambda: prefix(0), "prefix must be at least 1, got 0"),
        (lambda: random(0), "random count must be at least 1, got 0"),
        (lambda: random(2, -1), "seed must be an integer of at least 0, got -1"),
        (lambda: random("r"), "random count must be a number, got r"),
        (lambda: document([]), "document lengths must be a non-empty list of integers, got []"),
        (lambda: document(3), "document lengths must be a non-empty list of integers, got 3"),
        (lambda: document([2, 0]), "document length must be at least 1, got 0"),
        (lambda: document([2, "x"]), "document lengths must be a non-empty list of integers, got [2, 'x']"),
        (lambda: block(2, []), "block layout must be a non-empty rectangle of 0 and 1"),
        (lambda: block(2, 5), "block layout must be a non-empty rectangle of 0 and 1"),
        (lambda: block(2, [[1, 0], [1]]), "block layout must be a non-empty rectangle of 0 and 1"),
        (lambda: block(2, [[2]]), "block layout must hold only 0 and 1"),
        (lambda: block(2, [["x"]]), "block layout must hold only 0 and 1"),
        (lambda: block(2, [[0.5]]), "block layout must hold only 0 and 1"),
        (lambda: block("b", [[1]]), "block size must be a number, got b"),
        (
            lambda: window("w").matrix(4),
            'mask parameter left = "w - 1" is symbolic; substitute a number before evaluating the mask',
        ),
        (lambda: causal().pairs(0), "n must be a positive integer, got 0"),
        (lambda: causal().pairs(4, -2), "m must be a positive integer, got -2"),
        (lambda: causal().tiles(4, 4, 0, 2), "tile rows must be a positive integer, got 0"),
        (lambda: causal().tiles(4, 4, 2, -1), "tile columns must be a positive integer, got -1"),
        (lambda: causal().tiles(0, 4, 2, 2), "n must be a positive integer, got 0"),
    ],
)
def test_errors_say_which_parameter(build: Callable[[], object], words: str) -> None:
    with pytest.raises(AttometerError) as error:
        build()
    assert str(error.value) == words


def test_symbols_and_substitution_reach_inside_combinations() -> None:
    mask = (window("w") | global_("g")) & ~strided("s")
    assert [str(s) for s in symbols(mask)] == ["g", "s", "w"]
    numbers = {size("w"): sympy.Integer(3), size("g"): sympy.Integer(1), size("s"): sympy.Integer(4)}
    assert substitute(mask, numbers) == (window(3) | global_(1)) & ~strided(4)


@pytest.mark.parametrize("name", SQUARE)
def test_order_bounds_the_pairs(name: str) -> None:
    # A bound up to a constant: the ratio must not grow when n doubles at a fixed parameter.
    mask = SQUARE[name](3)
    bound = mask.order(N, N)
    ratios = [mask.pairs(n) / bound.xreplace({N: sympy.Integer(n)}) for n in (1024, 2048, 4096)]
    assert ratios[2] <= ratios[0] * sympy.Rational(101, 100)


@pytest.mark.parametrize(
    ("mask", "number", "words"),
    [
        (strided(A / 2), 3, "mask strided(a / 2): stride is 3/2 at these sizes; it must be an integer of at least 1"),
        (
            chunked(A // 4),
            3,
            "mask chunked(a // 4): chunk is 0 at these sizes; it must be an integer of at least 1",
        ),
        (band(A - 3, 0), 2, "mask window(a - 2): window is 0 at these sizes; it must be an integer of at least 1"),
    ],
)
def test_a_parameter_that_is_not_whole_at_the_sizes_is_refused(mask: Mask, number: int, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        substitute(mask, {A: sympy.Integer(number)})
    assert str(error.value) == words


def test_masks_that_repeat_are_counted_from_one_period_at_32768() -> None:
    n = 32_768
    assert (strided(2) & ~strided(3)).pairs(n) == strided(2).pairs(n) - strided(6).pairs(n)
    assert (window(512) & strided(4)).pairs(n) == n * 128 - 4 * sum(range(128))
    assert (strided(4) & strided(6)).pairs(n) == strided(12).pairs(n)
    blocks = fixed(8, 2) & strided(2)
    # A block of 8 holds 32 pairs of the same parity; of other blocks' two summary keys each query sees one.
    assert blocks.pairs(n) == n // 8 * 32 + n * (n // 8 - 1)
    assert (blocks & ~strided(2)).pairs(n) == 0
    assert blocks.longest_column(n) == n // 2
