"""A Program says what is computed: a frozen cascade of operations over named axes, without sizes, machine or tiling."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import sympy

from attometer.errors import AttometerError, unknown
from attometer.program.expression import Name, Statement
from attometer.program.operations import Operation, Tensor
from attometer.sizes import Size, as_size, size
from attometer.view.printed import Printed

ROLES = ("input", "weight", "cache", "output")
"""What a declared tensor is: data, a learned parameter, a key/value cache, or a result."""


@dataclass(frozen=True)
class Declaration:
    """`role tensor[indices]`."""

    role: str
    tensor: str
    indices: tuple[str, ...]


@dataclass(frozen=True)
class Program(Printed):
    """A frozen, hashable list of statements, with the sizes of its axes and the roles of its tensors.

    Build one with `parse`; `str(program)` is its notation.

    >>> from attometer.program import parse
    >>> p = parse("Y[i,k] = A[i,j] * B[j,k]")
    >>> [t.name for t in p.inputs], p.outputs[0].extents
    (['A', 'B'], (i, k))
    """

    statements: tuple[Statement, ...]
    axes: tuple[tuple[str, sympy.Expr], ...] = ()
    declarations: tuple[Declaration, ...] = ()

    def __post_init__(self) -> None:
        from attometer.program.rules import check

        check(self)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Programs are looked up often, and a hash walks all of it."""
        return hash((self.statements, self.axes, self.declarations))

    def __getstate__(self) -> dict[str, Any]:
        # Hashes of names differ from process to process: what was cached stays behind.
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @cached_property
    def declared(self) -> Mapping[str, Tensor]:
        """The tensors known before lowering: declared ones, undeclared inputs, and every statement's own."""
        from attometer.program.resolution import declared_tensors

        return declared_tensors(self)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The primitive operations, in an order that can be executed."""
        return _lowered(self)[0]

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor by name: inputs, intermediates and outputs."""
        return _lowered(self)[1]

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that are read and never computed: data, weights and caches."""
        return tuple(t for t in self.tensors.values() if t.role in ("input", "weight", "cache"))

    @cached_property
    def weights(self) -> tuple[Tensor, ...]:
        """Inputs declared as learned parameters."""
        return tuple(t for t in self.tensors.values() if t.role == "weight")

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """Tensors declared as output, else those that no statement reads."""
        return tuple(t for t in self.tensors.values() if t.role == "output")

    @cached_property
    def symbols(self) -> tuple[sympy.Symbol, ...]:
        """The size symbols the program depends on, sorted by name."""
        from attometer.masks.counts import symbols

        found: set[sympy.Symbol] = set()
        for tensor in self.tensors.values():
            for extent in tensor.extents:
                found |= extent.free_symbols
        for statement in self.statements:
            if statement.where is not None:
                found |= set(symbols(statement.where.mask))
            for node in statement.nodes:
                if isinstance(node, Name) and node.name not in self.tensors:
                    found |= self.size_of(node.name).free_symbols
        return tuple(sorted(found, key=str))

    def size_of(self, axis: str) -> sympy.Expr:
        """Return the size of an axis: declared, or the symbol of its name.

        >>> from attometer.program import parse
        >>> parse("axis i: n" + chr(10) + "Y[i] = exp(X[i])").size_of("i")
        n
        """
        return dict(self.axes).get(axis, size(axis))

    def shape(self, tensor: str) -> tuple[sympy.Expr, ...]:
        """Return the extents of a tensor; AttometerError when there is none of that name."""
        if tensor not in self.tensors:
            raise unknown("tensor", tensor, self.tensors)
        return self.tensors[tensor].extents

    def substitute(self, sizes: Mapping[str | sympy.Expr, Size]) -> "Program":
        """Return the program with size symbols replaced, in axes, scalars and masks.

        Raises AttometerError for a symbol the program does not have.

        >>> from attometer.program import parse
        >>> print(parse("S[i,j] = Q[i,d] * K[j,d] / sqrt(d)").substitute({"i": 4}))
        axis i: 4
        S[i,j] = Q[i,d] * K[j,d] / sqrt(d)
        """
        from attometer.program.substitution import substitute

        chosen = {size(k) if isinstance(k, str) else k: as_size(v, f"size {k}") for k, v in sizes.items()}
        return substitute(self, chosen)

    def __add__(self, other: "Program") -> "Program":
        """Compose: the other's statements follow; axes of the same name must have the same size."""
        axes = dict(self.axes)
        for name, value in other.axes:
            if axes.setdefault(name, value) != value:
                raise AttometerError(f'axis "{name}" has size {axes[name]} in one program and {value} in the other')
        made = {s.tensor for s in self.statements}
        declared = {d.tensor for d in self.declarations}
        extra = tuple(
            d for d in other.declarations if d.tensor not in declared and not (d.role != "output" and d.tensor in made)
        )
        return Program(self.statements + other.statements, tuple(axes.items()), self.declarations + extra)

    def __str__(self) -> str:
        from attometer.program.printer import program_text

        return program_text(self)


@lru_cache(maxsize=2048)
def _lowered(program: Program) -> tuple[tuple[Operation, ...], dict[str, Tensor]]:
    from attometer.program.lowering import lower

    return lower(program)
