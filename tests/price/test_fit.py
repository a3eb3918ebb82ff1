"""The fitter recovers known coefficients, cell by cell, and priors hold where rows say nothing."""

import numpy as np
import pytest

from attometer.masks import causal
from attometer.masks.counts import tiles
from attometer.price.classes import CLASSES
from attometer.price.fit import by_name, fit, prior
from attometer.price.kernels import Coefficient, tiles_seen

NAMES = (Coefficient("floor", "s", 1e-5, 2.0), Coefficient("share", "of peak", 0.5, 2.0))


def line(x, c):
    return {"total": c["floor"] + x["work"] / c["share"]}


def test_cells_are_fitted_apart_and_outliers_count_little() -> None:
    random = np.random.default_rng(1)
    work = 10 ** random.uniform(-6, -2, 400)
    cell = np.arange(400) % 2
    truth = np.where(cell == 0, 2e-5 + work / 0.8, 5e-5 + work / 0.3)
    seconds = truth * np.exp(random.normal(0, 0.02, 400))
    seconds[::40] *= 3
    found = np.exp(prior(NAMES) + fit(line, NAMES, {"work": work}, seconds, cell))
    assert found[0] == pytest.approx([2e-5, 0.8], rel=0.02)
    assert found[1] == pytest.approx([5e-5, 0.3], rel=0.02)


def test_a_prior_holds_where_rows_are_silent() -> None:
    seconds = np.full(30, 3e-5)
    found = np.exp(prior(NAMES) + fit(line, NAMES, {"work": np.zeros(30)}, seconds, np.zeros(30, dtype=np.int64)))
    assert found[0] == pytest.approx([3e-5, 0.5], rel=1e-3)


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_every_class_gives_finite_positive_times_that_fall_with_a_faster_machine(kind: str) -> None:
    each, random = CLASSES[kind], np.random.default_rng(0)
    c = by_name(each.coefficients, np.tile(prior(each.coefficients), (50, 1)))
    read: dict[str, np.ndarray] = {}

    class Counts(dict):
        def __missing__(self, name: str) -> np.ndarray:
            read[name] = self[name] = np.ceil(10 ** random.uniform(0, 3, 50))
            return self[name]

    machine = {"peak": 1e15, "bandwidth": 3e12, "link": 4e11, "units": 132.0, "cache": 5e7}
    fixed = {name: np.full(50, value) for name, value in machine.items()} | {"window": np.zeros(50)}
    slow = each.model(Counts(fixed), c)["total"]
    assert np.all(np.isfinite(slow) & (slow > 0))
    quick = {**fixed, "peak": fixed["peak"] * 2, "bandwidth": fixed["bandwidth"] * 2, "link": fixed["link"] * 2}
    assert np.all(each.model(Counts(read | quick), c)["total"] <= slow * (1 + 1e-9))


@pytest.mark.parametrize(("n", "m"), [(256, 256), (512, 1024), (384, 640)])
def test_causal_tiles_are_those_of_the_mask(n: int, m: int) -> None:
    counted = np.count_nonzero(tiles(causal(), n, m, 128, 128))
    rows, before, keys = (np.array([value / 128]) for value in (n, m - n, m))
    assert tiles_seen(rows, before, keys, keys, np.ones(1))[0] == counted
