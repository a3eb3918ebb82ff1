"""The notation files of `examples/`: each parses, prints, is counted as its graph is, and computes what its paper says."""

from pathlib import Path

import numpy as np
import pytest

from attometer.count import count
from attometer.mechanisms.subject import subject
from attometer.program import parse
from attometer.simulate.graph.dag import graph
from attometer.simulate.interpreter import interpret

FOLDER = Path(__file__).parents[2] / "examples"
FILES = sorted(FOLDER.glob("*.att"))
SIZES = {"b": 2, "e": 4, "h": 2, "n": 5, "d": 3, "D": 4, "u": 2, "v": 3, "r": 2, "l": 3, "B": 3, "k": 1, "w": 2, "x": 2}

Arrays = dict[str, np.ndarray]


def scores(Q: np.ndarray, K: np.ndarray) -> np.ndarray:
    return np.einsum("bhid,bhjd->bhij", Q, K) / np.sqrt(Q.shape[-1])


def softmax(x: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    x = x if seen is None else np.where(seen, x, -np.inf)
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def weigh(P: np.ndarray, V: np.ndarray) -> np.ndarray:
    return np.einsum("bhij,bhje->bhie", P, V)


def causal(n: int) -> np.ndarray:
    return np.tril(np.ones((n, n), dtype=bool))


def norm(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def differential(a: Arrays) -> np.ndarray:
    seen = causal(5)
    P = softmax(scores(a["Q"], a["K"]), seen)
    P = P - a["l"][:, None, None] * softmax(scores(a["R"], a["L"]), seen)
    return norm(weigh(P, a["V"])) * a["G"]


def talking_heads(a: Arrays) -> np.ndarray:
    T = np.einsum("bhij,kh->bkij", scores(a["Q"][None], a["K"][None]), a["A"])
    return weigh(np.einsum("bkij,kh->bhij", softmax(T), a["B"]), a["V"][None])[0]


def forgetting(a: Arrays) -> np.ndarray:
    total = np.cumsum(np.log(sigmoid(a["F"])), axis=-1)
    S = scores(a["Q"], a["K"]) + total[..., :, None] - total[..., None, :]
    return weigh(softmax(S, causal(5)), a["V"])


def sigmoid_attention(a: Arrays) -> np.ndarray:
    return weigh(sigmoid(scores(a["Q"], a["K"]) + a["c"]) * causal(5), a["V"])


def relu(a: Arrays) -> np.ndarray:
    return weigh(np.maximum(scores(a["Q"], a["K"]), 0) / 5, a["V"])


def soft_capped(a: Arrays) -> np.ndarray:
    return weigh(softmax(50 * np.tanh(scores(a["Q"], a["K"]) / 50), causal(5)), a["V"])


def multi_token(a: Arrays) -> np.ndarray:
    A, W = scores(a["Q"], a["K"]) * causal(5), a["W"]
    S = np.zeros_like(A)
    for u in range(W.shape[1]):
        for v in range(W.shape[2]):
            S[:, :, u:, v:] += A[:, :, : 5 - u, : 5 - v] * W[:, u, v][:, None, None]
    return weigh(softmax(S, causal(5)), a["V"])


def stick_breaking(a: Arrays) -> np.ndarray:
    share, P = sigmoid(scores(a["Q"], a["K"])), np.zeros((2, 2, 5, 5))
    for i in range(5):
        left = np.ones((2, 2))
        for j in reversed(range(i)):
            P[:, :, i, j] = share[:, :, i, j] * left
            left = left * (1 - share[:, :, i, j])
    return weigh(P, a["V"])


def cosformer(a: Arrays) -> np.ndarray:
    at = np.arange(5)
    P = np.einsum("bhid,bhjd->bhij", np.maximum(a["Q"], 0), np.maximum(a["K"], 0))
    P = P * np.cos(np.pi / 2 * (at[:, None] - at) / 5)
    return weigh(P / np.maximum(P.sum(-1, keepdims=True), 1e-6), a["V"])


def gated_linear(a: Arrays) -> np.ndarray:
    S, found = np.zeros((2, 2, 3, 3)), []
    for t in range(5):
        S = a["A"][:, :, t, :, None] * S + a["K"][:, :, t, :, None] * a["V"][:, :, t, None, :]
        found.append(np.einsum("bhd,bhde->bhe", a["Q"][:, :, t], S))
    return np.stack(found, axis=2)


def tensor_product(a: Arrays) -> np.ndarray:
    def joined(head: str, channel: str) -> np.ndarray:
        return np.einsum("birh,bird->bhid", a[head], a[channel]) / 2

    return weigh(softmax(scores(joined("A", "X"), joined("B", "Y")), causal(5)), joined("C", "Z"))


def nystrom(a: Arrays) -> np.ndarray:
    first, last = softmax(scores(a["Q"], a["T"])), softmax(scores(a["R"], a["K"]))
    middle = softmax(scores(a["R"], a["T"]))
    Z = np.swapaxes(middle, -1, -2) / middle.sum(-2).max(-1)[..., None, None]
    Z = 2 * Z - Z @ middle @ Z
    return first @ (Z @ (last @ a["V"]))


def delta_rule(a: Arrays) -> np.ndarray:
    """Token by token: the state decays, if it is gated (arXiv:2412.06464, equation 10), and forgets what it holds at a key
    before it stores the new value (Schlag et al. 2021)."""
    Q, K, V, share = (a[name].reshape(2, 6, -1) for name in "QKVa")
    decay = np.exp(a["l"]).reshape(2, 6) if "l" in a else np.ones((2, 6))
    S, found = np.zeros((2, 3, 4)), []
    for t in range(6):
        S = decay[:, t, None, None] * S
        old = np.einsum("hd,hde->he", K[:, t], S)
        S = S + share[:, t, :, None] * K[:, t, :, None] * (V[:, t] - old)[:, None, :]
        found.append(np.einsum("hd,hde->he", Q[:, t], S))
    return np.stack(found, axis=1).reshape(a["V"].shape)


def decayed(Q: np.ndarray, K: np.ndarray, V: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """Token by token: the state times the decay, plus the token's outer product (Q, K [h,n,d], V [h,n,e], decay [h,n])."""
    S, found = np.zeros((*Q.shape[::2], V.shape[-1])), []
    for t in range(Q.shape[1]):
        S = decay[:, t, None, None] * S + K[:, t, :, None] * V[:, t, None, :]
        found.append(np.einsum("hd,hde->he", Q[:, t], S))
    return np.stack(found, axis=1)


def mamba2(a: Arrays) -> np.ndarray:
    Q, K = (np.stack([a[name]] * 2) for name in "QK")
    return decayed(Q, K, a["V"], np.exp(a["A"]))


def native_sparse(a: Arrays) -> np.ndarray:
    """Query by query, each branch over the keys that it sees (blocks of 3, 1 of them chosen, a window of 2)."""
    (heads, n, d), out = a["Q"].shape, np.zeros(a["Q"].shape)
    C, D = (np.einsum("ctd,t->cd", a[x].reshape(n // 3, 3, d), a[w]) for x, w in ("KW", "VU"))

    def seen(h: int, i: int, K: np.ndarray) -> np.ndarray:
        return softmax(K @ a["Q"][h, i] / np.sqrt(d)) if len(K) else np.zeros(0)

    for i in range(n):
        weights = [seen(h, i, C[: (i + 1) // 3]) for h in range(heads)]
        # The block of the query itself comes first.
        own, past = i // 3 * 3, max(0, i - 1)
        for h in range(heads):
            full, near = slice(own, i + 1), slice(past, i + 1)
            parts = (weights[h] @ D[: (i + 1) // 3], seen(h, i, a["K"][full]) @ a["V"][full])
            parts = (*parts, seen(h, i, a["K"][near]) @ a["V"][near])
            out[h, i] = sum(a[gate][h, i] * part for gate, part in zip("xyz", parts, strict=True))
    return out


REFERENCES = {
    "lightning": lambda a: decayed(a["Q"], a["K"], a["V"], np.broadcast_to(a["l"][:, None], (2, 6))),
    "mamba2_chunked": mamba2,
    "native_sparse": native_sparse,
    "delta_rule_chunked": delta_rule,
    "gated_delta_chunked": delta_rule,
    "differential": differential,
    "talking_heads": talking_heads,
    "forgetting": forgetting,
    "sigmoid": sigmoid_attention,
    "relu": relu,
    "soft_capped": soft_capped,
    "multi_token": multi_token,
    "stick_breaking": stick_breaking,
    "cosformer": cosformer,
    "gated_linear": gated_linear,
    "tensor_product": tensor_product,
    "nystrom": nystrom,
    "rmsnorm_matmul": lambda a: norm(a["X"]) * a["G"] @ a["W"],
    "swiglu": lambda a: (a["X"] @ a["G"] * sigmoid(a["X"] @ a["G"]) * (a["X"] @ a["W"])) @ a["U"],
}


def drawn(name: str) -> tuple[Arrays, dict[str, int]]:
    made = subject(str(FOLDER / f"{name}.att"))
    sizes = {str(s): SIZES[str(s)] for s in made.program.symbols}
    if "B" in sizes:
        sizes |= {"n": 6}
    arrays = made.draw(sizes, np.random.default_rng(0))
    if name == "cosformer":
        arrays["Q"][0, 0, 0] = -1  # a query whose features are all 0 sees nothing
    if name == "nystrom":
        arrays["I"] = np.eye(3)
    return arrays, sizes


def test_every_file_has_a_reference() -> None:
    assert {file.stem for file in FILES} == set(REFERENCES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_values_are_those_of_the_paper(file: Path) -> None:
    program = subject(str(file)).program
    assert parse(str(program)) == program
    arrays, sizes = drawn(file.stem)
    found = interpret(program, arrays, sizes)[program.outputs[0].name]
    np.testing.assert_allclose(found, REFERENCES[file.stem](arrays), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_counts_are_those_of_the_graph(file: Path) -> None:
    program = subject(str(file)).program
    for n in (2, 4):
        sizes = {str(s): {"n": n, "k": 1}.get(str(s), 2) for s in program.symbols}
        at, built = count(program).at(**sizes), graph(program, sizes)
        assert at.work == built.work
        # What is ready at different times, as prefixes and rows of a mask are, may be counted a level deeper than it is.
        assert 0 <= at.depth - built.span <= (file.stem in ("forgetting", "stick_breaking"))
