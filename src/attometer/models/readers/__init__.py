"""Readers of configurations, by family."""
