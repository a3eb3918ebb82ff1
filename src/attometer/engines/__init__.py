"""Engines and recipes as data: what serving and training take beside the model, and what they leave for the cache."""

from attometer.engines.cache import CacheLayout, cache_layout, largest_context, requests, tokens
from attometer.engines.engine import NAMES, Engine, canonical, engine, superseded
from attometer.engines.padding import padding
from attometer.engines.pool import Pool, pool
from attometer.engines.positions import longest, rotary_tables
from attometer.engines.recipe import LOSSES, RECOMPUTE, Recipe, optimizers, recipe, recipes
from attometer.engines.training import Training, adapters, training

__all__ = [
    "LOSSES",
    "NAMES",
    "RECOMPUTE",
    "CacheLayout",
    "Engine",
    "Pool",
    "Recipe",
    "Training",
    "adapters",
    "cache_layout",
    "canonical",
    "engine",
    "largest_context",
    "longest",
    "optimizers",
    "padding",
    "pool",
    "recipe",
    "recipes",
    "requests",
    "rotary_tables",
    "superseded",
    "tokens",
    "training",
]
