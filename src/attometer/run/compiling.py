"""`compile`: from a Program's text to a torch function with gradients, as machine code."""

from typing import TYPE_CHECKING

from attometer.errors import extras
from attometer.mechanisms.subject import Subject, subject
from attometer.program import parse

if TYPE_CHECKING:
    from attometer.run.compiled_function import Compiled


def compile(what: Subject, /, *, impl: str = "auto", **sizes: int) -> "Compiled":
    """Return a Program as a function of torch tensors, with gradients: machine code, or Triton kernels for CUDA.

    Its nest is derived from its text, and so is that of its gradients: what they need of the forward pass is kept where it is
    no larger than the inputs, and computed again where it is as large as the scores. Memory is linear in the sequence, where
    no step sorts, gathers or scatters scores; gradients of a recurrence store its state at all places.

    Args:
        what: notation, a file of it (`mine.att`), a Program, a mechanism or its name.
        impl: "cpp", by the system's C++ compiler, or "triton"; "auto" takes the one of the tensors' device.
        **sizes: sizes that no input's shape tells, such as a window w.

    Raises:
        AttometerError: a fault in the notation, or torch is missing.

    >>> import torch
    >>> f = compile("Y[i,k] = relu(A[i,j] * B[j,k])")
    >>> f(torch.eye(2), torch.tensor([[1.0, -2.0], [3.0, 4.0]])).tolist()
    [[1.0, 0.0], [3.0, 4.0]]
    """
    with extras("compiled programs need"):
        from attometer.run.compiled_function import Compiled
    if isinstance(what, str) and ("=" in what or "\n" in what):
        what = parse(what)
    return Compiled(subject(what, **sizes).program, impl)
