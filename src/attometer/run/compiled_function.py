"""A Program as a function of torch tensors, forward and backward as machine code."""

from typing import Any

import torch

from attometer.emit.compiled import IMPLEMENTATIONS, gradients_of, kernels_of, machine_of, reading, run_program, type_of
from attometer.errors import AttometerError
from attometer.program import Program
from attometer.program.keeping import declared
from attometer.run import transforms
from attometer.run.validation import check_name
from attometer.schedule.gathers import with_gathers_apart
from attometer.simulate.sizes import bind
from attometer.view.printed import Printed


class Compiled(Printed):
    """A Program as a function of torch tensors; `print` shows the nests that it runs.

    Attributes:
        program: what it computes.
    """

    def __init__(self, program: Program, impl: str = "auto", full: tuple[str, ...] = ()) -> None:
        check_name("impl", impl, IMPLEMENTATIONS)
        self.impl, self._full = impl, " ".join(full)
        self.program = declared(program)
        self._text = str(with_gathers_apart(self.program))
        self._reading = reading(self._text)
        self.inputs, self.outputs = self._reading.inputs, self._reading.outputs
        self._known: set[tuple[tuple[int, ...], ...]] = set()
        self._refused: AttometerError | None = None
        try:
            held = gradients_of(self._text, self.outputs, ())
            reading(held.backward)
        except AttometerError as error:
            self._refused = error
            return
        # With gradients to come, what the backward pass reads is kept by the forward pass; without, nothing is.
        self._keeping = held.forward, " ".join([*full, *(n for n in held.kept if n not in self.outputs)])
        self._places = list(map(reading(held.forward).outputs.index, self.outputs))

    def __call__(self, *tensors: torch.Tensor, **named: torch.Tensor) -> Any:
        """Return the result, or a tuple of all in the program's order.

        Args:
            tensors: the program's inputs in its order, each with its shape there, on the CPU or on CUDA; float32, bfloat16, float16 or
                float64, and integers below 2^24 beside them, as of positions. Sums are formed in float32, of float64 tensors in float64.
            **named: inputs by name, instead.

        Raises:
            AttometerError: an input that is missing, of another shape or type, or a machine without a compiler or Triton.
        """
        given = self._given(tensors, named)
        lacks = transforms.unsupported("compiled")
        if lacks is not None:
            raise AttometerError(f"compiled programs do not support {lacks}; torch.func.grad, vjp and jacrev work")
        if not torch.compiler.is_compiling():
            self._check(given)
        if torch.is_grad_enabled() and any(t.requires_grad for t in given):
            if self._refused is not None:
                raise AttometerError(f"its gradients are not compiled: {self._refused}")
            found = run_program(given, *self._keeping, self._text, self.impl)
            wanted = tuple(found[k] for k in self._places)
        else:
            wanted = tuple(run_program(given, self._text, self._full, self._text, self.impl))
        return wanted[0] if len(wanted) == 1 else wanted

    def _given(self, tensors: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        if len(tensors) > len(self.inputs):
            raise AttometerError(f"takes {len(self.inputs)} tensors ({', '.join(self.inputs)}), got {len(tensors)}")
        at = dict(zip(self.inputs, tensors, strict=False))
        for name, tensor in named.items():
            if name not in self.inputs or name in at:
                raise AttometerError(
                    f'input "{name}" is {"given twice" if name in at else "none of the program"}; inputs: {", ".join(self.inputs)}'
                )
            at[name] = tensor
        missing = [n for n in self.inputs if n not in at]
        if missing:
            raise AttometerError(f"input {', '.join(missing)} is missing; inputs: {', '.join(self.inputs)}")
        for name, tensor in at.items():
            if not isinstance(tensor, torch.Tensor):
                raise AttometerError(f'input "{name}" must be a torch tensor, got {type(tensor).__name__}')
        wide = torch.float64 if any(t.dtype == torch.float64 for t in at.values()) else torch.float32
        counted = any(t.is_floating_point() for t in at.values())
        return [at[n].to(wide) if counted and not at[n].is_floating_point() else at[n] for n in self.inputs]

    def _check(self, given: list[torch.Tensor]) -> None:
        shapes = tuple(tuple(map(int, t.shape)) for t in given)
        if shapes not in self._known:
            type_of(given)
            bind(self.program, dict(zip(self.inputs, given, strict=True)), {})
            self._known.add(shapes)

    def source(self, dtype: torch.dtype = torch.float32) -> str:
        """Return the C++ for tensors of a type; with impl "triton" the Triton kernels."""
        find = kernels_of if self.impl == "triton" else machine_of
        return find(self._text, dtype, frozenset()).emitted.text

    def __str__(self) -> str:
        return self._reading.nests
