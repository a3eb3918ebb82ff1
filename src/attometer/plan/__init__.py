"""What fits, how fast, what limits it and what would help: a model on a machine."""

from attometer.plan.levers import Lever
from attometer.plan.options import Options
from attometer.plan.planner import Estimate, Grid, Planner, planner
from attometer.plan.planning import plan
from attometer.plan.result import Plan
from attometer.plan.sweep import Sweep, sweep
from attometer.plan.usage import LayerTime, MemoryFootprint
from attometer.rooms import make_callable

__all__ = [
    "Estimate",
    "Grid",
    "LayerTime",
    "Lever",
    "MemoryFootprint",
    "Options",
    "Plan",
    "Planner",
    "Sweep",
    "plan",
    "planner",
    "sweep",
]

make_callable(__name__)
