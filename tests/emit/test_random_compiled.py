"""Programs put together at random, with random masks and shapes: results and gradients are the interpreter's in float64."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.emit.programs import drawn, expected, gradients_of, results

import attometer as am
from attometer.emit import build
from attometer.program import Program, parse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(build.unsupported() is not None, reason=f"needs {build.unsupported()}"),
]
MASKS = ["", "causal(i, j)", "window(i, j, 3) & causal(i, j)", "band(i, j, 2, 1)", "causal(i, j) | global(i, j, 2)",
         "~strict(i, j)", "strided(i, j, 3)", "causal(i, j) & ~band(i, j, 1, 1)", "chunked(i, j, 4)"]  # fmt: skip
SCORES = ["Q[b,h,i,d] * K[b,{h},j,d] / sqrt(d)", "3 * tanh(Q[b,h,i,d] * K[b,{h},j,d])",
          "Q[b,h,i,d] * K[b,{h},j,d] + c[h] * (pos(j) - pos(i)) / 8", "-abs(Q[b,h,i,d] * K[b,{h},j,d]) + u[i]"]  # fmt: skip
WEIGHTS = ["softmax[j](S)", "sigmoid(S[b,h,i,j] - 1)", "square(relu(S[b,h,i,j]))", "exp(S[b,h,i,j] - 4)",
           "softmax[j](S) * sigmoid(S[b,h,i,j])"]  # fmt: skip
ENDS = ["P[b,h,i,j] * V[b,{h},j,e]", "rmsnorm[e](Y) * G[e]", "Y[b,h,i,e] * sigmoid(Z[b,i,h,e])",
        "Y[b,h,i,e] / (1 + sum[e](square(Y[b,h,i,e])))", "A[h,t] * Y[b,t,i,e]"]  # fmt: skip


EXTRAS = ("c[h]", "u[i]", "G[e]", "Z[b,i,h,e]", "A[h,t]")


def text(shared: bool, mask: str, score: str, weight: str, end: str) -> str:
    """Return a program's text: `shared` heads read their group's keys and values."""
    h, g = ("h // (h/g)", "g") if shared else ("h", "h")
    where = f"   where {mask}" if mask else ""
    lines = [f"S[b,h,i,j] = {score.format(h=h)}{where}", f"P[b,h,i,j] = {weight}{where}"]
    lines += [f"Y[b,h,i,e] = {ENDS[0].format(h=h)}"] if end != ENDS[0] else []
    lines.append(f"O[b,h,i,e] = {end.format(h=h)}")
    extras = [x for x in EXTRAS if any(x in line for line in lines)]
    inputs = ["Q[b,h,i,d]", f"K[b,{g},j,d]", f"V[b,{g},j,e]", *extras]
    return "\n".join(["axis i: n, j: m", "axis t: h", f"input {', '.join(inputs)}", *lines])


@st.composite
def programs(draw: st.DrawFn) -> Program:
    parts = (draw(st.sampled_from(x)) for x in (MASKS, SCORES, WEIGHTS, ENDS))
    return parse(text(draw(st.booleans()), *parts))


@st.composite
def sizes(draw: st.DrawFn) -> dict[str, int]:
    g = draw(st.integers(1, 3))
    n = draw(st.sampled_from([1, 5, 95, 97, 130]))
    m = n + draw(st.sampled_from([0, 1, 190]))
    found = {"b": draw(st.integers(1, 2)), "g": g, "h": g * draw(st.integers(1, 2)), "n": n, "m": m}
    return found | {"d": draw(st.integers(1, 9)), "e": draw(st.integers(1, 19))}


@settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, phases=[Phase.generate]
)  # each program takes seconds to compile: a failing one is not made smaller
@given(programs(), st.lists(sizes(), min_size=3, max_size=3), st.integers(0, 99))
def test_results_and_gradients(made, given_sizes, seed) -> None:
    function = am.compile(made)
    for held in given_sizes:
        at = {s.name: held[s.name] for s in made.symbols}
        tensors = [x.requires_grad_() for x in drawn(made, at, seed)]
        found = results(function, tensors)
        for got, exact in zip(found, expected(made, tensors, at), strict=True):
            assert np.abs(got.detach().numpy() - exact).max() <= 1e-11 * max(1, np.abs(exact).max())
        arriving = [torch.randn_like(x) for x in found]
        grads = torch.autograd.grad(found, tensors, arriving)
        wanted = gradients_of(made, tensors, arriving, at)
        for tensor, grad in zip(made.inputs, grads, strict=True):
            exact = wanted[tensor.name]
            assert np.abs(grad.numpy() - exact).max() <= 1e-10 * max(1, np.abs(exact).max())
