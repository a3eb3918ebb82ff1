"""What a Program costs: work, depth, FLOPs by convention, memory, traffic and lower bounds; exact and symbolic."""

from attometer.count.bounds.attention import ATTENTION_BOUNDS, Bound, attention_sizes, best_bound
from attometer.count.conventions import CONVENTIONS, Convention
from attometer.count.cost import Cost, CostAt
from attometer.count.counting import count, dense
from attometer.count.memory.footprint import Memory, memory
from attometer.count.order import Order, order
from attometer.count.paths.path_length import PathLength, path_length
from attometer.count.paths.path_length_formula import PathFormula, path_length_formula
from attometer.count.traffic.tile_search import BestTiles, best_tiles
from attometer.rooms import make_callable

__all__ = [
    "ATTENTION_BOUNDS",
    "CONVENTIONS",
    "BestTiles",
    "Bound",
    "Convention",
    "Cost",
    "CostAt",
    "Memory",
    "Order",
    "PathFormula",
    "PathLength",
    "attention_sizes",
    "best_bound",
    "best_tiles",
    "count",
    "dense",
    "memory",
    "order",
    "path_length",
    "path_length_formula",
]


make_callable(__name__)
