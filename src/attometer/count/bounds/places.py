"""Which words are read at other places: through positions that data choose, each once per row, and through shifts.

Positions of a sort or a top-k are distinct along their own index k: for fixed values of its other indices, k and the place x
that it names determine one another. Points of an index space with k and these others may thus be named by x instead of
k, and a read of `G[T[i,k], c]` keeps exactly the axes x and c of a point: it limits products as a plain operand does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import sympy

from attometer.program.expression import Binary, Expression, Name, Ref
from attometer.schedule.cascade import Cascade, Step, Value
from attometer.schedule.nest import Image
from attometer.schedule.places import affine

Axes = frozenset[str]


@dataclass(frozen=True)
class Positions:
    """The reads of a cascade at positions that data choose; an axis of positions stands for the axis they lie along."""

    cascade: Cascade
    live: Mapping[str, Step]
    extents: Mapping[str, int]
    numbers: Mapping[sympy.Expr, sympy.Expr]

    @cached_property
    def along(self) -> dict[str, tuple[Step, str]]:
        """For each axis of positions, the step that computes them and the axis along which they lie.

        Everything that has the axis has all axes of the positions: else a word would stand for several places.
        """
        found: dict[str, tuple[Step, str]] = {}
        for step in self.live.values():
            if step.kind in ("argsort", "topk"):
                read = {a for r in step.reads for a in self.cascade.value(r).axes}
                new = [a for a in step.axes if a not in read]
                if len(new) == 1:
                    found[new[0]] = (step, step.summed[0])
        spaces = [s.axes for s in self.live.values()] + [
            self.cascade.value(r).axes for s in self.live.values() for r in s.reads
        ]
        return {
            k: pair for k, pair in found.items() if all(k not in axes or {*pair[0].axes} <= {*axes} for axes in spaces)
        }

    def of(self, value: Value) -> Axes | None:
        """Return the axes that tell which words a value reads; None where they do not, or no position does."""
        found = [axes for place in value.at for axes in self._place(place)]
        known = len(found) == len(set(found)) and None not in found and any(axis in self.along for axis in found)
        return frozenset(axis for axis in found if axis is not None) if known else None

    def _place(self, place: Expression) -> tuple[str | None, ...]:
        match place:
            case Name(name=axis):
                return (axis,)
            case Ref(tensor=name, indices=indices):
                value = self.cascade.value(name)
                for axis, (step, _) in self.along.items():
                    if value.of == step.name and value.axes == step.axes and indices == tuple(map(Name, step.axes)):
                        return (axis,)
            case Binary(op="+", left=Binary(op="*", left=Ref() as chosen, right=length), right=Name(name=inner)):
                told = affine(length, ())
                long = None if told is None else told[1].xreplace(dict(self.numbers))
                if long is not None and long.is_Integer and self.extents.get(inner, 0) <= long:
                    return (*self._place(chosen), inner)  # places within blocks that do not overlap
        return (None,)

    def extent(self, axis: str, words: Axes) -> int:
        """Return how many places an axis stands for where it names words; its own extent elsewhere."""
        return self.extents[self.along[axis][1]] if axis in words else self.extents[axis]


def shifted(
    axes: tuple[str, ...],
    images: Mapping[str, Image],
    extents: Mapping[str, int],
    numbers: Mapping[sympy.Expr, sympy.Expr],
) -> int:
    """Return the distinct words that are read along axes of which some are images of others.

    >>> image = Image((("i", 1), ("u", 1)), sympy.Integer(0), sympy.Integer(12))
    >>> shifted(("i + u", "c"), {"i + u": image}, {"i": 8, "u": 5, "c": 3}, {})
    36
    """
    return prod(_distinct(images[a], extents, numbers) if a in images else extents[a] for a in axes)


def _distinct(image: Image, extents: Mapping[str, int], numbers: Mapping[sympy.Expr, sympy.Expr]) -> int:
    """Return at least how many places within the extent an image has: all between its ends where no step leaves a gap."""
    offset, extent = (int(e.xreplace(dict(numbers))) for e in (image.offset, image.extent))
    step, least, most = 1, offset, offset
    for k, (axis, c) in enumerate(sorted(image.terms, key=lambda term: abs(term[1]))):
        if k == 0:
            step = abs(c)
        elif abs(c) % step or abs(c) > most - least + step:
            break  # the places of what came before do not touch: only they are counted
        reach = c * (extents[axis] - 1)
        least, most = least + min(0, reach), most + max(0, reach)
    first = least + -(-max(0, -least) // step) * step
    return max(0, (min(most, extent - 1) - first) // step + 1)
