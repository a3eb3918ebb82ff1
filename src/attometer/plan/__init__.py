"""What fits, how fast, what limits it and what would help: a model on a machine."""

from attometer.plan.devices import Devices, devices
from attometer.plan.levers import Lever
from attometer.plan.options import Options
from attometer.plan.planner import Estimate, Grid, Planner, planner
from attometer.plan.planning import plan
from attometer.plan.result import Plan
from attometer.plan.serving import EngineOptions
from attometer.plan.side_by_side import SideBySide, side_by_side
from attometer.plan.sweep import Sweep, sweep
from attometer.plan.usage import LayerTime, MemoryFootprint
from attometer.rooms import make_callable

__all__ = [
    "Devices",
    "EngineOptions",
    "Estimate",
    "Grid",
    "LayerTime",
    "Lever",
    "MemoryFootprint",
    "Options",
    "Plan",
    "Planner",
    "SideBySide",
    "Sweep",
    "devices",
    "plan",
    "planner",
    "side_by_side",
    "sweep",
]

make_callable(__name__)
