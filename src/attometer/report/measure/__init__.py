"""The report of measurements."""
