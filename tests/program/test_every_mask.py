"""Every mask of the catalogue in every description of it: a mask that is half added fails here."""

import numpy as np
import pytest
import sympy

from attometer import masks
from attometer.masks import MASKS, Mask
from attometer.masks.counts import substitute, symbols
from attometer.program import parse, parse_mask, size

N, M, A = size("n"), size("m"), size("a")
NUMBERS = (1, 2, 3, 5, 8, 40)

SIZED = {
    "window": masks.window,
    "band": lambda a: masks.band(a, 2),
    "global": masks.global_,
    "strided": masks.strided,
    "fixed": lambda a: masks.fixed(a, 2),
    "prefix": masks.prefix,
    "chunked": masks.chunked,
    "block_causal": masks.block_causal,
}
"""Masks with a size: built with a number and with a symbol."""

PLAIN = {
    "causal": (masks.causal(),),
    "strict": (masks.strict(),),
    "random": (masks.random(3, 1), masks.random(90), masks.random(2, 5, 3), masks.random(9, 0, 4)),
    "document": (masks.document([3, 1, 9]), masks.document([40])),
    "block": (masks.block(4, [[1, 0, 1], [0, 1, 0]]), masks.block(1, [[0]])),
}

ATOMS: dict[str, tuple[Mask, ...]] = PLAIN | {
    name: tuple(build(number) for number in NUMBERS) for name, build in SIZED.items()
}
OTHERS = (
    masks.causal(),
    masks.strict(),
    masks.window(4),
    masks.band(2, 3),
    masks.strided(3),
    masks.chunked(5),
    masks.document([6, 4]),
    masks.global_(2),
    masks.random(2, 7),
    masks.random(1, 3, 4),
)
LENGTHS = [(1, 9), (9, 1), (6, 13), (12, 12)]


def combinations(name: str) -> list[Mask]:
    """Return the masks of the name, their negations, and intersections and unions with all others."""
    some = ATOMS[name][1:3] if name in SIZED else ATOMS[name][:1]
    joined = [m for one in some for other in OTHERS for m in (one & other, one | other, one & ~other, ~one & other)]
    return [*ATOMS[name], *(~one for one in some), *joined]


def test_every_mask_of_the_notation_is_tried_and_no_class_is_left_out() -> None:
    assert set(ATOMS) == set(MASKS)
    tried = {type(atom) for atoms in ATOMS.values() for atom in atoms}
    own = {c for c in vars(masks).values() if isinstance(c, type) and issubclass(c, Mask)}
    assert tried == own - {Mask, masks.And, masks.Or, masks.Not}


@pytest.mark.parametrize("name", MASKS)
def test_counts_and_rows_are_those_of_the_predicate(name: str) -> None:
    for mask in combinations(name):
        for n, m in LENGTHS:
            seen = mask.matrix(n, m)
            lengths = seen.sum(axis=1)
            assert seen.shape == (n, m)
            assert mask.row_lengths(n, m).tolist() == lengths.tolist(), (str(mask), n, m)
            start, end = mask.intervals(np.arange(n), n, m)
            assert (start[1:] >= end[:-1])[end[:-1] > start[:-1]].all(), (str(mask), n, m)
            keys = np.arange(m)
            assert (((start[..., None] <= keys) & (keys < end[..., None])).sum(axis=0) == seen).all(), (str(mask), n, m)
            assert mask.contiguous <= (len(start) == 1)


@pytest.mark.parametrize("name", MASKS)
def test_closed_forms_and_tiles_are_those_of_the_predicate(name: str) -> None:
    for mask in combinations(name):
        for n, m in ((7, 3), (11, 11)):
            seen = mask.matrix(n, m)
            lengths = seen.sum(axis=1)
            counted = (mask.pairs(n, m), mask.rows(n, m), mask.longest_row(n, m))
            assert counted == (lengths.sum(), np.count_nonzero(lengths), lengths.max()), (str(mask), n, m)
        kinds = mask.tiles(11, 11, 4, 3)
        means = np.array([[seen[r : r + 4, c : c + 3].mean() for c in range(0, 11, 3)] for r in range(0, 11, 4)])
        assert (kinds == np.where(means == 0, 0, np.where(means == 1, 2, 1))).all(), str(mask)


@pytest.mark.parametrize("name", SIZED)
def test_symbolic_counts_are_those_of_the_numbers(name: str) -> None:
    mask = SIZED[name](A)
    assert symbols(mask) == (A,)
    for one in (mask, mask & masks.causal(), mask & masks.window(4), mask | masks.window(3), ~mask):
        for what in ("pairs", "rows", "longest_row"):
            square, any_two = getattr(one, what)(N), getattr(one, what)(N, M)
            for number in (1, 2, 3, 9):
                for n, m in ((5, 5), (4, 9), (9, 4), (9, 9)):
                    numbers = {A: sympy.Integer(number), N: sympy.Integer(n), M: sympy.Integer(m)}
                    wanted = getattr(substitute(one, {A: sympy.Integer(number)}), what)(n, m)
                    assert any_two.xreplace(numbers) == wanted, (str(one), what, number, n, m)
                    if n == m:
                        assert square.xreplace(numbers) == wanted, (str(one), what, number, n)


@pytest.mark.parametrize("name", MASKS)
def test_order_is_no_slower_than_the_pairs(name: str) -> None:
    for mask in ATOMS[name][1:3]:
        bound = mask.order(N, N)
        ratios = [mask.pairs(n) / bound.xreplace({N: sympy.Integer(n)}) for n in (512, 1024)]
        assert ratios[1] <= ratios[0] * sympy.Rational(11, 10)


@pytest.mark.parametrize("name", MASKS)
def test_text_reads_back(name: str) -> None:
    symbolic = [SIZED[name](x) for x in (A, A // 2, A / 2, 2 * A + 1, A * N)] if name in SIZED else []
    for mask in [*combinations(name), *symbolic, *(one & ~masks.causal() for one in symbolic)]:
        assert parse_mask(str(mask)) == mask
        where = parse(f"axis i: n, j: m\nY[i,j] = X[i,j] where {mask.text(('i', 'j'))}").statements[0].where
        assert where is not None
        assert where.mask == mask


@pytest.mark.parametrize("name", MASKS)
def test_the_predicate_runs_on_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    for mask in combinations(name):
        for n, m in ((5, 12), (12, 5)):
            i, j = torch.arange(n)[:, None], torch.arange(m)[None]
            found = mask.predicate(n, m, torch.tensor)(i, j)
            assert found.dtype == torch.bool
            assert found.shape == (n, m)
            assert (found.numpy() == mask.matrix(n, m)).all(), str(mask)


@pytest.mark.parametrize("name", MASKS)
def test_keys_seen_together_are_no_fewer_than_those_of_the_predicate(name: str) -> None:
    for mask in [*ATOMS[name], *(one & masks.causal() for one in ATOMS[name])]:
        for n, m in ((1, 9), (4, 9), (9, 9)):
            seen = mask.matrix(n, m).any(axis=0).sum()
            assert mask.keys_seen(sympy.Integer(n), sympy.Integer(m)) >= seen, (str(mask), n, m)


@pytest.mark.parametrize("m", [5, 8, 16, 37])
def test_random_keys_are_distinct_and_every_pair_is_as_likely(m: int) -> None:
    drawn = np.sort(masks.Random(2, 3).keys(np.arange(20_000), m), axis=1)
    assert (drawn[:, 0] < drawn[:, 1]).all()
    times = np.bincount(drawn[:, 0] * m + drawn[:, 1], minlength=m * m)[np.flatnonzero(np.triu(np.ones((m, m)), 1))]
    expected = 20_000 / len(times)
    assert ((times - expected) ** 2 / expected).sum() / (len(times) - 1) < 2  # chi-squared: about 1


def test_random_blocks_are_those_of_the_same_draw_of_single_keys() -> None:
    blocks, keys = masks.random(3, 8, 4).matrix(40), masks.random(3, 8).matrix(10)
    assert (blocks == np.kron(keys, np.ones((4, 4), bool))).all()
    assert masks.random(3, 8, 4).pairs(42) == masks.random(3, 8, 4).matrix(42).sum()  # the last block is cut
    assert masks.random(3, 8, 4).matrix(6, 40).tolist() == blocks[34:].tolist()


def test_intersections_list_only_the_keys_that_can_be_seen() -> None:
    n = 32_768
    mask = masks.window(512) & masks.strided(4)
    assert len(mask.intervals(np.arange(n - 64, n), n, n)[0]) <= 129
    assert mask.pairs(n) == sum(min(p, 511) // 4 + 1 for p in range(n))
    assert mask.pairs(n, 40_000) == n * 128  # every query stands behind 7,232 keys
    apart = masks.strided(2) & ~masks.strided(3)
    assert len(apart.intervals(np.arange(8), 1024, 1024)[0]) <= 512 + 342
    assert apart.pairs(1024) == masks.strided(2).pairs(1024) - masks.strided(6).pairs(1024)


def test_a_contradiction_sees_nothing() -> None:
    for one in (masks.causal(), masks.strided("s"), masks.random(3)):
        mask = one & ~one & masks.window(4)
        assert (mask.pairs(N), mask.longest_row(N)) == (0, 0)
        assert mask.rows(7) == 0 or symbols(mask)


def test_a_large_union_with_random_keys_is_that_of_the_predicate() -> None:
    mask = masks.band(30, 30) | masks.global_(5) | masks.random(40, 2)
    for n, m in ((300, 300), (200, 301)):
        assert mask.row_lengths(n, m).tolist() == mask.matrix(n, m).sum(axis=1).tolist()
