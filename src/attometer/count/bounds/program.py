"""Lower bounds on the words that any Program moves, derived from its text.

Segments of T transfers (Hong & Kung 1981) can compute few products of a sum of products: the words at hand limit them by
Hölder-Brascamp-Lieb inequalities (`covers`), one for each way in which an operand can be at hand. An input is read. An
intermediate is either among the words at hand, or it is computed in the segment, and then every product of its own sum
is, from inputs that are at hand in whole fibres. A product's sum is touched by the words at hand, or else the whole of it
is computed. Elementwise maps between sums change nothing: each entry needs the entry below it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.count.bounds.attention import AlgorithmClass
from attometer.count.bounds.covers import Cover, Projection
from attometer.count.bounds.places import Positions, shifted
from attometer.count.bounds.recurrence import read_again
from attometer.count.bounds.segments import certified_maximum, lengths, segments
from attometer.count.traffic.visits import visits
from attometer.errors import AttometerError, positive_int, unknown
from attometer.masks.counts import substitute
from attometer.mechanisms.subject import Subject, subject
from attometer.program.conditions import check_conditions
from attometer.program.expression import Binary, Ref, Where, reads
from attometer.program.program import Program
from attometer.schedule.cascade import Cascade, Step
from attometer.schedule.reading import cascade
from attometer.sizes import size
from attometer.view.printed import Printed
from attometer.view.table import Table

Floats = NDArray[np.float64]
How = Literal["apart", "divided", "together"]
_SOURCE = "segments of transfers; Hong & Kung 1981, Hölder-Brascamp-Lieb"


@dataclass(frozen=True)
class ProgramBound:
    """One lower bound in words, what it was shown for, and how."""

    name: str
    words: int
    statement: str
    holds_for: AlgorithmClass
    status: str = "derived"
    recomputation: bool = True
    source: str = _SOURCE


@dataclass(frozen=True)
class Bounds(Printed):
    """Every lower bound of a program at `sizes` and M words; `best` is the strongest for a class of algorithms."""

    bounds: tuple[ProgramBound, ...]
    sizes: Mapping[str, int]
    M: int

    def best(self, algorithm: AlgorithmClass = "accumulator") -> ProgramBound:
        """Return the strongest bound that covers a class: `accumulator` is inside `tree`, which is inside `any`."""
        covering = {"accumulator": ("any", "tree", "accumulator"), "tree": ("any", "tree"), "any": ("any",)}
        if algorithm not in covering:
            raise unknown("class of algorithms", algorithm, covering)
        return max((b for b in self.bounds if b.holds_for in covering[algorithm]), key=lambda b: b.words)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"M": self.M, "sizes": dict(self.sizes), "bounds": [vars(b) for b in self.bounds]}

    def __str__(self) -> str:
        rows = [(b.name, b.words, b.holds_for, b.status, b.statement) for b in self.bounds]
        columns = ("lower bound", "words", "holds for", "status", "statement")
        return str(Table(f"lower bounds at M = {self.M:,}", columns, tuple(rows)))


def bounds(what: Subject, /, M: int, **sizes: int) -> Bounds:
    """Return the lower bounds of a program for M words of fast memory at sizes given by name.

    `what` is a Program, a mechanism, its name, or a file of notation.

    `any` bounds hold for every algorithm that reads what it needs and writes its results; `tree` ones for the program's
    products, each sum added up in any order, any value computed again; `accumulator` ones where every sum has one
    accumulator and everything that is no result is computed once. A factor that does not vary along a sum may be taken
    out of it, and a sum of terms be summed term by term.

    Raises AttometerError for a program that is no cascade of maps, sums and reductions, or a size that is missing.

    >>> from attometer.mechanisms import mechanism
    >>> found = bounds(mechanism("softmax").program, M=98304, n=65536, d=64, b=1, h=1)
    >>> found.best("accumulator").name, found.best("any").words
    ('O, one accumulator each', 16777216)
    """
    program = subject(what).program
    positive_int("M", M)
    known = [s.name for s in program.symbols]
    for name, value in sizes.items():
        if name not in known:
            raise unknown("size", name, known)
        positive_int(name, value)
    missing = [name for name in known if name not in sizes]
    if missing:
        raise AttometerError(f"a bound needs numbers: {', '.join(missing)} is missing")
    return _Program(program, M, sizes).bounds()


@dataclass(frozen=True)
class _Program:
    program: Program
    M: int
    sizes: Mapping[str, int]

    @cached_property
    def numbers(self) -> dict[sympy.Expr, sympy.Expr]:
        return {size(k): sympy.Integer(v) for k, v in self.sizes.items()}

    @cached_property
    def cascade(self) -> Cascade:
        return cascade(self.program)

    @cached_property
    def extents(self) -> dict[str, int]:
        check_conditions(self.program, {s: self.numbers[s] for s in self.program.symbols})
        return {axis: int(extent.xreplace(self.numbers)) for axis, extent in self.cascade.axes}

    @cached_property
    def live(self) -> dict[str, Step]:
        """The steps that some result needs."""
        needed, todo = set[str](), list(self.cascade.outputs)
        while todo:
            step = self.step(todo.pop())
            if step is not None and step.name not in needed:
                needed.add(step.name)
                todo += [n for r in step.reads for n in (r, *self.cascade.value(r).places)]
        return {s.name: s for s in self.cascade.steps if s.name in needed}

    @cached_property
    def positions(self) -> Positions:
        """What is read at positions that data choose."""
        return Positions(self.cascade, self.live, self.extents, self.numbers)

    def step(self, name: str) -> Step | None:
        """Return the step behind a value, whatever axes it is read under."""
        return self.cascade.step(self.cascade.value(name).of)

    # --- bounds ------------------------------------------------------------------------------------------------------

    def bounds(self) -> Bounds:
        """Return every bound."""
        found = [
            ProgramBound(
                "compulsory", self.compulsory(), "every input that matters is read once, every result written once",
                "any", source="by definition of the model",
            )
        ]  # fmt: skip
        again, once = read_again(self.cascade, self.live, self.extents, self.M)
        if again > once:
            found.append(ProgramBound(
                "weights of a recurrence", found[0].words - once + again,
                "weights of one state's step, but for M words, are read for every other step", "tree",
                source="steps depend on one another as wholes"))  # fmt: skip
        products = [s for s in self.live.values() if s.kind == "sum" and self.pair(s) is not None]
        several = [products, *(g for g in self.reading().values() if len(g) < len(products))]
        groups = [[s] for s in products]
        groups += [g for g in several if len(g) > 1 and math.prod(map(self.choice, g)) <= _CHOICES]
        for group in groups:
            name = "all products" if 1 < len(group) == len(products) else ", ".join(s.name for s in group)
            found.append(ProgramBound(
                f"{name}, any tree", self.tree(group), "Q ≥ T (⌈products / F(T)⌉ - 1) for every T", "tree"))  # fmt: skip
            words, less = self.accumulated(group)
            less_text = f" - {less:,}" if less else ""
            found.append(ProgramBound(
                f"{name}, one accumulator each", words,
                f"Q ≥ T (⌈products / F(M + T)⌉ - 1){less_text}, fresh accumulators read", "accumulator"))  # fmt: skip
        return Bounds(tuple(found), self.sizes, self.M)

    def choice(self, step: Step) -> int:
        """Return in how many ways the sums below the operands of a product can be chosen."""
        return len(list(self.ways(step, tree=False)))

    def reading(self) -> dict[str, list[Step]]:
        """The products of inputs alone that read one of them, by its name: the projections of one tensor."""
        found: dict[str, list[Step]] = {}
        for step in self.live.values():
            pair = self.pair(step) if step.kind == "sum" else None
            inputs = {self.cascade.value(ref.tensor).of for ref in pair or ()}
            if inputs <= {*self.cascade.inputs}:
                for name in inputs:
                    found.setdefault(name, []).append(step)
        return found

    def compulsory(self) -> int:
        """Return the words of every input entry that a result depends on, and of the results.

        Where data decide, the fewest words that they can: the positions of one row are distinct. What decides is charged.
        """
        total = sum(self.held(self.live[name].axes, self.live[name].where) for name in self.cascade.outputs)
        for name in self.cascade.inputs:
            read = [
                self.words(r, step.where)
                for step in self.live.values()
                for r in {n for r in step.reads for n in (r, *self.cascade.value(r).places)}
                if self.cascade.value(r).of == name
            ]
            total += max((*read, self.windows.get(name, 0)))
        return total

    def words(self, name: str, where: Where | None) -> int:
        """Return at least how many words of an input a step reads under the name of a value."""
        value = self.cascade.value(name)
        if not value.at:
            return self.held(value.axes, where)
        axes = self.positions.of(value)
        return 0 if axes is None or where is not None else math.prod(self.extents[a] for a in axes)

    @cached_property
    def windows(self) -> dict[str, int]:
        """For each input that steps without a mask read through shifts, the most words that one of them reads."""
        try:
            found = cascade(self.program, "images")
        except AttometerError:
            return {}
        read: dict[str, int] = {}
        for step in found.steps:
            for value in map(found.value, step.reads):
                if (
                    value.of in found.inputs
                    and {*value.axes} & found.images.keys()
                    and step.name in self.live
                    and step.where is None
                ):
                    words = shifted(value.axes, found.images, self.extents, self.numbers)
                    read[value.of] = max(words, read.get(value.of, 0))
        return read

    def held(self, axes: tuple[str, ...], where: Where | None) -> int:
        """Return the entries along `axes` that belong to a pair which the mask allows."""
        return entries(axes, where, self.extents, self.numbers)

    def tree(self, group: list[Step]) -> int:
        """Return the bound for any summation tree: X = 2M + T words are at hand, read, or left behind."""
        total = sum(self.count(s) for s in group)

        def weakest(covers: list[Cover]) -> int:
            # A product is a word at hand itself, or its operands and its sum are had in one of the ways.
            return self._segments(total, lambda T, how: self.M + T + _most(covers, self.M, 2 * self.M + T, how))

        return min(map(weakest, self.choices(group, tree=True)))

    def accumulated(self, group: list[Step]) -> tuple[int, int]:
        """Return the bound for one accumulator per sum, and the accumulators that are no results."""
        total = sum(self.count(s) for s in group)
        fresh = sum(self.held(s.axes, s.where) for s in group)
        results = sum(self.held(self.live[n].axes, self.live[n].where) for n in self.cascade.outputs)
        less = max(0, fresh - results)

        def weakest(covers: list[Cover]) -> int:
            return self._segments(total, lambda T, how: _most(covers, self.M, self.M + T, how))

        return max(0, min(map(weakest, self.choices(group, tree=False))) - less), less

    def _segments(self, total: int, most: Any) -> int:
        """Return the strongest bound over lengths of segments; the best few are judged more exactly."""
        tried = lengths(self.M, 25)
        rough = [segments(total, most(T, "divided"), T) for T in tried]
        apart = sorted(((segments(total, most(T, "apart"), T), T) for T in tried), reverse=True)
        exact = [segments(total, most(T, "together"), T) for words, T in apart[:2] if max(rough)]
        return max(0, *rough, *exact)

    def count(self, step: Step) -> int:
        """Return the products of a sum, over the pairs that its mask allows."""
        return self.held(tuple(dict.fromkeys((*step.axes, *step.summed))), step.where)

    # --- how products are had ----------------------------------------------------------------------------------------

    def pair(self, step: Step) -> tuple[Ref, Ref] | None:
        """Return the two operands of a sum of products."""
        match step.expression:
            case Binary(op="*", left=Ref() as one, right=Ref() as other):
                return one, other
        return None

    def choices(self, group: list[Step], *, tree: bool) -> Iterator[list[Cover]]:
        """Yield, for each choice of the sum below each operand, all ways in which the products of a group are had.

        An operand that adds several sums may be opened into them, so that only the weakest choice gives a bound.
        """
        single = [list(self.ways(step, tree=tree)) for step in group]
        for chosen in product(*single):
            yield [cover for covers in chosen for cover in covers]

    def ways(self, step: Step, *, tree: bool) -> Iterator[list[Cover]]:
        """Yield covers of the products of a sum, whose points together bound what a segment computes."""
        pair = self.pair(step)
        assert pair is not None
        own = Projection(self.kind(step), frozenset(step.axes))
        for one, other in product(self.operand(pair[0]), self.operand(pair[1])):
            both = [(*a, *b) for a, b in product(one, other)]
            named = {a for parts in both for p in parts for a in self.chosen.get(p.variable, ())}
            space = [(a, self.positions.extent(a, frozenset(named))) for a in dict.fromkeys((*step.axes, *step.summed))]
            covers = [Cover(tuple(space), (*parts, own)) for parts in both]
            if tree and step.name not in self.cascade.outputs:
                # The whole sum is computed, and none of it is left: every operand along it is at hand.
                whole = tuple(pair for pair in space if pair[0] in step.axes)
                along = math.prod(self.extents[a] for a in step.summed)
                covers += [
                    Cover((*whole, (_EACH, along)), tuple(self._whole(p, step) for p in parts)) for parts in both
                ]
            yield covers

    def _whole(self, part: Projection, step: Step) -> Projection:
        """Return a projection onto sums instead of their products: whole fibres along what is summed."""
        fibre = math.prod(self.extents[a] for a in part.axes if a in step.summed)
        return Projection(part.variable, part.axes - set(step.summed), part.each * fibre)

    def operand(self, ref: Ref) -> list[list[tuple[Projection, ...]]]:
        """Return, for each chain below an operand, the ways in which it is had: at hand, or computed as a whole."""
        found: list[list[tuple[Projection, ...]]] = []
        for chain in self.chains(ref.tensor):
            inputs = [
                Projection(of, axes & chain.common, math.prod(self.extents[a] for a in axes - chain.common))
                for of, axes in chain.inputs
                if axes & chain.common
            ]
            if not chain.sums:
                found.append([(part,) for part in inputs[:1]])
            else:
                found.append([(Projection(self.kind(chain.sums[0]), chain.common),), tuple(inputs)])
        return found or [[()]]  # what is below nothing may be had for nothing

    def chains(self, name: str) -> list["_Chain"]:
        """Return the sums of products below a value, each with the inputs that it needs whole.

        Element-wise steps keep an entry's place. A sum needs both operands along what it sums, so that below it only the
        axes `common` to all of its chain tell which entries are meant.
        """
        value, step = self.cascade.value(name), self.step(name)
        axes = frozenset(value.axes)
        if value.at:
            words = self.positions.of(value) if value.of in self.cascade.inputs else None
            # Else entries may share a word, or be carried from one to the next.
            return [] if words is None else [_Chain((), words, ((value.of, words),))]
        if step is None:
            return [_Chain((), axes, ((value.of, axes),))]
        if set(step.axes) != axes:
            return []
        if step.kind == "set":
            same = [r for r in sorted(reads(step.expression)) if set(self.cascade.value(r).axes) == axes]
            return [chain for r in same for chain in self.chains(r)]
        pair = self.pair(step)
        if step.kind != "sum" or pair is None:
            return []
        if step.where is not None and {step.where.query, step.where.key} & set(step.summed):
            return []  # how much of it is summed differs from entry to entry
        below = [self.chains(ref.tensor) or [_Chain((), axes, ())] for ref in pair]
        joined = [_joined(step, parts) for parts in product(*below)]
        return [chain for chain in joined if chain.common and chain.inputs]

    @cached_property
    def chosen(self) -> dict[str, frozenset[str]]:
        """For each input that is read at positions, the axes of positions that name its words."""
        found: dict[str, frozenset[str]] = {}
        for value in self.cascade.values:
            named = (self.positions.of(value) if value.at else None) or frozenset()
            found[value.of] = found.get(value.of, frozenset()) | (named & self.positions.along.keys())
        return found

    def kind(self, step: Step) -> str:
        """Name the kind of words that are sums of a step, finished or not, or maps of these: a chain's are one kind."""
        return f"sums {self.kinds.get(step.name, step.name)}"

    @cached_property
    def kinds(self) -> dict[str, str]:
        """For each sum, the first one of the chains that it is in."""
        found: dict[str, str] = {}
        for step in self.live.values():
            for ref in self.pair(step) or () if step.kind == "sum" else ():
                names = {s.name for chain in self.chains(ref.tensor) for s in chain.sums}
                roots = {found.get(n, n) for n in names}
                for name, root in list(found.items()):
                    if root in roots:
                        found[name] = min(roots)
                found |= {n: min(roots) for n in names}
        return found


@dataclass(frozen=True)
class _Chain:
    """Sums on one another, the axes that they all have, and the inputs below with their axes."""

    sums: tuple[Step, ...]
    common: frozenset[str]
    inputs: tuple[tuple[str, frozenset[str]], ...]


def _joined(step: Step, parts: tuple[_Chain, ...]) -> _Chain:
    common = frozenset(step.axes)
    for part in parts:
        if part.sums:
            common &= part.common
    sums = tuple(dict.fromkeys((step, *(s for part in parts for s in part.sums))))
    return _Chain(sums, common, tuple(dict.fromkeys(i for part in parts for i in part.inputs)))


_CHOICES = 16
_EACH = "products of a sum"


def entries(
    axes: tuple[str, ...], where: Where | None, extents: Mapping[str, int], numbers: dict[sympy.Expr, sympy.Expr]
) -> int:
    """Return the entries along `axes` that belong to a pair which the mask allows."""
    if where is None or not {where.query, where.key} & set(axes):
        return math.prod(extents[a] for a in axes)
    mask = substitute(where.mask, numbers)
    n, m = extents[where.query], extents[where.key]
    rest = math.prod(extents[a] for a in axes if a not in (where.query, where.key))
    if where.query in axes and where.key in axes:
        return int(mask.pairs(n, m)) * rest
    return (int(mask.rows(n, m)) if where.query in axes else visits(mask, n, m, n, 1).columns) * rest


def _most(covers: list[Cover], M: int, X: float, how: How) -> float:
    """Return a number of products that X words never allow more than: all X for every way, divided, or together."""
    # Exponents that are good for 3M words are nearly so for others, and any exponents are right.
    near = 3.0 * M
    match how:
        case "apart":
            return sum(cover.points(X, cover.best(near)) for cover in covers)
        case "divided":
            return _divided(_pooled(covers, near), near, X)
    return min(_most(covers, M, X, "divided"), _together(tuple(covers), near, X))


def _pooled(covers: list[Cover], near: float) -> list[tuple[Cover, frozenset[str]]]:
    """Return covers, one in place of all of its shape whose words can be pooled, each with the kinds of words it uses.

    What is shared (the X of XW and XU) is a factor of all, and Σ_k Π_l x_kl^s_l ≤ Π_l (Σ_k x_kl)^s_l for exponents of what
    is not shared that add up to at least 1 (Hölder): several products of one shape are no easier than one.
    """
    alike: dict[object, list[Cover]] = {}
    for cover in covers:
        alike.setdefault(cover.shape, []).append(cover)
    found: list[tuple[Cover, frozenset[str]]] = []
    for group in alike.values():
        exponents = group[0].best(near)
        used = [k for k, e in enumerate(exponents) if e > 0]
        names = [tuple(cover.projections[k].variable for k in used) for cover in group]
        columns = [frozenset(column) for column in zip(*names, strict=True)]
        shared = [len(column) == 1 for column in columns]
        apart = sum(map(len, columns)) == len(frozenset().union(*columns))
        full = all(one or len(column) == len(group) for one, column in zip(shared, columns, strict=True))
        free = sum(exponents[k] for k, one in zip(used, shared, strict=True) if not one)
        if len(group) > 1 and apart and full and free >= 1:
            found.append((group[0], frozenset().union(*columns)))
        else:
            found += [(cover, frozenset(row)) for cover, row in zip(group, names, strict=True)]
    return found


def _divided(covers: list[tuple[Cover, frozenset[str]]], near: float, X: float) -> float:
    """Return a number of points that X words never allow more than, whatever part of them each cover has.

    A cover whose exponents add up to at least 1 has at most its part of the points that all X words give it, so that
    the most is what the covers that use one kind of words have together.
    """
    always, among = 0.0, dict[str, float]()
    for cover, words in covers:
        chosen = cover.best(near)
        points = cover.points(X, chosen)
        if sum(chosen) < 1:
            always += points
        else:
            among |= {v: among.get(v, 0.0) + points for v in words}
    return always + max(among.values(), default=0.0)


def _together(covers: tuple[Cover, ...], near: float, X: float) -> float:
    """Return the same where the ways share the words: a certified maximum over how X words are divided among them.

    Two kinds of words that every way uses alike are best had in equal numbers (means), which leaves fewer to vary.
    """
    alike = _twins(covers, near)
    paired = {v for pair in alike for v in pair}
    kinds = [*alike, *((v,) for v in sorted({p.variable for c in covers for p in c.projections} - paired))]
    if len(kinds) > 4:
        return math.inf
    choices = [cover.even(alike, near) for cover in covers]

    def upper(lo: Floats, hi: Floats) -> Floats:
        left = np.maximum(X - lo.sum(axis=1), 0.0)
        shares = [*(hi[:, k] for k in range(len(kinds) - 1)), left]
        words = {v: share / len(kind) for kind, share in zip(kinds, shares, strict=True) for v in kind}
        points = sum(cover.at(words, chosen) for cover, chosen in zip(covers, choices, strict=True))
        return np.where(lo.sum(axis=1) <= X, points, 0.0)

    return certified_maximum(upper, [0.0] * (len(kinds) - 1), [X] * (len(kinds) - 1), 1e-2, 4000)


def _twins(covers: tuple[Cover, ...], near: float) -> list[tuple[str, str]]:
    """Return pairs of words that have the same exponent in the best inequality of every way."""
    best = [cover.exponents(cover.best(near)) for cover in covers]
    found: list[tuple[str, str]] = []
    names = sorted({name for exponents in best for name in exponents})
    for one, other in combinations(names, 2):
        taken = {v for pair in found for v in pair}
        # Only words that the same ways use: a mean of what one of them limits alone would be no bound.
        same = all((one in e) == (other in e) and abs(e.get(one, 0.0) - e.get(other, 0.0)) < 0.02 for e in best)
        if same and not {one, other} & taken:
            found.append((one, other))
    return found
