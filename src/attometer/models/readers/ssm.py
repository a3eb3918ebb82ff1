"""State-space and linear-attention pieces as parts, each with the form that transformers executes as its reference."""

from dataclasses import replace

from attometer.mechanisms import norms, state_space
from attometer.models.part import Part, over, part
from attometer.program import size

CHUNK = 64


def convolution(channels: int, kernel: int, bias: bool, function: str = "silu") -> Part:
    """Return a causal depthwise convolution; the reference computes `kernel - 1` outputs more, and drops them."""
    run = part("conv", state_space.convolution(bias, function), D=channels, u=kernel)
    return replace(run, reference=over(run.program, n=size("n") + kernel - 1))


def mamba_scan(channels: int, states: int) -> Part:
    """Return the selective scan of Mamba (Gu & Dao 2023, arXiv:2312.00752)."""
    return part("scan", state_space.mamba(), D=channels, s=states)


def mamba2_scan(heads: int, d: int, groups: int, states: int, chunk: int) -> Part:
    """Return the scan of Mamba 2 (Dao & Gu 2024, arXiv:2405.21060), with the chunked form as reference."""
    chunked = state_space.MAMBA2_CHUNKED
    return part("scan", state_space.mamba2(), chunked, h=heads, d=d, g=groups, s=states, B=chunk)


def delta_rule(heads: int, keys: int, values: int, per_channel: bool = False) -> Part:
    """Return the gated delta rule (Yang et al. 2024, arXiv:2412.06464); with a decay per key channel it is Kimi's (arXiv:2510.26692)."""
    text, chunked = state_space.gated_delta(per_channel), state_space.gated_delta_chunked(per_channel)
    return part("delta rule", text, chunked, h=heads, d=keys, e=values, B=CHUNK)


def decay(heads: int, d: int | None = None) -> Part:
    """Return the decay of a gated delta net, per head or, where `d` is given, per channel."""
    return part("decay", state_space.decay(d is not None), h=heads, d=d or 1)


def gated_norm(heads: int, d: int) -> Part:
    """Return a norm of each head times the activation of a gate."""
    return part("gated norm", norms.GATED_NORM, h=heads, d=d)
