"""What a backward pass keeps, against what PyTorch's autograd saves."""

from typing import Any

import pytest

from attometer.count import count
from attometer.count.memory.footprint import saved_for_backward
from attometer.program import parse

torch = pytest.importorskip("torch")


def kept_by_autograd(function: Any, inputs: dict[str, tuple[int, ...]], weights: dict[str, tuple[int, ...]]) -> int:
    """Return the entries of the distinct storages that autograd saves, without weights."""
    arrays = {k: torch.randn(s, requires_grad=True) for k, s in {**inputs, **weights}.items()}
    storages: dict[int, Any] = {}
    own = {arrays[k].untyped_storage().data_ptr() for k in weights}

    def pack(tensor: Any) -> Any:
        storages[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        found = function(**arrays)
    found.sum().backward()
    return sum(t.untyped_storage().nbytes() // t.element_size() for at, t in storages.items() if at not in own)


def attention(Q: Any, K: Any, V: Any) -> Any:
    return torch.softmax(Q @ K.T / 2.0, dim=-1) @ V


def gated(X: Any, A: Any, B: Any, C: Any) -> Any:
    return (torch.nn.functional.silu(X @ A) * (X @ B)) @ C


def two_layers(X: Any, A: Any, B: Any) -> Any:
    return torch.relu(torch.tanh(X @ A) @ B)


def step(X: Any, H: Any, C: Any, Wi: Any, Wf: Any, Wg: Any, Wo: Any) -> Any:
    joined = X + H
    i, f, g, o = (
        torch.sigmoid(joined @ Wi),
        torch.sigmoid(joined @ Wf),
        torch.tanh(joined @ Wg),
        torch.sigmoid(joined @ Wo),
    )
    return o * torch.tanh(f * C + i * g)


MLP = {"A": (6, 7), "B": (6, 7), "C": (7, 5)}
GATES = {f"W{k}": (6, 6) for k in "ifgo"}
AUTOGRAD = {
    "softmax attention": (
        "axis i: n, j: m\nS[i,j] = Q[i,d] * K[j,d] / sqrt(d)\nP[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]",
        attention, {"Q": (3, 4), "K": (5, 4), "V": (5, 6)}, {}, {"n": 3, "m": 5, "d": 4, "e": 6},
    ),
    "gated feed-forward": (
        "weight A[c,f], B[c,f], C[f,o]\nG[i,f] = silu(X[i,c] * A[c,f])\nL[i,f] = X[i,c] * B[c,f]\nU[i,f] = G * L\nY[i,o] = U[i,f] * C[f,o]",
        gated, {"X": (3, 6)}, MLP, {"i": 3, "c": 6, "f": 7, "o": 5},
    ),
    "tanh and relu": (
        "weight A[c,f], B[f,o]\nG[i,f] = tanh(X[i,c] * A[c,f])\nY[i,o] = relu(G[i,f] * B[f,o])",
        two_layers, {"X": (3, 6)}, {"A": (6, 7), "B": (7, 5)}, {"i": 3, "c": 6, "f": 7, "o": 5},
    ),
    "one step of an LSTM": (
        "axis y: x\nweight Wi[x,y], Wf[x,y], Wg[x,y], Wo[x,y]\nJ[b,x] = X[b,x] + H[b,x]\nI[b,y] = sigmoid(J[b,x] * Wi[x,y])\n"
        "F[b,y] = sigmoid(J[b,x] * Wf[x,y])\nG[b,y] = tanh(J[b,x] * Wg[x,y])\nR[b,y] = sigmoid(J[b,x] * Wo[x,y])\n"
        "N[b,y] = F * C[b,y] + I * G\nT[b,y] = tanh(N)\nM[b,y] = R * T",
        step, {"X": (3, 6), "H": (3, 6), "C": (3, 6)}, GATES, {"b": 3, "x": 6},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AUTOGRAD)
def test_saved_is_what_autograd_keeps(name: str) -> None:
    text, function, inputs, weights, sizes = AUTOGRAD[name]
    assert count(parse(text)).at(**sizes).saved == kept_by_autograd(function, inputs, weights)


def test_names_of_what_is_saved() -> None:
    assert saved_for_backward(parse(AUTOGRAD["gated feed-forward"][0])) == {"X", "G.product", "G", "L", "U"}
    assert saved_for_backward(parse("Y[i] = exp(X[i])")) == {"Y"}
    assert saved_for_backward(parse("Y[i] = log(X[i])")) == {"X"}
    assert saved_for_backward(parse("Y[i] = 2 * X[i] + Z[i]")) == set()
