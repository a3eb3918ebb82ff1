"""What no nest runs: recurrences whose state is held, gathers, shifts, sorts, scatters; against the interpreter and torch."""

import numpy as np
import pytest
import torch
from tests.emit.programs import drawn, expected, results

import attometer as am
from attometer.emit import build
from attometer.emit.compiled import gradients_of
from attometer.emit.program import emitted
from attometer.program import parse
from attometer.program.keeping import declared
from attometer.schedule.gathers import with_gathers_apart
from attometer.schedule.lean import pieces

machine_code = pytest.mark.skipif(build.unsupported() is not None, reason=f"needs {build.unsupported()}")
DELTA = declared(am.mechanism("gated_delta").program)
SOLVE = "axis t: n, s: n\ninput V[b,t,e], A[b,t,s]\nU[b,t,e] = V[b,t,e] - A[b,t,s] * U[b,s,e]   where strict(t, s)"
GATHERS = """axis i: n, j: n, v: v
input X[i,d], T[i], P[i]
weight W[v,d]
Y[i,d] = W[T[i], d] * X[i,d] + X[i - 1, d] * X[P[i] + 1, d]
"""
LINEAR = "axis e: d, f: d\ninput V[b,t,e], A[e,f]\nU[b,t,e] = V[b,t,e] + tanh(A[e,f] * U[b, t - 1, f])"


def swept(program: am.Program) -> list:
    return [p.sweep for p in pieces(program) if p.sweep is not None]


def test_the_state_of_a_recurrence_is_not_stored() -> None:
    (sweep,) = swept(DELTA)
    assert (sweep.axis, sweep.way, sweep.batch, sweep.stored) == ("t", 1, ("b", "h"), {"O"})
    assert [s.output.name for s in sweep.steps] == ["R", "U", "S", "O"]
    assert emitted(DELTA, "float32").stored == ()


def test_what_follows_a_recurrence_under_another_index_runs_with_it() -> None:
    first, _ = swept(declared(am.mechanism("linear_causal").program))
    assert [s.output.name for s in first.steps] == ["C", "O.product"]
    assert {s.output.indices[2] for s in first.steps} == {"j"}


def test_gradients_run_from_the_last_place() -> None:
    found = swept(declared(am.gradient(DELTA)))
    assert [(s.axis, s.way) for s in found] == [("t", 1), ("t", -1)]
    assert "dS" not in found[1].stored


def test_the_gradient_of_rotations_stores_no_scores() -> None:
    made = emitted(declared(am.gradient(am.mechanism("rope").program)), "float32")
    assert [name for name, extents in made.stored if [str(e) for e in extents][2:] == ["n", "n"]] == []


def test_recurrences_that_share_nothing_stay_apart() -> None:
    text = "axis t: n\ninput A[b,t], B[t,d]\nX[b,t] = A[b,t] * X[b, t - 1] + 1\nY[t,d] = tanh(B[t,d] * Y[t - 1, d])"
    assert len(swept(parse(text))) == 2


def close(program: am.Program, sizes: dict[str, int], given: dict[int, torch.Tensor] | None = None) -> None:
    """Hold results and gradients against the interpreter and central differences along one direction."""
    sizes = {s.name: sizes[s.name] for s in program.symbols}
    tensors = drawn(program, sizes)
    for k, x in (given or {}).items():
        tensors[k] = x
    floats = [x.requires_grad_() for x in tensors if x.is_floating_point()]
    function = am.compile(program)
    found = results(function, tensors)
    for got, exact in zip(found, expected(program, tensors, sizes), strict=True):
        np.testing.assert_allclose(got.detach().numpy(), exact, rtol=1e-11, atol=1e-12)
    torch.manual_seed(0)
    weights, ways = [torch.randn_like(x) for x in found], [torch.randn_like(x) for x in floats]
    grads = torch.autograd.grad(found, floats, weights, allow_unused=True)
    wanted = sum(float((s * w).sum()) for s, w in zip(grads, ways, strict=True) if s is not None)

    def moved(by: float) -> float:
        stepped = iter([x.detach() + by * w for x, w in zip(floats, ways, strict=True)])
        at = [next(stepped) if x.is_floating_point() else x for x in tensors]
        return sum(float((r * w).sum()) for r, w in zip(results(function, at), weights, strict=True))

    assert (moved(1e-5) - moved(-1e-5)) / 2e-5 == pytest.approx(wanted, rel=1e-6)


@machine_code
@pytest.mark.slow
@pytest.mark.parametrize("text", [SOLVE, LINEAR])
def test_recurrences(text) -> None:
    close(parse(text), {"b": 2, "n": 9, "t": 9, "d": 4, "e": 3})


@machine_code
@pytest.mark.slow
def test_places_that_data_choose_and_those_outside() -> None:
    n, v = 7, 5
    rows, places = torch.tensor([0, 4, 4, -1, 5, 2, 1]), torch.tensor([-2, -1, 0, 3, 5, 6, 99])
    close(parse(GATHERS), {"n": n, "v": v, "d": 3}, {1: rows, 2: places})


PERMUTED = """axis i: n, j: m
input Q[n,d], K[m,d], V[m,e], T[m]
S[i,j] = Q[i,d] * K[T[j],d]
P[i,j] = softmax[j](S)
O[i,e] = P[i,j] * V[T[j],e]"""


def test_scores_with_gathered_keys_are_formed_in_a_nest() -> None:
    held = gradients_of(str(with_gathers_apart(parse(PERMUTED))), ("O",), ())
    forward, backward = parse(held.forward), parse(held.backward)
    for program in (forward, backward):
        names = {s.output.name for sweep in swept(program) for s in sweep.steps}
        assert not names & {"S", "P", "dS", "dP"}
        # What a nest makes again from a gather that an earlier level stored needs that gather.
        assert {"K_1", "V_1"} <= names


@machine_code
@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True])
def test_gathered_keys(apart) -> None:
    program = with_gathers_apart(parse(PERMUTED)) if apart else parse(PERMUTED)
    close(program, {"n": 6, "m": 7, "d": 3, "e": 2}, {3: torch.tensor([4, 0, 4, 1, 9, -1, 2])})


@machine_code
@pytest.mark.slow
def test_a_gated_delta_rule_against_torch_in_float32() -> None:
    b, h, n, d = 2, 3, 33, 16
    torch.manual_seed(0)
    q, k, v = (torch.randn(b, h, n, d, dtype=torch.float64) for _ in range(3))
    k = k / k.norm(dim=-1, keepdim=True)
    a, beta = torch.rand(b, h, n, dtype=torch.float64), torch.rand(b, h, n, dtype=torch.float64)
    leaves = [x.requires_grad_() for x in (q, k, v, a, beta)]
    state, rows = torch.zeros(b, h, d, d, dtype=torch.float64), []
    for t in range(n):
        old = torch.einsum("bhd,bhde->bhe", k[:, :, t], state)
        new = beta[:, :, t, None] * (v[:, :, t] - a[:, :, t, None] * old)
        state = a[:, :, t, None, None] * state + k[:, :, t, :, None] * new[:, :, None, :]
        rows.append(torch.einsum("bhd,bhde->bhe", q[:, :, t], state))
    exact = torch.stack(rows, 2)
    grad = torch.randn_like(exact)
    wanted = torch.autograd.grad(exact, leaves, grad)
    short = [x.detach().float().requires_grad_() for x in leaves]
    found = am.compile("gated_delta")(*short)
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-4)
    for got, want in zip(torch.autograd.grad(found, short, grad.float()), wanted, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-3, atol=1e-3)


@machine_code
@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
def test_sorted_positions(masked) -> None:
    where = "   where causal(i, j)" if masked else ""
    program = parse(
        f"axis i: n, j: n, k: 3\ninput X[i,j]\nT[i,k] = topk[j, 3](X[i,j]){where}\nA[i,j] = argsort[j](X[i,j]){where}"
    )
    x = torch.tensor([[1.0, 3, 3, 2], [4, 4, 4, 4], [0, -1, 5, 5], [float("nan"), 2, 1, 0]], dtype=torch.float64)
    for got, exact in zip(results(am.compile(program), [x]), expected(program, [x], {"n": 4}), strict=True):
        np.testing.assert_array_equal(got.numpy(), exact)


@machine_code
@pytest.mark.slow
def test_tables_of_whole_numbers_beside_short_floats() -> None:
    table, rows = torch.randn(300, 4, dtype=torch.bfloat16), torch.randint(300, (2, 5))
    function = am.compile("axis i: n, v: v, c: D\ninput T[b,i]\nweight W[v,c]\nY[b,i,c] = W[T[b,i], c]")
    assert torch.equal(function(rows, table), table[rows])
    with torch.no_grad():
        assert function(rows.int(), table).dtype == torch.bfloat16
