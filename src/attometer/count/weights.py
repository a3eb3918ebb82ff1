"""Bytes of a model's weights as a file or an engine stores them: each module in its own format, scales included."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import sympy

from attometer.formats import Storage, stored_bytes
from attometer.models.layer import Model
from attometer.models.part import Part
from attometer.program import Program
from attometer.program.expression import Ref, walk
from attometer.program.operations import Einsum
from attometer.program.recurrences import refs_of


class Formats(Protocol):
    """What says in which format a part of a layer is stored: `WeightFormats`, or a GGUF mix."""

    @property
    def name(self) -> str:
        """What the formats are called."""

    def __hash__(self) -> int:
        """Formats are compared and kept as keys."""

    @property
    def default(self) -> Storage:
        """The format of what is no matrix product: norms, biases, lookups."""

    @property
    def by_layer(self) -> bool:
        """Whether layers of one kind may differ."""

    def of(self, layer: int | None, kind: str, part: str) -> Storage:
        """Return the format of the matrices of `part` in layer number `layer` of `kind`."""


@dataclass(frozen=True)
class StoredWeights:
    """Bytes by format, and by kind of layer (`embedding` and `head` beside the layers')."""

    by_format: Mapping[str, int]
    by_kind: Mapping[str, int]

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.by_format.values())


def matrices_and_rest(part: Part) -> tuple[int, int]:
    """Return the elements of a part's matrices, all experts and copies, and those of its vectors (norms, biases).

    >>> from attometer.models import model
    >>> q = model("qwen2.5-0.5b").layers[0].layer.parts[1]
    >>> q.name, matrices_and_rest(q)
    ('q', (802816, 896))
    """
    return (0, 0) if part.tied else _matrices_and_rest(part)


def _matrices_and_rest(part: Part) -> tuple[int, int]:
    matrices, rest = weight_elements(part.program)
    return part.copies * int(matrices), part.copies * int(rest)


@lru_cache(maxsize=4096)
def weight_elements(program: Program) -> tuple[sympy.Expr, sympy.Expr]:
    """Return the elements of a program's matrices, all experts, and those of its vectors, in its sizes.

    >>> from attometer.program import parse
    >>> weight_elements(parse("weight W[c,o], B[o]" + chr(10) + "Y[b,i,o] = X[b,i,c] * W[c,o] + B[o]"))
    (c*o, o)
    """
    matrices = _matrices(program)
    sizes = {tensor.name: tensor.size for tensor in program.weights}
    inside = sympy.Add(*(size for name, size in sizes.items() if name in matrices))
    return inside, sympy.Add(*(size for name, size in sizes.items() if name not in matrices))


def _matrices(program: Program) -> frozenset[str]:
    """Return the tensors that a product contracts along an axis of theirs; where there is none, the tables looked up.

    Routed experts' biases are looked up too, beside matrices that are contracted.
    """
    contracted = {
        ref.tensor
        for operation in program.operations
        if isinstance(operation, Einsum)
        for ref in operation.operands
        if set(operation.summed) & {str(index) for index in program.tensors[ref.tensor].indices}
    }
    looked_up = {
        ref.tensor
        for operation in program.operations
        for ref in refs_of(operation)
        if any(isinstance(node, Ref) for index in ref.indices for node in walk(index))
    }
    return frozenset(contracted or looked_up)


@dataclass(frozen=True)
class PartWeights:
    """Bytes of the weights that one part reads when it uses them all, and the rates that its formats name.

    Where the layers of a stack differ, `bytes` is their mean, rounded down.
    """

    bytes: int
    rates: frozenset[str]


def part_weights(part: Part, kind: str, layers: Sequence[int | None], formats: Formats) -> PartWeights:
    """Return what `part` reads of its own weights in the layers `layers` (None: outside them) of `kind`.

    >>> from attometer.formats import uniform
    >>> from attometer.models import model
    >>> head = model("llama-3.1-8b").head[-1]
    >>> part_weights(head, "head", [None], uniform("fp8")).bytes == 2 * 128256 * 4096
    True
    """
    matrices, rest = _matrices_and_rest(part)
    asked = list(layers) if formats.by_layer else list(layers)[:1]
    # Tied weights are the embedding's, in its format.
    forms = [formats.of(None, "embedding", "embedding") if part.tied else formats.of(n, kind, part.name) for n in asked]
    total = sum(stored_bytes(matrices, form) for form in forms) // len(forms) if matrices else 0
    used = forms if matrices else [formats.default]
    return PartWeights(total + stored_bytes(rest, formats.default), frozenset(form.rate for form in used))


def stored_weights(model: Model, formats: Formats) -> StoredWeights:
    """Return the bytes of all weights of `model` under `formats`.

    >>> from attometer.formats import uniform
    >>> from attometer.models import model
    >>> stored_weights(model("llama-3.1-8b"), uniform("bf16")).total == 2 * 8030261248
    True
    """
    by_format: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    stacks: list[tuple[str, Sequence[int | None], Sequence[Part]]] = [
        ("embedding", (None,), model.embedding),
        ("head", (None,), model.head),
        *((stack.kind, stack.indices, stack.layer.parts) for stack in model.layers),
    ]
    for kind, indices, parts in stacks:
        sized = [(part, *matrices_and_rest(part)) for part in parts]
        layers, times = (indices, 1) if formats.by_layer else (indices[:1], len(indices))
        for layer in layers:
            for part, matrices, rest in sized:
                for elements, form in ((matrices, formats.of(layer, kind, part.name)), (rest, formats.default)):
                    if elements:
                        size = times * stored_bytes(elements, form)
                        by_format[form.name] += size
                        by_kind[kind] += size
    return StoredWeights(dict(by_format), dict(by_kind))
