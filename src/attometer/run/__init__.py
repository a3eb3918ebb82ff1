"""Fast execution of what attometer counts: one function for each meaning, whatever implementation runs it.

Needs torch (`pip install attometer[torch]`).
"""

from importlib.util import find_spec

from attometer.errors import AttometerError

if find_spec("torch") is None:
    raise AttometerError("attometer.run needs torch; pip install 'attometer[torch]'")

from attometer.run.attention import attention, explain_choice
from attometer.run.biases import Additive, Alibi, Sinks, SoftCap, alibi, key_padding
from attometer.run.choice import IMPLEMENTATIONS, Choice
from attometer.run.kernels import Kernel, register_kernel, unregister_kernel

__all__ = [
    "IMPLEMENTATIONS",
    "Additive",
    "Alibi",
    "Choice",
    "Kernel",
    "Sinks",
    "SoftCap",
    "alibi",
    "attention",
    "explain_choice",
    "key_padding",
    "register_kernel",
    "unregister_kernel",
]
