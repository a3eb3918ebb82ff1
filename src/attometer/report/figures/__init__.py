"""Figures from live counts, for any model and hardware; matplotlib is loaded when one is drawn."""

from attometer.report.figures.draw import FIGURES, Drawn, draw_all

__all__ = ["FIGURES", "Drawn", "draw_all"]
