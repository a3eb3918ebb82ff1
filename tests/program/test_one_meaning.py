"""Random notation means one thing: counting, the graph and the interpreter agree on it, or all refuse it by name."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from attometer.count import count
from attometer.errors import AttometerError
from attometer.program import Program, parse, size
from attometer.simulate.graph.dag import graph
from attometer.simulate.interpreter import interpret

INDICES = ("i", "j", "k")
numbers = st.integers(0, 4).map(str)
names = st.sampled_from(INDICES)
sizes = st.recursive(
    numbers | st.sampled_from(["n", "m", "i", "B"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner),
    max_leaves=3,
)
tensors = st.sampled_from(["X", "Y", "Z"])
places = st.one_of(
    names,
    names,
    st.integers(-1, 3).map(str),
    names.map("{}-1".format),
    names.map("-{}".format),
    names.map("maximum({}-1, 0)".format),
    st.builds("{} {} {}".format, names, st.sampled_from(["//", "%", "/", "*", "+", "-"]), sizes),
    st.builds("{} - {}".format, sizes, names),
    st.builds("{}[{}]".format, tensors, names),
)
reads = st.one_of(
    st.builds(lambda t, at: f"{t}[{','.join(at)}]", tensors, st.lists(places, min_size=1, max_size=2)),
    tensors,
    tensors.map("{}[]".format),
)
functions = st.sampled_from(["sum", "max", "prod", "softmax", "rmsnorm"])
expressions = st.recursive(
    reads | sizes | names.map("pos({})".format),
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from("+-*/"), inner),
        inner.map("exp({})".format),
        st.builds("{}[{}]({})".format, functions, names, inner),
    ),
    max_leaves=4,
)
sorts = st.builds("topk[{}, {}]({})".format, names, sizes, reads)


@st.composite
def notations(draw: st.DrawFn) -> str:
    """One or two statements with axes and an input, whether or not they mean anything."""
    axes = [f"axis {i}: {draw(sizes)}" for i in INDICES if draw(st.integers(0, 3)) == 0]
    own = [draw(st.lists(names, unique=True, max_size=2)) for _ in range(3)]
    inputs = [f"input {draw(tensors)}[{','.join(own[2])}]".replace("[]", "")] if draw(st.booleans()) else []
    made = draw(st.lists(st.sampled_from(["X", "Y", "A"]), min_size=1, max_size=2, unique=True))
    statements = [
        f"{tensor}[{','.join(indices)}] = {draw(sorts if draw(st.integers(0, 9)) == 0 else expressions)}"
        for tensor, indices in zip(made, own, strict=False)
    ]
    return "\n".join([*axes, *inputs, *statements])


def drawn(program: Program, numbers: dict[str, int]) -> dict[str, np.ndarray]:
    """Return inputs of the program's shapes; where a shape has no value, of length 1."""
    at = {size(k): v for k, v in numbers.items()}
    shapes = {t.name: [e.subs(at) for e in t.extents] for t in program.inputs}
    return {name: np.ones([int(e) if e.is_Integer and e > 0 else 1 for e in shape]) for name, shape in shapes.items()}


def answers(program: Program, numbers: dict[str, int]) -> list[object]:
    """Return what each of the three says, or None where it refuses."""
    found: list[object] = []
    for ask in (
        lambda: count(program).at(**numbers).work,
        lambda: graph(program, numbers).work,
        lambda: bool(interpret(program, drawn(program, numbers), numbers)),
    ):
        try:
            found.append(ask())
        except AttometerError:
            found.append(None)
    return found


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(notations(), st.lists(st.integers(1, 4), min_size=8, max_size=8))
def test_count_graph_and_interpreter_agree_or_refuse_alike(text: str, values: list[int]) -> None:
    try:
        program = parse(text)
        count(program)
    except AttometerError as error:
        assume("not derived" not in str(error))
        return
    numbers = dict(zip(map(str, program.symbols), values, strict=False))
    extents = [e.subs({size(k): v for k, v in numbers.items()}) for t in program.tensors.values() for e in t.extents]
    assume(all(e.is_number and (not e.is_Integer or e <= 12) for e in extents))
    counted, built, ran = answers(program, numbers)
    assert counted == built
    assert (ran is None) == (built is None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("axis k: 5, i: 3\nT[k] = topk[i, k](S[i])", 'statement "T": keeps 5 of the 3 entries along i'),
    ],
)
def test_refused_when_read(text: str, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        parse(text)
    assert str(error.value) == words


@pytest.mark.parametrize(
    ("text", "numbers", "words"),
    [
        (
            "axis r: k\nT[r] = topk[i, k](S[i])", {"i": 2, "k": 3},
            '"T" keeps k of the i entries along "i" at i = 2, k = 3; there are not that many',
        ),
        ("Y[i] = X[i % (n - 3)]", {"i": 3, "n": 3}, 'axis "i_1" of "X" has the size n - 3 at n = 3; a size is a positive whole number'),
        ("input X[i]\nY[i] = X[i // (n - 3)]", {"i": 3, "n": 3},
         '"X[i // (n - 3)]" is read with the size n - 3 at n = 3; a size is a positive whole number'),
        ("axis i: n - 4\nY[i] = exp(X[i])", {"n": 2}, 'axis "i" has the size n - 4 at n = 2; a size is a positive whole number'),
    ],
)  # fmt: skip
def test_refused_at_sizes_by_all_three(text: str, numbers: dict[str, int], words: str) -> None:
    program = parse(text)
    arrays = drawn(program, numbers)
    arrays = {name: array if name != "S" else np.ones(2) for name, array in arrays.items()}
    for ask in (
        lambda: count(program).at(**numbers),
        lambda: graph(program, numbers),
        lambda: interpret(program, arrays, numbers),
    ):
        with pytest.raises(AttometerError) as error:
            ask()
        assert str(error.value) == words


def test_a_bare_name_that_no_tensor_has_is_a_size() -> None:
    program = parse("Y[i] = k * U[i,k] * V[k]")
    assert [str(s) for s in program.symbols] == ["i", "k"]
    with pytest.raises(
        AttometerError, match='"X" is no tensor, and no axis has a size of that name; a number that is given'
    ):
        parse("Y[i] = X * 2")
    scalar = parse("Y[i] = X[] * 2")
    assert interpret(scalar, {"X": 3.0}, {"i": 2})["Y"].tolist() == [6.0, 6.0]


def test_a_row_that_sees_nothing_is_zero_for_every_fold() -> None:
    for kind in ("sum", "max", "min", "prod"):
        program = parse(f"axis i: n, j: n\nY[i] = {kind}[j](S[i,j])   where ~causal(i, j)")
        assert interpret(program, {"S": np.full((2, 2), 3.0)})["Y"].tolist() == [3.0, 0.0]
