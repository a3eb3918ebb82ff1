"""Figures from live counts, for any model and hardware; matplotlib is loaded when one is drawn."""

from attometer.report.figures.draw import FIGURES, draw_all

__all__ = ["FIGURES", "draw_all"]
