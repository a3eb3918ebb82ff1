"""How a calculation runs on a fast memory of M words: loop nests over tiles, transfers, and what stays resident."""

from attometer.rooms import make_callable
from attometer.schedule.catalogue import SCHEDULES, schedule
from attometer.schedule.nest import Schedule

__all__ = ["SCHEDULES", "Schedule", "schedule"]

make_callable(__name__)
