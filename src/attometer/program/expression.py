"""The syntax tree of a statement: what stands on the right of `=` in the notation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

from attometer.masks import Mask


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: int | float


@dataclass(frozen=True)
class Name:
    """A bare name: an index inside brackets; elsewhere a tensor with its own indices, or a size."""

    name: str


@dataclass(frozen=True)
class Ref:
    """A tensor read at index expressions: `K[b, h // (h/g), j, d]`."""

    tensor: str
    indices: tuple["Expression", ...]


@dataclass(frozen=True)
class Position:
    """The value of an index as a number: `pos(i)`."""

    index: str


@dataclass(frozen=True)
class Negative:
    """`-x`."""

    operand: "Expression"


@dataclass(frozen=True)
class Binary:
    """`left op right`, with op one of + - * / // %."""

    op: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True)
class Call:
    """An element-wise function: `exp(x)`."""

    function: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True)
class Along:
    """A function along an index: `softmax[j](S)`, `topk[j, k](S)`; a composite takes more indices as parameters."""

    function: str
    index: str
    parameters: tuple["Expression", ...]
    argument: "Expression"

    @property
    def runs(self) -> tuple[str, ...]:
        """The indices it runs along: several for `softmax[j, k](S)`."""
        more = self.parameters if self.function in COMPOSITES else ()
        return (self.index, *(part.name for part in more if isinstance(part, Name)))


Expression: TypeAlias = Number | Name | Ref | Position | Negative | Binary | Call | Along


@dataclass(frozen=True)
class Where:
    """A mask over two indices: only pairs it allows are computed."""

    mask: Mask
    query: str
    key: str


@dataclass(frozen=True)
class Statement:
    """`tensor[indices] = expression`, perhaps masked, perhaps an associative recurrence."""

    tensor: str
    indices: tuple[str, ...]
    expression: Expression
    where: Where | None = None
    associative: bool = False

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Statements are shared by the programs that are made of one another, and a hash walks all of it."""
        return hash((self.tensor, self.indices, self.expression, self.where, self.associative))

    def __getstate__(self) -> dict[str, Any]:
        # Hashes of names differ from process to process: what was cached stays behind.
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def saying(self, expression: Expression, where: Where | None) -> "Statement":
        """Return the statement with another right side; itself where that is the same, so that all that was found holds."""
        same = expression == self.expression and where == self.where
        return self if same else replace(self, expression=expression, where=where)

    @cached_property
    def nodes(self) -> tuple[Expression, ...]:
        """The expression and everything below it, in the order of `walk`."""
        return tuple(walk(self.expression))

    @cached_property
    def refs(self) -> tuple[Ref, ...]:
        """Every read of a tensor, those in indices among them."""
        return tuple(node for node in self.nodes if isinstance(node, Ref))

    @cached_property
    def names(self) -> frozenset[str]:
        """What it may read: references, and bare names that may be tensors."""
        return frozenset(ref.tensor for ref in self.refs) | self.bare

    @cached_property
    def bare(self) -> frozenset[str]:
        """The names outside brackets: tensors at their own indices, or sizes."""
        return frozenset(_bare(self.expression))


def _bare(node: Expression) -> set[str]:
    match node:
        case Name(name=name):
            return {name}
        case Ref():
            return set()
        case Along(argument=argument):
            return _bare(argument)
    return set().union(*map(_bare, children(node)))


def children(node: Expression) -> tuple[Expression, ...]:
    """Return the direct sub-expressions of `node`.

    >>> children(Negative(Name("x")))
    (Name(name='x'),)
    """
    match node:
        case Ref(indices=parts) | Call(arguments=parts):
            return parts
        case Negative(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case Along(parameters=parameters, argument=argument):
            return (*parameters, argument)
    return ()


def walk(node: Expression) -> Iterator[Expression]:
    """Yield `node` and everything below it, each before what is below it, left to right."""
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(reversed(children(node)))


def refs_in(node: Expression) -> Iterator[Ref]:
    """Yield every read of a tensor in an expression, those in indices among them."""
    return (part for part in walk(node) if isinstance(part, Ref))


@lru_cache(maxsize=4096)
def reads(node: Expression) -> frozenset[str]:
    """Return the names of the tensors that an expression reads."""
    return frozenset(ref.tensor for ref in refs_in(node))


def rewritten(node: Expression, change: Callable[[Expression], Expression], outer: bool = False) -> Expression:
    """Return an expression with every part replaced by what `change` makes of it, inner parts first.

    With `outer` indices are left to what `change` makes of the reads that they stand in.
    """
    match node:
        case Ref(tensor=tensor, indices=indices) if not outer:
            node = Ref(tensor, tuple(rewritten(part, change) for part in indices))
        case Negative(operand=operand):
            node = Negative(rewritten(operand, change, outer))
        case Binary(op=op, left=left, right=right):
            node = Binary(op, rewritten(left, change, outer), rewritten(right, change, outer))
        case Call(function=function, arguments=arguments):
            node = Call(function, tuple(rewritten(a, change, outer) for a in arguments))
    return change(node)


def factors_of(node: Expression, inverse: bool = False) -> list[tuple[bool, Expression]]:
    """Return the factors of a product, each with whether it divides.

    >>> factors_of(Binary("/", Name("a"), Name("b")))
    [(False, Name(name='a')), (True, Name(name='b'))]
    """
    if isinstance(node, Binary) and node.op in ("*", "/"):
        return factors_of(node.left, inverse) + factors_of(node.right, inverse ^ (node.op == "/"))
    if isinstance(node, Negative):
        return [(False, Number(-1)), *factors_of(node.operand, inverse)]
    return [(inverse, node)]


MAX_HEIGHT = 100
"""Operations inside operations in one expression; what reads expressions recurses, so a taller one is refused."""


def height(node: Expression) -> int:
    """Return how many levels the tree under `node` has; a number or a name has one.

    >>> height(Negative(Name("x")))
    2
    """
    levels, level = 0, [node]
    while level:
        levels, level = levels + 1, [child for parent in level for child in children(parent)]
    return levels


# Each named function counts as one scalar operation in the unit convention, as exp does in the literature.
FUNCTIONS: dict[str, int] = dict.fromkeys(
    [
        "exp",
        "log",
        "sqrt",
        "rsqrt",
        "tanh",
        "sigmoid",
        "silu",
        "gelu",
        "relu",
        "softplus",
        "cos",
        "sin",
        "sign",
        "abs",
        "square",
        "erf",
        "floor",
    ],
    1,
) | {"maximum": 2, "minimum": 2, "pow": 2, "less": 2, "equal": 2}
"""Element-wise functions and their number of arguments."""

REDUCTIONS = ("sum", "max", "min", "prod", "mean")
"""Functions that remove the index they run along."""

COMPOSITES = ("softmax", "logsumexp", "rmsnorm", "layernorm")
"""Functions along an index that are Programs of their own and are counted by their parts."""

SELECTIONS = ("topk", "select")
"""Functions that return the positions of the k largest: by a sorting network, or by a tournament."""

SORTS = ("argsort", *SELECTIONS)
"""Functions along an index that return positions."""

SCATTER = "scatter"
"""`scatter[j, T[i]](X)` sums the entries of X into the place j that T names: what a gather is, the other way round."""
