"""Counts on NumPy grids equal counts at Python integers, point by point, or are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from law_programs import PROGRAMS, valid

from attometer.count import Cost, count
from attometer.count.evaluate import evaluate
from attometer.errors import AttometerError
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.program import causal, chunked, size, strided, window
from attometer.sizes import clog2, scan_depth, scan_work

COSTS: dict[str, Cost] = {
    name: count(program) for name, program in PROGRAMS.items() if name not in ("big bird", "documents")
}
QUANTITIES = ("work", "depth", "flop", "flop_all", "mac", "article", "peak", "saved", "matrices")


def grid(cost: Cost, columns: dict[str, list[int]], quantity: str) -> None:
    sizes = {k: np.array(v) if len(v) > 1 else v[0] for k, v in columns.items()}
    found = getattr(cost.at(**sizes), quantity)
    points = len(next(iter(v for v in columns.values() if len(v) > 1)))
    expected = [getattr(cost.at(**{k: v[p % len(v)] for k, v in columns.items()}), quantity) for p in range(points)]
    assert np.issubdtype(np.asarray(found).dtype, np.integer), found.dtype
    assert np.asarray(found).tolist() == expected


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(COSTS)), st.sampled_from(QUANTITIES), st.data())
def test_a_grid_is_its_points(name: str, quantity: str, data: st.DataObject) -> None:
    cost = COSTS[name]
    names = sorted(str(s) for s in cost.symbols)
    columns = {k: data.draw(st.lists(st.integers(1, 3000), min_size=3, max_size=3), label=k) for k in names}
    for constant in data.draw(st.sets(st.sampled_from(names), max_size=len(names) - 1), label="constant"):
        columns[constant] = columns[constant][:1]
    if all(valid(PROGRAMS[name], {k: v[p % len(v)] for k, v in columns.items()}) for p in range(3)):
        grid(cost, columns, quantity)


@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_on_a_grid(name: str) -> None:
    cost = count(mechanism(name))
    # Powers of two in falling order of what must divide what.
    large = {"n", "m", "D", "F", "h"}
    columns = {str(s): [64, 32, 128] if str(s) in large else [4, 2, 2] for s in cost.symbols}
    for quantity in ("work", "depth", "flop", "peak"):
        grid(cost, columns, quantity)


FUNCTIONS = [
    clog2(size("n")), scan_work(size("n")), scan_depth(size("n")), causal().pairs(size("n"), size("m")),
    window("w").pairs(size("n"), size("m")), strided("w").pairs(size("n")), (causal() & chunked("w")).pairs(size("n")),
    (causal() & strided("w")).pairs(size("n")), size("n") * 2 ** clog2(size("m")), size("n") // 3 * (size("m") + 1) // 2,
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(FUNCTIONS), st.lists(st.tuples(*[st.integers(1, 2**28)] * 3), min_size=2, max_size=4))
def test_each_function_on_large_numbers(expression, points) -> None:
    columns = dict(zip("nmw", np.array(points).T, strict=True))
    found = evaluate(expression, columns)
    assert np.issubdtype(found.dtype, np.integer)
    assert found.tolist() == [evaluate(expression, dict(zip("nmw", point, strict=True))) for point in points]


def test_two_axes_broadcast() -> None:
    cost = COSTS["matrix product"]
    found = cost.at(i=np.arange(1, 4)[:, None], j=np.arange(1, 6), k=2).work
    assert found.shape == (3, 5)
    assert found[2, 4] == cost.at(i=3, j=5, k=2).work


def test_what_does_not_fit_is_refused_and_what_fits_is_exact() -> None:
    cost = COSTS["matrix product"]
    with pytest.raises(AttometerError) as error:
        cost.at(i=np.array([2**31, 1]), j=2**31, k=2**10).work  # noqa: B018
    assert str(error.value) == "a count on this grid exceeds 2^62; evaluate it at Python integers instead"
    assert cost.at(i=2**31, j=2**31, k=2**10).work == 2**73 - 2**41
    n, w = size("n"), size("w")
    # The total is largest where a divisor is smallest, not where all sizes are largest.
    with pytest.raises(AttometerError, match="exceeds 2"):
        evaluate(n**3 / w, {"n": np.array([2**24]), "w": np.array([1, 2**20])})
    # Terms that overflow on the way and cancel in the total.
    assert evaluate(n**4 * w - n**4 + n, {"n": np.array([2**20, 2]), "w": 1}).tolist() == [2**20, 2]
    assert evaluate(clog2(n**3 + 1) * n, {"n": np.array([2**30, 2])}).tolist() == [91 * 2**30, 8]


def test_a_quotient_is_exact_and_an_average_is_not_an_integer() -> None:
    n, w = size("n"), size("w")
    assert evaluate(n * (n + 1) / 2, {"n": np.array([3, 2**30])}).tolist() == [6, 2**59 + 2**29]
    assert evaluate(n**2 / w, {"n": np.array([6, 10**9]), "w": np.array([4, 10])}).tolist() == [9, 10**17]
    assert evaluate(n / w, {"n": np.array([3, 4]), "w": 2}).tolist() == [1.5, 2.0]
    assert COSTS["sum"].at(i=np.array([8, 16])).parallelism.tolist() == [7 / 3, 15 / 4]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"i": 2, "j": 3}, 'size "k" is missing; needed: i, j, k'),
        ({"i": 0, "j": 1, "k": 1}, 'size "i" must be positive, got 0'),
        ({"i": np.array([4, -1]), "j": 1, "k": 1}, 'size "i" must be positive, got -1'),
        ({"i": 2.5, "j": 1, "k": 1}, 'size "i" must be a positive integer or an integer array, got 2.5'),
        ({"i": True, "j": 1, "k": 1}, 'size "i" must be a positive integer or an integer array, got True'),
        ({"i": "8", "j": 1, "k": 1}, "size \"i\" must be a positive integer or an integer array, got '8'"),
        ({"i": None, "j": 1, "k": 1}, 'size "i" must be a positive integer or an integer array, got None'),
        ({"i": 1, "j": 1, "k": 1, "width": 4}, 'unknown size "width"; known: i, j, k'),
        ({"i": np.arange(1, 3), "j": np.arange(1, 4), "k": 1}, "sizes do not broadcast together: i (2,), j (3,)"),
    ],
)
def test_errors_name_the_size(sizes: dict, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        COSTS["matrix product"].at(**sizes).work  # noqa: B018
    assert str(error.value) == words


def test_huge_python_integers_are_exact() -> None:
    assert COSTS["sum"].at(i=10**40).work == 10**40 - 1
    assert COSTS["sum"].at(i=10**40).depth == 133
