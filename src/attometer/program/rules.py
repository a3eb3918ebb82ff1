"""Well-formedness as a table of rules; each violation names the operation, the axis and the sizes."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from attometer.errors import AttometerError, nearest
from attometer.program.expression import (
    COMPOSITES,
    FUNCTIONS,
    MAX_HEIGHT,
    REDUCTIONS,
    SCATTER,
    SORTS,
    Along,
    Binary,
    Call,
    Expression,
    Name,
    Number,
    Position,
    Ref,
    Statement,
    children,
    height,
)
from attometer.program.indices import index_names, look_of
from attometer.program.printer import expression_text
from attometer.program.program import ROLES, Program
from attometer.program.size_expressions import size_in
from attometer.program.strictness import silent_sums, sizes_as_indices, undeclared_tensors, unknown_sizes
from attometer.sizes import as_size

RESERVED = {"axis", "where", "associative", "pos", *ROLES, *FUNCTIONS, *REDUCTIONS, *COMPOSITES, *SORTS, SCATTER}

_SCALINGS = {"*": "multiplied by", "/": "divided by", "//": "divided by", "%": "taken modulo"}
_MAX_INDICES = 32  # NumPy's limit on the axes of an array


def check(program: Program) -> None:
    """Raise AttometerError with the first rule that `program` breaks."""
    # What is too deep is refused before its hash walks it.
    _keep(program, _FIRST)
    _checked(program)


@lru_cache(maxsize=4096)
def _checked(program: Program) -> None:
    """Check a program once: an equal one breaks no other rule."""
    _keep(program, RULES[len(_FIRST) :])
    program.operations  # noqa: B018 - lowering holds the rules that need it


def _keep(program: Program, rules: Iterable[Callable[[Program], Iterator[str]]]) -> None:
    for rule in rules:
        for violation in rule(program):
            raise AttometerError(violation)


def _has_statements(program: Program) -> Iterator[str]:
    if not program.statements:
        yield "a program needs at least one statement"


def _not_too_deep(program: Program) -> Iterator[str]:
    for statement in program.statements:
        if height(statement.expression) > MAX_HEIGHT:
            yield f'statement "{statement.tensor}" is nested deeper than {MAX_HEIGHT}; name a part of it first'


def _not_too_many_indices(program: Program) -> Iterator[str]:
    owners = [(s.tensor, s.indices) for s in program.statements] + [(d.tensor, d.indices) for d in program.declarations]
    for owner, indices in owners + [(ref.tensor, ref.indices) for _, ref in _refs(program)]:
        if len(indices) > _MAX_INDICES:
            yield f'tensor "{owner}" has {len(indices)} indices; the limit is {_MAX_INDICES}'


def _axes_once(program: Program) -> Iterator[str]:
    seen: dict[str, object] = {}
    for name, value in program.axes:
        if seen.setdefault(name, value) != value:
            yield f'axis "{name}" is given two sizes: {seen[name]} and {value}'


def _axes_positive(program: Program) -> Iterator[str]:
    for name, value in program.axes:
        try:
            as_size(value, f'size of axis "{name}"')
        except AttometerError as error:
            yield str(error)


def _names_not_reserved(program: Program) -> Iterator[str]:
    named = (
        [s.tensor for s in program.statements] + [d.tensor for d in program.declarations] + [n for n, _ in program.axes]
    )
    for name in named:
        if name in RESERVED:
            yield f'"{name}" is a word of the notation and cannot name a tensor or an axis'


def _tensors_once(program: Program) -> Iterator[str]:
    seen: set[str] = set()
    for name in [d.tensor for d in program.declarations if d.role != "output"] + [s.tensor for s in program.statements]:
        if name in seen:
            yield f'tensor "{name}" is defined twice'
        seen.add(name)


def _outputs_exist(program: Program) -> Iterator[str]:
    made = {s.tensor: s.indices for s in program.statements}
    for declaration in program.declarations:
        if declaration.role == "output" and declaration.tensor not in made:
            yield f'output "{declaration.tensor}" is never computed{nearest(declaration.tensor, made)}'
        elif declaration.role == "output" and len(made[declaration.tensor]) != len(declaration.indices):
            yield f'output "{declaration.tensor}" has {len(made[declaration.tensor])} indices, declared with {len(declaration.indices)}'


def _indices_distinct(program: Program) -> Iterator[str]:
    for owner, indices in [(s.tensor, s.indices) for s in program.statements] + [
        (d.tensor, d.indices) for d in program.declarations
    ]:
        for index in {i for i in indices if indices.count(i) > 1}:
            yield f'tensor "{owner}" has the index "{index}" twice'


def _ranks_agree(program: Program) -> Iterator[str]:
    tensors = program.declared
    for statement, ref in _refs(program):
        rank = len(tensors[ref.tensor].indices)
        if len(ref.indices) != rank:
            yield (
                f'statement "{statement.tensor}" reads "{ref.tensor}" with {len(ref.indices)} indices; it has {rank}: '
                f"[{','.join(tensors[ref.tensor].indices)}]"
            )


def _sizes_agree(program: Program) -> Iterator[str]:
    tensors = program.declared
    for statement, ref in _refs(program):
        tensor = tensors[ref.tensor]
        for part, own, extent in zip(ref.indices, tensor.indices, tensor.extents, strict=True):
            if isinstance(part, Name) and program.size_of(part.name) != extent:
                yield (
                    f'statement "{statement.tensor}" reads axis "{own}" of "{ref.tensor}", size {extent}, '
                    f'with index "{part.name}", size {program.size_of(part.name)}'
                )


def _bare_reads_have_sizes(program: Program) -> Iterator[str]:
    tensors = program.declared
    for statement in program.statements:
        for name in statement.bare & tensors.keys():
            for own, extent in zip(tensors[name].indices, tensors[name].extents, strict=True):
                if program.size_of(own) != extent:
                    yield f'statement "{statement.tensor}" reads "{name}" without its indices, which no declaration names'


def _index_expressions(program: Program) -> Iterator[str]:
    for statement, ref in _refs(program):
        for part in ref.indices:
            for node in _in_index(part):
                wrong = _wrong_in_index(node, statement, program)
                if wrong is not None:
                    yield f'statement "{statement.tensor}" reads "{expression_text(ref)}": {wrong}'


def _in_index(node: Expression) -> Iterator[Expression]:
    """Yield `node` and what is below it, but not below what an index is scaled by: that is a size."""
    yield node
    for below in (node.left,) if isinstance(node, Binary) and node.op in _SCALINGS else children(node):
        yield from _in_index(below)


def _is_index(name: str, statement: Statement, program: Program) -> bool:
    """Whether a name is an index: declared, of what a statement makes or sums over, or alone in the place of one."""
    read = {part.name for ref in statement.refs for part in ref.indices if isinstance(part, Name)}
    along = {i for n in statement.nodes if isinstance(n, Along) for i in n.runs}
    return name in {*statement.indices, *dict(program.axes), *read, *along}


def _wrong_in_index(node: Expression, statement: Statement, program: Program) -> str | None:
    if isinstance(node, Call | Along | Position):
        return f"an index is made of names, whole numbers, + - * // % and tensors, not of {expression_text(node)}"
    if not isinstance(node, Number | Binary):
        return None
    if isinstance(node, Number):
        return None if isinstance(node.value, int) else f"an index cannot use the number {node.value}"
    if node.op not in _SCALINGS:
        return None
    if node.op == "*" and isinstance(node.right, Name) and _is_index(node.right.name, statement, program):
        swapped = f', as in "{node.right.name} * {expression_text(node.left)}"' if isinstance(node.left, Number) else ""
        return f'multiplies by the index "{node.right.name}"; an index is multiplied by a size{swapped}'
    try:
        as_size(size_in(node.right, program.size_of))
    except AttometerError:
        return f'an index is {_SCALINGS[node.op]} a positive size, got "{expression_text(node.right)}"'
    return None


def _masks_over_own_indices(program: Program) -> Iterator[str]:
    for statement in program.statements:
        if statement.where is None:
            continue
        used = set(statement.indices) | {n for node in statement.nodes for n in _used(node)}
        for index in (statement.where.query, statement.where.key):
            if index not in used and not _bare_tensor_has(program, statement, index):
                yield f'statement "{statement.tensor}" is masked over index "{index}", which it does not use'


def _left_indices_used(program: Program) -> Iterator[str]:
    tensors = {s.tensor for s in program.statements}
    for statement in program.statements:
        for name in statement.indices:
            if name in tensors:
                yield f'"{name}" is both an index and a tensor in statement "{statement.tensor}"'


def _lookback_is_one(program: Program) -> Iterator[str]:
    made = {s.tensor: k for k, s in enumerate(program.statements)}
    for k, statement in enumerate(program.statements):
        for node in statement.nodes:
            if isinstance(node, Ref) and made.get(node.tensor, -1) >= k:
                own = program.statements[made[node.tensor]].indices
                if not any(look_of(part, i, statement.where) for i, part in zip(own, node.indices, strict=False)):
                    yield (
                        f'statement "{statement.tensor}" reads "{node.tensor}" before it is computed; a recurrence reads '
                        "[t-1], [t+1], or all earlier places [s] where strict(t, s)"
                    )
            if isinstance(node, Name) and made.get(node.name, -1) >= k:
                yield f'statement "{statement.tensor}" reads "{node.name}" before it is computed'


def _refs(program: Program) -> Iterator[tuple[Statement, Ref]]:
    for statement in program.statements:
        for ref in statement.refs:
            yield statement, ref


def _used(node: object) -> list[str]:
    match node:
        case Ref(indices=indices):
            return [n for part in indices for n in index_names(part)]
        case Position(index=index):
            return [index]
        case Along():
            return [*node.runs]
    return []


def _bare_tensor_has(program: Program, statement: Statement, index: str) -> bool:
    tensors = program.declared
    return any(index in tensors[n.name].indices for n in statement.nodes if isinstance(n, Name) and n.name in tensors)


_FIRST = (_has_statements, _not_too_deep)
RULES: tuple[Callable[[Program], Iterator[str]], ...] = (
    *_FIRST,
    _not_too_many_indices,
    _axes_once,
    _axes_positive,
    _names_not_reserved,
    _tensors_once,
    _outputs_exist,
    _indices_distinct,
    _lookback_is_one,
    _ranks_agree,
    _sizes_agree,
    _bare_reads_have_sizes,
    _index_expressions,
    _masks_over_own_indices,
    _left_indices_used,
    sizes_as_indices,
    unknown_sizes,
    silent_sums,
    undeclared_tensors,
)
"""The rules, in the order they are checked."""
