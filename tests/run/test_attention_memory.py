"""Memory grows with the length and not with its square: no n × n tensor is ever made."""

import pytest
import torch

from attometer.program import Mask, band, causal, global_, strided, window
from attometer.run import attention
from attometer.run.bench.memory import TensorBytes, high_water

N = 8192
SQUARE = 4 * N * N  # bytes of one n × n float32 matrix; one of booleans is a quarter of it
MASKS: dict[str, Mask | None] = {
    "full": None,
    "causal": causal(),
    "window": window(128),
    "longformer": band(64, 64) | global_(1),
    "strided": causal() & (window(64) | strided(128)),
}


@pytest.mark.parametrize("mask", MASKS)
def test_forward_and_backward_never_hold_a_square(mask):
    if high_water(lambda: None) is None:
        pytest.skip("the system does not tell a process's high-water mark")

    def step(n):
        q, k, v = (torch.randn(1, 1, n, 8, requires_grad=True) for _ in "qkv")
        attention(q, k, v, mask=MASKS[mask], impl="tiled").sum().backward()

    step(64)
    assert high_water(lambda: step(N)) < SQUARE / 6


def test_what_the_graph_keeps_is_linear():
    kept = []
    for n in (512, 1024, 2048):
        q, k, v = (torch.randn(1, 2, n, 16, requires_grad=True) for _ in "qkv")
        with TensorBytes() as counted:
            output = attention(q, k, v, mask=causal(), impl="tiled")
        kept.append(counted.alive)
        assert output.shape[2] == n
    assert kept == [4 * 2 * n * (16 + 1) for n in (512, 1024, 2048)]  # the output and the log-sum-exp
