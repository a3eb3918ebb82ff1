"""One layer on one rank: each part's Program cut, its collectives, and figures at sizes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import sympy

from attometer.count.evaluate import evaluate
from attometer.count.formulas import Compiled, Graph
from attometer.count.model_cost import LayerCost, ModelCost
from attometer.count.part_cost import PartCost
from attometer.count.placement.part_cuts import ATTENTION_KINDS, PartCut, kind_of, part_cut, with_sums
from attometer.count.weights import matrices_and_rest
from attometer.errors import AttometerError
from attometer.program import Program, size
from attometer.schedule.placement import LayerDegrees
from attometer.schedule.sharding import Owners, Sharded, State, shard_program

# Kinds whose every token is computed alike, whatever stands beside it.
_TOKENWISE = frozenset(
    {
        "embedding",
        "head",
        "projection",
        "gate",
        "norm",
        "router",
        "experts",
        "shared experts",
        "feed-forward",
        "residual",
    }
)


@dataclass(frozen=True, eq=False)
class RankPart:
    """One part on one rank.

    Attributes:
        whole: the part's cost on one device.
        local: its cost on this rank, at the rank's tokens.
        cut: how it is spread.
        sharded: the cut Program with its collectives.
        where: whose tokens it works on: `stream` (shared by sequence parallelism), `attention`, `experts` (routed rows,
            one expert each), or `block` (all tokens of the replica).
    """

    whole: PartCost
    local: PartCost
    cut: PartCut
    sharded: Sharded
    where: str

    @property
    def name(self) -> str:
        """The part's name."""
        return self.whole.name

    @cached_property
    def kind(self) -> str:
        """What it is, or `unknown`."""
        return kind_of(self.whole.name)

    @cached_property
    def weights(self) -> int:
        """Elements of weights that it reads on this rank."""
        return self.local.weights

    @cached_property
    def matrices_and_rest(self) -> tuple[int, int]:
        """Elements of its matrices and of its vectors on this rank, as formats store them."""
        return matrices_and_rest(self.local.part)

    @property
    def parameters(self) -> int:
        """Weights of its own on this rank."""
        return self.local.parameters

    @cached_property
    def of_keys(self) -> bool:
        """Whether it makes something of each key, whatever the queries."""
        return all("j" in tensor.indices and "i" not in tensor.indices for tensor in self.whole.program.outputs)

    @cached_property
    def tokenwise(self) -> bool:
        """Whether `b` sequences of `n` tokens cost what `b n` sequences of one do."""
        return self.kind in _TOKENWISE and all(
            str(extent) in ("n", "s") or extent.is_Integer for _, extent in self.local.program.axes
        )

    def at(self, quantity: str, b: int, n: int, m: int) -> float:
        """Return `flops`, `moved`, `cached`, `live`, `saved`, `outputs` or `work` at the rank's own sizes."""
        if self.tokenwise:
            b, n = b * n, 1
        return self._affine(self.local, quantity, b, n, m)

    def backward_share(self, quantity: str, b: int, n: int, m: int) -> float:
        """Return what `backward_flops`, `frozen_moved`, … are of the forward pass's `flops` or `moved`, on one device."""
        forward = self._affine(self.whole, quantity.partition("_")[2], b, n, m)
        return self._affine(self.whole, quantity, b, n, m) / forward if forward else 0.0

    def kept(self, b: int, n: int, m: int, share: int = 1) -> float:
        """Return the elements kept for backward; where `share` ranks hold alike nothing that the others hold, of the whole part."""
        if share == 1 or self.where in ("experts", "stream"):
            return self.at("saved", b, n, m)
        return self._affine(self.whole, "saved", b, n, m) / share

    def payload(self, tensor: str, b: int, n: int, m: int) -> int:
        """Return the elements of one of its tensors on this rank."""
        key = (True, f"payload {tensor}", n, m)
        if key not in self._known:
            found = self.sharded.program.tensors[tensor].size
            one, two = (_number(found, _sizes(k, n, m)) for k in (1, 2))
            self._known[key] = (2 * one - two, two - one)
        fixed, slope = self._known[key]
        return int(fixed + slope * b)

    def _affine(self, cost: PartCost, quantity: str, b: int, n: int, m: int) -> float:
        """Return a quantity at sizes; it is affine in b, so that two evaluations serve every batch."""
        key = (cost is self.local, quantity, n, m)
        if key not in self._known:
            found = getattr(cost.for_keys(m), quantity)
            one, two = (_number(found, _sizes(k, n, m)) for k in (1, 2))
            self._known[key] = (2 * one - two, two - one)
        fixed, slope = self._known[key]
        return fixed + slope * b

    @cached_property
    def _known(self) -> dict[tuple[bool, str, int, int], tuple[float, float]]:
        return {}


def _sizes(b: int, n: int, m: int) -> dict[str, int]:
    return {"b": b, "n": n, "m": m, "s": m}


def _number(expression: sympy.Expr, sizes: Mapping[str, int]) -> float:
    over, under = _quotient(expression)(*(sizes[name] for name in _SIZES))
    return over // under if over % under == 0 else float(over / under)


_SIZES = ("b", "n", "m", "s")


@lru_cache(maxsize=8192)
def _quotient(expression: sympy.Expr) -> Callable[..., tuple[int, int]]:
    """Return a function of the sizes that gives numerator and denominator: substituting in SymPy takes as long each time."""
    graph = Graph()
    found = graph.quotient(expression, {name: graph.size(name) for name in _SIZES})
    return Compiled(graph, dict(zip(("over", "under"), found, strict=True)), _SIZES).scalar  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class RankLayer:
    """One layer (or the embedding, or the head) on one rank; figures are of one of its `layers`.

    `kv` are cache elements of one sequence on this rank in `m` and `s`, `state` those that do not grow.
    """

    kind: str
    layers: int
    parts: tuple[RankPart, ...]
    kv: sympy.Expr
    state: int

    @property
    def running(self) -> tuple[RankPart, ...]:
        """The parts that a pass runs."""
        return tuple(part for part in self.parts if part.whole.runs)

    @cached_property
    def parameters(self) -> int:
        """Weights of one layer on this rank, routed experts left out."""
        return sum(p.parameters for p in self.parts if p.whole.part.routed is None)

    @cached_property
    def expert_parameters(self) -> int:
        """Weights of one layer's routed experts on this rank."""
        return sum(p.parameters for p in self.parts if p.whole.part.routed is not None)

    def kv_at(self, m: int) -> int:
        """Return the cache elements of one sequence of `m` keys, its state left out."""
        if m not in self._caches:
            self._caches[m] = int(evaluate(self.kv, {"m": m, "s": m}))
        return self._caches[m]

    @cached_property
    def _caches(self) -> dict[int, int]:
        return {}


@lru_cache(maxsize=1024)
def rank_layers(cost: ModelCost, degrees: LayerDegrees) -> tuple[RankLayer, ...]:
    """Return embedding, layers by stack and head of a model on one rank.

    Raises AttometerError naming the part, the axis and the degree of what does not divide.

    >>> from attometer.count.model_cost import model_cost
    >>> from attometer.models import model
    >>> layer = rank_layers(model_cost(model("llama-3.1-8b")), LayerDegrees(4, 4))[1]
    >>> layer.kv, [(c.kind, p.name) for p in layer.parts for c in p.sharded.collectives]
    (512*m, [('all_reduce', 'out'), ('all_reduce', 'down')])
    """
    return tuple(_rank_layer(row, degrees) for row in cost.rows)


def _rank_layer(row: LayerCost, degrees: LayerDegrees) -> RankLayer:
    norms = _split_norms(row)
    states: dict[str, State] = {}
    routed = any(part.part.routed is not None for part in row.parts)
    parts = []
    for at, part in enumerate(row.parts):
        kind = kind_of(part.name)
        later = {t.name for p in row.parts[at + 1 :] if kind_of(p.name) == kind for t in p.program.inputs}
        if routed and kind == "shared experts":
            # It is added to the routed experts' result before the one all-reduce of both.
            later |= {t.name for t in part.program.outputs}
        made = _rank_part(part, degrees, norms, states, later)
        states |= {name: dict(state) for name, state in made.sharded.left}
        parts.append(made)
    kv = row.kv * _kept(parts, "cache")
    state = int(row.state * _kept(parts, "state"))
    return RankLayer(row.kind, row.layers, tuple(parts), kv, state)


def _rank_part(
    part: PartCost,
    degrees: LayerDegrees,
    norms: Mapping[str, tuple[str, int]],
    states: Mapping[str, State],
    later: set[str],
) -> RankPart:
    kind = kind_of(part.name)
    cut = part_cut(part.part, degrees, norms)
    if kind == "experts" and degrees.dispatched:
        # Rows travel to their expert and come back whole: only hidden features are summed over ranks.
        return _cut_part(part, cut, (), tuple(t.name for t in part.program.outputs), True)
    inputs = {t.name for t in part.program.inputs} if kind == "experts" else set()
    given = tuple((name, tuple(state.items())) for name, state in states.items() if name in inputs)
    leave = tuple(t.name for t in part.program.outputs if t.name in later and "experts" in kind)
    return _cut_part(part, cut, given, leave, False)


# Most parts depend on one degree of many: what is cut alike is the same object, and so is what is known of it at sizes.
@lru_cache(maxsize=16384)
def _cut_part(
    part: PartCost,
    cut: PartCut,
    given: tuple[tuple[str, tuple[tuple[str, Owners], ...]], ...],
    leave: tuple[str, ...],
    dispatched: bool,
) -> RankPart:
    routed = kind_of(part.name) == "experts" and any("k" in t.indices for t in part.program.outputs)
    try:
        if dispatched:
            program, cuts = (_one_expert(part.program), cut.cuts) if routed else (part.program, ())
            sharded = shard_program(program, cuts, leave=leave)
            local_program = sharded.program
        else:
            states = {name: dict(state) for name, state in given}
            opened = with_sums(part.program, cut.cuts[0].axis) if cut.rule == "summed" else None
            sharded = shard_program(opened or part.program, cut.cuts, states, leave, whole=dict(cut.whole))
            local_program = _one_expert(sharded.program) if routed else sharded.program
    except AttometerError as error:
        raise AttometerError(f'part "{part.name}": {error}') from None
    local = replace(part, program=local_program, part=replace(part.part, program=local_program), short=None)
    if part.short is not None:
        short = shard_program(part.short[1].program, cut.cuts)
        local = replace(local, short=(part.short[0], replace(part.short[1], program=short.program)))
    return RankPart(part, local, cut, sharded, _where(part, cut, routed))


def _one_expert(program: Program) -> Program:
    """Each routed row meets one expert."""
    axes = {axis: sympy.Integer(1) if axis == "k" else extent for axis, extent in program.axes}
    return Program(program.statements, tuple(axes.items()), program.declarations)


def _where(part: PartCost, cut: PartCut, routed: bool) -> str:
    if routed:
        return "experts"
    if (kind := kind_of(part.name)) in ATTENTION_KINDS or (kind == "norm" and "h" in dict(part.program.axes)):
        return "attention"
    if cut.rule == "summed":
        return "attention"
    return "block" if cut.cuts else "stream"


def _split_norms(row: LayerCost) -> dict[str, tuple[str, int]]:
    """Return the norms over an axis that the projection before them leaves in slices, with it and its heads: OLMo's of queries
    and keys, gated ones."""
    heads = {part.name: _heads(part) for part in row.parts}
    found = {}
    for part in row.parts:
        axes = dict(part.program.axes)
        if kind_of(part.name) != "norm" or axes.get("h", sympy.Integer(1)) != 1:
            continue
        of = part.name.removeprefix("norm ")
        if part.name == "gated norm":
            found[part.name] = ("d", max(heads.values()))
        elif of in ("q", "k") and of in heads and "c" in axes:
            found[part.name] = ("c", heads[of])
    return found


def _heads(part: PartCost) -> int:
    axes = dict(part.program.axes)
    return int(axes.get("g" if part.name == "k" else "h", axes.get("g", 1)))


def _kept(parts: list[RankPart], what: str) -> sympy.Rational:
    """Return which share of what a layer keeps stands on a rank: of keys and values, or of recurrent states."""
    whole, local = sympy.Integer(0), sympy.Integer(0)
    for part in parts:
        if what == "state":
            held = part.kind in ("recurrence", "convolution")
            pieces = max((part.sharded.pieces(c.axis) for c in part.sharded.cuts), default=1)
            pairs = [(sympy.Integer(1), sympy.Rational(1, pieces))] if held else []
        else:
            caches = [t for t in part.whole.program.inputs if t.role == "cache"]
            one = {size(name): sympy.Integer(2**20) for name in "bnms"}
            pairs = [(t.size.xreplace(one), part.sharded.program.tensors[t.name].size.xreplace(one)) for t in caches]
        whole += sum(w for w, _ in pairs)
        local += sum(v for _, v in pairs)
    return sympy.Rational(local, whole) if whole else sympy.Integer(1)
