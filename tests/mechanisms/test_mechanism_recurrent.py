"""Recurrences against a loop over tokens."""

from typing import Any

import numpy as np
import pytest
from plain import drawn, worst


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _affine(x: Any, gate: str, token: Any, state: Any) -> Any:
    return token @ x[f"U{gate}"] + state @ x[f"W{gate}"] + x[f"B{gate}"]


def test_rnn() -> None:
    _, x, out = drawn("rnn")
    state = np.zeros((2, 6))
    for t in range(12):
        state = np.tanh(_affine(x, "H", x["X"][:, t], state))
        assert worst(out["H"][:, t], state) < 1e-12


def test_lstm() -> None:
    _, x, out = drawn("lstm")
    state, cell = np.zeros((2, 6)), np.zeros((2, 6))
    for t in range(12):
        i, f, o = (_sigmoid(_affine(x, gate, x["X"][:, t], state)) for gate in "IFO")
        cell = f * cell + i * np.tanh(_affine(x, "G", x["X"][:, t], state))
        state = o * np.tanh(cell)
        assert worst(out["H"][:, t], state) < 1e-12


def test_gru() -> None:
    _, x, out = drawn("gru")
    state = np.zeros((2, 6))
    for t in range(12):
        r, z = (_sigmoid(_affine(x, gate, x["X"][:, t], state)) for gate in "RZ")
        new = np.tanh(x["X"][:, t] @ x["UN"] + x["BN"] + r * (state @ x["WN"] + x["A"]))
        state = (1 - z) * new + z * state
        assert worst(out["H"][:, t], state) < 1e-12


@pytest.mark.parametrize("associative", [False, True])
def test_ssm(associative: bool) -> None:
    _, x, out = drawn("ssm", associative=associative)
    for b in range(2):
        for h in range(4):
            state = np.zeros((3, 6))
            for t in range(12):
                state = x["A"][b, h, t] * state + np.outer(x["W"][b, t], x["X"][b, h, t])
                assert worst(out["Y"][b, h, t], x["R"][b, t] @ state) < 1e-12


def test_gated_delta() -> None:
    _, x, out = drawn("gated_delta", e=4)
    for b in range(2):
        for h in range(4):
            state = np.zeros((6, 4))
            for t in range(12):
                key, beta = x["K"][b, h, t], x["B"][b, h, t]
                erase = np.eye(6) - beta * np.outer(key, key)
                state = x["A"][b, h, t] * erase @ state + beta * np.outer(key, x["V"][b, h, t])
                assert worst(out["O"][b, h, t], x["Q"][b, h, t] @ state) < 1e-12


def test_gated_delta_recalls_what_it_wrote() -> None:
    made, x, _ = drawn("gated_delta", sizes={"b": 1, "h": 1, "n": 4, "d": 4})
    from attometer.simulate.interpreter import interpret

    keys = np.eye(4)[None, None]
    ones = np.ones((1, 1, 4))
    out = interpret(made.program, {"Q": keys, "K": keys, "V": x["V"], "A": ones, "B": ones})
    assert worst(out["O"], x["V"]) < 1e-12
