"""Gradients: those of the notation are PyTorch's, and a step along them changes the result as they say."""

import re
from pathlib import Path

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attometer.count import count
from attometer.errors import AttometerError
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.mechanisms.subject import subject
from attometer.program import Program, parse, size
from attometer.program.explicit import explicit
from attometer.program.gradient import gradient
from attometer.simulate.graph.dag import graph
from attometer.simulate.interpreter import interpret
from index_maps import DECLARED, orders, places, read_by, some
from index_maps import SIZES as PLACED

torch = pytest.importorskip("torch")
from torch_executor import Executor  # noqa: E402

SIZES = {"b": 2, "h": 4, "g": 2, "n": 4, "m": 4, "d": 4, "e": 3, "D": 4, "F": 5, "w": 2, "k": 2, "s": 2, "B": 2, "f": 3,
         "l": 2, "c": 3, "r": 2, "t": 1, "u": 3, "p": 3, "E": 3, "v": 2, "V": 5, "x": 2, "y": 3, "i": 3, "j": 4}  # fmt: skip


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.att"))


def by_torch(program: Program, arrays: dict[str, np.ndarray], sizes: dict[str, int], of: str, at: np.ndarray) -> dict:
    run = Executor(program, {size(k): sympy.Integer(v) for k, v in sizes.items()})
    for name, array in arrays.items():
        found = torch.as_tensor(np.asarray(array))
        run.tensors[name] = found.double().requires_grad_() if found.is_floating_point() else found
    leaves = dict(run.tensors)
    for operation in program.operations:
        run.execute(operation)
    if not run.tensors[of].requires_grad:
        return {}
    torch.autograd.backward(run.tensors[of], torch.as_tensor(at))
    return {name: leaf.grad.numpy() for name, leaf in leaves.items() if leaf.grad is not None}


def check(program: Program, arrays: dict[str, np.ndarray], sizes: dict[str, int]) -> Program:
    """Assert that the gradients equal PyTorch's, that the program parses back, and that counting obeys the law."""
    made = gradient(program)
    assert parse(str(made)) == made
    results = interpret(program, arrays, sizes)
    rng = np.random.default_rng(1)
    arriving = {t.name: rng.standard_normal(results[t.name].shape) for t in program.outputs}
    read = {t.name for t in made.inputs}
    given = {**arrays, **{f"d{name}": at for name, at in arriving.items()}}
    own = {str(s): sizes[str(s)] for s in made.symbols}
    found = interpret(made, {k: v for k, v in given.items() if k in read}, own)
    wanted: dict[str, np.ndarray] = {}
    for name, at in arriving.items():
        for leaf, grad in by_torch(program, arrays, sizes, name, at).items():
            wanted[leaf] = wanted.get(leaf, 0) + grad
    got = {t.name: re.sub(r"_\d+$", "", t.name.removeprefix("d")) for t in made.outputs}
    assert set(got.values()) <= set(wanted)
    for name, leaf in got.items():
        np.testing.assert_allclose(found[name], wanted[leaf], rtol=1e-9, atol=1e-11, err_msg=name)
    left_out = set(wanted) - set(got.values())
    assert all(np.all(wanted[leaf] == 0) for leaf in left_out), left_out
    return made


def sizes_of(program: Program, given: dict[str, int] | None = None) -> dict[str, int]:
    return {str(s): (given or {}).get(str(s), SIZES[str(s)]) for s in program.symbols}


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_catalogue(name: str) -> None:
    made = mechanism(name)
    sizes = made.sizes(**sizes_of(made.program))
    arrays = made.draw(sizes, np.random.default_rng(0))
    check(made.program, arrays, sizes)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_notation_files(file: Path) -> None:
    made = subject(str(file))
    sizes = sizes_of(made.program)
    arrays = made.draw(sizes, np.random.default_rng(0))
    check(made.program, arrays, sizes)


@pytest.mark.parametrize(
    "text", ["B = sum[j](v[j + 2])", "B[k] = sum[j](v[j - 1]) * w[k]", "B = v[j + 2] * w[j]", "B[i] = v[i - 1]"]
)
def test_what_a_shifted_sum_does_not_read_has_no_gradient(text: str) -> None:
    program = parse(f"axis i: n, j: n, k: n\ninput v[j], w[k]\n{text}")
    rng = np.random.default_rng(0)
    check(program, {name: rng.standard_normal(4) for name in ("v", "w")}, {"n": 4})


@pytest.mark.parametrize(
    "text",
    [
        "axis i: n, c: n / B, t: 2 * B\ninput X[c,t]\nY[i] = square(X[i // B, i % B])",
        "axis i: n, t: 2 * B\ninput X[t]\nY[i] = square(X[i % B])",
        "axis i: n, c: n / B, t: B\ninput X[t,c]\nY[i] = square(X[i % B, i // B])",
        "axis i: n, c: n / (2 * B), t: B, q: 1\ninput X[q,c,t]\nY[i] = square(X[i // B % 2 - 1, i // (2 * B), i % B])",
        "axis i: n, c: n / (2 * B), t: B, q: 3\ninput X[q,c,t]\nY[i] = square(X[i // B % 2 - 1, i // (2 * B), i % B])",
        "axis i: n, c: n / (2 * B), t: B, q: 2\ninput X[q,c,t]\nY[i] = square(X[i // B % 2, i // B // 2, i % B])",
        "axis i: n, c: n / (2 * B), t: B\ninput X[i]\nY[t] = X[c * B + t]",
        "axis i: n, c: n / (2 * B), t: B\ninput X[i]\nY[t] = square(X[c * 2 * B + t])",
        "axis i: n, c: n / (2 * B), u: 2 * B\ninput X[i]\nY[c,u] = square(X[c * 2 * B + u + 1])",
        "axis i: n, c: n / (2 * B), t: B\ninput X[i]\nY[t] = square(X[(c * 2 + 1) * B + t])",
        "axis i: n, t: B\ninput X[i]\nY[t] = X[i // B * B + t]",
        "axis i: n, t: n / 2\ninput X[i], W[k]\nY[k] = square(X[t + 2]) * W[k]",
        "axis i: n, t: B\ninput X[i], W[k]\nY[k] = W[k] * X[t * 3 + 1]",
        "axis i: n, t: B\ninput X[t], W[k]\nY[k] = W[k] * X[i % B]",
        "axis i: n, c: (n + B) // B, t: B\ninput X[i]\nY[t] = square(X[c * B + t])",
    ],
)
def test_places_that_digits_and_steps_lead_to(text: str) -> None:
    program, sizes = parse(text), {"n": 12, "B": 3, "k": 2}
    numbers = {size(k): v for k, v in sizes.items()}
    rng = np.random.default_rng(0)
    arrays = {t.name: rng.standard_normal([int(e.subs(numbers)) for e in t.extents]) for t in program.inputs}
    own = {str(s): sizes[str(s)] for s in program.symbols}
    obeys_the_law(check(program, arrays, own), own)


@given(places, orders, some, st.booleans())
@settings(max_examples=60)
def test_any_place_that_can_be_undone_is_undone_right(
    parts: list[str], own: list[str], kept: set[str], bent: bool
) -> None:
    left = [*(name for name in read_by(parts) if name in kept), "w"]
    read = f"X[{', '.join(parts)}]"
    text = f"{DECLARED}\ninput X[{','.join(own[: len(parts)])}], W[w]\nY[{','.join(left)}] = "
    try:
        program = parse(text + (f"square({read}) * W[w]" if bent else f"{read} * W[w]"))
        gradient(program)
    except AttometerError:  # an axis read by an index of another size, or a place that cannot be undone
        assume(False)
    numbers = {size(k): v for k, v in PLACED.items()}
    arrays = {
        t.name: np.random.default_rng(0).standard_normal([int(e.subs(numbers)) for e in t.extents])
        for t in program.inputs
    }
    check(program, arrays, {str(s): PLACED[str(s)] for s in program.symbols})


def test_levels_of_a_hierarchy_have_gradients() -> None:
    blocks = re.findall(
        r"```att\n(.*?)```", (Path(__file__).parents[2] / "docs" / "notation.md").read_text(), re.DOTALL
    )
    program = parse(next(text for text in blocks if "4 * B" in text))
    sizes = {"n": 12, "B": 3, "d": 4, "e": 2}
    rng = np.random.default_rng(0)
    check(
        program,
        {
            t.name: rng.standard_normal([int(e.subs({size(k): v for k, v in sizes.items()})) for e in t.extents])
            for t in program.inputs
        },
        sizes,
    )


def test_a_masked_factor_read_beside_its_place_has_no_mask_there() -> None:
    program = parse("axis i: n, j: n\nA[i,j] = X[i,j] * X[i, j + 1]   where causal(i, j)")
    check(program, {"X": np.random.default_rng(0).standard_normal((4, 4))}, {"n": 4})


def test_a_sign_outside_of_a_sum_prints_in_front() -> None:
    program = parse("axis j: i\nA[i] = -v[j] * A[i + 1]")
    check(program, {"v": np.random.default_rng(0).standard_normal(3)}, {"i": 3})


def obeys_the_law(program: Program, sizes: dict[str, int]) -> None:
    cost, built = count(program).at(**sizes), graph(program, sizes)
    assert (cost.work, cost.depth) == (built.work, built.span)


@pytest.mark.parametrize("name", ["softmax", "gqa", "attention_sinks", "mla", "linear", "layernorm", "rope", "ffn",
                                  "rnn", "lstm", "gru", "ssm", "mamba2", "wkv", "linear_causal", "linear_chunked", "gated_delta",
                                  "topk", "relative_bias", "embedding", "moe", "hyperattention"])  # fmt: skip
def test_gradients_obey_the_law(name: str) -> None:
    made = mechanism(name)
    for n in (2, 4):
        sizes = {k: n if k in ("n", "m") else min(v, 2) for k, v in sizes_of(made.program).items()}
        obeys_the_law(gradient(made.program), made.sizes(**sizes))


def test_softmax_attention_has_the_products_of_the_backward_schedules() -> None:
    # Dao et al. 2022, arXiv:2205.14135, algorithm 4: S again, dV, dP, dQ and dK; D is a row sum of dO O, with O computed again.
    made = gradient(mechanism("softmax").program)
    assert count(made).at(b=1, h=1, n=8, d=4).flop == (5 + 1) * 2 * 8 * 8 * 4 + 2 * 8 * 4
    assert "DP[b,h,i] = dO[b,h,i,e] * O[b,h,i,e]" in str(made)


OWN = {
    "extremes": "input X[i,j]\nY[i] = max[j](X)\nZ[j] = min[i](X)",
    "products": "input X[i,j]\nY[i] = prod[j](X)",
    "means": "input X[i,j]\nY[i] = mean[j](exp(X))",
    "quotients under a sum": "input A[i,j], B[i,j], C[k]\nY[i,k] = sum[j](A[i,j] / B[i,j]) * tanh(C[k])",
    "a tensor twice": "axis i: n, j: n\ninput X[i,d]\nS[i,j] = X[i,d] * X[j,d]\nY[i] = logsumexp[j](S)",
    "shifts": "axis i: n\ninput X[i]\nY[i] = X[i+1] * 3 - X[i-1] / (1 + square(X[i]))",
    "a mask on the sum": "axis i: n, j: n\ninput A[i], B[j]\nY[i] = A[i] * B[j]   where causal(i, j)",
    "a mask and a shift": "axis i: n, j: n\ninput A[i,d], B[j,d]\nS[i,j] = A[i,d] * B[j-1,d]   where window(i, j, 2)\n"
    "P[i,j] = softmax[j](S)",
    "a masked maximum": "axis i: n, j: n\ninput X[i,j]\nS[i,j] = X[i,j] * 2   where causal(i, j)\nY[i] = max[j](S)",
    "inner reductions": "input X[i,j]\nP[i,j] = X[i,j] / sum[j](X) + exp(X[i,j] - max[j](X)) * rmsnorm[j](X)",
    "functions": "input X[i]\nY[i] = silu(X) + gelu(X) + relu(X) + softplus(X) + erf(X) + tanh(X) + sigmoid(X) + cos(X) + sin(X)"
    " + abs(X) + square(X)\nU[i] = exp(X)\nZ[i] = log(U) + sqrt(U) + rsqrt(U) + pow(U, 1.5) + maximum(X, 0.3) + minimum(X, U)",
    "a scan": "axis t: n\ninput A[t], X[t]\nZ[t] = A[t] * Z[t-1] + X[t]   associative\nY[t] = tanh(Z)",
    "a scan of differences": "axis t: n\ninput X[t]\nZ[t] = X[t] - 2 + -Z[t-1]   associative\nY[t] = Z[t] * Z[t-1]",
    "a decaying quotient": "axis t: n\ninput A[t], X[t]\nZ[t] = Z[t-1] / (2 + square(A[t])) + X[t]",
    "two coupled recurrences": "axis t: n\ninput X[t]\nA[t] = B[t-1] * X[t]\nB[t] = A[t] + B[t-1] + X[t]",
    "a recurrence from the last": "axis t: n\ninput X[t]\nZ[t] = tanh(Z[t+1] + X[t])",
    "a scatter": "axis j: m\ninput T[i,k], X[i,k,d], U[i]\nY[j,d] = scatter[j, T[i,k]](X[i,k,d] * tanh(U[i]))",
    "gathers": "axis j: m\ninput T[i,k], K[j,d], Q[i,d]\nS[i,k] = Q[i,d] * K[T[i,k],d]\nP[i,k] = softmax[k](S)\n"
    "O[i,d] = P[i,k] * K[T[i,k],d] - K[T[i,0],d]",
    "a gather over two axes": "axis c: n / 2, r: 2\ninput T[i], Y[c,r,d]\nO[i,d] = square(Y[T[i] // 2,T[i] % 2,d])",
    "a reduced index on the left": "axis i: n, k: n\ninput X[i,j]\nA[i,k,j] = logsumexp[i](X)\nB[i,j] = max[i](X) * sum[j](X)",
    "a masked result": "axis i: n, j: n\ninput A[i], B[j]\nY[i,j] = A[i] * B[j]   where window(i, j, 2)",
    "two masks": "axis i: n, j: n\ninput X[i,j], U[i,j]\nA[i,j] = X[i,j] * U[i,j]   where window(i, j, 2)\n"
    "B[i,j] = tanh(X)   where causal(i, j)\nC[i,j] = exp(X)",
    "fixed places": "axis i: n\ninput X[i]\nY = X[0] * X[2]",
    "strides": "axis k: n / 2, i: n\ninput X[i]\nY[k] = X[k*2] * X[k*2+1]",
    "chunks": "axis i: n, c: n / 2, r: 2\ninput X[i]\nY[c,r] = square(X[c*2+r])\nZ[i] = Y[i // 2, i % 2]",
    "a convolution": "axis i: n, t: n + u - 1\ninput X[t], W[u]\nY[i] = X[i+u] * W[u]",
    "three in a product": "input A[i,j], B[j], C[i]\nY[i] = A[i,j] * B[j] * C[i]",
    "alone under a function": "input A[i,j], B[i]\nY[i] = sum[j](relu(A[i,j]) * B[i])",
}


@pytest.mark.parametrize("name", OWN)
def test_each_construct(name: str) -> None:
    program = parse(OWN[name])
    sizes = sizes_of(program, {"n": 6, "u": 2})
    numbers = {size(k): v for k, v in sizes.items()}
    rng = np.random.default_rng(0)
    arrays = {t.name: rng.standard_normal([int(e.subs(numbers)) for e in t.extents]) for t in program.inputs}
    if "T" in arrays and "T[i" in OWN[name]:
        arrays["T"] = rng.integers(0, 4, arrays["T"].shape)
    obeys_the_law(check(program, arrays, sizes), sizes)


@pytest.mark.parametrize("name", ["softmax", "mla", "performer", "lstm", "mamba2", "gated_delta", "topk", "moe"])
def test_a_step_along_the_gradient_changes_the_result_as_it_says(name: str) -> None:
    # Central differences know nothing of PyTorch or of reverse mode.
    made = mechanism(name)
    sizes = made.sizes(**sizes_of(made.program))
    rng = np.random.default_rng(2)
    arrays = made.draw(sizes, rng)
    derived = gradient(made.program)
    of = made.program.outputs[0].name
    arriving = rng.standard_normal(interpret(made.program, arrays, sizes)[of].shape)
    read = {t.name for t in derived.inputs}
    found = interpret(derived, {k: v for k, v in {**arrays, f"d{of}": arriving}.items() if k in read}, sizes)
    for leaf in (t.name.removeprefix("d") for t in derived.outputs):
        step = 1e-6 * rng.standard_normal(arrays[leaf].shape)
        ahead, behind = (
            interpret(made.program, {**arrays, leaf: arrays[leaf] + sign * step}, sizes)[of] for sign in (1, -1)
        )
        change = ((ahead - behind) * arriving).sum() / 2
        assert change == pytest.approx((found[f"d{leaf}"] * step).sum(), rel=1e-4, abs=1e-10), leaf


def test_ties_share_a_gradient() -> None:
    made = gradient(parse("input X[j]\nY = max[j](X)"))
    assert interpret(made, {"X": [1.0, 3.0, 3.0], "dY": 2.0})["dX"].tolist() == [0, 1, 1]


@pytest.mark.parametrize("name", ["softmax", "gathers", "recurrence"])
def test_gradients_have_gradients(name: str) -> None:
    texts = {"softmax": "input S[i,j], V[j,d]\nP[i,j] = softmax[j](S)\nO[i,d] = P[i,j] * V[j,d]", "gathers": OWN["gathers"],
             "recurrence": "axis t: n\ninput X[t], W\nZ[t] = tanh(W * Z[t-1] + X[t])"}  # fmt: skip
    program = parse(texts[name])
    once = gradient(program)
    sizes = sizes_of(once, {"n": 3})
    numbers = {size(k): v for k, v in sizes.items()}
    rng = np.random.default_rng(0)
    arrays = {t.name: rng.standard_normal([int(e.subs(numbers)) for e in t.extents]) for t in once.inputs}
    if name == "gathers":
        arrays["T"] = rng.integers(0, 4, arrays["T"].shape)
    check(once, arrays, sizes)


def test_what_is_asked_for_is_what_is_computed() -> None:
    made = gradient(mechanism("softmax").program, to=["V"])
    assert [t.name for t in made.outputs] == ["dV"]
    assert "dS" not in made.tensors


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("Y[i] = exp(X[i])", {"of": "Z"}, 'unknown result "Z"; known: Y'),
        ("Y[i] = exp(X[i])", {"to": ["x"]}, 'unknown input "x"; did you mean "X"'),
        (
            "Y[i] = X[i] * floor(U[i])",
            {"to": ["U"]},
            'no result depends on the entries of "U" smoothly; it has no gradient',
        ),
        ("T[j] = argsort[i](X[i])\nY[j] = pos(j)", {}, "no result depends smoothly on an input; there is no gradient"),
    ],
)
def test_what_has_no_gradient_is_refused(text: str, options: dict, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        gradient(parse(f"axis i: n, j: n\n{text}"), **options)
    assert words in str(error.value)


@pytest.mark.parametrize("name", MECHANISMS)
def test_naming_parts_changes_no_count(name: str) -> None:
    program = mechanism(name).program
    split = explicit(program)
    one, other = count(program), count(split)
    assert (one.work, one.depth) == (other.work, other.depth)
