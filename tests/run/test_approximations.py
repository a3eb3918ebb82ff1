"""The linear family and HyperAttention against the catalogue's Programs, interpreted in float64."""

import numpy as np
import pytest
import torch
from oracle import dense, draw, gradients, worst

from attometer.errors import AttometerError
from attometer.mechanisms import mechanism
from attometer.program import causal
from attometer.run import (
    HashSizes,
    favor_features,
    hyper_attention,
    linear_attention,
    linformer_attention,
    performer_attention,
    polynomial_attention,
    rope,
    sinusoidal,
)
from attometer.run.linear.polynomial import degree_for
from attometer.simulate import interpret

EXACT = 1e-11


def drawn(name, sizes, **parameters):
    """Return a mechanism's inputs as tensors, and what its Program makes of them."""
    made = mechanism(name, **parameters)
    arrays = made.draw(sizes, np.random.default_rng(0))
    wanted = interpret(made.program, arrays, made.sizes(**sizes))
    return {k: torch.from_numpy(v) for k, v in arrays.items()}, wanted


SIZES = {"b": 2, "h": 3, "n": 24, "d": 6}


@pytest.mark.parametrize(("impl", "chunk"), [("chunked", 7), ("chunked", 64), ("chunked", 1), ("recurrent", 1)])
@pytest.mark.parametrize("name", ["linear", "linear_causal"])
def test_linear_is_the_program(name, impl, chunk):
    x, wanted = drawn(name, SIZES)
    if name == "linear" and impl == "recurrent":
        with pytest.raises(AttometerError, match='impl: got "recurrent" without causal=True'):
            linear_attention(x["Q"], x["K"], x["V"], impl=impl)
        return
    found = linear_attention(x["Q"], x["K"], x["V"], causal=name == "linear_causal", impl=impl, chunk=chunk)
    assert worst([found], [torch.from_numpy(wanted["O"])]) < EXACT


def test_linear_gradients_and_groups():
    q, k, v = draw(1, 2, 4, 2, 30, 30, 5, 5)
    for is_causal in (False, True):
        chunked = linear_attention(q, k, v, causal=is_causal, chunk=8)
        wide = [x.repeat_interleave(2, 1) for x in (k, v)]
        if is_causal:
            slow = linear_attention(q, *wide, causal=True, impl="recurrent")
        else:
            f, g = (torch.exp(x.clamp(max=0)) + torch.relu(x) for x in (q, wide[0]))
            weights = f @ g.mT
            slow = weights / weights.sum(-1, keepdim=True) @ wide[1]
        assert worst([chunked], [slow]) < EXACT
        assert worst(gradients(chunked, None, [q, k, v]), gradients(slow, None, [q, k, v])) < EXACT


def test_linear_state_continues_a_sequence():
    q, k, v = draw(2, 1, 4, 2, 30, 30, 5, 6, grad=False)
    whole = linear_attention(q, k, v, causal=True)
    state, parts = None, []
    for a, z in ((0, 11), (11, 12), (12, 30)):
        piece = [x[:, :, a:z] for x in (q, k, v)]
        output, state = linear_attention(*piece, causal=True, state=state, return_state=True, chunk=4)
        parts.append(output)
    assert worst([torch.cat(parts, 2)], [whole]) < EXACT


@pytest.mark.parametrize("is_causal", [False, True])
def test_performer_is_the_program(is_causal):
    x, wanted = drawn("performer", {**SIZES, "f": 16})
    found = performer_attention(x["Q"], x["K"], x["V"], features=x["W"], causal=is_causal, chunk=5)
    if is_causal:  # each row of the causal form is the last row of the full form on a prefix
        full = [
            performer_attention(*(x[t][:, :, : i + 1] for t in "QKV"), features=x["W"])[:, :, -1:] for i in range(24)
        ]
        assert worst([found], [torch.cat(full, 2)]) < EXACT
    else:
        assert worst([found], [torch.from_numpy(wanted["O"])]) < EXACT


def test_performer_estimates_softmax_on_small_entries():
    """Its error falls as 1/sqrt(f): the mean over draws is compared, within five of its own standard errors."""
    q, k, v = (0.5 * x.detach() for x in draw(3, 1, 1, 1, 20, 20, 8, 8))
    truth = dense(q, k, v)[0]
    estimates = torch.stack(
        [performer_attention(q, k, v, features=favor_features(64, 8, seed=s, dtype=torch.float64)) for s in range(40)]
    )
    errors = (estimates - truth).square().mean((1, 2, 3, 4)).sqrt()
    more = performer_attention(q, k, v, features=favor_features(4096, 8, dtype=torch.float64))
    assert (more - truth).square().mean().sqrt() < errors.mean()
    deviation = (estimates.mean(0) - truth).abs()
    assert (deviation <= 5 * estimates.std(0) / 40**0.5 + 0.05 * truth.abs().max()).all()


def test_performer_stays_finite_on_large_entries():
    q, k, v = (100 * x.detach().float() for x in draw(4, 1, 1, 1, 20, 20, 8, 8))
    for is_causal in (False, True):
        found = performer_attention(q, k, v, features=favor_features(32, 8), causal=is_causal)
        assert found.isfinite().all()


def test_linformer_is_the_program():
    x, wanted = drawn("linformer", {**SIZES, "k": 4})
    for impl in ("auto", "reference", "tiled"):
        found = linformer_attention(x["Q"], x["K"], x["V"], key_mix=x["E"], value_mix=x["F"], impl=impl)
        assert worst([found], [torch.from_numpy(wanted["O"])]) < EXACT


def test_hyper_is_the_program():
    sizes = {**SIZES, "n": 32, "B": 8, "l": 5, "p": 4}
    x, wanted = drawn("hyperattention", sizes)
    found = hyper_attention(x["Q"], x["K"], x["V"], sizes=HashSizes(8, 5, 4), planes=x["R"], samples=x["I"])
    assert worst([found], [torch.from_numpy(wanted["O"])]) < EXACT


def test_hyper_is_exact_when_one_block_holds_all():
    q, k, v = draw(5, 2, 2, 2, 24, 24, 8, 8)
    wanted = dense(q, k, v)[0]
    found = hyper_attention(q, k, v, sizes=HashSizes(24, 4, 3))
    assert worst([found], [wanted]) < EXACT
    assert worst(gradients(found, None, [q, k, v]), gradients(wanted, None, [q, k, v])) < EXACT
    exact = dense(q, k, v, causal())[0]
    assert worst([hyper_attention(q, k, v, sizes=HashSizes(24, 4, 3), causal=True)], [exact]) < EXACT


@pytest.mark.parametrize("n", [40, 64, 71])
def test_causal_hyper_never_looks_ahead_and_estimates_well(n):
    q, k, v = (x.detach() for x in draw(6, 1, 2, 2, n, n, 8, 8))
    sizes = HashSizes(8, 64, 3)
    found = hyper_attention(q, 0.1 * k, v, sizes=sizes, causal=True)
    truth = dense(q, 0.1 * k, v, causal())[0]
    # Near-uniform weights: 64 samples of values of variance 1 leave a standard error of 1/8.
    assert (found - truth).square().mean().sqrt() < 2 / 8
    later = v.clone()
    later[:, :, n // 2 :] += 100
    changed = hyper_attention(q, 0.1 * k, later, sizes=sizes, causal=True)
    assert worst([changed[:, :, : n // 2]], [found[:, :, : n // 2]]) < EXACT


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("epsilon", [1e-1, 1e-3])
def test_polynomial_errs_by_no_more_than_it_promises(epsilon, is_causal):
    q, k, v = (0.5 * x.detach() for x in draw(7, 1, 4, 2, 30, 30, 4, 4))
    truth = dense(q, k, v, causal() if is_causal else None)[0]
    found = polynomial_attention(q, k, v, epsilon=epsilon, causal=is_causal)
    # Weights off by a factor of at most 1 ± epsilon, normalised: an average moves by at most 2 epsilon/(1 - epsilon).
    assert worst([found], [truth]) <= 2 * epsilon / (1 - epsilon) * float(v.abs().max())


def test_polynomial_is_its_polynomial():
    q, k, v = (x.detach() for x in draw(8, 1, 2, 2, 9, 9, 3, 3))
    s = q @ k.mT * 3**-0.5
    weights = 1 + s + s**2 / 2 + s**3 / 6 + s**4 / 24
    assert worst([polynomial_attention(q, k, v, degree=4)], [weights / weights.sum(-1, keepdim=True) @ v]) < EXACT


def test_degree_grows_with_the_bound_only():
    assert [degree_for(b, 1e-2) for b in (0.1, 1.0, 4.0)] == sorted(degree_for(b, 1e-2) for b in (0.1, 1.0, 4.0))
    assert degree_for(0.1, 1e-2) == 2


def test_rope_and_sinusoidal_are_the_programs():
    x, wanted = drawn("rope", SIZES)
    rotated = [rope(x[t]) for t in "QK"]
    assert worst([dense(*rotated, x["V"])[0]], [torch.from_numpy(wanted["O"])]) < EXACT
    x, wanted = drawn("sinusoidal", {"b": 1, "n": 9, "D": 7})
    assert worst([x["X"] + sinusoidal(9, 7, dtype=torch.float64)], [torch.from_numpy(wanted["Y"])]) < EXACT


def test_rope_halves_is_a_permutation_of_neighbours():
    x = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    order = torch.arange(8).view(4, 2).T.flatten()
    assert worst([rope(x[..., order], pairs="halves")], [rope(x)[..., order]]) < EXACT
    places = torch.tensor([[3, 4, 5, 6, 7], [0, 1, 2, 3, 4]])
    assert worst([rope(x, places)[1:]], [rope(x)[1:]]) < EXACT
    assert worst([rope(x, places)[:1, :, :1]], [rope(x[:1, :, :1], torch.tensor([3]))]) < EXACT


X = torch.ones(1, 2, 6, 4)
CASES = [
    ("k: got length 5, expected q's 6, for a causal sum runs over both",
     lambda: linear_attention(X, X[:, :, :5], X[:, :, :5], causal=True)),
    ('unknown impl "chunk"; did you mean "chunked"?', lambda: linear_attention(X, X, X, impl="chunk")),
    ("state: got one without causal=True", lambda: linear_attention(X, X, X, return_state=True)),
    ("chunk must be a positive integer, got 0", lambda: linear_attention(X, X, X, causal=True, chunk=0)),
    ("features: got shape [8, 3], expected [f, 4]", lambda: performer_attention(X, X, X, features=torch.ones(8, 3))),
    ("scale: got -1.0, expected at least 0", lambda: performer_attention(X, X, X, features=torch.ones(8, 4), scale=-1.0)),
    ("f must be a positive integer, got 0", lambda: favor_features(0, 4)),
    ("key_mix: got torch.float32 of shape [2, 5], expected torch.float32 [k, 6]",
     lambda: linformer_attention(X, X, X, key_mix=torch.ones(2, 5), value_mix=torch.ones(2, 5))),
    ("q: got length 6, expected a multiple of the block 4", lambda: hyper_attention(X, X, X, sizes=HashSizes(4))),
    ("k: got 1 heads, expected q's 2", lambda: hyper_attention(X, X[:, :1], X[:, :1])),
    ("block must be a positive integer, got 0", lambda: HashSizes(0)),
    ("degree: got 3, expected an even number of at least 2", lambda: polynomial_attention(X, X, X, degree=3)),
    ("q: got scores of up to 200, expected less than 50; bound the entries, or use attention",
     lambda: polynomial_attention(10 * X, 10 * X, X)),
    ("monomials of width 64, expected at most 20000",
     lambda: polynomial_attention(*[torch.ones(1, 1, 2, 64)] * 3, degree=4)),
    ("x: got width 3, expected an even one", lambda: rope(X[..., :3])),
    ('pairs: got "half", expected one of neighbours, halves', lambda: rope(X, pairs="half")),
    ("positions: got shape [5], expected [6] or [1, 6]", lambda: rope(X, torch.arange(5))),
    ("width must be a positive integer, got 0", lambda: sinusoidal(3, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("words", "call"), CASES, ids=range(len(CASES)))
def test_words(words, call):
    with pytest.raises(AttometerError) as caught:
        call()
    assert words in str(caught.value)
