"""Models and arguments that would be silently wrong or are not supported: refused, by name."""

import sys
from typing import Any

from attometer.errors import AttometerError

REFUSED = {
    "bloom": "it adds its mask to the scores itself",
    "mpt": "it adds its mask to the scores itself",
    "longformer": "it computes its own windows",
    "led": "it computes its own windows",
    "big_bird": "it computes its own blocks",
    "bigbird_pegasus": "it computes its own blocks",
    "falcon": "it chooses among attention classes of its own",
    "gptj": "it chooses among attention classes of its own",
    "codegen": "it computes attention itself",
    "xlnet": "it computes relative attention itself",
    "reformer": "it hashes its keys itself",
    "funnel": "it computes relative attention itself",
    "deberta": "it computes disentangled attention itself",
    "deberta-v2": "it computes disentangled attention itself",
}
"""Model types that ignore a registered attention function, or are wrong under one (transformers 5.23), and why."""


def _refused(model_type: str, why: str) -> AttometerError:
    return AttometerError(
        f'model type "{model_type}" does not use a registered attention function: {why}; '
        'load it with attn_implementation="eager"'
    )


def refuse_config(config: Any) -> None:
    """Raise AttometerError if models of this configuration do not use a registered attention function."""
    model_type = getattr(config, "model_type", None)
    if model_type in REFUSED:
        raise _refused(model_type, REFUSED[model_type])


def refuse_model(model: Any) -> None:
    """Raise AttometerError if `model`, or a model inside it, does not use a registered attention function.

    Besides the list of model types, the test is the one that transformers itself makes: does the module that defines the
    attention class ask the AttentionInterface?
    """
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise AttometerError(f"model: got {type(model).__name__}, expected a transformers PreTrainedModel")
    for part in model.modules():
        if not isinstance(part, PreTrainedModel):
            continue
        refuse_config(part.config)
        if type(part).__module__ in sys.modules and not part._can_set_attn_implementation():
            raise _refused(part.config.model_type, "its code never asks transformers' AttentionInterface")


def refuse_arguments(module: Any, options: dict[str, Any]) -> None:
    """Raise AttometerError for arguments of an attention call that attometer does not support."""
    name = type(module).__name__
    if options.get("output_attentions"):
        raise AttometerError(
            f"{name}: output_attentions=True is not supported, because attention weights are never formed; "
            'use attn_implementation="eager"'
        )
    for argument, meaning in (("head_mask", "a mask over heads"), ("cache", "a paged cache")):
        if options.get(argument) is not None:
            raise AttometerError(f'{name}: {argument}= ({meaning}) is not supported; use attn_implementation="sdpa"')
