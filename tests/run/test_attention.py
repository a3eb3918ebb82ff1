"""Every implementation against an independent dense oracle: values, log-sum-exp, and gradients."""

import pytest
import torch
from oracle import dense, draw, gradients, worst

from attometer.program import band, causal, document, fixed, global_, random, strided, window
from attometer.run import Alibi, Sinks, SoftCap, alibi, attention, key_padding
from attometer.run.biases import Terms

EXACT = 1e-11  # float64 rounding over a few hundred terms; a wrong term is wrong by far more
TILED = ("tiled", "flash1", "two_pass_recompute", "split_kv")
MASKS = {
    "none": None,
    "causal": causal(),
    "window": window(50),
    "longformer": band(8, 8) | global_(3),
    "bigbird": band(3, 9) | global_(2) | random(3, 1),
    "strided": causal() & (window(16) | strided(16)),
    "fixed": causal() & fixed(16, 2),
    "documents": causal() & document([30, 40, 10]),
    "strictly after": ~causal(),
}
SHAPES = {"square": (90, 90, 2), "fewer queries, MQA": (40, 90, 1), "more queries, MHA": (90, 30, 4)}


def all_biases(n, m):
    additive = torch.randn(2, 1, n, m, dtype=torch.float64).requires_grad_()
    sinks = torch.randn(4, dtype=torch.float64).requires_grad_()
    given = (additive, Alibi(alibi(4)), SoftCap(5.0), Sinks(sinks))
    return given, Terms(additive, alibi(4), 5.0, sinks), [additive, sinks]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("impl", ["tiled", "reference"])
def test_values_lse_and_gradients(impl, mask, shape):
    n, m, g = SHAPES[shape] if impl == "tiled" else (17, 17 if shape == "square" else 9, SHAPES[shape][2])
    q, k, v = draw(0, 2, 4, g, n, m, 16, 24)
    given, terms, more = all_biases(n, m)
    for bias, oracle_bias, leaves in ((None, Terms(), [q, k, v]), (given, terms, [q, k, v, *more])):
        wanted = dense(q, k, v, MASKS[mask], oracle_bias)
        found = attention(q, k, v, mask=MASKS[mask], bias=bias, impl=impl, return_lse=True)
        assert worst(found, wanted) < EXACT
        assert worst(gradients(*found, leaves), gradients(*wanted, leaves)) < EXACT * 10


@pytest.mark.parametrize("mask", ["none", "bigbird", "strided", "strictly after"])
@pytest.mark.parametrize("impl", TILED[1:])
def test_schedules_agree(impl, mask):
    q, k, v = draw(1, 1, 4, 2, 100, 100, 8, 8)
    given, terms, more = all_biases(100, 100)
    given = (given[0][:1].detach(), *given[1:])
    terms = Terms(given[0], *(terms.slopes, terms.cap, terms.sinks))
    wanted = dense(q, k, v, MASKS[mask], terms)
    found = attention(q, k, v, mask=MASKS[mask], bias=given, impl=impl, return_lse=True)
    assert worst(found, wanted) < EXACT
    leaves = [q, k, v, more[1]]
    assert worst(gradients(*found, leaves), gradients(*wanted, leaves)) < EXACT * 10


@pytest.mark.parametrize("mask", MASKS)
def test_sdpa(mask):
    for n, m, g in SHAPES.values():
        q, k, v = draw(2, 2, 4, g, n, m, 8, 8)
        wanted, _ = dense(q, k, v, MASKS[mask])
        found = attention(q, k, v, mask=MASKS[mask], impl="sdpa")
        assert worst([found], [wanted]) < EXACT
        assert worst(gradients(found, None, [q, k, v]), gradients(wanted, None, [q, k, v])) < EXACT * 10


@pytest.mark.parametrize("impl", ["auto", "sdpa", "tiled", "reference"])
def test_bias_shapes_and_padding(impl):
    q, k, v = draw(3, 2, 4, 2, 9, 12, 4, 4)
    padding = key_padding(torch.tensor([0, 5]), torch.tensor([12, 10]), 12, torch.float64)
    for bias in (padding, torch.randn(1, 4, 9, 1, dtype=torch.float64), torch.randn(1, 1, 1, 1, dtype=torch.float64)):
        wanted, _ = dense(q, k, v, causal(), Terms(bias))
        assert worst([attention(q, k, v, mask=causal(), bias=bias, impl=impl)], [wanted]) < EXACT


@pytest.mark.parametrize("shape", [(1, 1, 9, 12), (2, 4, 1, 12), (1, 4, 9, 1), (2, 1, 1, 1), (1, 1, 9, 1)])
def test_gradient_of_a_broadcast_bias(shape):
    q, k, v = draw(4, 2, 4, 2, 9, 12, 4, 4)
    bias = torch.randn(shape, dtype=torch.float64).requires_grad_()
    mask = band(2, 2) | random(2, 0)
    found = gradients(*attention(q, k, v, mask=mask, bias=bias, impl="tiled", return_lse=True), [bias])
    assert worst(found, gradients(*dense(q, k, v, mask, Terms(bias)), [bias])) < EXACT


def test_gathered_pairs_carry_every_bias():
    """A long strided mask takes the ragged steps: their biases and gradients go another way through the code."""
    q, k, v = draw(5, 1, 4, 2, 700, 700, 4, 4)
    mask = causal() & (window(8) | strided(64))
    additive = torch.randn(1, 4, 700, 1, dtype=torch.float64).requires_grad_()
    terms, given = Terms(additive, alibi(4), 3.0), (additive, Alibi(alibi(4)), SoftCap(3.0))
    wanted = dense(q, k, v, mask, terms)
    for impl in TILED:
        found = attention(q, k, v, mask=mask, bias=given, impl=impl, return_lse=True)
        assert worst(found, wanted) < EXACT
    leaves = [q, k, v, additive]
    assert worst(gradients(*found, leaves), gradients(*wanted, leaves)) < EXACT * 10


@pytest.mark.parametrize("impl", TILED)
@pytest.mark.parametrize("sizes", [(0, 4, 5, 5), (2, 4, 0, 5), (2, 4, 5, 0), (2, 4, 0, 0)])
def test_zero_lengths_give_empty_or_zero(impl, sizes):
    b, h, n, m = sizes
    q, k, v = (torch.randn(b, h, length, 4, requires_grad=True) for length in (n, m, m))
    output, lse = attention(q, k, v, mask=causal(), impl=impl, return_lse=True)
    assert output.shape == (b, h, n, 4)
    assert torch.all(output == 0)
    assert torch.all(lse == -torch.inf)
    output.sum().backward()
    assert all(torch.all(x.grad == 0) for x in (q, k, v))


def test_any_strides():
    whole = torch.randn(2, 37, 3, 6, 8, dtype=torch.float64)
    q, k, v = whole.unbind(2)  # [b, n, h, d] slices of one tensor
    views = [x.transpose(1, 2) for x in (q, k, v)]
    views[1] = views[1].flip(2)
    for impl in ("auto", "sdpa", *TILED):
        assert worst([attention(*views, mask=causal(), impl=impl)], [dense(*views, causal())[0]]) < EXACT
    one = torch.randn(1, 1, 1, 8, dtype=torch.float64).expand(2, 4, 5, 8)
    assert worst([attention(one, one, one, impl="tiled")], [dense(one, one, one)[0]]) < EXACT


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("impl", TILED)
def test_low_precision_is_no_worse_than_an_independent_reference(impl, dtype):
    q, k, v = draw(6, 1, 2, 1, 160, 160, 32, 32, dtype)
    true = [x.detach().double().requires_grad_() for x in (q, k, v)]
    mask = causal()
    wanted = dense(*true, mask)[0]
    exact = (wanted, *gradients(wanted, None, true))
    plain, ours = dense(q, k, v, mask)[0], attention(q, k, v, mask=mask, impl=impl)
    assert ours.dtype == dtype
    independent = (plain, *gradients(plain, None, [q, k, v]))
    found = (ours, *gradients(ours, None, [q, k, v]))
    for got, peer, truth in zip(found, independent, exact, strict=True):
        assert torch.linalg.norm(got.double() - truth) <= 1.5 * torch.linalg.norm(peer.double() - truth)


def test_a_hidden_nan_stays_hidden_and_a_seen_one_shows():
    q, k, v = draw(7, 1, 2, 2, 40, 40, 8, 8, grad=False)
    clean = attention(q, k, v, mask=causal(), impl="tiled")
    k[:, :, 30], v[:, :, 30, 0] = torch.nan, torch.inf
    for impl in TILED:
        found = attention(q, k, v, mask=causal(), impl=impl)
        assert worst([found[:, :, :30]], [clean[:, :, :30]]) < EXACT
        assert found[:, :, 30:].isnan().all()
        padded = attention(q, k, v, bias=key_padding(torch.tensor([0]), torch.tensor([30]), 40), impl=impl)
        assert padded.isfinite().all()


def test_an_infinite_value_that_is_seen_shows_as_itself():
    q, k, v = draw(8, 1, 1, 1, 6, 6, 4, 3, grad=False)
    v[0, 0, 2] = torch.tensor([torch.inf, -torch.inf, torch.nan])
    for impl in TILED:
        found = attention(q, k, v, mask=causal(), impl=impl)[0, 0]
        assert found[:2].isfinite().all()
        assert torch.equal(found[3].nan_to_num(7.0, 1.0, -1.0), torch.tensor([1.0, -1.0, 7.0], dtype=torch.float64))


def test_double_backward_is_refused_and_not_wrong():
    q, k, v = draw(9, 1, 1, 1, 4, 4, 4, 4)
    (first,) = torch.autograd.grad(attention(q, k, v, impl="tiled").sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="autograd"):
        first.sum().backward()
