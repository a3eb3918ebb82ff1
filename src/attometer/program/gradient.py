"""Reverse-mode differentiation on the notation: from a Program to the Program of its gradients."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import sympy

from attometer.errors import AttometerError, unknown
from attometer.program.derivatives import derivatives
from attometer.program.explicit import Names, explicit
from attometer.program.expression import (
    SCATTER,
    SORTS,
    Along,
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Ref,
    Statement,
    Where,
    factors_of,
    refs_in,
    walk,
)
from attometer.program.indices import index_names, indices_of, step_of
from attometer.program.inversion import Inversion
from attometer.program.lowering import groups
from attometer.program.operations import Tensor
from attometer.program.program import Declaration, Program
from attometer.program.recurrences import reads

Factors = tuple[tuple[bool, Expression], ...]
"""What a product is made of, each with whether it divides."""

ONE = Number(1)


def gradient(program: Program, *, of: str | Sequence[str] | None = None, to: Sequence[str] | None = None) -> Program:
    """Return the Program that computes gradients of `program` by reverse-mode differentiation.

    It reads what `program` reads and, for each result `O`, the gradient `dO` that arrives at it, of the same shape; it
    computes again what it needs of the forward pass, and leaves the gradient `dX` of each input `X`. Positions have none.
    Where entries tie for a maximum each gets an equal share; `prod` needs entries other than 0.

    Args:
        program: what is differentiated.
        of: the results whose gradients arrive; all outputs when None.
        to: the inputs whose gradients are computed; all that have one when None.

    Raises:
        AttometerError: an unknown name, an input that no result depends on smoothly, or an operation without a rule.

    Source: reverse-mode automatic differentiation, Baydin et al. 2018, JMLR 18(153); softmax as in Dao et al. 2022,
    arXiv:2205.14135, appendix B.2.

    >>> from attometer.program import parse
    >>> print(gradient(parse("input A[i,j], B[j,k]" + chr(10) + "Y[i,k] = A[i,j] * B[j,k]")))
    input A[i,j], B[j,k], dY[i,k]
    output dA[i,j], dB[j,k]
    dA[i,j] = dY[i,k] * B[j,k]
    dB[j,k] = dY[i,k] * A[i,j]
    """
    results = [t.name for t in program.outputs]
    chosen = results if of is None else [of] if isinstance(of, str) else list(of)
    for name in chosen:
        if name not in {s.tensor for s in program.statements}:
            raise unknown("result", name, [s.tensor for s in program.statements])
    inputs = [t.name for t in program.inputs]
    for name in to or ():
        if name not in inputs:
            raise unknown("input", name, inputs)
    split = explicit(program)
    active = active_in(split, set(chosen), set(inputs if to is None else to))
    wanted = [name for name in inputs if name in active] if to is None else list(to)
    for name in wanted:
        if name not in active:
            raise AttometerError(f'no result depends on the entries of "{name}" smoothly; it has no gradient')
    if not wanted:
        raise AttometerError("no result depends smoothly on an input; there is no gradient")
    return _Reverse(split, active, tuple(chosen), tuple(wanted)).program_of_gradients()


def differentiable(program: Program) -> tuple[str, ...]:
    """Return the inputs on which some result depends smoothly: those that have a gradient.

    >>> from attometer.program import parse
    >>> differentiable(parse("input T[i]" + chr(10) + "weight W[v,c]" + chr(10) + "Y[i,c] = W[T[i], c]"))
    ('W',)
    """
    inputs = [t.name for t in program.inputs]
    active = active_in(explicit(program), {t.name for t in program.outputs}, set(inputs))
    return tuple(name for name in inputs if name in active)


def active_in(program: Program, of: set[str], to: set[str]) -> set[str]:
    """Return the tensors through which a result depends smoothly on an input."""
    reached, needed = set(to), set(of)
    # Recurrences look back, so that one sweep may not be enough.
    for _ in program.statements:
        before = len(reached) + len(needed)
        for statement in program.statements:
            if _smooth(statement.expression) & reached:
                reached.add(statement.tensor)
        for statement in reversed(program.statements):
            if statement.tensor in needed:
                needed |= _smooth(statement.expression)
        if len(reached) + len(needed) == before:
            break
    return reached & needed


def _smooth(node: Expression) -> set[str]:
    """Return the tensors that `node` reads as numbers, not as positions."""
    match node:
        case Ref(tensor=tensor):
            return {tensor}
        case Along(function=function, argument=argument):
            return set() if function in SORTS else _smooth(argument)
        case Negative(operand=operand):
            return _smooth(operand)
        case Binary(left=left, right=right):
            return _smooth(left) | _smooth(right)
        case Call(function=function, arguments=arguments):
            rules = derivatives(function, arguments, node)
            return set().union(*(_smooth(a) for a, rule in zip(arguments, rules, strict=True) if rule is not None))
    return set()


@dataclass(frozen=True)
class _Term:
    """One use's share of a gradient, over the tensor's own indices."""

    negative: bool
    product: Expression
    where: Where | None


@dataclass(frozen=True)
class _Use:
    """A statement as it is gone through: what arrives at a node is over `context`."""

    statement: Statement
    context: tuple[str, ...]

    @property
    def value(self) -> Ref:
        """The statement's tensor at its own indices."""
        return _at(self.statement.tensor, self.statement.indices)


class _Reverse:
    """Goes through the statements from the last to the first, and collects terms for each tensor's gradient."""

    def __init__(self, program: Program, active: set[str], of: tuple[str, ...], to: tuple[str, ...]) -> None:
        self.program, self.active, self.of, self.to = program, active, of, to
        self.names = Names(program)
        self.tensors = program.tensors
        self.made = [s.tensor for s in program.statements]
        self.axes = dict(program.axes)
        self.terms: dict[str, list[_Term]] = {}
        self.users: dict[str, list[Statement]] = {}
        self.helpers: list[Statement] = []
        self.masks: dict[str, tuple[tuple[str, ...], frozenset[Where]]] = {}
        self.lefts: dict[str, tuple[str, ...]] = {}
        self.known: dict[tuple[Expression, tuple[str, ...], Where | None], Ref] = {}
        self.seeds = {name: self.names.new(f"d{name}", f"d{name}") for name in of}
        read = {name for s in program.statements for name in s.names if s.tensor in active}
        # What arrives where a mask forbids an entry counts for nothing: it gets a masked statement of its own.
        self.adjoints = {
            name: self.seeds[name]
            if name in self.seeds and name not in read and self.tensors[name].where is None
            else self.names.new(f"d{name}", f"d{name}")
            for name in self.tensors
            if name in active
        }

    def program_of_gradients(self) -> Program:
        made: list[Statement] = []
        for group in reversed(groups(self.program)):
            helpers: dict[str, list[Statement]] = {}
            for statement in reversed(group):
                if statement.tensor in self.active:
                    self.helpers = helpers[statement.tensor] = []
                    self.known = {}
                    self.back(statement)
            for statement in reversed(group):
                if statement.tensor in self.active:
                    self.helpers = []
                    own = self.collect(statement.tensor, statement.associative)
                    made += [*self.helpers, *own, *helpers[statement.tensor]]
        for name in self.to:
            self.helpers = []
            own = self.collect(name)
            made += [*self.helpers, *own]
        return self.assemble(made)

    def assemble(self, made: list[Statement]) -> Program:
        """Return the program without the statements that no gradient needs."""
        statements = [*self.program.statements, *made]
        needed = {self.adjoints[name] for name in self.to}
        for _ in statements:
            more = needed.union(*(s.names for s in statements if s.tensor in needed))
            if more == needed:
                break
            needed = more
        kept = tuple(s for s in statements if s.tensor in needed)
        declared = {d.tensor: d for d in self.program.declarations if d.role != "output"}
        roles = [declared.get(t.name, Declaration(t.role, t.name, t.indices)) for t in self.program.inputs]
        inputs = [d for d in roles if d.tensor in needed and (d.tensor in declared or self.own(self.tensors[d.tensor]))]
        arriving = [Declaration("input", seed, self.tensors[name].indices) for name, seed in self.seeds.items()]
        leaving = [Declaration("output", self.adjoints[name], self.left(name)) for name in self.to]
        used = {i for s in kept for i in _names_in(s)} | {i for d in (*inputs, *arriving) for i in d.indices}
        bare = {name for s in kept for name in s.bare}
        told = {str(s) for name in used - bare for s in self.size_of(name).free_symbols}
        axes = tuple((i, value) for i, value in self.axes.items() if i in used or str(value) in bare - told)
        return Program(kept, axes, (*inputs, *(d for d in arriving if d.tensor in needed), *leaving))

    # --- one statement -----------------------------------------------------------------------------------------------

    def back(self, statement: Statement) -> None:
        """Collect the terms of everything that `statement` reads."""
        arriving: Factors = ((False, _at(self.adjoints[statement.tensor], statement.indices)),)
        use = _Use(statement, statement.indices)
        node = statement.expression
        if not isinstance(node, Along):
            self.spread(node, arriving, use)
            return
        inner = replace(use, context=tuple(dict.fromkeys((*use.context, *node.runs))))
        rule = {
            "softmax": self.softmax,
            "logsumexp": self.logsumexp,
            "max": self.extreme,
            "min": self.extreme,
        }.get(node.function)
        if node.function == "sum":
            self.spread(node.argument, arriving, inner)
        elif node.function == SCATTER:
            own = (Name(node.index), *node.parameters)
            at = dict(zip((i.name for i in own[::2] if isinstance(i, Name)), own[1::2], strict=True))
            gathered = Ref(self.adjoints[statement.tensor], tuple(at.get(i, Name(i)) for i in statement.indices))
            self.spread(node.argument, ((False, gathered),), replace(use, context=tuple(indices_of(gathered))))
        elif node.function == "prod":
            self.spread(node.argument, (*arriving, (False, use.value), (True, node.argument)), inner)
        elif node.function in ("max", "min") and self.over_all(statement):
            raise AttometerError(
                f'statement "{statement.tensor}": the gradient of a {node.function} over all earlier places of a recurrence '
                "is not formed; a running one is Z[t] = maximum(Z[t-1], X[t])   associative"
            )
        elif rule is not None and isinstance(node.argument, Ref):
            self.contribute(node.argument, rule(node, node.argument, arriving, inner), inner)

    def softmax(self, node: Along, operand: Ref, arriving: Factors, use: _Use) -> Factors:
        """P (dP - D), with D the sum of P dP."""
        (_, adjoint), value = arriving[0], use.value
        rest = tuple(i for i in use.statement.indices if i not in node.runs)
        source = self.product_with_values(use.statement, {*node.runs})
        # Where P is only ever multiplied by values that are summed, the sum over keys of P dP is that of O dO.
        pair = (
            (adjoint, value)
            if source is None
            else (_at(self.adjoints[source.tensor], source.indices), _at(source.tensor, source.indices))
        )
        product = Binary("*", *pair)
        total = self.helper(f"D{use.statement.tensor}", product, rest, None if source else use.statement.where)
        return (False, value), (False, Binary("-", adjoint, total))

    def product_with_values(self, statement: Statement, runs: set[str]) -> Statement | None:
        """Return the one statement that reads `statement` if it is its product with another tensor, summed over `runs`."""
        users = self.users.get(statement.tensor, [])
        if len(users) != 1 or statement.tensor in self.of:
            return None
        match users[0].expression:
            case Binary(op="*", left=Ref() as one, right=Ref() as other):
                own = _at(statement.tensor, statement.indices)
                whole = {*statement.indices} - runs <= set(users[0].indices)
                if (one, other).count(own) == 1 and not runs & {*users[0].indices} and whole:
                    return users[0]
        return None

    def logsumexp(self, node: Along, operand: Ref, arriving: Factors, use: _Use) -> Factors:
        return *arriving, (False, Call("exp", (Binary("-", operand, use.value),)))

    def extreme(self, node: Along, operand: Ref, arriving: Factors, use: _Use) -> Factors:
        where = use.statement.where
        stem = f"d{use.statement.tensor}"
        largest = self.helper(stem, Call("equal", (operand, use.value)), use.context, where)
        rest = tuple(i for i in use.context if i != node.index)
        number = self.helper(stem, Along("sum", node.index, (), largest), rest, where)
        return *arriving, (False, largest), (True, number)

    def spread(self, node: Expression, arriving: Factors, use: _Use) -> None:
        """Collect the terms of everything that `node` reads, `arriving` being the product that reaches it."""
        if not _smooth(node) & self.active:
            return
        root = node == use.statement.expression
        match node:
            case Ref():
                self.contribute(node, arriving, _wider(use, node))
            case Negative(operand=operand):
                self.spread(operand, (*arriving, (False, Number(-1))), use)
            case Binary(op="+" | "-" as op, left=left, right=right):
                self.spread(left, arriving, use)
                self.spread(right, arriving if op == "+" else (*arriving, (False, Number(-1))), use)
            case Binary():
                self.product(node, arriving, _wider(use, node), root)
            case Call(function=function, arguments=arguments):
                slopes = derivatives(function, arguments, use.value if root else node)
                for argument, slope in zip(arguments, slopes, strict=True):
                    if slope is not None:
                        self.spread(argument, (*arriving, (False, slope)), use)

    def product(self, node: Expression, arriving: Factors, use: _Use, root: bool) -> None:
        factors = factors_of(node)
        for k, (inverse, factor) in enumerate(factors):
            others = tuple(factors[:k] + factors[k + 1 :])
            if inverse:
                # y = a / b: dy/db = -y / b
                value: Factors = ((False, use.value),) if root else (*others, (True, factor))
                others = ((False, Number(-1)), *value, (True, factor))
            self.spread(factor, (*arriving, *others), use)

    # --- one term ----------------------------------------------------------------------------------------------------

    def contribute(self, ref: Ref, arriving: Factors, use: _Use) -> None:
        """Add to the gradient of the tensor that `ref` reads: the product `arriving`, summed over what leads to one entry."""
        if ref.tensor not in self.active:
            return
        self.users.setdefault(ref.tensor, []).append(use.statement)
        negative, factors = _signed(arriving)
        left = self.left(ref.tensor)
        # The tensor's own indices are told from the statement's of the same name by a mark.
        marked = {f"{i}'": i for i in left}
        solved = Inversion(lambda i: self.size_of(marked.get(i, i)), use.context, tuple(marked), self.new_axis)
        chosen = {k for k, part in enumerate(ref.indices) if any(isinstance(n, Ref) for n in walk(part))}
        solved.solve_all({k: part for k, part in enumerate(ref.indices) if k not in chosen})
        where = use.statement.where
        # The gradient of a masked tensor has the mask itself.
        bare = where is not None and self.tensors[use.statement.tensor].where is None
        if not solved.plain and (bare or any(inverse or not isinstance(f, Ref) for inverse, f in _varying(factors))):
            # Past the ends of an axis a product of tensors is 0, a quotient need not be.
            factors = self.one_factor(factors, use)
            where = None
        solved.stay_inside([f for _, f in factors])
        solved.rename(marked | self.apart(solved.found, left, use.context, marked))
        only = tuple((False, f) for f in solved.only)
        factors = tuple((inverse, solved.substituted(f)) for inverse, f in factors) + only
        # Where nothing in a term tells the values of a new index apart, it is added once for each.
        factors += tuple((False, f) for f in solved.repeated([f for _, f in factors]))
        where = self.moved(where, solved.found, use.statement)
        order = _order(use.context, solved.found, left, factors)
        # A term without one of the mask's indices is the same for all its pairs.
        where = where if where is not None and {where.query, where.key} <= {*order} else None
        places = tuple(part for k in chosen for part in (Name(left[k]), solved.undone(ref.indices[k])))
        if places:
            product, where = self.scattered(places, factors, left, order, where, use.statement), None
        else:
            product = self.contractible(factors, left, order, where, use.statement)
        self.terms.setdefault(ref.tensor, []).append(_Term(negative, product, where))

    def scattered(
        self,
        places: tuple[Expression, ...],
        factors: Factors,
        left: tuple[str, ...],
        order: tuple[str, ...],
        where: Where | None,
        statement: Statement,
    ) -> Expression:
        """Return the sum of what a gather read from each place."""
        told = {n for place in places[1::2] for n in index_names(place)}
        kept = tuple(i for i in order if i in told or (i in left and Name(i) not in places[::2]))
        product = self.contractible(factors, kept, order, where, statement)
        stem = f"d{statement.tensor}"
        if where is not None or set(indices_of(product)) - {*kept}:
            product = self.helper(stem, product, kept, where)
        index, *parameters = places
        assert isinstance(index, Name)
        return self.helper(stem, Along(SCATTER, index.name, tuple(parameters), product), left, None)

    def one_factor(self, factors: Factors, use: _Use) -> Factors:
        constant = tuple(f for f in factors if f not in _varying(factors))
        varying = _varying(factors)
        if len(varying) == 1 and isinstance(varying[0][1], Ref) and not varying[0][0] and use.statement.where is None:
            return factors
        named = self.helper(f"d{use.statement.tensor}", _product(varying), use.context, use.statement.where)
        return ((False, named), *constant)

    def moved(self, where: Where | None, found: dict[str, Expression], statement: Statement) -> Where | None:
        """Return the statement's mask over the new indices, if the gradient that arrives does not carry it."""
        if where is None or (self.tensors[statement.tensor].where is not None and not self.over_all(statement)):
            return None
        query, key = (found.get(i, Name(i)) for i in (where.query, where.key))
        return Where(where.mask, query.name, key.name) if isinstance(query, Name) and isinstance(key, Name) else None

    def over_all(self, statement: Statement) -> bool:
        """Return whether a statement reads all earlier places of its recurrence: then its own mask has to say so."""
        later = set(self.made[self.made.index(statement.tensor) :])
        refs = [n for n in refs_in(statement.expression) if n.tensor in later]
        return any(not any(map(step_of, ref.indices)) for ref in refs)

    def apart(
        self, found: dict[str, Expression], left: tuple[str, ...], context: tuple[str, ...], marked: dict[str, str]
    ) -> dict[str, str]:
        """Return new names of summed indices where the tensor has one of the same name."""
        named = {n.name for target in found.values() for n in walk(target) if isinstance(n, Name)}
        taken = {*left, *(marked.get(name, name) for name in named)}
        spare = [i for i in context if i in found and i not in taken]
        result: dict[str, str] = {}
        for index in context:
            if index in found or index not in left:
                continue
            other = next((i for i in spare if self.program.size_of(i) == self.program.size_of(index)), None)
            if other is None:
                other = self.new_axis(self.program.size_of(index), index)
            else:
                spare.remove(other)
            result[index] = other
        return result

    def contractible(
        self, factors: Factors, left: tuple[str, ...], order: tuple[str, ...], where: Where | None, statement: Statement
    ) -> Expression:
        """Return the product with at most two tensors under its sums: others are multiplied first, the smallest pairs first."""
        factors = tuple(f for f in factors if f[1] != ONE) or ((False, ONE),)

        def used(factor: tuple[bool, Expression]) -> set[str]:
            return set(indices_of(factor[1]))

        def merge(some: Factors) -> Factors:
            together = set().union(*(used(f) for f in some))
            name = self.helper(f"d{statement.tensor}", _product(some), tuple(i for i in order if i in together), where)
            return (*(f for f in factors if f not in some), (False, name))

        while True:
            summed = set().union(*map(used, factors)) - {*left}
            inside = [f for f in factors if used(f) & summed]
            alone = [f for f in inside if not isinstance(f[1], Ref) and _alone(used(f) & summed, f, inside)]
            dividing = [f for f in inside if f[0]]
            if alone and not dividing:
                factors = merge((alone[0],))
            elif dividing or len(inside) > 2:
                pairs = [(a, b) for k, a in enumerate(inside) for b in inside[k + 1 :]]
                pairs = [(a, b) for a, b in pairs if not dividing or a[0] != b[0]] or pairs
                if not pairs:
                    factors = merge((inside[0],))
                    continue
                factors = merge(min(pairs, key=lambda p: len(used(p[0]) | used(p[1]))))
            else:
                return _product(factors)

    # --- names -------------------------------------------------------------------------------------------------------

    def helper(self, stem: str, expression: Expression, context: tuple[str, ...], where: Where | None) -> Ref:
        """Return `expression`, over the indices of `context` that it uses, by the name of a statement of its own."""
        used = set(indices_of(expression)) - ({*expression.runs} if isinstance(expression, Along) else set())
        if isinstance(expression, Along) and expression.function == SCATTER:
            used = {*context}
        indices = tuple(i for i in context if i in used)
        if where is not None and not {where.query, where.key} <= set(indices_of(expression)):
            where = None
        key = (expression, indices, where)
        if key not in self.known:
            name = self.names.new(stem, stem if stem.startswith("D") else "")
            self.helpers.append(Statement(name, indices, expression, where))
            self.known[key] = _at(name, indices)
            self.masks[name] = indices, self.inherited(_Term(False, expression, where), indices)
        return self.known[key]

    def each_with_its_mask(self, name: str, terms: list[_Term]) -> list[_Term]:
        """Return terms that may be added: an element-wise sum has only the pairs that all its operands have."""
        left, where = self.left(name), self.tensors[name].where
        masks = [self.inherited(replace(term, where=term.where or where), left) for term in terms]
        if len(set(masks)) < 2:
            return terms
        made = []
        for term, mask in zip(terms, masks, strict=True):
            if mask:
                own = self.helper(self.adjoints[name], term.product, left, term.where)
                # At i + 0 a tensor is read as a whole array, 0 where its mask forbids.
                first = [i for i in (w.query for w in mask) if Name(i) in own.indices]
                parts = tuple(
                    Binary("+", p, Number(0)) if isinstance(p, Name) and p.name in first else p for p in own.indices
                )
                term = replace(term, product=Ref(own.tensor, parts), where=None)
            made.append(term)
        return made

    def inherited(self, term: _Term, left: tuple[str, ...]) -> frozenset[Where]:
        """Return the masks over two of the indices `left` that a term has of its own and from what it reads."""
        found = {term.where} if term.where is not None else set()
        for node in walk(term.product):
            if not isinstance(node, Ref):
                continue
            tensor = self.tensors.get(node.tensor)
            if tensor is None:
                own, masks = self.masks.get(node.tensor, ((), frozenset()))
            else:
                own, masks = tensor.indices, frozenset({tensor.where} if tensor.where is not None else ())
            read = dict(zip(own, node.indices, strict=False))
            for where in masks:
                query, key = read[where.query], read[where.key]
                # What is read beside a place has no mask there.
                if isinstance(query, Name) and isinstance(key, Name):
                    found.add(Where(where.mask, query.name, key.name))
        return frozenset(w for w in found if {w.query, w.key} <= {*left})

    def new_axis(self, extent: sympy.Expr, stem: str = "r") -> str:
        name = self.names.new(stem, stem)
        self.axes[name] = extent
        return name

    def size_of(self, index: str) -> sympy.Expr:
        """Return how many values an index has, of the program's and of the new ones."""
        return self.axes[index] if index in self.axes else self.program.size_of(index)

    def own(self, tensor: Tensor) -> bool:
        """Return whether a tensor's indices have the sizes of its axes."""
        return all(self.program.size_of(i) == extent for i, extent in zip(tensor.indices, tensor.extents, strict=True))

    def left(self, name: str) -> tuple[str, ...]:
        """Return the indices of a tensor's gradient."""
        tensor = self.tensors[name]
        if self.own(tensor):
            return tensor.indices
        if name not in self.lefts:
            self.lefts[name] = tuple(
                i if self.program.size_of(i) == extent else self.new_axis(extent, f"{i}_1")
                for i, extent in zip(tensor.indices, tensor.extents, strict=True)
            )
        return self.lefts[name]

    # --- one tensor --------------------------------------------------------------------------------------------------

    def collect(self, name: str, associative: bool = False) -> list[Statement]:
        """Return the statements of the gradient of `name`: the sum of its terms."""
        adjoint, left = self.adjoints[name], self.left(name)
        terms = list(self.terms.get(name, ()))
        if name in self.seeds and self.seeds[name] != adjoint:
            terms.insert(0, _Term(False, _at(self.seeds[name], left), None))
        if not terms:
            return []
        where = self.tensors[name].where
        masks = dict.fromkeys(term.where for term in terms)
        if where is None and len(masks) == 1:
            where = terms[0].where
        elif where is None:
            # A mask holds for a whole statement.
            stem = adjoint
            terms = [
                term if term.where is None else replace(term, product=self.helper(stem, term.product, left, term.where))
                for term in terms
            ]
        itself = [term for term in terms if adjoint in reads(term.product)]
        if associative and len(itself) == 1 and len(terms) > 1:
            # A scan reads its own next step in one term of two.
            last = Negative(itself[0].product) if itself[0].negative else itself[0].product
            terms = [*(term for term in terms if term is not itself[0]), _Term(False, last, None)]
        terms = self.each_with_its_mask(name, terms)
        self.masks[adjoint] = left, self.inherited(_Term(False, terms[0].product, where), left)
        total = Negative(terms[0].product) if terms[0].negative else terms[0].product
        for term in terms[1:]:
            total = Binary("-" if term.negative else "+", total, term.product)
        return [Statement(adjoint, left, total, where, associative)]


def _at(name: str, indices: Iterable[str]) -> Ref:
    return Ref(name, tuple(map(Name, indices)))


def _wider(use: _Use, node: Expression) -> _Use:
    return replace(use, context=tuple(dict.fromkeys((*use.context, *indices_of(node)))))


def _order(
    context: tuple[str, ...], found: dict[str, Expression], left: tuple[str, ...], factors: Factors
) -> tuple[str, ...]:
    """Return the indices of a term, those of the statement first."""
    moved = [n.name for i in context for n in walk(found.get(i, Name(i))) if isinstance(n, Name)]
    used = {*left, *(i for _, f in factors for i in indices_of(f))}
    return tuple(dict.fromkeys(i for i in (*moved, *left, *sorted(used)) if i in used))


def _signed(factors: Factors) -> tuple[bool, Factors]:
    """Return whether a product is negative, and its factors without their signs."""
    negative, kept = False, []
    for inverse, factor in factors:
        while isinstance(factor, Negative):
            negative, factor = not negative, factor.operand
        if isinstance(factor, Number) and factor.value < 0:
            negative, factor = not negative, Number(-factor.value)
        for divides, part in factors_of(factor):
            kept.append((inverse ^ divides, part))
    if any(isinstance(f, Number) and f.value == -1 for _, f in kept):
        return _again(negative, kept)
    return negative, tuple(f for f in kept if f[1] != ONE) or ((False, ONE),)


def _again(negative: bool, kept: list[tuple[bool, Expression]]) -> tuple[bool, Factors]:
    again, factors = _signed(tuple(kept))
    return negative ^ again, factors


def _varying(factors: Factors) -> Factors:
    return tuple(f for f in factors if any(isinstance(n, Ref) for n in walk(f[1])))


def _product(factors: Factors) -> Expression:
    """Return the product, what does not divide first."""
    ordered = [f for f in factors if not f[0]] + [f for f in factors if f[0]]
    total = ONE if ordered[0][0] else ordered[0][1]
    for inverse, factor in ordered if ordered[0][0] else ordered[1:]:
        total = Binary("/" if inverse else "*", total, factor)
    return total


def _alone(summed: set[str], factor: tuple[bool, Expression], inside: list[tuple[bool, Expression]]) -> bool:
    """Return whether a summed index is in this factor alone, so that the sum would be taken inside it."""
    others = set().union(*(indices_of(f[1]) for f in inside if f is not factor))
    return bool(summed - others)


def _names_in(statement: Statement) -> Iterator[str]:
    yield from statement.indices
    for node in walk(statement.expression):
        if isinstance(node, Name):
            yield node.name
        if isinstance(node, Along):
            yield node.index
        yield from indices_of(node)
