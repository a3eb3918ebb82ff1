"""Schedules executed on a scratchpad that counts words."""
