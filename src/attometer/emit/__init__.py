"""Schedules as machine code: a loop nest is written as C++, compiled by the system's compiler, and called from torch."""
