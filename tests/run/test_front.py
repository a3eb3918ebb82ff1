"""Calls as other libraries write them give what attometer's own words give; what means something else is refused."""

import pytest
import torch
import torch.nn.functional as F
from oracle import draw

from attometer.program import band, causal, document, window
from attometer.run import Alibi, Sinks, SoftCap, attention

Q, K, V = (x.detach() for x in draw(1, 2, 4, 2, 12, 12, 8, 8, torch.float32))
SEEN = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0)) < 0.7
SAME = {
    "text": ({"mask": "causal & window(3)"}, {"mask": causal() & window(3)}),
    "is_causal": ({"is_causal": True, "enable_gqa": True}, {"mask": causal()}),
    "not causal": ({"is_causal": False, "dropout_p": 0.0, "attn_mask": None}, {}),
    "causal": ({"causal": True, "softmax_scale": 0.3}, {"mask": causal(), "scale": 0.3}),
    "window_size": ({"causal": True, "window_size": (3, -1)}, {"mask": window(4)}),
    "both sides": ({"window_size": (3, 2)}, {"mask": band(3, 2)}),
    "sliding_window": ({"sliding_window": 4}, {"mask": window(4)}),
    "softcap": ({"softcap": 2.0, "is_causal": True}, {"bias": SoftCap(2.0), "mask": causal()}),
    "slopes": ({"alibi_slopes": torch.tensor([0.5, 0.25, 0.125, 0.0])}, {"bias": Alibi((0.5, 0.25, 0.125, 0.0))}),
    "sinks": ({"s_aux": torch.ones(4)}, {"bias": Sinks(torch.ones(4))}),
    "cu_seqlens": ({"cu_seqlens": torch.tensor([0, 5, 12]), "causal": True}, {"mask": causal() & document([5, 7])}),
    "two masks": ({"mask": "causal", "attn_mask": SEEN}, {"mask": (causal(), SEEN)}),
}


@pytest.mark.parametrize("impl", ["dense", "tiled"])
@pytest.mark.parametrize("name", SAME)
def test_names_of_other_libraries(name, impl) -> None:
    theirs, ours = SAME[name]
    assert torch.equal(attention(Q, K, V, impl=impl, **theirs), attention(Q, K, V, impl=impl, **ours))


@pytest.mark.parametrize(
    "shape", [(12, 12), (12,), (1, 12), (12, 1), (4, 12, 12), (2, 4, 12, 12), (2, 1, 1, 12), (1, 1, 1, 1)], ids=str
)
@pytest.mark.parametrize("kind", ["booleans", "numbers"])
def test_mask_tensors_as_torch_takes_them(shape, kind) -> None:
    rng = torch.Generator().manual_seed(2)
    mask = torch.randn(shape, generator=rng) if kind == "numbers" else torch.rand(shape, generator=rng) < 0.8
    if kind == "booleans" and shape != (1, 1, 1, 1):
        mask[..., 0] = True
    wide = mask.expand(*([1] * (2 - mask.dim())), 12, 12) if mask.dim() < 2 else mask.expand(*mask.shape[:-2], 12, 12)
    wanted = F.scaled_dot_product_attention(Q, K, V, attn_mask=wide, enable_gqa=True)
    for impl in ("auto", "tiled", "sdpa", "dense", "reference"):
        torch.testing.assert_close(attention(Q, K, V, mask=mask, impl=impl), wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(attention(Q, K, V, attn_mask=mask, impl=impl), wanted, rtol=1e-4, atol=1e-5)


def test_layouts_and_packed_sequences() -> None:
    turned = [x.transpose(1, 2) for x in (Q, K, V)]
    wanted, lse = attention(Q, K, V, mask="causal", return_lse=True, impl="tiled")
    found = attention(*turned, mask="causal", layout="bnhd", return_lse=True, impl="tiled")
    assert torch.equal(found[0].transpose(1, 2), wanted)
    assert torch.equal(found[1], lse)
    tokens = [x[0].transpose(0, 1) for x in (Q, K, V)]
    packed, logs = attention(*tokens, cu_seqlens_q=[0, 5, 12], cu_seqlens_k=[0, 5, 12], causal=True, return_lse=True)
    assert packed.shape == tokens[0].shape
    assert logs.shape == (4, 12)
    for part in (slice(0, 5), slice(5, 12)):
        one = attention(*[x[:1, :, part] for x in (Q, K, V)], mask="causal")
        torch.testing.assert_close(packed[part].transpose(0, 1), one[0], rtol=1e-4, atol=1e-5)


def test_a_batch_of_one_is_that_of_the_others() -> None:
    leaves = [x.clone().requires_grad_() for x in (Q, K[:1], V[:1])]
    made = attention(*leaves, mask="causal", impl="tiled")
    wanted = attention(Q, K[:1].expand(2, -1, -1, -1), V[:1].expand(2, -1, -1, -1), mask="causal", impl="tiled")
    assert torch.equal(made, wanted)
    assert [x.shape for x in torch.autograd.grad(made.sum(), leaves)] == [x.shape for x in leaves]


def test_autocast_and_a_learned_scale() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert attention(Q, K, V).dtype == torch.bfloat16
    scale = torch.tensor([0.5, 1.0, 2.0, 0.1], requires_grad=True)
    made = attention(Q, K, V, scale=scale, impl="tiled")
    assert torch.equal(made[:, 1], attention(Q, K, V, scale=1.0, impl="tiled")[:, 1])
    (grad,) = torch.autograd.grad(made.sum(), scale)
    assert (grad != 0).all()


def test_a_mask_as_text_inside_a_compiled_region() -> None:
    torch._dynamo.reset()

    @torch.compile(backend="eager", fullgraph=True)
    def function(q, k, v):
        return attention(q, k, v, mask="causal & window(3)", impl="tiled")

    assert torch.equal(function(Q, K, V), attention(Q, K, V, mask=causal() & window(3), impl="tiled"))
