"""Cost × machine → time: rooflines and predicted times on real machines, Brent's bounds on ideal ones."""

from attometer.price.brent import Bounds, brent, brent_curve, cutoff
from attometer.price.predict import Predicted, kernel_seconds
from attometer.price.roofline import Roofline, in_sequence, roofline
from attometer.price.verb import price
from attometer.rooms import make_callable

__all__ = [
    "Bounds",
    "Predicted",
    "Roofline",
    "brent",
    "brent_curve",
    "cutoff",
    "in_sequence",
    "kernel_seconds",
    "price",
    "roofline",
]

make_callable(__name__)
