"""Attometer: what attention costs."""
