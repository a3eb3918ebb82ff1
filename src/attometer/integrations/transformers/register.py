"""Registration with transformers' AttentionInterface and AttentionMaskInterface, and the check that it is used."""

from typing import Any

from transformers import AttentionInterface, AttentionMaskInterface

from attometer.errors import AttometerError, unknown
from attometer.integrations.transformers.attention_function import AttentionFunction, calls
from attometer.integrations.transformers.mask_function import attometer_mask
from attometer.integrations.transformers.narrowing import NARROWINGS, Narrowing, narrowing
from attometer.integrations.transformers.refusals import refuse_model
from attometer.run.choice import IMPLEMENTATIONS
from attometer.run.validation import check_name

_NAMES: list[str] = []


def register(impl: str = "auto") -> tuple[str, ...]:
    """Make `attn_implementation="attometer"` known to transformers, and `"attometer_<mechanism>"` for each masked one.

    Both the attention function and the mask function are registered: with the first alone transformers drops every mask.
    Calling it again changes `impl`.

    Args:
        impl: which implementation of `attometer.run.attention` runs, or "auto".

    Returns:
        The names. A mechanism's name stands for its catalogue defaults; `with_mechanism` takes other parameters.

    Raises:
        AttometerError: an unknown implementation.

    >>> register()
    ('attometer', 'attometer_bigbird', 'attometer_longformer', 'attometer_sliding_window', ...)
    """
    if impl != "auto":
        check_name("impl", impl, IMPLEMENTATIONS)
    add("attometer", AttentionFunction(impl))
    for name in NARROWINGS:
        add(f"attometer_{name}", AttentionFunction(impl, narrowing(name)))
    return registered_names()


def registered_names() -> tuple[str, ...]:
    """Return the names that transformers knows from attometer, in order of registration."""
    return tuple(_NAMES)


def add(name: str, function: AttentionFunction) -> None:
    """Register one attention function, with attometer's mask function."""
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, attometer_mask)
    if name not in _NAMES:
        _NAMES.append(name)


def add_narrowed(name: str, held: Narrowing, impl: str) -> None:
    """Register attention narrowed by a mechanism under `name`."""
    add(name, AttentionFunction(impl, held))


def attach(model: Any, implementation: str = "attometer") -> Any:
    """Let `model` run on attometer, after checking that it can, and check in its first forward that it did.

    Args:
        model: a transformers model; its implementation is set for all models inside it.
        implementation: a registered name.

    Returns:
        The model.

    Raises:
        AttometerError: a model type that does not use registered attention functions, now or in its first forward.
    """
    if implementation not in _NAMES:
        register()
    if implementation not in _NAMES:
        raise unknown("attn_implementation", implementation, _NAMES)
    refuse_model(model)
    model.set_attn_implementation(implementation)
    _check_first_forward(model, implementation)
    return model


def _check_first_forward(model: Any, implementation: str) -> None:
    before = [-1]

    def start(*_: Any) -> None:
        before[0] = calls()

    def end(*_: Any) -> None:
        for hook in hooks:
            hook.remove()
        # Someone may have set another implementation since.
        if model.config._attn_implementation == implementation and calls() == before[0]:
            raise AttometerError(
                f'model type "{model.config.model_type}" ran its first forward without calling the attention function '
                f'it was given ("{implementation}"); use attn_implementation="eager"'
            )

    hooks = (model.register_forward_pre_hook(start), model.register_forward_hook(end))
