"""Formulas compiled once, for Python, NumPy and JavaScript."""

from attometer.count.formulas.compiled import Compiled, compiled
from attometer.count.formulas.graph import Graph, Node

__all__ = ["Compiled", "Graph", "Node", "compiled"]
