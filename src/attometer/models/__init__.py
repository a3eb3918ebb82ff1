"""Real models: a Hugging Face configuration read into layers by layer type."""

from attometer.models.layer import Cache, Check, Layer, Model, Stack
from attometer.models.part import Part, Routed
from attometer.models.read import from_values, model
from attometer.models.shipped import shipped
from attometer.rooms import make_callable

__all__ = ["Cache", "Check", "Layer", "Model", "Part", "Routed", "Stack", "from_values", "model", "models", "shipped"]

models = shipped

make_callable(__name__)
