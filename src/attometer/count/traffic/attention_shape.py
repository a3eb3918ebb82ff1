"""Finds softmax attention in a Program, so that a schedule can be counted on it."""

from dataclasses import dataclass

import sympy

from attometer.count.traffic.words import Traffic, footprint, traffic
from attometer.errors import AttometerError
from attometer.masks.catalogue import Mask
from attometer.mechanisms import mechanism
from attometer.program.expression import Name, Ref
from attometer.program.operations import Einsum, Map, Reduce, Tensor
from attometer.program.program import Program
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
    (key,) = values.summed if len(values.summed) == 1 else (None,)
    (depth,) = scores.summed if len(scores.summed) == 1 else (None,)
    softmax = [o for o in program.operations if isinstance(o, Map) and o.label.startswith("exp(")]
    if key is None or depth is None or key not in scores.output.indices or not softmax:
        raise _refusal("scores, softmax and weighted sum were not found")
    return _shape(program, scores, values, key, depth)


def _refusal(reason: str) -> AttometerError:
    return AttometerError(f"a schedule runs softmax attention of Q, K and V alone; {reason}")


def _shape(program: Program, scores: Einsum, values: Einsum, key: str, depth: str) -> AttentionShape:
    k_ref, q_ref = sorted(scores.operands, key=lambda ref: not _has(ref, key))
    v_ref = next(ref for ref in values.operands if ref.tensor not in _made(program))
    names = {ref.tensor for ref in (q_ref, k_ref, v_ref)}
    extra = sorted({t.name for t in program.inputs} - names)
    if extra:
        raise _refusal(f"it also reads {', '.join(extra)}")
    Q, K = program.tensors[q_ref.tensor], program.tensors[k_ref.tensor]
    extents = dict(scores.extents)
    rows = [i for i in scores.output.indices if i != key and not _has(k_ref, i) and _plain(q_ref, i)]
    query = scores.where.query if scores.where else _query(rows, scores, values)
    width = next(i for i in values.output.indices if _has(v_ref, i) and i not in scores.output.indices)
    copies = _others(K, k_ref, (key, depth))
    problems = _others(Q, q_ref, (query, depth))
    mask = scores.where.mask if scores.where else None
    return AttentionShape(
        extents[query],
        extents[key],
        extents[depth],
        dict(values.extents)[width],
        copies,
        sympy.cancel(problems / copies),
        mask,
    )


def _query(rows: list[str], scores: Einsum, values: Einsum) -> str:
    # Of several indices that the keys lack (shared heads), the query is the last before the key: S[..., i, j].
    if not rows:
        raise _refusal("no index of the scores belongs to the queries alone")
    return rows[-1]


def _made(program: Program) -> set[str]:
    return {operation.output.name for operation in program.operations}


def _has(ref: Ref, index: str) -> bool:
    return any(_mentions(part, index) for part in ref.indices)


def _plain(ref: Ref, index: str) -> bool:
    return Name(index) in ref.indices


def _mentions(part: object, index: str) -> bool:
    if isinstance(part, Name):
        return part.name == index
    return any(_mentions(inner, index) for inner in vars(part).values()) if hasattr(part, "__dict__") else False


def _others(tensor: Tensor, ref: Ref, named: tuple[str, ...]) -> sympy.Expr:
    """Product of the extents of a tensor along everything but the named indices."""
    rest = [
        extent
        for part, extent in zip(ref.indices, tensor.extents, strict=True)
        if not (isinstance(part, Name) and part.name in named)
    ]
    return sympy.Mul(*rest)


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
