"""Attention layers with their projections, one file for each family."""

from attometer.run.modules.hyper import HyperAttention
from attometer.run.modules.linear import LinearAttention
from attometer.run.modules.linformer import LinformerAttention
from attometer.run.modules.performer import PerformerAttention
from attometer.run.modules.polynomial import PolynomialAttention
from attometer.run.modules.softmax import Attention

__all__ = [
    "Attention",
    "HyperAttention",
    "LinearAttention",
    "LinformerAttention",
    "PerformerAttention",
    "PolynomialAttention",
]
