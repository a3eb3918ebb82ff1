"""Fast execution of what attometer counts: one function for each meaning, whatever implementation runs it.

Needs torch (`pip install attometer[torch]`).
"""

from importlib.util import find_spec

from attometer.errors import AttometerError

if find_spec("torch") is None:
    raise AttometerError("attometer.run needs torch; pip install 'attometer[torch]'")

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
    "sinusoidal",
    "summarise",
    "unregister_kernel",
]
