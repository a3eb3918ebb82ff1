"""Derived nests as Triton kernels: what the interpreter of Triton computes is what ours does. No GPU has run these tests."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.emit.programs import (
    CAPPED,
    GROUPED,
    SOFTMAX,
    drawn,
    expected,
    gradients_of,
    program,
    results,
    sizes_of,
    tolerance,
)

import attometer as am
from attometer.emit import triton_run
from attometer.emit.triton_source import triton_of
from attometer.errors import AttometerError
from attometer.program import parse
from attometer.run import Alibi, Sinks, SoftCap, alibi, attention
from attometer.run import triton as triton_attention

SMALL = {"b": 1, "h": 2, "g": 1, "n": 70, "m": 130, "d": 5, "e": 6}
TEXTS = {"softmax": SOFTMAX, "capped": CAPPED, "grouped": GROUPED}


@pytest.fixture
def interpreter() -> None:
    pytest.importorskip("triton", reason="Triton is an extra: pip install 'attometer[triton]'")
    assert triton_run.interpreted()  # conftest.py asks for it before anything imports Triton


def text_of(name: str) -> am.Program:
    return parse(TEXTS[name]) if name in TEXTS else program(name)


@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize("name", [*TEXTS, "forgetting", "rmsnorm_matmul", "talking_heads"])
def test_results_and_gradients(name) -> None:
    made = text_of(name)
    sizes = sizes_of(made, SMALL)
    function = am.compile(made, impl="triton")
    tensors = [x.requires_grad_() for x in drawn(made, sizes)]
    found = results(function, tensors)
    for got, exact in zip(found, expected(made, tensors, sizes), strict=True):
        assert np.abs(got.detach().numpy() - exact).max() <= 1e-11 * np.abs(exact).max()
    arriving = [torch.randn_like(x) for x in found]
    wanted = gradients_of(made, tensors, arriving, sizes)
    for tensor, grad in zip(made.inputs, torch.autograd.grad(found, tensors, arriving), strict=True):
        exact = wanted[tensor.name]
        assert np.abs(grad.numpy() - exact).max() <= 1e-11 * max(1, np.abs(exact).max())


@pytest.mark.slow
@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize(
    "name", ["differential", "nystrom", "relu", "sigmoid", "soft_capped", "swiglu", "tensor_product"]
)
def test_the_other_texts(name) -> None:
    test_results_and_gradients(name)


@pytest.mark.usefixtures("interpreter")
def test_float32_and_strides() -> None:
    made = parse(SOFTMAX)
    sizes = sizes_of(made, SMALL)
    function, tensors = am.compile(made, impl="triton"), drawn(made, sizes)
    held = [x.float() for x in tensors]
    found, exact = function(*held), expected(made, [x.double() for x in held], sizes)[0]
    assert np.abs(found.double().numpy() - exact).max() <= tolerance(made, tensors, sizes)[0]
    across = [x.transpose(1, 3).contiguous().transpose(1, 3) for x in held]
    assert torch.equal(function(*across), found)


@pytest.mark.usefixtures("interpreter")
def test_scans_run_in_blocks_from_either_end() -> None:
    function = am.compile("axis i: n\ninput X[b,i]\nC[b,i] = C[b,i-1] + X[b,i]   associative", impl="triton")
    x = torch.randn(2, 600, dtype=torch.float64, requires_grad=True)
    found = function(x)
    torch.testing.assert_close(found, x.cumsum(1), rtol=1e-12, atol=1e-12)
    above = torch.randn_like(found)
    (grad,) = torch.autograd.grad(found, x, above)
    torch.testing.assert_close(grad, above.flip(1).cumsum(1).flip(1), rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("interpreter")
def test_powers() -> None:
    x = torch.tensor([-2.0, -0.5, 0.0, 1.0, 3.0], dtype=torch.float64)
    for exponent in ("0", "2", "3", "0 - 1", "0.5"):
        power = eval(exponent)
        found = am.compile(f"Y[i] = pow(X[i], {exponent})", impl="triton")(x[2:] if power < 1 else x)
        torch.testing.assert_close(found, torch.pow(x[2:] if power < 1 else x, power), rtol=1e-12, atol=0)


def shared(n: int, m: int, dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = (1, 4, n, 8), (1, 2, m, 8), (1, 2, m, 12)
    return [torch.randn(s, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]


HIDING = torch.randn(1, 4, 40, 90)
HIDING[0, 1, 3] = -torch.inf  # a query that sees nothing
CASES = {
    "causal": {"mask": "causal"},
    "cap, window and sinks": {
        "mask": "causal & window(20)",
        "bias": (SoftCap(5.0), Sinks(torch.tensor([0.5, -1, 2, 0]))),
    },
    "alibi": {"mask": "causal", "bias": Alibi(alibi(4))},
    "additive": {"bias": HIDING.double()},
    "seen": {"mask": torch.rand(1, 1, 40, 90, generator=torch.Generator().manual_seed(1)) > 0.3},
}


@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize("case", CASES)
def test_attention(case) -> None:
    held = shared(40, 90, torch.float64)
    found, exact = (attention(*held, impl=impl, return_lse=True, **CASES[case]) for impl in ("triton", "dense"))
    torch.testing.assert_close(found, exact, rtol=1e-11, atol=1e-11)
    above = torch.randn_like(exact[0]), torch.randn_like(exact[1]) * torch.isfinite(exact[1])
    grads = [torch.autograd.grad(x, held, above, retain_graph=True) for x in (found, exact)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("interpreter")
def test_short_types_are_summed_in_float32() -> None:
    held = shared(40, 90, torch.bfloat16)
    found, lse = attention(*held, impl="triton", mask="causal", return_lse=True)
    exact, level = attention(*(x.double() for x in held), impl="dense", mask="causal", return_lse=True)
    assert (found.dtype, lse.dtype) == (torch.bfloat16, torch.float32)
    assert (lse - level).abs().max() < 1e-5
    # Weights are rounded as operands, and the output at the end.
    assert (found - exact).abs().max() <= 2 * torch.finfo(torch.bfloat16).eps * exact.abs().max()


@pytest.mark.usefixtures("interpreter")
def test_few_queries_split_the_keys(monkeypatch) -> None:
    called = []
    monkeypatch.setattr(triton_attention, "PART", 100)
    own = triton_attention._split
    monkeypatch.setattr(triton_attention, "_split", lambda *a: called.append(a[3]) or own(*a))
    held = shared(1, 350, torch.float64)
    found, exact = (attention(*held, impl=x, mask="causal", return_lse=True) for x in ("triton", "dense"))
    torch.testing.assert_close(found, exact, rtol=1e-11, atol=1e-11)
    grads = [torch.autograd.grad(x[0].sum() + x[1].sum(), held) for x in (found, exact)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)
    assert called == [3]


def test_tiles_that_a_mask_leaves_empty_are_skipped() -> None:
    # Law: a tile is visited if and only if some pair of it is allowed, and read without intervals if all are.
    made = triton_of(parse(SOFTMAX), "float32")
    (kernel,) = made.kernels
    (where,) = kernel.masks
    n, m = 200, 260
    held = triton_run.TritonTarget(SOFTMAX, torch.float32, frozenset())
    sized = held.sized(((1, 1, n, 8), (1, 1, m, 8), (1, 1, m, 8)))
    found = triton_run.visits(where, kernel, sized, {"i": 64, "j": 64})
    matrix = where.mask.matrix(n, m)
    for i, j in np.ndindex(found.shape):
        tile = matrix[i * 64 : i * 64 + 64, j * 64 : j * 64 + 64]
        assert found[i, j] == (2 if tile.all() else int(tile.any()))
    assert {0, 1, 2} == {*found.ravel()}
    text = made.emitted.text
    assert text.index("if state_0 != 0:") < text.index("load K[b,h,j,d]")


def test_refusals(monkeypatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    held = shared(4, 5, torch.float32)
    with pytest.raises(
        AttometerError, match='impl "triton" does not support tensors on cpu; on the CPU only Triton\'s'
    ):
        attention(*held, impl="triton")
    with pytest.raises(AttometerError, match="Triton kernels do not support tensors on cpu"):
        am.compile("Y[i] = exp(X[i])", impl="triton")(torch.ones(3))
    with pytest.raises(AttometerError, match='unknown impl "cuda"'):
        am.compile("Y[i] = exp(X[i])", impl="cuda")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(triton_run, "find_spec", lambda name: None)
    with pytest.raises(AttometerError, match="a machine without Triton: pip install triton"):
        attention(*held, impl="triton")
    with pytest.raises(AttometerError, match="does not support dropout"):
        attention(*held, impl="triton", dropout=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_kernels_assemble_for_a_gpu(dtype) -> None:
    """Triton compiles for a GPU without one: the forward and backward kernels become code of compute capability 9.0."""
    pytest.importorskip("triton", reason="Triton is an extra: pip install 'attometer[triton]'")
    own = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    apart = [sys.executable, "-m", "tests.emit.assembled", dtype]
    made = subprocess.run(apart, env=own, capture_output=True, text=True, timeout=500, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    found = [line.split() for line in made.stdout.splitlines()]
    assert [name for name, _, _ in found] == ["phase_1", "phase_1", "phase_2"]
    for _, size, products in found:
        assert int(size) > 1000
        assert (int(products) > 0) == (dtype == "bfloat16")  # by matrix units; float32 is multiplied as such
