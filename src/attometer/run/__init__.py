"""Fast execution of what attometer counts: one function for each meaning, whatever implementation runs it.

All but `run` on NumPy arrays needs torch (`pip install attometer[torch]`); without it only `run` is here.
"""

from importlib.util import find_spec
from typing import Any

from attometer.errors import needs
from attometer.rooms import make_callable
from attometer.run.verb import run

if find_spec("torch") is not None:
    from attometer.run.attention import attention, explain_choice
    from attometer.run.bench.cases import Setting
    from attometer.run.bench.measuring import Sample, measure
    from attometer.run.bench.summary import Measurements, summarise
    from attometer.run.biases import Additive, Alibi, Sinks, SoftCap, alibi, key_padding
    from attometer.run.checkpointing import CheckpointPlan, checkpoint_to_fit
    from attometer.run.choice import IMPLEMENTATIONS, Choice
    from attometer.run.decoding.cache import ContiguousCache, PagedCache
    from attometer.run.decoding.step import decode_attention
    from attometer.run.kernels import Kernel, register_kernel, unregister_kernel
    from attometer.run.linear.attention import LinearState, elu_plus_one, linear_attention
    from attometer.run.linear.hyper import HashSizes, hyper_attention
    from attometer.run.linear.linformer import linformer_attention
    from attometer.run.linear.performer import favor_features, performer_attention
    from attometer.run.linear.polynomial import polynomial_attention
    from attometer.run.positions import rope, sinusoidal

__all__ = [
    "IMPLEMENTATIONS",
    "Additive",
    "Alibi",
    "CheckpointPlan",
    "Choice",
    "ContiguousCache",
    "HashSizes",
    "Kernel",
    "LinearState",
    "Measurements",
    "PagedCache",
    "Sample",
    "Setting",
    "Sinks",
    "SoftCap",
    "alibi",
    "attention",
    "checkpoint_to_fit",
    "decode_attention",
    "elu_plus_one",
    "explain_choice",
    "favor_features",
    "hyper_attention",
    "key_padding",
    "linear_attention",
    "linformer_attention",
    "measure",
    "performer_attention",
    "polynomial_attention",
    "register_kernel",
    "rope",
    "run",
    "sinusoidal",
    "summarise",
    "unregister_kernel",
]


def __getattr__(name: str) -> Any:
    if name in __all__ and find_spec("torch") is None:
        raise AttributeError(needs(f"attometer.run.{name} needs", "torch", "torch"))
    raise AttributeError(f"module 'attometer.run' has no attribute {name!r}")


make_callable(__name__)
