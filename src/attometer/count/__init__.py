"""What a Program costs: work, depth, FLOPs by convention, memory, traffic and lower bounds; exact and symbolic."""

from attometer.count.conventions import CONVENTIONS, Convention
from attometer.count.cost import Cost, CostAt
from attometer.count.counting import count, dense
from attometer.count.memory import Memory, memory
from attometer.count.order import Order, order
from attometer.rooms import make_callable

__all__ = ["CONVENTIONS", "Convention", "Cost", "CostAt", "Memory", "Order", "count", "dense", "memory", "order"]


make_callable(__name__)
