"""Finds softmax attention in a Program, so that a schedule can be counted on it."""

from dataclasses import dataclass

import sympy

from attometer.count.traffic.words import Traffic, footprint, traffic
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.mechanisms import mechanism
from attometer.program.expression import Binary, Call, Expression, Name, Ref, walk
from attometer.program.indices import index_names
from attometer.program.operations import Einsum, Map, Operation, Reduce, Tensor
from attometer.program.printer import expression_text
from attometer.program.program import Program
from attometer.program.recurrences import refs_of
from attometer.program.softmaxes import Softmax, plain, softmaxes
from attometer.schedule.catalogue import APPROXIMATE, schedule
from attometer.schedule.nest import Schedule
from attometer.sizes import size


@dataclass(frozen=True)
class AttentionShape:
    """The sizes of softmax attention: n queries, m keys, head dimensions d and e, and which pairs are allowed.

    `copies` independent problems (batch entries × key/value heads) of `stack` query heads each.
    """

    n: sympy.Expr
    m: sympy.Expr
    d: sympy.Expr
    e: sympy.Expr
    copies: sympy.Expr
    stack: sympy.Expr
    mask: Mask | None


def attention_shape(program: Program) -> AttentionShape:
    """Return the shape of the softmax attention that `program` computes, and nothing else.

    Raises AttometerError when the program is not softmax attention of Q, K and V alone.

    >>> from attometer.program import parse
    >>> print(attention_shape(parse(
    ...     "S[h,i,j] = Q[h,i,d] * K[j,d]" + chr(10) + "P[h,i,j] = softmax[j](S)" + chr(10) + "O[h,i,e] = P[h,i,j] * V[j,e]"
    ... )))
    AttentionShape(n=i, m=j, d=d, e=e, copies=1, stack=h, mask=None)
    """
    products = [operation for operation in program.operations if isinstance(operation, Einsum)]
    if len(products) != 2 or not all(isinstance(o, Einsum | Map | Reduce) for o in program.operations):
        raise _refusal(f"it has {len(products)} matrix products and {len(program.operations)} operations in all")
    scores, values = products
    if len(scores.summed) != 1 or len(values.summed) != 1 or values.summed[0] not in scores.output.indices:
        raise _refusal("scores, softmax and weighted sum were not found")
    softmax = _softmax(program, scores, values)
    _check_nothing_else(program, softmax, scores, values)
    return _shape(program, softmax, scores, values)


def _refusal(reason: str) -> AttometerError:
    return AttometerError(f"a schedule runs softmax attention of Q, K and V alone; {reason}")


def _softmax(program: Program, scores: Einsum, values: Einsum) -> Softmax:
    """Return the one softmax, which must weigh the values along the index that it normalises."""
    found = softmaxes(program)
    if len(found) > 1:
        raise _refusal(f"it takes {len(found)} softmaxes: {', '.join(s.result.output.name for s in found)}")
    if not found:
        exponentials = "exp" in {n.function for o in program.operations for n in _calls(o)}
        raise _refusal(
            "its exponentials are not divided by their sum"
            if exponentials
            else "scores, softmax and weighted sum were not found"
        )
    (softmax,) = found
    if softmax.total.summed != values.summed:
        raise _refusal(
            f"its softmax runs along {', '.join(softmax.total.summed)} and its values are summed along {values.summed[0]}"
        )
    weights = softmax.exponentials.output if softmax.product else softmax.result.output
    used = [ref for ref in values.operands if ref.tensor == weights.name]
    if not used or softmax.product not in (None, values):
        raise _refusal(f'its values are not weighed by the softmax "{weights.name}"')
    if not plain(used[0], weights):
        raise _refusal(f"it reads the weights {_text(weights)} as {expression_text(used[0])}")
    quotient = softmax.result.expression
    if not isinstance(quotient, Binary) or quotient.op != "/" or not _is_quotient(quotient, softmax):
        raise _refusal(f'it computes "{softmax.result.output.name}" = {softmax.result.label}, not the quotient alone')
    if softmax.exponentials.where != values.where:
        raise _refusal("its softmax and its weighted sum have different masks")
    return softmax


def _is_quotient(node: Binary, softmax: Softmax) -> bool:
    above = softmax.product or softmax.exponentials
    numerator = isinstance(node.left, Ref) and plain(node.left, above.output)
    numerator = numerator or (softmax.product is None and node.left == softmax.exponentials.expression)
    return numerator and isinstance(node.right, Ref) and plain(node.right, softmax.total.output)


def _calls(operation: Operation) -> list[Call]:
    return [n for n in walk(operation.expression) if isinstance(n, Call)] if isinstance(operation, Map) else []


def _check_nothing_else(program: Program, softmax: Softmax, scores: Einsum, values: Einsum) -> None:
    """Refuse what stands between the products and is neither an element of the scores nor part of the softmax."""
    made = {operation.output.name: operation for operation in program.operations}
    used = {values.output.name}
    todo: list[Operation] = [softmax.result, softmax.total, softmax.exponentials]
    while todo:
        operation = todo.pop()
        if operation.output.name in used:
            continue
        used.add(operation.output.name)
        if operation is scores:
            continue
        if isinstance(operation, Reduce) and operation is not softmax.total and not _shift(operation, softmax):
            raise _refusal(f'it also computes "{operation.output.name}" = {operation.label}')
        for ref in refs_of(operation):
            if ref.tensor in made and not plain(ref, made[ref.tensor].output):
                raise _refusal(f"it reads {_text(made[ref.tensor].output)} as {expression_text(ref)}")
            todo += [made[ref.tensor]] if ref.tensor in made else []
    also = [name for name in made if name not in used]
    if also:
        raise _refusal(f'it also computes "{also[0]}" = {made[also[0]].label}')


def _shift(operation: Reduce, softmax: Softmax) -> bool:
    return operation.kind == "max" and operation.summed == softmax.total.summed


def _text(tensor: Tensor) -> str:
    return f"{tensor.name}[{','.join(tensor.indices)}]"


def _shape(program: Program, softmax: Softmax, scores: Einsum, values: Einsum) -> AttentionShape:
    (key,), (depth,) = values.summed, scores.summed
    k_ref, q_ref = sorted(scores.operands, key=lambda ref: not _has(ref, key))
    (v_ref,) = (ref for ref in values.operands if ref.tensor not in _made(softmax))
    names = {ref.tensor for ref in (q_ref, k_ref, v_ref)}
    if len(names) < 3:
        # The nests and the bounds know three tensors: what is one would be charged twice, and a bound be beaten.
        raise _refusal(f"it reads {', '.join(sorted(names))} in more than one of their places")
    extra = sorted({t.name for t in program.inputs} - names)
    if extra:
        raise _refusal(f"it also reads {', '.join(extra)}")
    where = softmax.exponentials.where
    query = where.query if where else _query(scores, q_ref, k_ref, key)
    widths = [i for i in values.output.indices if i not in scores.output.indices]
    if len(widths) != 1:
        raise _refusal(f"its result has {len(widths)} indices of the values alone, not one")
    width = widths[0]
    if where and where.key != key:
        raise _refusal(f"its mask is over ({where.query}, {where.key}) and its values are summed along {key}")
    _check_operand(q_ref, (query, depth), key)
    _check_operand(k_ref, (key, depth), query)
    _check_operand(v_ref, (key, width), query)
    extents = dict(scores.extents) | dict(values.extents)
    copies, problems = (_others(program, r, i) for r, i in ((k_ref, (key, depth)), (q_ref, (query, depth))))
    if _others(program, v_ref, (key, width)) != copies:
        raise _refusal(f'"{k_ref.tensor}" and "{v_ref.tensor}" are shared by different heads')
    stack = sympy.cancel(problems / copies)
    return AttentionShape(
        extents[query], extents[key], extents[depth], extents[width], copies, stack, where.mask if where else None
    )


def _made(softmax: Softmax) -> set[str]:
    return {softmax.exponentials.output.name, softmax.result.output.name}


def _check_operand(ref: Ref, own: tuple[str, ...], other: str) -> None:
    """Refuse an operand that is not read at its own two indices, or is read at the other side's position."""
    others = [part for part in ref.indices if _name(part) not in own]
    if len(ref.indices) - len(others) != len(own) or any(
        not isinstance(part, Name) and not _group(part) for part in others
    ):
        raise _refusal(f"it reads {expression_text(ref)}, not one entry per {' and '.join(own)}")
    if _has(ref, other):
        raise _refusal(f"it reads {expression_text(ref)}, which differs along {other}")


def _name(part: Expression) -> str | None:
    return part.name if isinstance(part, Name) else None


def _group(part: Expression) -> bool:
    """Return whether an index is a head's group: `h // (h/g)`."""
    return isinstance(part, Binary) and part.op in ("/", "//") and isinstance(part.left, Name)


def _query(scores: Einsum, q_ref: Ref, k_ref: Ref, key: str) -> str:
    # Of several indices that the keys lack (shared heads), the query is the last before the key: S[..., i, j].
    rows = [i for i in scores.output.indices if i != key and not _has(k_ref, i) and Name(i) in q_ref.indices]
    if not rows:
        raise _refusal("no index of the scores belongs to the queries alone")
    return rows[-1]


def _has(ref: Ref, index: str) -> bool:
    return index in index_names(ref)


def _others(program: Program, ref: Ref, named: tuple[str, ...]) -> sympy.Expr:
    """Product of the extents of a tensor along everything but the named indices."""
    extents = program.tensors[ref.tensor].extents
    return sympy.Mul(*(e for part, e in zip(ref.indices, extents, strict=True) if _name(part) not in named))


def program_traffic(program: Program, how: Schedule | str) -> Traffic:
    """Return the words that a schedule (or the one of that name) moves when it runs `program`, in the program's sizes.

    Raises AttometerError when the schedule does not run this program.

    >>> from attometer.mechanisms import mechanism
    >>> program_traffic(mechanism("softmax").program, "flash2").reads["K"]
    b*d*h*n*ceiling(n/B_r)
    """
    chosen = schedule(how) if isinstance(how, str) else how
    if not isinstance(chosen, Schedule):
        raise AttometerError(f"schedule must be a schedule or the name of one, got {type(how).__name__}")
    if chosen.name in APPROXIMATE:
        return _mechanism_traffic(program, chosen)
    shape = attention_shape(program)
    names = {"n": shape.n, "m": shape.m, "d": shape.d, "e": shape.e}
    sizes = {name: int(v) if v.is_Integer else v for name, v in names.items() if v != size(name)}
    copies, stack = (int(v) if v.is_Integer else v for v in (shape.copies, shape.stack))
    moves = traffic(chosen, sizes, shape.mask, copies, stack)
    return Traffic(moves.reads, moves.writes, footprint(chosen, sizes, stack))


def _mechanism_traffic(program: Program, chosen: Schedule) -> Traffic:
    """The words of a schedule of one mechanism, whose program must be the catalogue's."""
    widths = {size("d"): mechanism(chosen.name).program, size("e"): mechanism(chosen.name, e=size("e")).program}
    for width, known in widths.items():
        if program == known:
            sizes = {"m": size("n"), "e": width}
            moves = traffic(chosen, sizes, copies=size("b") * size("h"))
            return Traffic(moves.reads, moves.writes, footprint(chosen, sizes))
    raise AttometerError(f'schedule "{chosen.name}" runs the mechanism "{chosen.name}" and no other program')
