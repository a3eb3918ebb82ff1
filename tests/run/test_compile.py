"""The approximations compile to one graph, forward and backward."""

import pytest
import torch

from attometer.program import causal, document, window
from attometer.run import (
    HashSizes,
    attention,
    favor_features,
    hyper_attention,
    linear_attention,
    linformer_attention,
    performer_attention,
    polynomial_attention,
    rope,
)

MASKS = (causal(), window(5), causal() & ~window(3), None, window(5))
FEATURES, MIX = favor_features(16, 8), torch.randn(6, 40)
FUNCTIONS = {
    "linear": lambda x: linear_attention(x, x, x, causal=True),
    "performer": lambda x: performer_attention(x, x, x, features=FEATURES, causal=True),
    "linformer": lambda x: linformer_attention(x, x, x, key_mix=MIX, value_mix=MIX),
    "polynomial": lambda x: polynomial_attention(x, x, x, degree=2),
    "hyper": lambda x: hyper_attention(x, x, x, sizes=HashSizes(8, 4, 3)),
    "hyper, causal": lambda x: hyper_attention(x, x, x, sizes=HashSizes(8, 4, 3), causal=True),
    "rope": rope,
}


@pytest.mark.parametrize("impl", ["auto", "sdpa", "tiled"])
def test_layers_with_other_masks_share_a_graph(impl):
    torch._dynamo.reset()

    def layers(x):
        for mask in MASKS:
            x = attention(x, x, x, mask=mask, impl=impl)
        return x

    # In float32 the rounding of the large scores of a third layer shows in some draws.
    x = torch.randn(1, 2, 40, 8, dtype=torch.float64, requires_grad=True)
    results = [function(x) for function in (torch.compile(layers, backend="aot_eager", fullgraph=True), layers)]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(torch.autograd.grad(r.square().sum(), x) for r in results))


@pytest.mark.parametrize(
    "made",
    [causal, lambda: causal() & window(3), lambda: ~window(3) | MASKS[1], lambda: document([4, 36]) & causal()],
)
def test_masks_made_inside_break_the_graph_or_say_so(made):
    torch._dynamo.reset()
    x = torch.randn(1, 2, 40, 8)

    def layer(x):
        return attention(2 * x, x, x, mask=made()).tanh()

    torch.testing.assert_close(torch.compile(layer, backend="eager")(x), layer(x))
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"give it as text|builtin operator `invert`"):
        torch.compile(layer, backend="eager", fullgraph=True)(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiles_to_one_graph(name):
    torch._dynamo.reset()
    x = torch.randn(1, 2, 40, 8, requires_grad=True)
    compiled = torch.compile(FUNCTIONS[name], backend="aot_eager", fullgraph=True)
    results = [function(x) for function in (compiled, FUNCTIONS[name])]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(torch.autograd.grad(r.square().sum(), x) for r in results))
