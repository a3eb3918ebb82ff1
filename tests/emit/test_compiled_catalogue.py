"""Every mechanism and notation file compiles, forward and backward, or is refused as `docs/compiled.md` says."""

import re

import numpy as np
import pytest
import torch
from tests.docs.scripts import DOCS, script
from tests.emit.programs import gradients_of, results

import attometer as am
from attometer.emit import build
from attometer.errors import AttometerError
from attometer.mechanisms.subject import subject
from attometer.program.keeping import declared
from attometer.simulate.interpreter import interpret

MADE = script("make_compiled")
PAGE = (DOCS / "compiled.md").read_text(encoding="utf-8")
ROWS = {line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| ")}
SIZES = {
    "b": 2,
    "h": 4,
    "g": 2,
    "n": 40,
    "m": 40,
    "d": 4,
    "e": 3,
    "D": 8,
    "F": 5,
    "w": 8,
    "l": 5,
    "c": 3,
    "r": 2,
    "s": 4,
}
POSITIVE = ("performer", "linear", "polynomial")
"""What divides by sums of features that must not vanish."""


def test_the_page_has_a_row_for_every_name_and_counts_them() -> None:
    assert [n for n in ROWS if n != "text"] == MADE.names()
    compiled = sum("| yes |" in line for line in ROWS.values())
    assert f"{compiled} of {len(MADE.names())} compile." in PAGE


def test_rows_say_what_compile_says() -> None:
    for name in ("matmul", "topk", "rope", "examples/gated_linear.att"):
        assert MADE.row(name) == ROWS[name]


@pytest.mark.slow
@pytest.mark.skipif(build.unsupported() is not None, reason=f"needs {build.unsupported()}")
@pytest.mark.parametrize("name", MADE.names())
def test_results_and_gradients_of_every_text(name) -> None:
    made = subject(str(DOCS.parent / name) if name.endswith(".att") else name).program
    if "| yes |" not in ROWS[name]:
        with pytest.raises(
            AttometerError,
            match=re.escape(ROWS[name].split(" | ")[1].split("; hint")[0].split(", which is")[0].split(", where a")[0]),
        ):
            am.compile(made)
        return
    told = {e for t in declared(made).inputs for e in t.extents}
    untold = {s.name: SIZES.get(s.name, 5) for s in made.symbols if s not in told}
    function = am.compile(made.substitute(untold))
    made = function.program
    sizes = {s.name: SIZES.get(s.name, 5) for s in made.symbols}
    numbers = {s: sizes[s.name] for s in made.symbols}
    rng = np.random.default_rng(0)
    shapes = [tuple(int(e.xreplace(numbers)) for e in t.extents) for t in made.inputs]
    drawn = [rng.standard_normal(shape) for shape in shapes]
    drawn = [np.abs(x) + 0.1 for x in drawn] if name in POSITIVE else drawn
    tensors = [torch.from_numpy(np.asarray(x)).requires_grad_() for x in drawn]
    found = results(function, tensors)
    exact = interpret(made, dict(zip(function.inputs, drawn, strict=True)), sizes)
    for got, output in zip(found, function.outputs, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), exact[output], rtol=1e-9, atol=1e-10)
    arriving = [torch.randn_like(x) for x in found]
    wanted = gradients_of(made, tensors, arriving, sizes)
    grads = torch.autograd.grad(found, tensors, arriving, allow_unused=True)
    for tensor, grad in zip(made.inputs, grads, strict=True):
        if tensor.name in wanted:
            exact_grad = wanted[tensor.name]
            got = np.zeros_like(exact_grad) if grad is None else grad.numpy()
            np.testing.assert_allclose(got, exact_grad, rtol=1e-8, atol=1e-9 * max(1, np.abs(exact_grad).max()))
