"""Gradients of random programs, masks and reductions of every kind among them, are PyTorch's."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.program import size

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "program"))
from notation_strategies import programs
from test_gradients import check


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_gradients_of_random_programs(data: st.DataObject) -> None:
    try:
        program = data.draw(programs())
    except AttometerError:
        assume(False)
    sizes = {str(s): data.draw(st.integers(1, 3), label=str(s)) for s in program.symbols}
    numbers = {size(k): v for k, v in sizes.items()}
    extents = [e.subs(numbers) for t in program.tensors.values() for e in t.extents]
    assume(all(e.is_Integer and 1 <= e <= 6 for e in extents))
    rng = np.random.default_rng(0)
    arrays = {t.name: rng.normal(size=[int(e.subs(numbers)) for e in t.extents]) for t in program.inputs}
    try:
        check(program, arrays, sizes)
    except AttometerError as error:
        # Masks that do not fit the sizes, and results that depend on nothing, are refused by name.
        assume("mask " in str(error) or "no result depends" in str(error))
    except AssertionError as error:
        # A result that is not finite has no gradient to compare.
        assume(not ("nan" in str(error) or "inf" in str(error)))
        raise
