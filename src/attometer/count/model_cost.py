"""What a model costs: parameters, FLOPs, caches and weight traffic, added up over its layers by type."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import expm1, log1p
from typing import Any

import sympy
from sympy import Add, Integer

from attometer.count.conventions import convention as named
from attometer.count.counting import count
from attometer.count.evaluate import evaluate
from attometer.errors import unknown
from attometer.models.layer import Layer, Model
from attometer.models.part import MoE, Part
from attometer.program import Program, size
from attometer.program.expression import Ref
from attometer.program.operations import Map
from attometer.program.recurrences import refs_of
from attometer.sizes import Size, as_size

# Up to so many tokens the expectation is taken in fractions; beyond, the power is close to 0 and a float is exact enough.
EXACTLY = 256
FORMS = ("program", "reference")
PHASES = ("prefill", "decode")
LOGITS = ("all", "last")


def pieces(model: Model, phase: str = "prefill") -> Iterator[tuple[int, Part]]:
    """Yield every part with the number of layers that have it, from the embedding to the head."""
    yield from ((1, part) for part in model.embedding)
    for stack in model.layers:
        yield from ((stack.count, part) for part in parts_in(stack.layer, phase))
    yield from ((1, part) for part in model.head)


def parts_in(layer: Layer, phase: str) -> tuple[Part, ...]:
    """Return the parts that a layer runs in `phase`: prefill, or decode of one token."""
    if phase not in PHASES:
        raise unknown("phase", str(phase), PHASES)
    return layer.decode if phase == "decode" and layer.decode else layer.parts


def weights(part: Part) -> int:
    """Return the number of weights of a part, all copies and all experts; 0 where they are another part's."""
    return 0 if part.tied else read(part)


def read(part: Part) -> int:
    """Return the number of weights that a part reads when it uses them all."""
    return part.copies * int(Add(*(tensor.size for tensor in part.program.weights)))


def parameters(model: Model) -> int:
    """Return the number of parameters: what transformers' `sum(p.numel())` is for the same configuration.

    >>> from attometer.models import model
    >>> parameters(model("llama-3.1-8b"))
    8030261248
    """
    return sum(times * weights(part) for times, part in pieces(model))


def active_parameters(model: Model) -> int:
    """Return the parameters that one token uses: of routed experts the chosen ones, of the rest all.

    >>> from attometer.models import model
    >>> active_parameters(model("mixtral-8x7b"))
    12879925248
    """
    return sum(times * _active(part) for times, part in pieces(model))


def _active(part: Part) -> int:
    if part.idle:
        return 0
    return weights(part) if part.routed is None else weights(part) * part.routed.top_k // part.routed.num_experts


def flops(
    model: Model,
    n: Size | None = None,
    m: Size | None = None,
    b: Size = 1,
    s: Size | None = None,
    *,
    convention: str = "flop",
    causal: str = "exact",
    form: str = "program",
    phase: str = "prefill",
    logits: str = "all",
) -> Any:
    """Return the operations of one forward pass, exactly.

    Args:
        model: the model.
        n: new tokens; a symbol when not given.
        m: keys, the new tokens among them; as many as `n` when not given.
        b: sequences.
        s: source tokens of an encoder-decoder; as many as `n` when not given.
        convention: `flop`, `unit`, `flop_all`, `mac` or `article`.
        causal: `exact` counts the pairs a mask allows, `full` the whole square as torch's counter does.
        form: `program` counts the mathematics, `reference` what transformers executes for it in eager mode.
        phase: `prefill`, or `decode`, in which MLA is absorbed and an encoder is not run again.
        logits: `all` positions, or the `last` one.

    Returns:
        An int, or an expression when a size is a symbol.

    >>> from attometer.models import model
    >>> flops(model("llama-3.1-8b"), n=2048, causal="full")
    32938104193024
    """
    for name, value, known in (("form", form, FORMS), ("logits", logits, LOGITS)):
        if value not in known:
            raise unknown(name, str(value), known)
    tokens = size("n") if n is None else as_size(n, "n")
    sizes = {"n": tokens, "m": tokens if m is None else as_size(m, "m"), "b": as_size(b, "b")}
    sizes["s"] = tokens if s is None else as_size(s, "s")
    last = {id(part) for part in model.head} if logits == "last" else set()
    terms = []
    for times, part in pieces(model, phase):
        if part.idle or (phase == "decode" and over_source(part)):
            continue
        bound = sizes | {"n": Integer(1)} if id(part) in last else sizes
        terms.append(times * part.copies * _at(_cost(chosen(part, form, sizes["m"]), convention, causal), bound))
    total = Add(*terms)
    return int(total) if total.is_Integer else total


def over_source(part: Part) -> bool:
    """Return whether a part runs over the source tokens alone: once per prompt, not per decoded token."""
    return any(axis == "i" and str(extent) == "s" for axis, extent in part.program.axes)


def chosen(part: Part, form: str, keys: sympy.Expr) -> Program:
    """Return the program of a part that runs for `keys` keys in a form."""
    if part.short is not None and keys.is_Integer and keys <= part.short[0]:
        return part.short[1]
    return part.reference if form == "reference" and part.reference is not None else part.program


@lru_cache(maxsize=8192)
def _cost(program: Program, convention: str, causal: str) -> sympy.Expr:
    return count(program, causal=causal).flops(named(convention).name)


def _at(expression: sympy.Expr, sizes: dict[str, sympy.Expr]) -> sympy.Expr:
    return (
        expression.xreplace({size(name): value for name, value in sizes.items()})
        if expression.free_symbols
        else expression
    )


@dataclass(frozen=True)
class Kept:
    """Elements kept between tokens for one sequence: `kv` grows with the keys `m` (and source tokens `s`), `state` does not."""

    kv: sympy.Expr
    state: int

    def at(self, m: int, b: int = 1, s: int | None = None) -> int:
        """Return the elements kept for `b` sequences of `m` keys."""
        return b * (int(evaluate(self.kv, {"m": m, "s": m if s is None else s})) + self.state)


def cache(model: Model) -> Kept:
    """Return what the model keeps per sequence: the KV cache, latents, and the states of recurrent layers.

    >>> from attometer.models import model
    >>> cache(model("llama-3.1-8b")).kv
    65536*m
    """
    kept = [(stack.count, stack.layer.cache) for stack in model.layers]
    return Kept(Add(*(times * c.kv for times, c in kept)), sum(times * c.state for times, c in kept))


def distinct_experts(routed: MoE, tokens: int) -> float:
    """Return how many experts `tokens` tokens are expected to use when each chooses at random: E(1 − (1 − k/E)^t).

    >>> distinct_experts(MoE(8, 2), 1), round(distinct_experts(MoE(8, 2), 8), 2)
    (2.0, 7.2)
    """
    if tokens <= EXACTLY or routed.top_k == routed.num_experts:
        return float(routed.num_experts * (1 - (1 - Fraction(routed.top_k, routed.num_experts)) ** tokens))
    return -routed.num_experts * expm1(tokens * log1p(-routed.top_k / routed.num_experts))


def weights_read(model: Model, tokens: int, phase: str = "prefill") -> float:
    """Return the weights that a pass over `tokens` tokens reads: of a table the rows looked up, of experts the distinct ones.

    >>> from attometer.models import model
    >>> weights_read(model("llama-3.1-8b"), 1)
    7504928768.0
    """
    return sum(times * part_weights_read(part, tokens) for times, part in pieces(model, phase))


def part_weights_read(part: Part, tokens: int) -> float:
    """Return the weights that a part reads for `tokens` tokens: rows looked up, distinct experts, else all."""
    if part.idle:
        return 0.0
    if part.routed is not None:
        return read(part) * distinct_experts(part.routed, tokens) / part.routed.num_experts
    rows = _table_rows(part.program)
    return float(read(part) if rows is None else read(part) * min(tokens, rows) / rows)


@lru_cache(maxsize=8192)
def _table_rows(program: Program) -> int | None:
    """Return the rows of a table that is only looked up, None for any other part."""
    operation, *more = program.operations
    if more or len(program.weights) != 1 or not isinstance(operation, Map):
        return None
    (table,) = program.weights
    reads = [ref.indices for ref in refs_of(operation) if ref.tensor == table.name]
    looked_up = {k for indices in reads for k, part in enumerate(indices) if isinstance(part, Ref)}
    return int(table.extents[looked_up.pop()]) if len(looked_up) == 1 else None


@dataclass(frozen=True)
class KindCost:
    """One row of a table by layer type: how many layers, and what they cost together."""

    kind: str
    layers: int
    parameters: int
    active: int
    kv: sympy.Expr
    state: int
    flops: sympy.Expr


def by_kind(
    model: Model, *, convention: str = "flop", causal: str = "exact", form: str = "program", phase: str = "prefill"
) -> list[KindCost]:
    """Return the cost of the model by layer type, with the embedding first and the head last, in symbols n, m, b, s.

    >>> from attometer.models import model
    >>> [(row.kind, row.layers, row.kv) for row in by_kind(model("gemma-2-2b"))][1:3]
    [('sliding', 13, 26624*Min(4096, m)), ('full', 13, 26624*m)]
    """
    groups: dict[str, list[tuple[int, Layer]]] = {}
    for stack in model.layers:
        groups.setdefault(stack.kind, []).append((stack.count, stack.layer))
    ends = {"embedding": [(1, Layer("embedding", model.embedding))], "head": [(1, Layer("head", model.head))]}
    ordered = {"embedding": ends["embedding"], **groups, "head": ends["head"]}
    return [_row(kind, found, convention, causal, form, phase) for kind, found in ordered.items()]


def _row(kind: str, found: list[tuple[int, Layer]], convention: str, causal: str, form: str, phase: str) -> KindCost:
    keys = size("m")
    run = [(t, p) for t, layer in found for p in parts_in(layer, phase) if not (phase == "decode" and over_source(p))]
    terms = [t * p.copies * _cost(chosen(p, form, keys), convention, causal) for t, p in run if not p.idle]
    return KindCost(
        kind,
        sum(t for t, _ in found),
        sum(t * weights(p) for t, layer in found for p in layer.parts),
        sum(t * _active(p) for t, layer in found for p in layer.parts),
        Add(*(t * layer.cache.kv for t, layer in found)),
        sum(t * layer.cache.state for t, layer in found),
        Add(*terms),
    )
