"""What a model costs: one symbolic `ModelCost`, by layer and by part, from which everything else only evaluates."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import sympy
from sympy import Add, Integer

from attometer.count.conventions import convention as named
from attometer.count.evaluate import evaluate
from attometer.count.part_cost import PartCost, part_cost
from attometer.count.part_traffic import LONG, FastMemory
from attometer.errors import unknown
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part
from attometer.program import size
from attometer.sizes import Size, as_size

FORMS = ("program", "reference")
PHASES = ("prefill", "decode")
LOGITS = ("all", "last")
CAUSAL = ("exact", "full")


@dataclass(frozen=True, eq=False)
class LayerCost:
    """`layers` identical layers (or the embedding, or the head); every figure is of one of them.

    Attributes:
        kind: the layer type.
        layers: how many there are.
        parts: its parts in order, each with its cost.
        parameters: parameters of one layer; `active` those that one token uses.
        cache: what it keeps per sequence, in elements.
    """

    kind: str
    layers: int
    parts: tuple[PartCost, ...]
    parameters: int
    active: int
    cache: CacheSize

    @property
    def kv(self) -> sympy.Expr:
        """Cache elements per sequence, in `m` (and `s`)."""
        return self.cache.kv

    @property
    def state(self) -> int:
        """Elements kept per sequence that do not grow."""
        return self.cache.state

    @property
    def running(self) -> tuple[PartCost, ...]:
        """The parts that a pass runs."""
        return tuple(p for p in self.parts if p.runs)

    def total(self, quantity: str) -> sympy.Expr:
        """Return the sum over the parts that run of `flops`, `work`, `depth`, `moved`, `cached` or `saved`.

        The sum of depths is that of the parts one after the other.
        """
        return Add(*(getattr(p, quantity) for p in self.running))

    def operations(self, convention: str = "flop") -> sympy.Expr:
        """Return the operations of one layer by a named convention."""
        return Add(*(p.operations(convention) for p in self.running))


@dataclass(frozen=True, eq=False)
class ModelCost:
    """A model's cost in b, n, m, s: what comes before, layers by stack, what comes after.

    >>> from attometer.models import model
    >>> cost = model_cost(model("llama-3.1-8b"))
    >>> [(layer.kind, layer.layers, layer.parameters) for layer in cost.rows]
    [('embedding', 1, 525336576), ('full', 32, 218112000), ('head', 1, 525340672)]
    >>> {part.kind for part in cost.layers[0].parts} >= {"projection", "attention", "norm", "feed-forward"}
    True
    """

    model: Model
    phase: str
    embedding: LayerCost
    layers: tuple[LayerCost, ...]
    head: LayerCost

    @property
    def rows(self) -> tuple[LayerCost, ...]:
        """Embedding, layers, head."""
        return (self.embedding, *self.layers, self.head)

    @cached_property
    def parameters(self) -> int:
        """Every weight once."""
        return sum(row.layers * row.parameters for row in self.rows)

    @cached_property
    def active(self) -> int:
        """Parameters that one token uses."""
        return sum(row.layers * row.active for row in self.rows)

    @cached_property
    def cache(self) -> "CacheElements":
        """Elements kept per sequence between tokens."""
        kv = Add(*(row.layers * row.kv for row in self.layers))
        return CacheElements(kv, sum(row.layers * row.state for row in self.layers))

    def parts(self) -> Iterator[tuple[int, PartCost]]:
        """Yield every part with the number of layers that have it."""
        return ((row.layers, part) for row in self.rows for part in row.parts)

    def flops(self, convention: str = "flop", logits: str = "all", keys: int | None = None) -> sympy.Expr:
        """Return the operations of one pass in b, n, m, s; `keys` picks the form of parts that are short up to some length."""
        return _flops(self, convention, logits, None if keys is None else _short_below(self, keys))

    def backward(self, convention: str = "flop") -> sympy.Expr:
        """Return the operations of the backward pass of all logits, what it computes again among them.

        Parts in `without_gradient` count twice their forward pass.

        >>> from attometer.models import model
        >>> cost = model_cost(model("gpt2"), causal="full")
        >>> cost.backward() - 2 * cost.flops() - cost.computed_again()
        0
        """
        return Add(*(row.layers * p.backward_operations(convention) for row in self.rows for p in row.running))

    def computed_again(self, convention: str = "flop") -> sympy.Expr:
        """Return the operations of the forward pass that the backward pass does once more: scores that a kernel did not keep."""
        runs = [(row.layers * p.part.copies, p) for row in self.rows for p in row.running]
        return Add(*(times * p.backward.again(convention, p.causal) for times, p in runs if p.backward))

    @cached_property
    def without_gradient(self) -> tuple[str, ...]:
        """Names of the parts that run and of which no gradient can be formed."""
        return tuple(dict.fromkeys(p.name for row in self.rows for p in row.running if p.backward is None))

    def weights_read(self, tokens: int) -> float:
        """Return the weights that a pass over `tokens` tokens reads: of a table the rows looked up, of experts the distinct ones."""
        return sum(times * part.weights_read(tokens) for times, part in self.parts())

    def by_kind(self) -> dict[str, tuple[LayerCost, ...]]:
        """Return the layers grouped by type, with the embedding first and the head last."""
        groups: dict[str, list[LayerCost]] = {}
        for row in self.rows:
            groups.setdefault(row.kind, []).append(row)
        return {kind: tuple(rows) for kind, rows in groups.items()}


@dataclass(frozen=True)
class CacheElements:
    """Elements kept between tokens for one sequence: `kv` grows with the keys `m` (and source tokens `s`), `state` does not."""

    kv: sympy.Expr
    state: int

    def at(self, m: int, b: int = 1, s: int | None = None) -> int:
        """Return the elements kept for `b` sequences of `m` keys."""
        return b * (int(evaluate(self.kv, {"m": m, "s": m if s is None else s})) + self.state)


@lru_cache(maxsize=512)
def model_cost(
    model: Model,
    schedule: str = "flash",
    phase: str = "prefill",
    causal: str = "exact",
    form: str = "program",
    fast_words: int | None = None,
) -> ModelCost:
    """Return the cost of a model, symbolically; it is made once, and each figure counted when first asked for.

    Args:
        model: the model.
        schedule: how attention runs.
        phase: `prefill`, or `decode`, in which MLA is absorbed and an encoder is not run again.
        causal: `exact` counts the pairs a mask allows, `full` the whole square as torch's counter does.
        form: `program` counts the mathematics, `reference` what transformers executes for it in eager mode.
        fast_words: words of fast memory that a schedule of the catalogue tiles for; `flash` needs none.

    Raises AttometerError for an unknown phase, form or reading of `causal`.
    """
    for name, value, known in (("phase", phase, PHASES), ("form", form, FORMS), ("causal", causal, CAUSAL)):
        if value not in known:
            raise unknown(name, str(value), known)

    fast = None if fast_words is None else FastMemory(fast_words, 1 if phase == "decode" else LONG)

    def cost(part: Part) -> PartCost:
        runs = not part.idle and not (phase == "decode" and _over_source(part))
        return part_cost(part, schedule, causal, form, runs, fast)

    def row(layer: Layer, layers: int) -> LayerCost:
        whole = [part_cost(p) for p in layer.parts]
        parts = layer.decode if phase == "decode" and layer.decode else layer.parts
        parameters, active = sum(p.parameters for p in whole), sum(p.active for p in whole)
        return LayerCost(layer.kind, layers, tuple(map(cost, parts)), parameters, active, layer.cache)

    embedding, head = (row(Layer(k, p), 1) for k, p in (("embedding", model.embedding), ("head", model.head)))
    return ModelCost(model, phase, embedding, tuple(row(s.layer, s.count) for s in model.layers), head)


def _over_source(part: Part) -> bool:
    """Return whether a part runs over the source tokens alone: once per prompt, not per decoded token."""
    return any(axis == "i" and str(extent) == "s" for axis, extent in part.program.axes)


def _short_below(cost: ModelCost, keys: int) -> int | None:
    """Return the least length below which a part has another form, where `keys` are so few."""
    return min((p.short[0] for _, p in cost.parts() if p.short is not None and keys <= p.short[0]), default=None)


@lru_cache(maxsize=512)
def _flops(cost: ModelCost, convention: str, logits: str, short: int | None) -> sympy.Expr:
    if logits not in LOGITS:
        raise unknown("logits", logits, LOGITS)
    name = named(convention).name
    last = {size("n"): Integer(1)}
    terms = []
    for row in cost.rows:
        for part in row.running:
            few = short is not None and part.short is not None and part.short[0] >= short
            spent = (part.short[1] if few and part.short else part).operations(name)
            terms.append(row.layers * (spent.xreplace(last) if row is cost.head and logits == "last" else spent))
    return Add(*terms)


def parameters(model: Model) -> int:
    """Return the number of parameters: what transformers' `sum(p.numel())` is for the same configuration.

    >>> from attometer.models import model
    >>> parameters(model("llama-3.1-8b"))
    8030261248
    """
    return model_cost(model).parameters


def active_parameters(model: Model) -> int:
    """Return the parameters that one token uses: of routed experts the chosen ones, of the rest all.

    >>> from attometer.models import model
    >>> active_parameters(model("mixtral-8x7b"))
    12879925248
    """
    return model_cost(model).active


def cache(model: Model) -> CacheElements:
    """Return what the model keeps per sequence: the KV cache, latents, and the states of recurrent layers.

    >>> from attometer.models import model
    >>> cache(model("llama-3.1-8b")).kv
    65536*m
    """
    return model_cost(model).cache


def weights_read(model: Model, tokens: int, phase: str = "prefill") -> float:
    """Return the weights that a pass over `tokens` tokens reads: of a table the rows looked up, of experts the distinct ones.

    >>> from attometer.models import model
    >>> weights_read(model("llama-3.1-8b"), 1)
    7504928768.0
    """
    return model_cost(model, phase=phase).weights_read(tokens)


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
        convention: `flop`, `unit`, `flop_all`, `flop_outer`, `mac` or `article`.
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
    tokens = size("n") if n is None else as_size(n, "n")
    keys = tokens if m is None else as_size(m, "m")
    sizes = {"n": tokens, "m": keys, "b": as_size(b, "b"), "s": tokens if s is None else as_size(s, "s")}
    known = int(keys) if keys.is_Integer else None
    total = model_cost(model, "flash", phase, causal, form).flops(convention, logits, known)
    found = total.xreplace({size(name): value for name, value in sizes.items()})
    return int(found) if found.is_Integer else found


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
    groups = model_cost(model, "flash", phase, causal, form).by_kind()
    return [_summed(kind, rows, convention) for kind, rows in groups.items()]


def _summed(kind: str, rows: tuple[LayerCost, ...], convention: str) -> KindCost:
    return KindCost(
        kind,
        sum(r.layers for r in rows),
        sum(r.layers * r.parameters for r in rows),
        sum(r.layers * r.active for r in rows),
        Add(*(r.layers * r.kv for r in rows)),
        sum(r.layers * r.state for r in rows),
        Add(*(r.layers * r.operations(convention) for r in rows)),
    )
