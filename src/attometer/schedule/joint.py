"""Reductions along several axes that are one: `maximum(max[j](S), max[u](T))` is one maximum, whose terms come one axis after the other."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import sympy

from attometer.program.expression import Binary, Call, Expression, Name, Ref, refs_in, rewritten
from attometer.schedule.cascade import Step

_KINDS = {"+": "sum", "*": "prod", "maximum": "max", "minimum": "min"}
_CALLS = {"max": "maximum", "min": "minimum"}


@dataclass(frozen=True)
class Joint(Step):
    """A reduction of several terms, each along its own axis, in one accumulator."""

    terms: tuple[Step, ...] = ()


def terms_of(step: Step) -> tuple[Step, ...]:
    """Return the reductions that a reduction is made of: itself, or those that became one."""
    return step.terms if isinstance(step, Joint) else (step,)


def joined(
    steps: Mapping[str, Step], streams: Collection[str], targets: Collection[str], extents: Mapping[str, sympy.Expr]
) -> dict[str, Step]:
    """Return steps with reductions along `streams` that nothing but a fold of two of them reads as one.

    Extremes under a mask only where each row is sure to see something: the extreme of one that does not is 0, which counts.

    >>> def names(*axes): return tuple(map(Name, axes))
    >>> one = Step("a", ("i",), "max", Ref("S", names("i", "j")), ("j",), None)
    >>> two = Step("b", ("i",), "max", Ref("T", names("i", "u")), ("u",), None)
    >>> both = Call("maximum", (Ref("a", names("i")), Ref("b", names("i"))))
    >>> found = joined({"a": one, "b": two, "m": Step("m", ("i",), "set", both, (), None)}, ("j", "u"), ("m",), {})
    >>> print(*found.values())
    m[i] = max maximum(S[i,j], T[i,u])
    """
    read = Counter(n.tensor for s in steps.values() for n in refs_in(s.expression))
    found: dict[str, Step] = {}

    def part(node: Expression) -> Step | None:
        """The reduction that an operand is, where nothing else needs it."""
        step = found.get(node.tensor) if isinstance(node, Ref) else None
        if step is None or read[step.name] > 1 or step.name in targets or step.cycle or step.places:
            return None
        own = all(len(t.summed) == 1 and t.summed[0] in streams and _sees(t, extents) for t in terms_of(step))
        return step if own and node == Ref(step.name, tuple(map(Name, step.axes))) else None

    def change(node: Expression) -> Expression:
        match node:
            case Binary(op=op, left=left, right=right) | Call(function=op, arguments=(left, right)) if op in _KINDS:
                one, two = part(left), part(right)
                if one and two and one.kind == two.kind == _KINDS[op] and one.axes == two.axes:
                    del found[two.name], found[one.name]
                    found[one.name] = _both(one, two)
                    return left
        return node

    for step in steps.values():
        made = rewritten(step.expression, change) if step.kind == "set" else step.expression
        last = part(made)
        if step.kind == "set" and isinstance(last, Joint) and made != step.expression and last.axes == step.axes:
            del found[last.name]  # it is the fold, and nothing else
            found[step.name] = replace(last, name=step.name)
        else:
            found[step.name] = replace(step, expression=made)
    return found


def _sees(term: Step, extents: Mapping[str, sympy.Expr]) -> bool:
    """Return whether what a row without keys would leave is what a fold begins with, or there is no such row."""
    where = term.where
    if where is None or term.kind == "sum":
        return True
    return where.mask.sees_itself and extents[where.query] == extents[where.key]


def _both(one: Step, two: Step) -> Joint:
    sign = {"sum": "+", "prod": "*"}.get(one.kind)
    pair = one.expression, two.expression
    expression = Binary(sign, *pair) if sign else Call(_CALLS[one.kind], pair)
    summed = tuple(dict.fromkeys((*one.summed, *two.summed)))
    return Joint(one.name, one.axes, one.kind, expression, summed, None, terms=(*terms_of(one), *terms_of(two)))
