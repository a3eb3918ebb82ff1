"""Attometer's attention in Hugging Face models: `register()`, then `attn_implementation="attometer"`.

Needs transformers 5.23 or later (`pip install attometer[torch]`).
"""

from importlib.util import find_spec

from attometer.errors import AttometerError, needs

if find_spec("transformers") is None:
    raise AttometerError(needs("attometer.integrations.transformers needs", "transformers", "torch"))

from attometer.integrations.transformers.mask_structure import MaskHandle, MaskStructure
from attometer.integrations.transformers.mechanisms import with_mechanism, without_mechanism
from attometer.integrations.transformers.refusals import REFUSED, refuse_model
from attometer.integrations.transformers.register import attach, register, registered_names
from attometer.integrations.transformers.sequence_parallel import SEQUENCE_PARALLEL, sequence_parallel
from attometer.integrations.transformers.spread_inputs import Shard, shard_inputs, sum_gradients

__all__ = [
    "REFUSED",
    "SEQUENCE_PARALLEL",
    "MaskHandle",
    "MaskStructure",
    "Shard",
    "attach",
    "refuse_model",
    "register",
    "registered_names",
    "sequence_parallel",
    "shard_inputs",
    "sum_gradients",
    "with_mechanism",
    "without_mechanism",
]
