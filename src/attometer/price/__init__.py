"""Cost × machine → time: rooflines on real machines, Brent's bounds on ideal ones."""

from attometer.price.brent import Bounds, brent, brent_curve, cutoff
from attometer.price.roofline import Roofline, in_sequence, roofline
from attometer.price.verb import price
from attometer.rooms import make_callable

__all__ = ["Bounds", "Roofline", "brent", "brent_curve", "cutoff", "in_sequence", "price", "roofline"]

make_callable(__name__)
