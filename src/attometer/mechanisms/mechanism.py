"""What a mechanism is: a Program with its citation, its parameters, and inputs it can be run on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError, positive_int, unknown
from attometer.mechanisms.parameters import Parameter
from attometer.mechanisms.random_inputs import Draw, gaussian, weight
from attometer.program import Program, size
from attometer.view.printed import Printed

Sizes: TypeAlias = dict[str, int]


@dataclass(frozen=True)
class Entry:
    """One mechanism of the catalogue: `notation` is its Program's text, or a function of its choices that returns it.

    `approximates` names the mechanism that it stands in for and whose result it does not give exactly; `divides` lists
    pairs (whole, part) of sizes that must divide, `at_most` pairs (smaller, larger) of which the first may not exceed the
    second; `draws` says how inputs that are not plain Gaussians are drawn.
    """

    name: str
    title: str
    notation: str | Callable[..., str]
    citation: str
    approximates: str | None = None
    parameters: tuple[Parameter, ...] = ()
    notes: str = ""
    divides: tuple[tuple[str, str], ...] = ()
    at_most: tuple[tuple[str, str], ...] = ()
    draws: Mapping[str, Draw] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Mechanism(Printed):
    """A named Program, with its parameters (name → default and meaning), citation, and default numbers.

    `approximates` names the mechanism that it stands in for and whose result it does not give exactly
    (`docs/approximation.md` measures by how much); None when it computes what it defines.
    `defaults` are numbers for the size symbols that were left symbolic.

    >>> from attometer.mechanisms import mechanism
    >>> window = mechanism("sliding_window")
    >>> window.result, dict(window.defaults)
    ('itself', {'w': 256})
    >>> print(mechanism("matmul"))
    matmul: matrix product (itself)
    axis i: n, k: n, j: n
    input A[i,k], B[k,j]
    Y[i,j] = A[i,k] * B[k,j]
    Doan 2025, Attention is logarithmic, actually, case 4
    """

    name: str
    title: str
    program: Program
    approximates: str | None
    parameters: Mapping[str, Parameter] = field(hash=False)
    citation: str
    notes: str = ""
    defaults: Mapping[str, int] = field(default_factory=dict, hash=False)
    divides: tuple[tuple[str, str], ...] = ()
    at_most: tuple[tuple[str, str], ...] = ()
    draws: Mapping[str, Draw] = field(default_factory=dict, hash=False, compare=False, repr=False)

    @property
    def result(self) -> str:
        """What it computes: `itself`, or what it approximates."""
        return "itself" if self.approximates is None else f"approximates {self.approximates}"

    def sizes(self, **given: int) -> Sizes:
        """Return a number for every size symbol of the program: those given, else the defaults.

        Raises AttometerError for an unknown or missing size, one that is not a positive integer, one that does not divide
        as it must, or one that is too large.

        >>> from attometer.mechanisms import mechanism
        >>> mechanism("gqa", g=2).sizes(b=1, h=4, n=8, d=16)
        {'b': 1, 'd': 16, 'h': 4, 'n': 8}
        """
        known = [str(s) for s in self.program.symbols]
        for name, value in given.items():
            if name not in known:
                raise unknown("size", name, known)
            positive_int(f"size {name}", value)
        chosen = {**{k: v for k, v in self.defaults.items() if k in known}, **{k: int(v) for k, v in given.items()}}
        missing = [name for name in known if name not in chosen]
        if missing:
            raise AttometerError(
                f'size {", ".join(missing)} of mechanism "{self.name}" is not given; give it, as in {missing[0]}=64'
            )
        self._check_related(chosen)
        return {name: chosen[name] for name in known}

    def draw(self, sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Return random inputs: standard normal data, weights that keep the scale, projections as their paper draws them.

        Args:
            sizes: numbers for the size symbols; those with a default may be left out.
            rng: the source of randomness.

        Returns:
            One array per input tensor, of the program's shape: float64, or int64 for positions.

        Raises:
            AttometerError: as `sizes` does.

        >>> from attometer.mechanisms import mechanism
        >>> drawn = mechanism("softmax").draw({"b": 1, "h": 2, "n": 3, "d": 4}, np.random.default_rng(0))
        >>> {name: array.shape for name, array in drawn.items()}
        {'Q': (1, 2, 3, 4), 'K': (1, 2, 3, 4), 'V': (1, 2, 3, 4)}
        """
        chosen = self.sizes(**sizes)
        numbers = {size(k): sympy.Integer(v) for k, v in chosen.items()}
        drawn = {}
        for tensor in self.program.inputs:
            shape = tuple(int(extent.xreplace(numbers)) for extent in tensor.extents)
            draw = self.draws.get(tensor.name, weight if tensor.role == "weight" else gaussian)
            drawn[tensor.name] = draw(shape, chosen, rng)
        return drawn

    def _check_related(self, chosen: Sizes) -> None:
        """Raise AttometerError when two sizes that are both known do not fit together."""
        numbers = {size(k): sympy.Integer(v) for k, v in chosen.items()}

        def number(what: str) -> int | None:
            if what.isdigit():
                return int(what)
            own = self.parameters[what].value if what in self.parameters else size(what)
            value = sympy.sympify(own).xreplace(numbers)
            return int(value) if value.is_Integer else None

        for whole, part in self.divides:
            top, bottom = number(whole), number(part)
            if top is not None and bottom is not None and top % bottom:
                divisor = part if part.isdigit() else f"{part} = {bottom}"
                raise AttometerError(
                    f'mechanism "{self.name}" needs {whole} to be a multiple of {divisor}, got {whole} = {top}'
                )
        for smaller, larger in self.at_most:
            least, most = number(smaller), number(larger)
            if least is not None and most is not None and least > most:
                raise AttometerError(
                    f'mechanism "{self.name}" needs {smaller} to be at most {larger} = {most}, got {smaller} = {least}'
                )

    def to_dict(self) -> dict[str, Any]:
        """Return name, title, result, notation, parameters, notes and citation as plain values."""
        parameters = [
            {"name": p.name, "value": str(p.value), "default": str(p.default), "meaning": p.meaning}
            for p in self.parameters.values()
        ]
        own = {key: getattr(self, key) for key in ("name", "title", "result", "notes", "citation")}
        return {**own, "notation": str(self.program), "parameters": parameters}

    def __str__(self) -> str:
        return f"{self.name}: {self.title} ({self.result})\n{self.program}\n{self.citation}"


def build(entry: Entry, given: Mapping[str, object]) -> Mechanism:
    """Return the mechanism of `entry` with parameters chosen; AttometerError for an unknown name or a bad value."""
    from attometer.program import parse

    own = {p.name: p for p in entry.parameters}
    for name in given:
        if name not in own:
            raise _unknown_parameter(entry, name)
    chosen = {name: p.choose(given[name]) if name in given else p for name, p in own.items()}
    text = entry.notation if isinstance(entry.notation, str) else entry.notation(**_choices(chosen))
    program = parse(text)
    known = {str(s) for s in program.symbols}
    bound = {n: p.value for n, p in chosen.items() if n in known and p.is_size and p.value != size(n)}
    left = known - set(bound)
    for value in bound.values():
        left |= {str(s) for s in sympy.sympify(value).free_symbols}
    defaults = {n: p.default for n, p in own.items() if n in left and isinstance(p.default, int)}
    made = Mechanism(
        entry.name, entry.title, program, entry.approximates, MappingProxyType(chosen), entry.citation, entry.notes,
        MappingProxyType(defaults), entry.divides, entry.at_most, MappingProxyType(dict(entry.draws)),
    )  # fmt: skip
    # Checked before substitution, whose refusal of half a window would not name the parameter.
    made._check_related({})
    return replace(made, program=program.substitute(bound)) if bound else made


def _choices(chosen: Mapping[str, Parameter]) -> dict[str, object]:
    return {name: p.value for name, p in chosen.items() if not p.is_size}


def _unknown_parameter(entry: Entry, name: str) -> AttometerError:
    own = [p.name for p in entry.parameters]
    if not own:
        return AttometerError(f'mechanism "{entry.name}" takes no parameters, got "{name}"')
    return unknown(f'parameter of mechanism "{entry.name}"', name, own)
