"""A Program's text as machine code: its results and gradients are the interpreter's, whatever type, stride and thread."""

import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor

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
from attometer.emit import build, compiled
from attometer.errors import AttometerError
from attometer.program import parse
from attometer.run.compiling import compile as compile_program

pytestmark = pytest.mark.skipif(build.unsupported() is not None, reason=f"needs {build.unsupported()}")
SMALL = {"b": 1, "h": 2, "n": 7, "m": 9, "d": 3, "e": 4}
NAMES = ["differential", "forgetting", "multi_query", "grouped", "nystrom", "rmsnorm_matmul", "sigmoid", "soft_capped", "stick_breaking",
         "swiglu", "talking_heads", "tensor_product", "capped"]  # fmt: skip


def text_of(name: str) -> am.Program:
    return {
        "capped": lambda: parse(CAPPED),
        "multi_query": lambda: am.mechanism("gqa", g=1).program,
        "grouped": lambda: parse(GROUPED),
    }.get(name, lambda: program(name))()


def close(made, compiled_function, sizes, dtype=torch.float32, factor=1.0) -> None:
    tensors = drawn(made, sizes)
    held = [x.to(dtype) for x in tensors]
    found = results(compiled_function, held)
    bound = tolerance(made, tensors, sizes)
    for got, exact, most in zip(found, expected(made, [x.double() for x in held], sizes), bound, strict=True):
        assert got.dtype == dtype
        assert np.abs(got.double().numpy() - exact).max() <= factor * most


def test_attention_of_a_text() -> None:
    made = parse(SOFTMAX)
    function = am.compile(SOFTMAX)
    for sizes in (
        {"b": 2, "h": 3, "n": 130, "m": 300, "d": 10, "e": 12},
        {"b": 1, "h": 1, "n": 1, "m": 1, "d": 1, "e": 1},
        SMALL,
    ):
        close(made, function, sizes)


def test_any_strides() -> None:
    function = am.compile(SOFTMAX)
    q, k, v = drawn(parse(SOFTMAX), SMALL, dtype=torch.float32)
    there = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    across = [x.transpose(2, 3).contiguous().transpose(2, 3) for x in (q, k, v)]
    assert torch.equal(function(*there), function(q, k, v))
    assert torch.equal(function(*across), function(q, k, v))
    assert torch.equal(function(V=v, Q=q, K=k), function(q, k, v))
    one = k[:, :1].expand(k.shape)  # a head that all share, without a copy
    assert torch.equal(function(q, one, v), function(q, one.contiguous(), v))


def test_threads_do_not_change_a_bit() -> None:
    function = am.compile(SOFTMAX)
    tensors = drawn(parse(SOFTMAX), {**SMALL, "n": 200, "m": 200}, dtype=torch.float32)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = function(*tensors)
        torch.set_num_threads(3)
        assert torch.equal(function(*tensors), one)
        with ThreadPoolExecutor(4) as pool:
            assert all(torch.equal(x, one) for x in pool.map(lambda _: function(*tensors), range(8)))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_results_and_gradients(name) -> None:
    made = text_of(name)
    sizes, function = sizes_of(made), am.compile(made)
    close(made, function, sizes)
    tensors = [x.requires_grad_() for x in drawn(made, sizes)]
    found = results(function, tensors)
    for got, exact in zip(found, expected(made, tensors, sizes), strict=True):
        assert np.abs(got.detach().numpy() - exact).max() <= 1e-11 * np.abs(exact).max()
    arriving = [torch.randn_like(x) for x in found]
    grads = torch.autograd.grad(found, tensors, arriving)
    wanted = gradients_of(made, tensors, arriving, sizes)
    for tensor, grad in zip(made.inputs, grads, strict=True):
        exact = wanted[tensor.name]
        assert np.abs(grad.numpy() - exact).max() <= 1e-11 * max(1, np.abs(exact).max())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_types_are_summed_in_float32(dtype) -> None:
    made, sizes = parse(SOFTMAX), {**SMALL, "n": 90, "m": 300}
    function = am.compile(made)
    tensors = [x.to(dtype).requires_grad_() for x in drawn(made, sizes)]
    found = function(*tensors)
    (exact,) = expected(made, tensors, sizes)
    unit = torch.finfo(dtype).eps / 2
    # One rounding at the end, to the digits of the type.
    assert np.abs(found.detach().double().numpy() - exact).max() <= 1.01 * unit * np.abs(exact).max()
    arriving = torch.randn_like(found)
    grads = torch.autograd.grad(found, tensors, arriving)
    wanted = gradients_of(made, tensors, [arriving], sizes)
    for tensor, grad in zip(made.inputs, grads, strict=True):
        assert grad.dtype == dtype
        # The output is kept as it was rounded, which the rows' sums of gradients see once more.
        assert np.abs(grad.double().numpy() - wanted[tensor.name]).max() <= 4 * unit * np.abs(wanted[tensor.name]).max()


@pytest.mark.slow
def test_weights_may_stay_in_float32() -> None:
    made = program("rmsnorm_matmul")
    sizes = sizes_of(made)
    tensors = drawn(made, sizes)
    held = [
        x.to(torch.bfloat16 if t.role == "input" else torch.float32) for t, x in zip(made.inputs, tensors, strict=True)
    ]
    held = [x.requires_grad_() for x in held]
    found = am.compile(made)(*held)
    grads = torch.autograd.grad(found.float().sum(), held)
    assert found.dtype == torch.bfloat16
    assert [s.dtype for s in grads] == [x.dtype for x in held]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forgetting", "capped", "differential"])
def test_gradcheck(name) -> None:
    made = text_of(name)
    tensors = [x.requires_grad_() for x in drawn(made, sizes_of(made, SMALL))]
    assert torch.autograd.gradcheck(am.compile(made), tensors)


@pytest.mark.slow
def test_second_derivatives() -> None:
    function = am.compile(SOFTMAX)
    tensors = [x.requires_grad_() for x in drawn(parse(SOFTMAX), {"b": 1, "h": 1, "n": 4, "m": 5, "d": 2, "e": 3})]
    assert torch.autograd.gradgradcheck(function, tensors)


@pytest.mark.slow
def test_operator() -> None:
    made = parse(SOFTMAX)
    function = am.compile(made)
    tensors = [x.requires_grad_() for x in drawn(made, SMALL, dtype=torch.float32)]
    text, full = function._keeping
    torch.library.opcheck(compiled.compiled_program, (tensors, text, full, function._text, "cpp"))
    traced = torch.compile(lambda *x: function(*x).square().sum(), backend="aot_eager", fullgraph=True)
    plain = torch.autograd.grad(function(*tensors).square().sum(), tensors)
    for a, b in zip(torch.autograd.grad(traced(*tensors), tensors), plain, strict=True):
        assert torch.equal(a, b)


def test_values_that_a_mask_hides_do_not_matter() -> None:
    function = am.compile(SOFTMAX)
    q, k, v = drawn(parse(SOFTMAX), {**SMALL, "n": 300, "m": 300}, dtype=torch.float32)
    first = function(q, k, v)[:, :, :200]
    k[:, :, 200:], v[:, :, 200:] = 1e30, -1e30
    assert torch.equal(function(q, k, v)[:, :, :200], first)


def test_refusals() -> None:
    function = am.compile(SOFTMAX)
    q, k, v = drawn(parse(SOFTMAX), SMALL, dtype=torch.float32)
    with pytest.raises(AttometerError, match="input V is missing; inputs: Q, K, V"):
        function(q, k)
    with pytest.raises(AttometerError, match='input "W" is none of the program'):
        function(q, k, W=v)
    with pytest.raises(AttometerError, match='input "Q" is given twice'):
        function(q, k, Q=q)
    with pytest.raises(AttometerError, match='input "K" has 2 along axis d, which is 3 elsewhere'):
        function(q, k[..., :2], v)
    with pytest.raises(AttometerError, match="tensors of one type"):
        function(q.double(), k, v)
    with pytest.raises(AttometerError, match="compiled programs take tensors of float32"):
        function(*(x.int() for x in (q, k, v)))
    with pytest.raises(AttometerError, match="must be a torch tensor, got list"):
        function([1.0], k, v)


def test_without_a_compiler(monkeypatch, tmp_path) -> None:
    function = am.compile("Y[i] = exp(X[i]) * 3")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(AttometerError, match="a machine without a C\\+\\+ compiler"):
        function(torch.ones(3))
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'error: out of order' >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(AttometerError, match="could not compile program: error: out of order"):
        function(torch.ones(3))


def test_what_the_entry_refuses() -> None:
    made = parse("Y[i,k] = A[i,j] * B[j,k]")
    held = compiled.machine_of(str(made), torch.float32, frozenset())
    a, b, y = torch.ones(4, 5), torch.ones(5, 6), torch.empty(4, 6)
    bound = held.bound(((4, 5), (5, 6)))

    def status(**changes: int) -> int:
        arrays = (compiled._Array * 3)()
        for array, tensor in zip(arrays, (a, b, y), strict=True):
            array.data = tensor.data_ptr() + changes.get("shift", 0)
            array.stride[:2] = [changes.get("stride", tensor.stride(0)), 1]
        if "null" in changes:
            arrays[1].data = 0
        fields = bound.fields | {"arrays": ctypes.addressof(arrays), "threads": 1}
        fields |= {k: v for k, v in changes.items() if k in dict(compiled._Problem._fields_)}
        problem = compiled._Problem(**fields)
        return held.library.attometer_run(ctypes.byref(problem), changes.get("size", ctypes.sizeof(problem)))

    assert status() == 0
    assert torch.equal(y, a @ b)
    zeros = np.zeros(8, dtype=np.int64)
    for changes in (
        {"null": 1}, {"shift": 1}, {"stride": 1 << 60}, {"threads": 0}, {"threads": 1 << 40}, {"arrays": 0}, {"extents": 0},
        {"tiles": 0}, {"arrays_count": 2}, {"extents_count": -1}, {"size": 8}, {"extents": zeros.ctypes.data},
        {"tiles": zeros.ctypes.data},
    ):  # fmt: skip
        assert status(**changes) != 0, changes
    assert held.library.attometer_run(None, 0) != 0


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch.func.jvp imports it
def test_vmap_and_other_transforms() -> None:
    function = am.compile("Y[i,k] = tanh(A[i,j] * B[j,k])")
    a, b = torch.randn(3, 4, 5, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    found = torch.func.vmap(function, in_dims=(0, None))(a, b)
    torch.testing.assert_close(found, torch.tanh(a @ b), rtol=1e-12, atol=1e-12)
    moved = torch.func.vmap(function, in_dims=(2, None))(a.movedim(0, 2), b)
    assert torch.equal(moved, found)
    with pytest.raises(AttometerError, match=r"do not support torch.func's jvp; torch.func.grad, vjp and jacrev work"):
        torch.func.jvp(lambda w: function(a[0], w), (b,), (b,))


def test_gradients_under_transforms() -> None:
    function = am.compile("Y[i,k] = tanh(A[i,j] * B[j,k])")
    a, b = torch.randn(3, 4, 5, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)

    def losses(f):
        def loss(x, w):
            return f(x, w).pow(3).sum()

        yield from torch.func.grad(loss, (0, 1))(a[0], b)
        yield torch.func.jacrev(lambda x: f(x, b))(a[0])
        yield torch.func.vmap(torch.func.grad(loss, 1), in_dims=(0, None))(a, b)
        yield torch.func.grad(lambda w: torch.func.vmap(lambda x: f(x, w))(a).pow(3).sum())(b)
        yield torch.func.grad(lambda x: torch.func.grad(loss)(x, b).sin().sum())(a[0])

    def plain(x, w):
        return torch.tanh(x @ w)

    for got, want in zip(losses(function), losses(plain), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_after_a_fork() -> None:
    function = am.compile(SOFTMAX)
    tensors = drawn(parse(SOFTMAX), {**SMALL, "n": 200, "m": 200}, dtype=torch.float32)
    first = function(*tensors)
    child = os.fork()
    if child == 0:  # the process that results says whether it computed the same
        os._exit(0 if torch.equal(function(*tensors), first) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert threading.active_count() >= 1


def test_the_source_reads_as_the_nest() -> None:
    function = am.compile(SOFTMAX)
    text = function.source()
    assert "// O[b,h,i,e] += S.product[b,h,i,j] * V[b,h,j,e], masked ones left out" in text
    assert "for j in tiles of B_j of m where (i,j) is not masked out:" in str(function)
    assert compile_program(SOFTMAX).source(torch.float64).count("typedef double T;") == 1


FOLDED = """axis i: n, j: m
input Q[i,d], K[j,d], B[j]
output A[i], Z[i], P[i]
S[i,j] = square(Q[i,d] * K[j,d]) + B[j]
A[i] = max[j](S[i,j])   where causal(i, j)
Z[i] = min[j](-S[i,j])   where causal(i, j)
P[i] = prod[j](S[i,j])   where causal(i, j)
"""


@pytest.mark.slow
def test_folds_of_rows_that_see_nothing_are_0_and_infinite_ones_are_not() -> None:
    made, sizes = parse(FOLDED), {"n": 7, "m": 4, "d": 3}
    for first in (0.0, torch.inf):  # of the keys that rows see; the queries before these see none
        tensors = drawn(made, sizes)
        tensors[2][0] += first
        found = results(am.compile(made), tensors)
        for got, exact in zip(found, expected(made, tensors, sizes), strict=True):
            np.testing.assert_allclose(got.numpy(), exact, rtol=1e-12)
