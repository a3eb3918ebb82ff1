"""Real models: a Hugging Face configuration read into layers by layer type."""

from attometer.models.layer import CacheSize, Check, Layer, Model, Stack
from attometer.models.part import MoE, Part
from attometer.models.read import from_values, model
from attometer.models.shipped import shipped
from attometer.rooms import make_callable

__all__ = ["CacheSize", "Check", "Layer", "MoE", "Model", "Part", "Stack", "from_values", "model", "models", "shipped"]

models = shipped

make_callable(__name__)
