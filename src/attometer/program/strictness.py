"""What a reader would take for a slip is refused: names that nothing explains, and sums that nothing announces."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from attometer.errors import nearest
from attometer.program.expression import Along, Name, Position, Ref, Statement
from attometer.program.indices import index_names
from attometer.program.printer import expression_text
from attometer.program.program import Program

_DATA = ("input", "cache")


def undeclared_tensors(program: Program) -> Iterator[str]:
    """A text that declares an input declares all; one that declares none reads what is no misspelling of a result."""
    declared = {d.tensor for d in program.declarations}
    made = {s.tensor for s in program.statements}
    strict = any(d.role in _DATA for d in program.declarations)
    read = {name for s in program.statements for name in s.names}
    before: list[str] = []
    for statement in program.statements:
        unread = [name for name in before if name not in read]
        for name in dict.fromkeys(ref.tensor for ref in statement.refs):
            if name in declared | made:
                continue
            alike = [own for own in unread if _squeezed(own) == _squeezed(name)]
            close = nearest(name, alike or declared | made)
            if strict or alike:
                yield (
                    f'statement "{statement.tensor}" reads "{name}", which nothing computes or declares{_only(close)}; '
                    f"inputs are declared as in: input {name}[{','.join(_shape(statement, name))}]"
                )
        before.append(statement.tensor)


_CONSTANTS = {
    "pi": "write 3.141592653589793",
    "inf": "mask the statement, where causal(i, j), or write 1e30",
    "nan": "mask the statement: where causal(i, j)",
}
"""What to write for constants that other languages have."""


def unknown_sizes(program: Program) -> Iterator[str]:
    """A bare name is a tensor, an index, or a size that some axis or mask has."""
    from attometer.masks.counts import symbols

    tensors = {d.tensor for d in program.declarations} | {s.tensor for s in program.statements}
    indices = _indices(program) | {name for s in program.statements for name in _placed(s)}
    sizes = {str(s) for _, value in program.axes for s in value.free_symbols}
    sizes |= {str(x) for s in program.statements if s.where is not None for x in symbols(s.where.mask)}
    tensors |= {ref.tensor for s in program.statements for ref in s.refs}
    known = tensors | indices | sizes
    for statement in program.statements:
        for name in sorted(statement.bare - known):
            instead = _CONSTANTS.get(name)
            hint = f"{_only(nearest(name, known))}; a number that is given is declared as in: input {name}"
            yield (
                f'statement "{statement.tensor}": "{name}" is no tensor, and no axis has a size of that name'
                f"{hint if instead is None else f'; {instead}'}"
            )


def sizes_as_indices(program: Program) -> Iterator[str]:
    """A name in arithmetic inside brackets is an index, not the size of another one."""
    sized = {str(value): name for name, value in program.axes if value.is_Symbol and str(value) != name}
    for statement in program.statements:
        indices = _indices(program) | _placed(statement)
        for node in statement.refs:
            for part in node.indices:
                wrong = [] if isinstance(part, Name) else [n for n in index_names(part) if n not in indices]
                for name in wrong:
                    why = f'is the size of axis "{sized[name]}"' if name in sized else "is no index"
                    yield (
                        f'statement "{statement.tensor}" reads "{expression_text(node)}": "{name}" {why}; '
                        "places are counted from 0, and only an index or a whole number stands before + and -"
                    )


def silent_sums(program: Program) -> Iterator[str]:
    """An index that nothing else explains and that stands once is a misspelling, not a sum."""
    known = _indices(program)
    for statement in program.statements:
        uses, spoken = Counter(_used(statement)), _placed(statement, refs=False)
        for name, number in uses.items():
            if number == 1 and name not in known | spoken:
                yield (
                    f'statement "{statement.tensor}": the index "{name}" stands once, on the right alone'
                    f"{_only(nearest(name, known | (uses.keys() - {name})))}; to sum over it write sum[{name}](...) "
                    f"or declare it as in: axis {name}: {name}"
                )


def _squeezed(name: str) -> str:
    """Return a name without what a slip changes: its case, and letters twice."""
    return re.sub(r"(.)\1+", r"\1", name.lower())


def _only(close: str) -> str:
    """Return a suggestion, but no list of all that is known."""
    return close if "did you mean" in close else ""


def _indices(program: Program) -> set[str]:
    """Return the indices that an axis, a declaration or a left side tells."""
    found = {name for name, _ in program.axes}
    found |= {i for d in program.declarations for i in d.indices}
    return found.union(*(s.indices for s in program.statements))


@lru_cache(maxsize=4096)
def _placed(statement: Statement, refs: bool = True) -> frozenset[str]:
    """Return the indices that a statement uses by themselves: along, as a number or, with `refs`, in brackets."""
    found = set(statement.indices)
    for node in statement.nodes:
        match node:
            case Ref(indices=parts) if refs:
                found |= {part.name for part in parts if isinstance(part, Name)}
            case Along():
                found |= {*node.runs}
            case Position(index=index):
                found.add(index)
    return frozenset(found)


@lru_cache(maxsize=4096)
def _used(statement: Statement) -> tuple[str, ...]:
    """Return the indices in brackets, those of gathers once: their own brackets are among the reads."""
    parts = (part for ref in statement.refs for part in ref.indices if not isinstance(part, Ref))
    return tuple(name for part in parts for name in index_names(part))


def _shape(statement: Statement, name: str) -> list[str]:
    ref = next(ref for ref in statement.refs if ref.tensor == name)
    return [part.name if isinstance(part, Name) else "..." for part in ref.indices]
