"""The report of I/O: schedules, bounds, pictures."""
