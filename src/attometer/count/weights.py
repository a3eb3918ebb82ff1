"""Bytes of a model's weights as a file or an engine stores them: each module in its own format, scales included."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from attometer.formats import Storage, stored_bytes
from attometer.models.layer import Model
from attometer.models.part import Part


class Formats(Protocol):
    """What says in which format a part of a layer is stored: `WeightFormats`, or a GGUF mix."""

    name: str

    @property
    def default(self) -> Storage:
        """The format of what is no matrix product: norms, biases, lookups."""

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
    if part.tied:
        return 0, 0
    sizes = [(len(tensor.extents), int(tensor.size)) for tensor in part.program.weights]
    # A stack of experts has one axis more: its biases are matrices in shape only.
    least = 3 if part.routed is not None and max((rank for rank, _ in sizes), default=0) > 2 else 2
    return (
        part.copies * sum(n for rank, n in sizes if rank >= least),
        part.copies * sum(n for rank, n in sizes if rank < least),
    )


def stored_weights(model: Model, formats: Formats) -> StoredWeights:
    """Return the bytes of all weights of `model` under `formats`.

    >>> from attometer.formats import uniform
    >>> from attometer.models import model
    >>> stored_weights(model("llama-3.1-8b"), uniform("bf16")).total == 2 * 8030261248
    True
    """
    by_format: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    layers = [(index, stack.kind, stack.layer.parts) for stack in model.layers for index in stack.indices]
    ends = [(None, "embedding", model.embedding), (None, "head", model.head)]
    for layer, kind, parts in [*ends, *layers]:
        for part in parts:
            matrices, rest = matrices_and_rest(part)
            for elements, form in ((matrices, formats.of(layer, kind, part.name)), (rest, formats.default)):
                if elements:
                    size = stored_bytes(elements, form)
                    by_format[form.name] += size
                    by_kind[kind] += size
    return StoredWeights(dict(by_format), dict(by_kind))
