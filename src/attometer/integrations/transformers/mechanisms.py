"""What if this model's full attention were another mechanism: run it."""

from typing import Any
from weakref import WeakKeyDictionary

from attometer.errors import AttometerError
from attometer.integrations.transformers.narrowing import narrowing
from attometer.integrations.transformers.refusals import refuse_model
from attometer.integrations.transformers.register import add_narrowed, attach
from attometer.run.choice import IMPLEMENTATIONS
from attometer.run.validation import check_name

_BEFORE: "WeakKeyDictionary[Any, str]" = WeakKeyDictionary()


def with_mechanism(model: Any, name: str, *, impl: str = "auto", **parameters: int) -> Any:
    """Give every full layer of `model` the mask of a mechanism; layers with a window of their own keep it.

    Weights stay as they are, and so does the cache: this says what a mechanism costs and computes on a real model, not
    what the model would have learned under it. `without_mechanism` undoes it.

    Args:
        model: a transformers model of one stack of layers.
        name: a mechanism of the catalogue that is softmax attention over a mask, such as "sliding_window".
        impl: which implementation of `attometer.run.attention` runs, or "auto".
        parameters: the mechanism's parameters; for sliding_window `left` and `right`, or `w`.

    Returns:
        The same model.

    Raises:
        AttometerError: a mechanism without such a form, wrong parameters, a model of several stacks, or a model type that
            does not use registered attention functions.
    """
    held = narrowing(name, **parameters)
    if impl != "auto":
        check_name("impl", impl, IMPLEMENTATIONS)
    refuse_model(model)
    if getattr(model.config, "is_encoder_decoder", False) or getattr(model.config, "sub_configs", None):
        raise AttometerError(
            f'model type "{model.config.model_type}" has several stacks of layers; give the one that shall change, such as '
            "its language_model"
        )
    said = ", ".join(f"{key}={value}" for key, value in parameters.items())
    chosen = f"attometer_{name}({said})" + ("" if impl == "auto" else f"[{impl}]")
    before = model.config._attn_implementation
    add_narrowed(chosen, held, impl)
    attach(model, chosen)
    _BEFORE.setdefault(model, before)
    return model


def without_mechanism(model: Any) -> Any:
    """Give `model` back the attention that it had before `with_mechanism`, and return it.

    Raises AttometerError if it has no mechanism.
    """
    if model not in _BEFORE:
        raise AttometerError(f'model type "{model.config.model_type}": it has no mechanism to undo')
    model.set_attn_implementation(_BEFORE.pop(model))
    return model
