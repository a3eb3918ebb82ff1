"""Compiled nests with biases, mask tensors, dropout and float64: against dense attention, and by finite differences."""

import pytest
import torch
from oracle import dense, draw, gradients

from attometer.emit import build
from attometer.emit.intervals import runs, seen_intervals
from attometer.errors import AttometerError
from attometer.program import band, causal, global_, random, window
from attometer.run import Additive, Alibi, Sinks, SoftCap, alibi, attention
from attometer.run.biases import terms

pytestmark = pytest.mark.skipif(build.unsupported() is not None, reason=f"no machine code: {build.unsupported()}")

B, H, G, N, M = 2, 4, 2, 50, 83


def random_tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def hiding() -> torch.Tensor:
    made = random_tensor(1, H, 1, M)
    made[..., 5:9] = -torch.inf
    return made


BIASES = {
    "cap": (SoftCap(2.0),),
    "alibi": (Alibi(alibi(H)),),
    "additive": (Additive(random_tensor(B, H, N, M)),),
    "additive of one key row": (Additive(hiding()),),
    "additive of one query column": (Additive(random_tensor(B, 1, N, 1)),),
    "sinks": (Sinks(torch.tensor([0.5, -1.0, 8.0, -torch.inf])),),
    "all": (SoftCap(3.0), Alibi(alibi(H)), Additive(random_tensor(1, 1, N, M)), Sinks(torch.zeros(H))),
}


def draw_seen(*shape: int, share: float = 0.5) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) < share


SEEN = {
    "padding": (torch.arange(M) < torch.tensor([[M - 3], [20]]))[:, None, None],
    "holes": draw_seen(B, 1, N, M),
    "by head": draw_seen(1, H, N, M, share=0.9),
    "two axes": draw_seen(N, M),
    "one query": draw_seen(B, H, 1, M),
    "nothing": torch.zeros(1, 1, 1, 1, dtype=torch.bool),
}
MASKS = (None, causal(), window(9), band(3, 3) | global_(1) | random(3, 1))


def compare(dtype, mask, bias, seen=None) -> None:
    """Hold output, log-sum-exp and gradients against float64, within what dense attention in the type errs."""
    q, k, v = draw(3, B, H, G, N, M, 24, 40, dtype)
    own, wide = ([x.detach().to(t).requires_grad_() for x in (q, k, v)] for t in (dtype, torch.float64))
    both = mask if seen is None else seen if mask is None else (mask, seen)
    found = attention(*own, mask=both, bias=bias, impl="compiled", return_lse=True)
    held = terms(bias)
    if seen is not None:
        hides = torch.zeros(seen.shape, dtype=torch.float64).masked_fill_(~seen, -torch.inf)
        held = terms((*(b for b in bias if not isinstance(b, Additive)), Additive(hides)))
    wanted = dense(*wide, mask, held)
    # Rows that see nothing are NaN in the gradients of the oracle: only their outputs are compared.
    alive = (wanted[1] != -torch.inf)[..., None]
    assert torch.equal(found[1] == -torch.inf, wanted[1] == -torch.inf)
    made = [(found[0] * alive).double(), *gradients(found[0] * alive, found[1], own)]
    true = [wanted[0] * alive, *gradients(torch.where(alive, wanted[0], 0), wanted[1], wide)]
    step = torch.finfo(dtype).eps
    for a, b in zip(made, true, strict=True):
        assert a.isfinite().all()
        assert float((a.double() - b.nan_to_num()).detach().norm()) <= 4 * step * (
            float(b.detach().nan_to_num().norm()) + 1
        )


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("name", BIASES)
def test_biases(name, mask) -> None:
    compare(torch.float32, mask, BIASES[name])


@pytest.mark.slow  # units to compile
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_types(dtype) -> None:
    compare(dtype, window(30), BIASES["all"])
    compare(dtype, None, ())
    compare(dtype, causal(), (), SEEN["padding"])


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("name", SEEN)
def test_mask_tensors_of_any_shape(name, mask) -> None:
    compare(torch.float32, mask, (), SEEN[name])


def test_a_soft_cap_of_small_scores_keeps_their_accuracy() -> None:
    q, k, v = (x.detach() for x in draw(4, 1, 1, 1, 64, 64, 32, 32, torch.float32))
    plain = attention(q * 0.01, k, v, impl="compiled").double()
    capped = attention(q * 0.01, k, v, bias=SoftCap(1e4), impl="compiled").double()
    assert float((plain - capped).norm() / plain.norm()) < 2e-7


@pytest.mark.slow  # units of float64 to compile
@pytest.mark.parametrize(
    "given", [{}, {"bias": (SoftCap(3.0), Alibi((0.5, 0.1)), Sinks(torch.zeros(2).double()))}], ids=str
)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_first_and_second_derivatives_by_finite_differences(given, dropout) -> None:
    leaves = draw(5, 1, 2, 1, 5, 7, 3, 4)

    def function(*qkv):
        return attention(*qkv, mask="causal", impl="compiled", return_lse=True, dropout=dropout, seed=3, **given)

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.slow
def test_gradients_of_sinks_and_of_a_learned_scale() -> None:
    leaves = draw(6, 1, 2, 1, 5, 7, 3, 4)
    sinks, scale = torch.randn(2).double().requires_grad_(), torch.rand(2).double().requires_grad_()

    def function(q, k, v, sinks, scale):
        return attention(q, k, v, bias=Sinks(sinks), scale=scale, impl="compiled", return_lse=True)

    # Sinks reach kernels in float32: their own differences are those of the reference.
    found = gradients(*function(*leaves, sinks, scale), [*leaves, sinks, scale])
    q = leaves[0] * scale[:, None, None]
    wanted = gradients(*dense(q, *leaves[1:], bias=terms(Sinks(sinks)), scale=1.0), [*leaves, sinks, scale])
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mask", [causal(), random(12, 0)], ids=str)
def test_dropout_drops_the_same_weights_in_every_tile_and_in_the_formula(mask) -> None:
    q, k, v = draw(7, B, H, G, 200, 300, 16, 16, torch.float32)
    found, wanted = (
        attention(q, k, v, mask=mask, dropout=0.4, seed=2**61 + 5, impl=impl) for impl in ("compiled", "dense")
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    for a, b in zip(*(gradients(x, None, [q, k, v]) for x in (found, wanted)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_dropout_keeps_the_weights_whole_on_average() -> None:
    q, k, v = draw(7, B, H, G, 200, 300, 16, 16, torch.float32)
    # The keys' sum of weights that are kept: 1 on average, and never that without dropout.
    ones = torch.ones_like(v)
    rows = attention(q, k, ones, dropout=0.4, seed=1, impl="compiled").detach()
    assert abs(float(rows.mean()) - 1) < 0.01
    assert float(rows.std()) > 0.01
    torch.manual_seed(0)
    first = attention(q, k, v, dropout=0.4)
    second = attention(q, k, v, dropout=0.4)
    torch.manual_seed(0)
    assert torch.equal(first, attention(q, k, v, dropout=0.4))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_hidden_reaches_no_output_and_no_gradient(bad) -> None:
    q, k, v = (x.detach() for x in draw(8, 1, 2, 1, 60, 60, 16, 16, torch.float32))
    k[:, :, 40:], v[:, :, 40:], q[:, :, 50:] = bad, bad, 0.0
    shown = torch.arange(60) < 40
    added = torch.zeros(60).masked_fill_(~shown, -torch.inf)[None, None, None]
    for given in ({"mask": shown}, {"bias": added}, {"mask": (causal(), shown)}, {"mask": random(20), "bias": added}):
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        made = attention(*leaves, impl="compiled", **given)
        assert made.isfinite().all()
        assert all(x.isfinite().all() for x in gradients(made, None, leaves))
    # Of a mask: queries before see nothing of it, those from it on all of it.
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    made = attention(*leaves, mask=causal(), impl="compiled")
    assert made[:, :, :40].isfinite().all()
    (slope,) = torch.autograd.grad(made[:, :, :40].sum(), leaves[:1])
    assert slope[:, :, :40].isfinite().all()


def test_what_is_not_run_is_named() -> None:
    x = torch.zeros(1, 1, 4, 8)
    bias = torch.zeros(1, 1, 4, 4, requires_grad=True)
    with pytest.raises(AttometerError, match='"compiled" does not support gradients of an additive bias; use "tiled"'):
        attention(x, x, x, bias=bias, impl="compiled")
    assert attention(x, x, x, bias=bias).requires_grad
    with pytest.raises(AttometerError, match='impl "tiled" does not support dropout; use "compiled" or "dense"'):
        attention(x, x, x, dropout=0.1, impl="tiled")


def test_vmap_and_gradients_by_sample() -> None:
    q, k, v = (torch.stack([x.detach()] * 3) for x in draw(9, 1, 2, 1, 9, 12, 8, 8, torch.float32))
    v = v * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None, None]

    def function(q, k, v):
        return attention(q, k, v, mask="causal", impl="compiled")

    wanted = torch.stack([function(*x) for x in zip(q, k, v, strict=True)])
    assert torch.equal(torch.func.vmap(function)(q, k, v), wanted)
    assert torch.equal(torch.func.vmap(function, in_dims=(0, None, 0))(q, k[0], v), wanted)
    # A second derivative or a gradient by sample is taken through plain operations.

    def loss(q, k, v):
        return attention(q, k, v, mask="causal", bias=SoftCap(5.0)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss))(q, k, v)
    for x in range(3):
        leaf = q[x].clone().requires_grad_()
        (one,) = torch.autograd.grad(loss(leaf, k[x], v[x]), leaf)
        torch.testing.assert_close(found[x], one, rtol=1e-4, atol=1e-5)


def test_gradients_under_transforms() -> None:
    q, k, v = (torch.stack([x.detach()] * 2) for x in draw(9, 1, 2, 1, 9, 12, 8, 8, torch.float32))

    def losses(impl):
        def loss(q, k, v):
            return attention(q, k, v, mask="causal", impl=impl).square().sum()

        yield from torch.func.grad(loss, (0, 1, 2))(q[0], k[0], v[0])
        yield torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))(q, k[0], v[0])
        yield torch.func.grad(lambda x: torch.func.grad(loss)(x, k[0], v[0]).sin().sum())(q[0])

    for got, want in zip(losses("compiled"), losses("dense"), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_runs_of_booleans_and_their_products_with_masks() -> None:
    for name, seen in SEEN.items():
        for mask in MASKS:
            wide = seen[(None,) * (4 - seen.dim())].expand(-1, -1, -1, M)
            found = seen_intervals("" if mask is None else str(mask), N, M, wide)
            assert found is not None
            start, end = found
            key = torch.arange(M)
            made = ((start[..., None] <= key) & (key < end[..., None])).any(-3)
            wanted = wide if mask is None else wide & torch.from_numpy(mask.matrix(N, M))
            assert torch.equal(made.expand(B, H, N, M), wanted.expand(B, H, N, M)), (name, mask)
    assert runs(torch.zeros(2, 0, 3, dtype=torch.bool))[0].shape == (2, 0, 0)
