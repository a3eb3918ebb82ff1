"""Cost × machine → time: rooflines on real machines, Brent's bounds on ideal ones."""

from attometer.price.brent import Bounds, brent, brent_curve, cutoff
from attometer.price.roofline import Roofline, in_sequence, roofline

__all__ = ["Bounds", "Roofline", "brent", "brent_curve", "cutoff", "in_sequence", "roofline"]
