"""Layers by type, and the model that they make."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sympy

from attometer.errors import printable
from attometer.models.part import Part
from attometer.view.printed import Printed
from attometer.view.text import folded

ZERO = sympy.Integer(0)


@dataclass(frozen=True)
class CacheSize:
    """What a layer keeps per sequence between tokens, in elements: `kv` grows with the keys `m`, `state` does not.

    Of `state`, `conv` are the last inputs of convolutions, which are activations and no accumulated states. `latent` are the
    widths of a cached latent and of its rotated key, `index` that of an indexer's key, where `kv` is made of those.
    """

    kv: sympy.Expr = ZERO
    state: int = 0
    conv: int = 0
    latent: tuple[int, int] | None = None
    index: int = 0

    @property
    def elements(self) -> sympy.Expr:
        """All elements kept for one sequence."""
        return self.kv + self.state


@dataclass(frozen=True)
class Layer:
    """A layer of one `kind`: its parts in order, and what it keeps. `decode` are the parts of a one-token step where
    serving engines compute the same function in another form (MLA absorbed); empty means the same parts."""

    kind: str
    parts: tuple[Part, ...]
    cache: CacheSize = CacheSize()
    decode: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Stack:
    """`count` identical layers, at the given indices."""

    layer: Layer
    indices: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of layers in the stack."""
        return len(self.indices)

    @property
    def kind(self) -> str:
        """The kind of its layers."""
        return self.layer.kind


@dataclass(frozen=True)
class Check(Printed):
    """What was done with each key of the file: `read`, `defaulted` to transformers' value, known to cost nothing
    (`ignored`), or `unread`: not modelled; `notes` say in words what is left out."""

    read: tuple[str, ...] = ()
    defaulted: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """The notes, and a sentence on the keys that nobody read: what a result must say beside its numbers."""
        if not self.unread:
            return self.notes
        known = f"not modelled, and counted as if absent: {', '.join(self.unread[:20])}"
        more = f" and {len(self.unread) - 20} more (--check lists them)" if len(self.unread) > 20 else ""
        return (*self.notes, printable(known + more))

    def __str__(self) -> str:
        rows = [f"modelled    {', '.join(self.read)}"]
        rows += [f"defaulted   {key} = {value}" for key, value in self.defaulted]
        rows += [f"no cost     {', '.join(self.ignored)}"] if self.ignored else []
        rows += [f"not modelled {key}" for key in self.unread]
        rows += [f"note        {note}" for note in self.notes]
        return printable("\n".join(line for row in rows for line in folded(row, 80, " " * 12)))


@dataclass(frozen=True)
class Model(Printed):
    """A model read from its configuration: stacks of layers by type, what comes before and what comes after.

    `modules` are the paths of parts that its files keep elsewhere than most families do, below `layers.N`. `values` are those
    of its file, `folder` where other files of the same model may stand.
    """

    name: str
    family: str
    layers: tuple[Stack, ...]
    embedding: tuple[Part, ...]
    head: tuple[Part, ...]
    width: int
    context: int | None = None
    dtype: str | None = None
    quantization: str | None = None
    towers: tuple["Model", ...] = ()
    tokens: int | None = None
    modules: tuple[tuple[str, str], ...] = ()
    check: Check = field(default=Check(), compare=False)
    values: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    folder: Path | None = field(default=None, compare=False, repr=False)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return sum(stack.count for stack in self.layers)

    @property
    def text_values(self) -> Mapping[str, Any]:
        """Values of the text model: of its own object where the file nests one, else of the file."""
        nested = self.values.get("text_config")
        return nested if isinstance(nested, Mapping) else self.values

    def kinds(self) -> dict[str, int]:
        """Return the number of layers of each kind.

        >>> from attometer.models import model
        >>> model("gemma-2-2b").kinds()
        {'sliding': 13, 'full': 13}
        """
        counts: Counter[str] = Counter()
        for stack in self.layers:
            counts[stack.kind] += stack.count
        return dict(counts)

    def to_dict(self) -> dict[str, Any]:
        """Return the name, the family, the stacks of layers with their parts, and what was read, as plain values."""
        stacks = [
            {"kind": s.kind, "layers": s.count, "parts": [part.name for part in s.layer.parts]} for s in self.layers
        ]
        return {"model": self.name, "family": self.family, "width": self.width, "stacks": stacks, **vars(self.check)}

    def __str__(self) -> str:
        rows = [f"{self.name} ({self.family}): {self.depth} layers, width {self.width}"]
        for s in self.layers:
            head = f"{s.count} × {s.kind:<10} "
            rows += folded(f"    {head}{', '.join(p.name for p in s.layer.parts)}", 80, " " * len(head))
        rows += [line for tower in self.towers for line in str(tower).splitlines()]
        return printable("\n".join(rows))


def stacks(layers: list[Layer]) -> tuple[Stack, ...]:
    """Group identical layers, in order of first appearance."""
    # By identity first: the hash of a layer walks all its programs.
    same: dict[int, list[int]] = {}
    for index, layer in enumerate(layers):
        same.setdefault(id(layer), []).append(index)
    groups: dict[Layer, list[int]] = {}
    for indices in same.values():
        groups.setdefault(layers[indices[0]], []).extend(indices)
    return tuple(Stack(layer, tuple(sorted(indices))) for layer, indices in groups.items())
