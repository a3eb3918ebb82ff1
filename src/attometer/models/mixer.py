"""A model with another attention: a Program of your own in place of its layers', with the projections that it needs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sympy

from attometer.errors import AttometerError, positive_int, unknown
from attometer.mechanisms.subject import subject
from attometer.models.blocks import linear
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part
from attometer.program import Program, size
from attometer.program.operations import Tensor
from attometer.program.program import Declaration
from attometer.sizes import Size

B, N, M = size("b"), size("n"), size("m")
_FREE = {"b", "n", "m", "s"}


def with_attention(model: Model, what: Any, /, decode: bool = False, **sizes: int) -> Model:
    """Return the model with the attention of its layers replaced by a mechanism, a file of notation or a Program.

    Its inputs that have positions are projections of the layer's input, as wide as the text says: `Q`, `K` and `V` are the
    model's own where their widths agree. Sizes that are not given are the model's: h query heads, g key/value heads, d and e
    widths, D the model's width. An axis of keys (one that K has and Q lacks) runs over the cache.

    Args:
        model: the model.
        what: the mechanism; its tensors of activations have the index b.
        decode: whether one token is decoded, which needs an axis of keys.
        **sizes: sizes of the text other than the model's, as in h=16.

    Raises:
        AttometerError: no layer has softmax attention of Q, K and V, or what the text needs and the model lacks, by name.

    >>> from attometer.models import model
    >>> from attometer.program import parse
    >>> text = "axis i: n, j: n" + chr(10) + "input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]" + chr(10)
    >>> text += "P[b,h,i,j] = sigmoid(Q[b,h,i,d] * K[b,h,j,d])   where causal(i, j)" + chr(10) + "O[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]"
    >>> with_attention(model("gpt2"), parse(text)).name
    'gpt2 with program'
    """
    made = subject(what)
    own = [s for s in model.layers if _attention(s.layer) is not None]
    if not own:
        kinds = ", ".join(model.kinds())
        raise AttometerError(f"no layer of {model.name} has attention of Q, K and V to replace: {kinds}")
    notes: dict[str, None] = {}
    stacks = tuple(
        replace(s, layer=_replaced(s.layer, made.name, made.program, model.width, sizes, decode, notes))
        if s in own
        else s
        for s in model.layers
    )
    kept = [s.kind for s in model.layers if s not in own]
    said = (*notes, *(f"{kind} layers keep their own mixer" for kind in kept))
    check = replace(model.check, notes=(*model.check.notes, *said))
    return replace(model, name=f"{model.name} with {made.name}", layers=stacks, check=check)


def _attention(layer: Layer) -> Part | None:
    return next((p for p in layer.parts if p.name == "attention" and {"Q", "K", "V"} <= set(p.program.tensors)), None)


def _replaced(
    layer: Layer,
    name: str,
    program: Program,
    width: int,
    sizes: Mapping[str, int],
    decode: bool,
    notes: dict[str, None],
) -> Layer:
    was = _attention(layer)
    assert was is not None
    bound, keys = _bound(name, program, was.program, width, sizes, decode)
    if decode and not keys:
        raise AttometerError(f"{name} has no axis of keys apart from its queries', so that its text is no decode step")
    projected = [t for t in bound.inputs if t.role != "weight"]
    lacking = [t.name for t in projected if not {N, M} & set(t.extents)]
    if lacking:
        raise AttometerError(f"{name} reads {', '.join(lacking)}, which no model makes of its tokens; declare a weight")
    if len(bound.outputs) != 1:
        raise AttometerError(f"{name} must have one result, got {', '.join(t.name for t in bound.outputs)}")
    parts = list(layer.parts)
    for tensor in (*projected, *bound.outputs):
        _fit(parts, tensor, width, name, notes)
    at = next(k for k, p in enumerate(parts) if p is was)
    parts[at] = Part("attention", bound, copies=was.copies)
    kept = sympy.Add(*(t.size / B for t in projected if t.role == "cache")).xreplace({N: M})
    return replace(layer, parts=tuple(parts), decode=(), cache=CacheSize(kept))


def _bound(
    name: str, program: Program, was: Program, width: int, sizes: Mapping[str, int], decode: bool
) -> tuple[Program, set[str]]:
    """Return the program at the model's numbers, its keys in the cache, and its axes of keys."""
    tensors = program.tensors
    missing = [t for t in ("Q", "K", "V") if t not in {x.name for x in program.inputs}]
    if missing:
        raise AttometerError(f"{name} reads no {' and no '.join(missing)}; an attention reads Q, K and V")
    unbatched = [t.name for t in program.inputs if t.role != "weight" and B not in t.extents and t.extents]
    if unbatched:
        raise AttometerError(f"{name} has no batch: write {', '.join(unbatched)} with the index b, as in Q[b,h,i,d]")
    keys = {a for t in ("K", "V") for a, x in zip(tensors[t].indices, tensors[t].extents, strict=True) if x in (N, M)}
    keys -= set(tensors["Q"].indices)
    declared = {d.tensor: d for d in program.declarations}
    cached = {t.name for t in program.inputs if t.role == "input" and keys & set(t.indices)}
    roles = [replace(d, role="cache") if d.tensor in cached else d for d in program.declarations]
    roles += [Declaration("cache", t, tensors[t].indices) for t in sorted(cached - set(declared))]
    with_roles = replace(program, declarations=tuple(roles))
    axes = tuple((a, M if a in keys else x) for a, x in program.axes)
    try:
        over = replace(with_roles, axes=axes)
    except AttometerError as error:  # what has as many keys as queries, as a prefix over keys read at queries
        if decode:
            raise AttometerError(f"{name} is no decode step: {error}") from None
        over = with_roles
    theirs = {s.name for s in over.symbols} - _FREE
    for given, value in sizes.items():
        if given not in theirs:
            raise unknown("size", given, theirs)
        positive_int(given, value)
    numbers: dict[str, Size] = {**_sizes(was), "D": width, **sizes}
    lacking = sorted(theirs - set(numbers))
    if lacking:
        raise AttometerError(f"{name} needs a number for {', '.join(lacking)}; write {name}.att,{lacking[0]}=…")
    return over.substitute({k: v for k, v in numbers.items() if k in theirs}), keys


def _sizes(was: Program) -> dict[str, Size]:
    query, key, value = ({i: int(x) for i, x in zip(t.indices, t.extents, strict=True) if x.is_Integer}
                         for t in (was.tensors[k] for k in "QKV"))  # fmt: skip
    heads = query.get("h", 1)
    return {"h": heads, "g": key.get("g", heads), "d": query.get("d", 1), "e": value.get("e", query.get("d", 1))}


def _width(tensor: Tensor) -> int:
    """Return the elements of one token."""
    return int(sympy.Mul(*(x for x in tensor.extents if x not in (B, N, M))))


def _fit(parts: list[Part], tensor: Tensor, width: int, name: str, notes: dict[str, None]) -> None:
    """Let a projection make what the text reads, or take what it leaves."""
    leaves, needed = tensor.role == "output", _width(tensor)
    own = "out" if leaves else tensor.name.lower()
    at = next((k for k, p in enumerate(parts) if p.name == own), None)
    made = linear(own, needed, width) if leaves else linear(own, width, needed)
    if at is None:
        if own in ("q", "k", "v", "out"):
            raise AttometerError(f'the model has no projection "{own}" of its own to give {name} its {tensor.name}')
        parts.insert(next(k for k, p in enumerate(parts) if p.name == "attention"), made)
        notes[f"{name} reads {tensor.name}: a projection of {width:,} × {needed:,} more in each layer"] = None
        return
    ends = [t for t in (parts[at].program.inputs if leaves else parts[at].program.outputs) if t.role != "weight"]
    if [_width(t) for t in ends] != [needed]:
        parts[at] = made
        notes[f'projection "{own}" is {needed:,} wide for {name}'] = None
