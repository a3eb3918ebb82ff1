"""Programs as torch operators: their nests as machine code, forward and backward, with fake kernels and autograd."""

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import sympy
import torch

from attometer.emit.build import library
from attometer.emit.call import STATUS
from attometer.emit.kept import Made, kept
from attometer.emit.program import TYPES, Emitted, ProgramUnit, emitted
from attometer.emit.transforms import active, each_alone, transformable
from attometer.errors import AttometerError
from attometer.masks.counts import substitute
from attometer.program import Program, parse
from attometer.program.explicit import explicit
from attometer.program.expression import Where
from attometer.program.gradient import active_in
from attometer.program.keeping import declared, keeping
from attometer.schedule.lean import is_small, pieces
from attometer.sizes import size

I64, POINTER = ctypes.c_int64, ctypes.c_void_p
AXES = 8
"""The most axes of a tensor."""
ROWS, COLUMNS = 192, 64
"""Places of an axis in a tile, of rows and of a streamed axis: multiples of the register block, and what it makes of scores
stays in the L2 cache."""


class _Array(ctypes.Structure):
    _fields_ = [("data", POINTER), ("stride", I64 * AXES)]


class _Relation(ctypes.Structure):
    _fields_ = [("starts", POINTER), ("ends", POINTER), ("intervals", I64), ("queries", I64)]


COUNTS = ("arrays", "masks", "extents", "tiles", "sizes")


class _Problem(ctypes.Structure):
    _fields_ = [
        ("arrays", POINTER), ("masks", POINTER), ("extents", POINTER), ("tiles", POINTER), ("sizes", POINTER),
        *((f"{name}_count", I64) for name in COUNTS), ("threads", I64),
    ]  # fmt: skip


@dataclass(frozen=True)
class Sized:
    """A program at the sizes of a call."""

    shapes: dict[str, tuple[int, ...]]
    steps: tuple[tuple[str, tuple[tuple[int, int] | None, ...]], ...]
    """For each array the tensor that it is of, and for each of its axes (dimension, places) that a step moves."""
    extents: dict[str, int]
    intervals: dict[Where, tuple[np.ndarray, np.ndarray]]
    """For each mask the sorted intervals of keys that each query sees, int32 [intervals, queries]."""
    sizes: dict[str, int]


@dataclass(frozen=True)
class Bound:
    """What is handed to machine code beside the tensors, which it keeps alive."""

    sized: Sized
    fields: dict[str, Any]
    keep: tuple[Any, ...]


class Target(ABC):
    """A program as code for tensors of one type."""

    def __init__(self, text: str, dtype: torch.dtype, full: frozenset[str]) -> None:
        name = str(dtype).removeprefix("torch.")
        if name not in TYPES:
            raise AttometerError(f"compiled programs take tensors of {', '.join(TYPES)}, got {name}")
        self.text, self.dtype, self.full, self.type_name = text, dtype, full, name
        self.sums = torch.float64 if dtype == torch.float64 else torch.float32
        self.emitted = self.source()
        self.inputs = [name for name, _ in self.emitted.inputs]
        self.outputs = [name for name, _ in self.emitted.outputs]

    @abstractmethod
    def source(self) -> Emitted:
        """Return the program's code."""

    @abstractmethod
    def launch(self, at: dict[str, torch.Tensor], shapes: tuple[tuple[int, ...], ...]) -> None:
        """Run the program on tensors by name, which hold its results afterwards."""

    def type_of(self, name: str) -> torch.dtype:
        """Return the type of an output."""
        return self.sums if name in self.full else self.dtype

    @lru_cache(maxsize=64)  # noqa: B019 - targets live as long as the process
    def sized(self, shapes: tuple[tuple[int, ...], ...]) -> Sized:
        """Return the program at the sizes that the shapes of its inputs tell."""
        made = self.emitted
        numbers = _numbers(made, shapes)
        extents = {axis: int(extent.xreplace(numbers)) for axis, extent in made.extents}
        shaped = (*made.inputs, *made.outputs, *made.stored)
        known = {name: tuple(int(e.xreplace(numbers)) for e in of) for name, of in shaped}
        steps = tuple((of, _steps(known[of], [extents[a] for a in axes])) for _, of, axes in made.arrays)
        masks = {}
        for where in made.masks:
            n, m = extents[where.query], extents[where.key]
            start, end = substitute(where.mask, dict(numbers)).intervals(np.arange(n), n, m)
            masks[where] = np.ascontiguousarray(start, dtype=np.int32), np.ascontiguousarray(end, dtype=np.int32)
        sizes = {name: int(value.xreplace(numbers)) for name, value in made.sizes}
        return Sized(known, steps, extents, masks, sizes)

    def run(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the outputs of tensors, in the order of the program's inputs."""
        shapes = tuple(tuple(t.shape) for t in tensors)
        known = self.sized(shapes).shapes
        at = dict(zip(self.inputs, tensors, strict=True))
        for name in self.outputs:
            at[name] = tensors[0].new_empty(known[name], dtype=self.type_of(name))
        for name, _ in self.emitted.stored:
            at[name] = tensors[0].new_empty(known[name], dtype=self.sums)
        self.launch(at, shapes)
        return [at[name] for name in self.outputs]


_EMITTED = Emitted.to_json, Emitted.from_json


class Machine(Target):
    """A program as machine code."""

    def source(self) -> Emitted:
        """Return the program's C++."""
        asked = (self.text, self.type_name, *sorted(self.full))
        made = kept("nest", asked, lambda: emitted(_program(self.text), self.type_name, self.full), *_EMITTED)
        self.unit = ProgramUnit(made.text, self.type_name)
        self._library: ctypes.CDLL | None = None
        return made

    @property
    def library(self) -> ctypes.CDLL:
        """The loaded library, compiled when first asked for."""
        if self._library is None:
            self._library = library(self.unit)
        return self._library

    @lru_cache(maxsize=64)  # noqa: B019 - targets live as long as the process
    def bound(self, shapes: tuple[tuple[int, ...], ...]) -> Bound:
        """Return what a call of these shapes hands over."""
        made, sized = self.emitted, self.sized(shapes)
        masks = (_Relation * max(1, len(made.masks)))()
        for relation, (start, end) in zip(masks, sized.intervals.values(), strict=False):
            relation.starts, relation.ends = start.ctypes.data, end.ctypes.data
            relation.intervals, relation.queries = start.shape
        whole = np.array([*sized.extents.values()] or [1], dtype=np.int64)
        tiles = np.array([ROWS if rows else COLUMNS for _, rows in made.tiles] or [1], dtype=np.int64)
        sizes = np.array([*map(float, sized.sizes.values())] or [0.0])
        fields = {
            "masks": ctypes.addressof(masks), "extents": whole.ctypes.data, "tiles": tiles.ctypes.data,
            "sizes": sizes.ctypes.data, "masks_count": len(made.masks), "extents_count": len(made.extents),
            "tiles_count": len(made.tiles), "sizes_count": len(made.sizes), "arrays_count": len(made.arrays),
        }  # fmt: skip
        return Bound(sized, fields, (masks, whole, tiles, sizes))

    def launch(self, at: dict[str, torch.Tensor], shapes: tuple[tuple[int, ...], ...]) -> None:
        """Run the program's machine code."""
        held = self.bound(shapes)
        arrays = (_Array * len(held.sized.steps))()
        for array, (of, strides) in zip(arrays, strided(held.sized, at), strict=True):
            array.data = at[of].data_ptr()
            array.stride[: len(strides)] = strides
        problem = _Problem(arrays=ctypes.addressof(arrays), threads=torch.get_num_threads(), **held.fields)
        code = self.library.attometer_run(ctypes.byref(problem), ctypes.sizeof(problem))
        if code:
            raise AttometerError(f"the compiled program refused the call: {STATUS.get(code, f'status {code}')}")


def strided(sized: Sized, at: dict[str, torch.Tensor]) -> list[tuple[str, list[int]]]:
    """Return for each array the tensor that it is of, and how many elements a step along each of its axes moves."""
    return [(of, [at[of].stride(s[0]) * s[1] if s else 0 for s in steps]) for of, steps in sized.steps]


def _numbers(made: Emitted, shapes: tuple[tuple[int, ...], ...]) -> dict[sympy.Symbol, sympy.Integer]:
    """Return a number for every size."""
    found: dict[sympy.Symbol, sympy.Integer] = {}
    for (name, extents), shape in zip(made.inputs, shapes, strict=True):
        if len(extents) != len(shape):
            raise AttometerError(f'input "{name}" has {len(extents)} axes, got shape {list(shape)}')
        found |= {e: sympy.Integer(s) for e, s in zip(extents, shape, strict=True) if e.is_Symbol}
    missing = [s for s in made.symbols if size(s) not in found]
    if missing:
        raise AttometerError(f"size {', '.join(missing)} is told by no input's shape; give it where you compile")
    for (name, extents), shape in zip(made.inputs, shapes, strict=True):
        wanted = tuple(e.xreplace(found) for e in extents)
        if wanted != shape or 0 in shape:
            raise AttometerError(
                f'input "{name}" needs shape [{", ".join(map(str, extents))}] = {list(wanted)}, '
                f"each at least 1, got {list(shape)}"
            )
    return found


def _steps(shape: tuple[int, ...], axes: list[int]) -> tuple[tuple[int, int] | None, ...]:
    """Return for each axis of a nest the dimension that it runs along, and how many places a step moves.

    >>> _steps((2, 12), [2, 3, 4])
    ((0, 1), (1, 4), (1, 1))
    """
    found: list[tuple[int, int] | None] = []
    left = list(axes)
    for dimension, extent in enumerate(shape):
        taken = [left.pop(0)] if left else []
        while left and prod(taken) < extent:
            taken.append(left.pop(0))
        found += [(dimension, prod(taken[k + 1 :])) for k in range(len(taken))]
    return (*found, *[None] * len(left))


IMPLEMENTATIONS = ("auto", "cpp", "triton")
"""What a program may run as: C++ on the CPU, Triton kernels on CUDA; auto takes the one of the tensors' device."""


@lru_cache(maxsize=128)
def machine_of(text: str, dtype: torch.dtype, full: frozenset[str]) -> Machine:
    """Return the machine code of a program's text."""
    return Machine(text, dtype, full)


@lru_cache(maxsize=128)
def kernels_of(text: str, dtype: torch.dtype, full: frozenset[str]) -> Target:
    """Return the Triton kernels of a program's text."""
    from attometer.emit.triton_run import TritonTarget

    return TritonTarget(text, dtype, full)


def type_of(tensors: Sequence[torch.Tensor]) -> torch.dtype:
    """Return the type of a call's tensors: the only one, or the short one beside float32.

    Raises AttometerError for other mixtures, and for tensors on several devices or on one that nothing is compiled for.
    """
    devices = {t.device for t in tensors}
    for device in devices:
        if device.type not in ("cpu", "meta", "cuda"):
            raise AttometerError(f"compiled programs run on the CPU and on CUDA, got a tensor on {device}")
    if len(devices) > 1:
        raise AttometerError(f"tensors on one device, got {', '.join(sorted(map(str, devices)))}")
    found = {t.dtype for t in tensors}
    short = found - {torch.float32}
    if len(short) > 1 or (len(found) > 1 and not short <= {torch.bfloat16, torch.float16}):
        raise AttometerError(f"tensors of one type, or of a short one beside float32; got {', '.join(map(str, found))}")
    return short.pop() if short else torch.float32


def _machine(tensors: Sequence[torch.Tensor], text: str, full: Sequence[str], impl: str) -> Target:
    dtype = type_of(tensors)
    names = reading(text).inputs
    wide = {n for n, t in zip(names, tensors, strict=True) if t.dtype != dtype}
    on_gpu = tensors[0].device.type == "cuda"
    if impl == "cpp" and on_gpu:
        raise AttometerError('impl "cpp" runs on the CPU, got tensors on CUDA; "auto" runs them as Triton kernels')
    find = kernels_of if on_gpu or impl == "triton" else machine_of
    return find(text, dtype, frozenset(wide | set(full)))


@lru_cache(maxsize=128)
def _program(text: str) -> Program:
    return parse(text)


@dataclass(frozen=True)
class Reading:
    """What a program's text takes and gives, and the nests and scans that it runs as."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nests: str


@lru_cache(maxsize=128)
def reading(text: str) -> Reading:
    """Return what is to be known of a program's text.

    Raises AttometerError naming the operation that no nest runs.
    """

    def make() -> Reading:
        program = _program(text)
        shown = "\n\n".join(map(str, pieces(program)))
        inputs, outputs = (tuple(t.name for t in x) for x in (program.inputs, program.outputs))
        return Reading(inputs, outputs, shown)

    return kept("text", (text,), make, asdict, lambda held: _of_texts(Reading, held))


def _of_texts(kind: Callable[..., Made], held: dict[str, Any]) -> Made:
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in held.items()})


@torch.library.custom_op("attometer::compiled_program", mutates_args=())  # type: ignore[untyped-decorator]
def compiled_program(
    tensors: Sequence[torch.Tensor], text: str, full: str, source: str, impl: str
) -> list[torch.Tensor]:
    """Return the results of a program's text; `tensors` are its inputs in order, `full` results that stay in float32.

    `source` is the text whose gradients are taken where the results beyond its own are only kept for these.
    """
    return _machine(tensors, text, full.split(), impl).run(tensors)


@compiled_program.register_fake  # type: ignore[untyped-decorator]
def _(
    tensors: Sequence[torch.Tensor], text: str, full: str, source: str, impl: str
) -> list[torch.Tensor]:  # fmt: skip
    held = _machine(tensors, text, full.split(), impl)
    shapes = held.sized(tuple(tuple(int(s) for s in t.shape) for t in tensors)).shapes
    return [tensors[0].new_empty(shapes[name], dtype=held.type_of(name)) for name in held.outputs]


@dataclass(frozen=True)
class Gradients:
    """The texts of a program that also leaves what its gradients need, `kept`, and of its gradients; else as `keeping` has them."""

    forward: str
    backward: str
    kept: tuple[str, ...]
    arrives: tuple[str, ...]
    leaves: tuple[str, ...]
    inputs: tuple[str, ...]


@lru_cache(maxsize=128)
def gradients_of(text: str, of: tuple[str, ...], to: tuple[str, ...]) -> Gradients:
    """Return a program's gradients, and what its forward pass keeps for them; `to` may be empty for all inputs.

    Those of inputs that no result depends on smoothly leave nothing.
    """

    def make() -> Gradients:
        program = _program(text)
        if to and not active_in(explicit(declared(program)), {*of}, {*to}):
            return Gradients("", "", (), (), (), ())
        held = keeping(program, of, to, _small(text))
        return Gradients(str(held.forward), str(held.backward), held.kept, held.arrives, held.leaves, held.inputs)

    return kept("gradient", (text, *of, "", *to), make, asdict, lambda held: _of_texts(Gradients, held))


@lru_cache(maxsize=128)
def _small(text: str) -> Any:
    return is_small(_program(text))


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: list[torch.Tensor]) -> None:
    tensors, ctx.text, _, ctx.source, ctx.impl = inputs
    ctx.count = len(tensors)
    ctx.save_for_backward(*tensors, *output)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grads: Sequence[torch.Tensor | None]) -> tuple[Any, ...]:
    return _gradients(ctx, ctx.needs_input_grad[0], grads), None, None, None, None


def _gradients(ctx: Any, needed: Sequence[bool], grads: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """Return the gradients of a call's inputs that are needed."""
    tensors, outputs = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    inputs, results = reading(ctx.text).inputs, reading(ctx.text).outputs
    of = tuple(n for n, s in zip(results, grads, strict=True) if s is not None)
    to = tuple(n for n, need in zip(inputs, needed, strict=True) if need)
    own = reading(ctx.source).outputs
    held = gradients_of(ctx.source if {*own} >= {*of} else ctx.text, of, to) if of and to else None
    if held is None or not held.leaves:
        return [None] * ctx.count
    at = dict(zip((*inputs, *results), (*tensors, *outputs), strict=True))
    at |= dict(zip(held.arrives, (s for s in grads if s is not None), strict=True))
    if any(n not in at for n in held.kept):  # of a pass that was not asked to keep: computed once more
        again = held.forward
        given = [at[n] for n in reading(again).inputs]
        found = run_program(given, again, " ".join(held.kept), again, ctx.impl)
        at |= dict(zip(reading(again).outputs, found, strict=True))
    text, dtype = held.backward, type_of(tensors)
    full = " ".join(g for g, n in zip(held.leaves, held.inputs, strict=True) if at[n].dtype != dtype)
    given = [at[n] for n in reading(text).inputs]
    found = run_program(given, text, full, text, ctx.impl)
    made = dict(zip(reading(text).outputs, found, strict=True))
    leaves = dict(zip(held.inputs, (made[g] for g in held.leaves), strict=True))
    return [leaves.get(n) for n in inputs]


compiled_program.register_autograd(_backward, setup_context=_keep_for_backward)


torch.library.register_vmap(compiled_program, each_alone(compiled_program))


def _flat(text: str, full: str, source: str, impl: str, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(compiled_program(list(tensors), text, full, source, impl))


def _keep_flat(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    _keep_for_backward(ctx, (inputs[4:], *inputs[:4]), list(output))


def _backward_flat(ctx: Any, *grads: torch.Tensor | None) -> tuple[Any, ...]:
    return (None,) * 4 + tuple(_gradients(ctx, ctx.needs_input_grad[4:], grads))


_transformed = transformable(_flat, _keep_flat, _backward_flat)


def run_program(
    tensors: Sequence[torch.Tensor], text: str, full: str, source: str, impl: str
) -> Sequence[torch.Tensor]:
    """Return the results of `compiled_program`, also under torch.func's `grad`, `vjp` and `jacrev`."""
    if "Grad" in active():
        return _transformed(text, full, source, impl, *tensors)  # type: ignore[no-any-return]
    return compiled_program(tensors, text, full, source, impl)  # type: ignore[no-any-return]
