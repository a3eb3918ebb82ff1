"""How each kind of part is spread: which of its axes tensor- and expert-parallel ranks cut; what is not here is replicated."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce

from attometer.count.part_kinds import part_kind
from attometer.errors import AttometerError
from attometer.models import Part
from attometer.program import Program
from attometer.program.composites import EPSILON
from attometer.program.expression import Along, Binary, Call, Name, Number, Ref, Statement, factors_of, walk
from attometer.schedule.placement import LayerDegrees
from attometer.schedule.sharding import Cut

RULES: dict[str, str] = {
    "embedding": "vocabulary",
    "per-layer embedding": "vocabulary",
    "positions": "replicated",
    "source positions": "replicated",
    "segments": "replicated",
    "tasks": "replicated",
    "patches": "replicated",
    "class tokens": "replicated",
    "mask token": "replicated",
    "registers": "replicated",
    "probe": "replicated",
    "head": "vocabulary",
    "head bias": "vocabulary",
    "logit cap": "vocabulary",
    "head dense": "replicated",
    "head act": "replicated",
    "pooler": "replicated",
    "labels": "replicated",
    "attention": "heads",
    "projection": "column",
    "out": "row",
    "cross out": "row",
    "probe attention": "heads",
    "probe out": "row",
    "probe up": "hidden",
    "probe act": "hidden",
    "probe down": "hidden",
    "merger up": "column",
    "merger act": "hidden",
    "merger down": "row",
    "project in": "replicated",
    "project out": "replicated",
    "per-layer projection": "replicated",
    "per-layer gate": "replicated",
    "per-layer out": "replicated",
    "forget down": "replicated",
    "gated": "replicated",
    "out down": "groups",
    "out up": "row",
    "x": "row",
    # What makes latents and shared keys is small and stands on every rank; what expands them is cut by heads.
    "q down": "replicated",
    "kv down": "replicated",
    "kv": "replicated",
    "compress": "replicated",
    "kv expand": "heads",
    "q absorb": "heads",
    "o absorb": "heads",
    "index": "replicated",
    "recurrence": "heads",
    "decay": "heads",
    "beta and decay": "column",
    "convolution": "channels",
    "compressor": "replicated",
    "rotary": "heads",
    "norm": "heads",
    "router": "replicated",
    "experts": "experts",
    "shared experts": "hidden",
    "feed-forward": "hidden",
    "residual": "replicated",
}
"""The rule of a part by its name or its kind; the longest beginning of the name that is here decides, then the kind."""

ATTENTION_KINDS = frozenset(
    {"attention", "index", "recurrence", "projection", "gate", "convolution", "compressor", "rotary"}
)
"""Kinds of parts that work on one replica's batch when attention is data parallel."""


@dataclass(frozen=True)
class PartCut:
    """How one part is spread: its cuts, the inputs gathered first, and in words what is held alike on every rank."""

    rule: str
    cuts: tuple[Cut, ...] = ()
    whole: tuple[tuple[str, tuple[str, str]], ...] = ()
    note: str | None = None


def part_cut(part: Part, place: LayerDegrees, split_norms: Mapping[str, tuple[str, int]] | None = None) -> PartCut:
    """Return how `part` is spread under the degrees of a placement.

    `split_norms` names parts that normalise over an axis which the part before them leaves in slices: name → that axis,
    and of how many heads. Ranks add their sums of squares; where they share a head, or more than squares is summed, the
    slices are gathered.

    >>> from attometer.models import model
    >>> parts = {p.name: p for p in model("llama-3.1-8b").layers[0].layer.parts}
    >>> [[(c.axis, c.pieces) for c in part_cut(parts[n], LayerDegrees(4, 4)).cuts] for n in ("q", "k", "out", "up", "norm")]
    [[('h', 4)], [('g', 4)], [('h', 4)], [('f', 4)], []]
    """
    rule = _rule(part)
    tp = place.attention_tp if _in_attention(part) else place.tp
    if tp == 1 and place.ep == 1 and place.expert_tp == 1:
        return PartCut(rule)
    if split_norms and part.name in split_norms:
        axis, heads = split_norms[part.name]
        if heads % place.attention_tp == 0 and with_sums(part.program, axis) is not None:
            return PartCut("summed", (Cut(axis, place.attention_tp),))
        inputs = [t.name for t in part.program.inputs if t.role == "input" and axis in t.indices]
        return PartCut("gathered", (), tuple((name, (axis, "tp")) for name in inputs))
    if rule == "experts":
        return PartCut(rule, (Cut("x", place.ep, "ep"), Cut("f", place.expert_tp, "tp")))
    if rule == "hidden" and kind_of(part.name) == "shared experts" and place.dispatched:
        return PartCut("replicated", note="shared experts stand on every rank where tokens travel")
    if rule == "hidden" and "f" not in dict(part.program.axes) and part.program.weights:
        scalar = part.program.outputs[0].extents[-1] == 1
        rule = "replicated" if scalar else {"up": "column", "down": "row"}.get(part.name.split()[-1], "unnamed")
    cuts = _CUTS[rule](part.program, tp) if tp > 1 else ()
    return PartCut(rule, cuts, note=_SAID[rule].format(part.name) if rule in _SAID and part.program.weights else None)


def with_sums(program: Program, axis: str) -> Program | None:
    """Return a program whose RMS norms along an axis sum their squares in a statement of their own; None without one.

    >>> from attometer.program import parse
    >>> print(with_sums(parse("axis c: 8" + chr(10) + "Y[i,c] = rmsnorm[c](X[i,c])"), "c"))
    axis c: 8
    Y_squares[i] = sum[c](square(X[i,c]))
    Y[i,c] = X[i,c] * rsqrt(Y_squares[i] / 8 + 1e-06)
    """
    statements: list[Statement] = []
    for statement in program.statements:
        factors = [factor for _, factor in factors_of(statement.expression)]
        norms = [f for f in walk(statement.expression) if isinstance(f, Along) and axis in f.runs]
        if not norms:
            statements.append(statement)
            continue
        if len(norms) > 1 or norms[0].function != "rmsnorm" or norms[0] not in factors:
            return None
        name, rest, x = (
            f"{statement.tensor}_squares",
            tuple(i for i in statement.indices if i != axis),
            norms[0].argument,
        )
        mean = Binary("/", Ref(name, tuple(map(Name, rest))), Number(int(program.size_of(axis))))
        scaled = Binary("*", x, Call("rsqrt", (Binary("+", mean, Number(EPSILON)),)))
        product = reduce(partial(Binary, "*"), [scaled if f is norms[0] else f for f in factors])
        statements.append(Statement(name, rest, Along("sum", axis, (), Call("square", (x,)))))
        statements.append(replace(statement, expression=product))
    return replace(program, statements=tuple(statements)) if len(statements) > len(program.statements) else None


_SAID = {
    "unknown": 'part "{}" is of no known kind and stands on every rank',
    "unnamed": 'part "{}" names no hidden axis and stands on every rank',
}


def kind_of(name: str) -> str:
    """Return the kind of a part by its name; `unknown` where no kind has it.

    >>> kind_of("q"), kind_of("hologram")
    ('projection', 'unknown')
    """
    try:
        return part_kind(name)
    except AttometerError:
        return "unknown"


def _rule(part: Part) -> str:
    words = part.name.split()
    if "norm" not in words:
        for end in range(len(words), 0, -1):
            if (name := " ".join(words[:end])) in RULES and name not in _KINDS_ONLY:
                return RULES[name]
    return RULES.get(kind_of(part.name), "unknown")


_KINDS_ONLY = frozenset({"experts"})


def _in_attention(part: Part) -> bool:
    return kind_of(part.name) in ATTENTION_KINDS or (kind_of(part.name) == "norm" and "h" in dict(part.program.axes))


def _heads(program: Program, tp: int) -> tuple[Cut, ...]:
    axes = dict(program.axes)
    # One head that all share, as MLA's rotary key or a norm over one group, is held alike.
    named = [axis for axis in ("h", "g") if axis in axes and axes[axis] != 1 and _heads_of(program, axis)]
    weighted = {index for tensor in program.weights for index in tensor.indices}
    shared = {"g"} if "h" in weighted or "j" in axes else {"g", "h"}
    if named:
        return tuple(Cut(axis, tp, shared=axis in shared) for axis in named)
    return _channels(program, tp) if "t" in axes and "c" in axes else ()


def _heads_of(program: Program, axis: str) -> bool:
    return any(axis in tensor.indices for tensor in program.tensors.values())


def _named_heads(program: Program) -> bool:
    return bool({"h", "g"} & dict(program.axes).keys())


def _column(program: Program, tp: int) -> tuple[Cut, ...]:
    """The features that come out: heads where they are named, else the last index of the result."""
    if _named_heads(program):
        return _heads(program, tp)
    return (Cut(program.outputs[0].indices[-1], tp),)


def _row(program: Program, tp: int) -> tuple[Cut, ...]:
    """The features that are summed: heads where they are named, else the weights' index that the result has not."""
    if _named_heads(program):
        return _heads(program, tp)
    (output,) = program.outputs
    matrix = max(program.weights, key=lambda t: len(t.indices))
    return (Cut(next(i for i in matrix.indices if i not in output.indices), tp),)


def _channels(program: Program, tp: int) -> tuple[Cut, ...]:
    return (Cut("c", tp),)


def _groups(program: Program, tp: int) -> tuple[Cut, ...]:
    return (Cut("g", tp),)


def _hidden(program: Program, tp: int) -> tuple[Cut, ...]:
    return (Cut("f", tp),) if "f" in dict(program.axes) else ()


def _vocabulary(program: Program, tp: int) -> tuple[Cut, ...]:
    table = "v" in dict(program.axes)
    return (Cut("v" if table else program.outputs[0].indices[-1], tp, padded=True),)


def _none(program: Program, tp: int) -> tuple[Cut, ...]:
    return ()


_CUTS = {
    "heads": _heads, "column": _column, "row": _row, "channels": _channels, "groups": _groups, "hidden": _hidden, "vocabulary": _vocabulary,
    "replicated": _none, "unknown": _none, "unnamed": _none,
}  # fmt: skip
