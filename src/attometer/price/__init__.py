"""Cost × machine → time: rooflines on real machines, Brent's bounds and cache-limited depth on ideal ones."""

from attometer.price.brent import Bounds, brent, brent_curve, cutoff
from attometer.price.cached_attention import rows_at_a_time, split, streamed
from attometer.price.cached_depth import tiled_map, tiled_matmul, tiled_sum
from attometer.price.roofline import Roofline, in_sequence, roofline
from attometer.price.tiling import Tiling, constant_until, curve

__all__ = [
    "Bounds",
    "Roofline",
    "Tiling",
    "brent",
    "brent_curve",
    "constant_until",
    "curve",
    "cutoff",
    "in_sequence",
    "roofline",
    "rows_at_a_time",
    "split",
    "streamed",
    "tiled_map",
    "tiled_matmul",
    "tiled_sum",
]
