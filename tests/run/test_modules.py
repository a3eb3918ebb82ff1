"""Layers with projections: shapes, gradients to every weight, state round trips, decode equal to prefill."""

import pytest
import torch

from attometer.errors import AttometerError
from attometer.program import causal, window
from attometer.run import ContiguousCache, HashSizes
from attometer.run.modules import (
    Attention,
    HyperAttention,
    LinearAttention,
    LinformerAttention,
    PerformerAttention,
    PolynomialAttention,
)

LAYERS = {
    "softmax": lambda: Attention(16, heads=4, kv_heads=2, mask=causal(), rotary=True),
    "linear": lambda: LinearAttention(16, heads=4, kv_heads=1, causal=True),
    "performer": lambda: PerformerAttention(16, heads=2, features=8, causal=True),
    "linformer": lambda: LinformerAttention(16, heads=2, length=12, rank=4),
    "hyper": lambda: HyperAttention(16, heads=2, sizes=HashSizes(4, 4, 3)),
    "polynomial": lambda: PolynomialAttention(16, heads=4),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_weight_learns_and_state_survives(name):
    layer, x = LAYERS[name](), torch.randn(2, 12, 16)
    output = layer(x)
    assert output.shape == x.shape
    output.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    again = LAYERS[name]()
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), output)


@pytest.mark.parametrize("mask", [causal(), window(4)], ids=str)
def test_decode_equals_prefill(mask):
    layer, x = Attention(16, heads=4, kv_heads=2, mask=mask, rotary=True).double(), torch.randn(2, 12, 16).double()
    cache = ContiguousCache()
    parts = [layer(piece, cache=cache) for piece in x.split([5, 1, 1, 3, 2], dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), layer(x))
    linear = LinearAttention(16, heads=4, causal=True).double()
    state, steps = None, []
    for piece in x.split(1, dim=1):
        output, state = linear.step(piece, state)
        steps.append(output)
    torch.testing.assert_close(torch.cat(steps, 1), linear(x))


def test_cross_attention_and_redraw():
    x, context = torch.randn(2, 3, 16), torch.randn(2, 7, 16)
    assert Attention(16, heads=4)(x, context).shape == x.shape
    layer = PerformerAttention(16, heads=2, features=8)
    before = layer(x, context)
    layer.redraw(seed=1)
    assert not torch.equal(layer(x, context), before)


def test_words():
    with pytest.raises(AttometerError, match="kv_heads: got 3, expected a divisor of heads = 4"):
        Attention(16, heads=4, kv_heads=3)
    with pytest.raises(AttometerError, match="width: got 10, expected a multiple of heads = 4, or give head_width"):
        Attention(10, heads=4)
