"""What fits, how fast, what limits it and what would help: a model on a machine."""

from attometer.plan.levers import Lever
from attometer.plan.options import Options
from attometer.plan.planning import largest_context, plan
from attometer.plan.result import Plan
from attometer.plan.usage import Holds, Share
from attometer.rooms import make_callable

__all__ = ["Holds", "Lever", "Options", "Plan", "Share", "largest_context", "plan"]

make_callable(__name__)
