"""Engines and recipes as data: what serving and training take beside the model, and what they leave for the cache."""

from attometer.engines.cache import CacheLayout, cache_layout, largest_context, requests, tokens
from attometer.engines.engine import NAMES, Engine, engine
from attometer.engines.pool import Pool, pool

__all__ = [
    "NAMES",
    "CacheLayout",
    "Engine",
    "Pool",
    "cache_layout",
    "engine",
    "largest_context",
    "pool",
    "requests",
    "tokens",
]
