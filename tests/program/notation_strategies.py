"""Hypothesis strategies for masks, expressions and whole Programs."""

from hypothesis import strategies as st

import attometer.program as ap
from attometer.masks import Mask, block_causal, strict
from attometer.program import Declaration, Program, size
from attometer.program.expression import (
    FUNCTIONS,
    Along,
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Position,
    Ref,
    Statement,
    Where,
)

small = st.integers(1, 9)
INDICES = ("i", "j", "k")
NAMES = st.sampled_from(["n", "m", "d", "w", "alpha", "B_r", "x1"])


@st.composite
def size_expressions(draw: st.DrawFn, depth: int = 3):
    """SymPy sizes: symbols, numbers, and sums, products, quotients and floors of them."""
    if depth == 0 or draw(st.booleans()):
        return size(draw(NAMES)) if draw(st.booleans()) else size(draw(NAMES)) * draw(small)
    left, right = draw(size_expressions(depth - 1)), draw(size_expressions(depth - 1))
    if right.is_zero:
        return left
    return draw(st.sampled_from([left + right, left * right, left / right, left // right, left + 1, left * left]))


def parameters(symbolic: bool):
    sizes = size_expressions(1).filter(lambda x: x.is_integer is not False and not x.is_Integer)
    return st.one_of(small, sizes) if symbolic else small


def mask_atoms(symbolic: bool = False):
    """One mask without & | ~."""
    p = parameters(symbolic)
    bits = st.lists(st.integers(0, 1), min_size=3, max_size=3)
    return st.one_of(
        st.just(ap.causal()),
        p.map(ap.window),
        st.builds(ap.band, st.none() | st.just(0) | p, st.none() | st.just(0) | p),
        st.just(strict()),
        p.map(block_causal),
        p.map(ap.global_),
        p.map(ap.prefix),
        p.map(ap.strided),
        p.map(ap.chunked),
        st.builds(ap.fixed, p, p),
        st.builds(ap.random, small, st.integers(0, 3), st.integers(1, 3)),
        st.lists(small, min_size=1, max_size=4).map(ap.document),
        st.builds(ap.block, small, st.lists(bits, min_size=1, max_size=3)),
    )


def mask_expressions(symbolic: bool = False, leaves: int = 6):
    """Masks joined by & | ~."""

    def joined(inner: st.SearchStrategy[Mask]) -> st.SearchStrategy[Mask]:
        return st.one_of(
            st.builds(lambda a, b: a & b, inner, inner),
            st.builds(lambda a, b: a | b, inner, inner),
            inner.map(lambda a: ~a),
        )

    return st.recursive(mask_atoms(symbolic), joined, max_leaves=leaves)


numbers = st.one_of(
    st.integers(0, 10**30), st.floats(0, 1e300, allow_nan=False, allow_infinity=False, allow_subnormal=False)
).map(Number)


def syntax_trees(leaves: int = 12):
    """Any syntax tree that the notation can spell, whether or not it means anything."""
    name = st.sampled_from(["X", "Wq", "i", "j", "n", "d_head", "_t"])

    def grown(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        one = [f for f, arguments in FUNCTIONS.items() if arguments == 1]
        two = [f for f, arguments in FUNCTIONS.items() if arguments == 2]
        along = ["sum", "max", "min", "prod", "mean", "softmax", "logsumexp", "rmsnorm", "layernorm", "argsort"]
        return st.one_of(
            st.builds(Ref, name, st.lists(inner, max_size=3).map(tuple)),
            st.builds(Negative, inner),
            st.builds(Binary, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner, inner),
            st.builds(Call, st.sampled_from(one), st.tuples(inner)),
            st.builds(Call, st.sampled_from(two), st.tuples(inner, inner)),
            st.builds(Along, st.sampled_from(along), name, st.just(()), inner),
            st.builds(Along, st.sampled_from(["topk", "select"]), name, st.tuples(inner), inner),
            st.builds(Along, st.sampled_from(["softmax", "layernorm"]), st.just("i"), st.just((Name("j"),)), inner),
        )

    return st.recursive(st.one_of(numbers, name.map(Name), name.map(Position)), grown, max_leaves=leaves)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Valid programs of up to four statements over indices i, j, k, each reading what came before."""
    axes = {i: draw(size_expressions(1)) for i in INDICES if draw(st.booleans())}
    if draw(st.booleans()):  # one size for both, so that one may stand in the place of the other
        axes["j"] = axes.get("i", size("i"))
    known: dict[str, tuple[str, ...]] = {
        "X": ("i", "j"),
        "Y": ("j", "k"),
        "v": ("j",),
        "s": (),
    }
    declarations = tuple(
        Declaration(draw(st.sampled_from(["input", "weight", "cache"])), name, indices)
        for name, indices in known.items()
    )
    statements = []
    for tensor in ("A", "B", "C", "D")[: draw(st.integers(1, 4))]:
        indices = tuple(draw(st.permutations(INDICES))[: draw(st.integers(0, 3))])
        where = None
        expression = draw(meaningful(dict(known), indices))
        back = draw(st.sampled_from(["nothing", "step", "places"])) if "i" in indices else "nothing"
        if back == "step":
            expression = draw(looking_back(tensor, indices, expression))
        elif back == "places" and "j" not in indices and axes.get("j") == axes.get("i", size("i")):
            # X[j] under strict(i, j) is all that came before, under strict(j, i) all that comes after.
            before = Ref(tensor, tuple(Name("j" if i == "i" else i) for i in indices))
            expression = Binary("+", expression, Binary("*", Ref("X", (Name("i"), Name("j"))), before))
            where = Where(strict(), *draw(st.permutations(["i", "j"])))
        elif {"i", "j"} <= set(indices) and draw(st.booleans()):
            # A factor over both indices keeps the mask inside every statement it is put on.
            expression = Binary("*", Ref("X", (Name("i"), Name("j"))), expression)
            where = Where(draw(mask_expressions(symbolic=True, leaves=3)), "i", "j")
        statements.append(Statement(tensor, indices, expression, where))
        known[tensor] = indices
    outputs = tuple(Declaration("output", s.tensor, s.indices) for s in statements if draw(st.booleans()))
    return Program(tuple(statements), tuple(axes.items()), declarations + outputs)


@st.composite
def looking_back(draw: st.DrawFn, tensor: str, indices: tuple[str, ...], expression: Expression) -> Expression:
    """`expression` joined with the step before, or after, of the tensor that it makes."""
    step = Binary(draw(st.sampled_from(["+", "-"])), Name("i"), Number(1))
    earlier: Expression = Ref(tensor, tuple(step if i == "i" else Name(i) for i in indices))
    earlier = Call("tanh", (earlier,)) if draw(st.booleans()) else earlier
    return Binary(draw(st.sampled_from(["+", "*"])), expression, earlier)


def places(index: str) -> st.SearchStrategy[Expression]:
    """An index, or a place beside it."""
    shifted = st.builds(Binary, st.sampled_from(["+", "-"]), st.just(Name(index)), st.integers(1, 2).map(Number))
    return st.one_of(st.just(Name(index)), st.just(Name(index)), shifted)


@st.composite
def meaningful(draw: st.DrawFn, known: dict[str, tuple[str, ...]], left: tuple[str, ...], depth: int = 2):
    """An expression over `known` tensors, sums included, for a statement with the indices `left`."""
    choice = draw(st.integers(0, 6)) if depth else draw(st.integers(0, 2))
    if choice == 0:
        return Number(draw(st.integers(0, 9)))
    if choice == 1 and left:
        return Position(draw(st.sampled_from(left)))
    if choice <= 2:
        tensor = draw(st.sampled_from(sorted(known)))
        return Ref(tensor, tuple(draw(places(i)) for i in known[tensor]))
    deeper = meaningful(known, left, depth - 1)
    if choice == 3:
        return Binary(draw(st.sampled_from(["+", "-"])), draw(deeper), draw(deeper))
    if choice == 4:
        return Call(draw(st.sampled_from(["exp", "tanh", "relu"])), (draw(deeper),))
    if choice == 5:
        return Negative(draw(deeper))
    tensor = draw(st.sampled_from([t for t, indices in sorted(known.items()) if indices]))
    function = draw(st.sampled_from(["sum", "max", "mean", "softmax", "logsumexp", "layernorm"]))
    index = draw(st.sampled_from(known[tensor]))
    others = [i for i in known[tensor] if i != index]
    if others and function in ("softmax", "logsumexp", "layernorm") and draw(st.booleans()):  # over two axes at once
        return Along(function, index, (Name(others[0]),), Ref(tensor, tuple(Name(i) for i in known[tensor])))
    return Along(function, index, (), Ref(tensor, tuple(Name(i) for i in known[tensor])))
