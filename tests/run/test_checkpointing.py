"""Checkpointing to a budget: the outcome fits, the prediction is near, and gradients do not change."""

import copy

import pytest
import torch
from torch import nn

from attometer.errors import AttometerError
from attometer.program import causal, window
from attometer.run import checkpoint_to_fit
from attometer.run.modules import Attention


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(64), Attention(64, 4, mask=causal() & window(32), impl="tiled")
        self.feed = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64))

    def forward(self, x):
        x = x + self.mix(self.norm(x))
        return x + self.feed(x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.layers, self.head = (
            nn.Embedding(50, 64),
            nn.ModuleList(Layer() for _ in range(6)),
            nn.Linear(64, 50),
        )

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


TOKENS = torch.arange(256).view(2, 128) % 50


@pytest.mark.parametrize("budget", [7_000_000, 5_000_000, 4_000_000, 3_000_000])
def test_the_step_fits_and_the_prediction_is_near(budget):
    plan = checkpoint_to_fit(Model(), budget, TOKENS)
    assert plan.measured <= budget
    assert plan.measured <= plan.predicted <= 1.25 * plan.measured
    assert bool(plan.recomputed) == (plan.unchanged > budget)


def test_gradients_do_not_change():
    plain = Model()
    saving = copy.deepcopy(plain)
    plan = checkpoint_to_fit(saving, 3_500_000, TOKENS)
    assert plan.recomputed
    assert all(p.grad is None for p in saving.parameters())
    for model in (plain, saving):
        model(TOKENS).square().sum().backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_a_smaller_budget_recomputes_more():
    counts = [len(checkpoint_to_fit(Model(), b, TOKENS).recomputed) for b in (6_000_000, 4_500_000, 3_500_000)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_words():
    with pytest.raises(AttometerError, match="budget: got 1,000 bytes, expected at least"):
        checkpoint_to_fit(Model(), 1000, TOKENS)
    with pytest.raises(AttometerError, match="model: got no ModuleList or Sequential of several blocks"):
        checkpoint_to_fit(nn.Linear(2, 2), 1000, torch.ones(1, 2))
