"""Exact attention in tiles, forward and backward."""
