"""Compiled formulas: equal to SymPy's own evaluation in Python, in NumPy and, where node is there, in JavaScript."""

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from attometer.count import count
from attometer.count.evaluate import evaluate
from attometer.count.formulas import Graph, compiled
from attometer.count.formulas.functions import ceil_log2_of_array, distinct_experts, distinct_experts_of_arrays
from attometer.errors import AttometerError
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.models import model, shipped
from attometer.plan.formulas import plan_formulas
from attometer.plan.options import Options
from attometer.program import size
from attometer.sizes import clog2

B, N, M = (size(x) for x in "bnm")
LEAVES = st.sampled_from([B, N, M]) | st.integers(1, 9).map(sympy.Integer)


def _grown(inner: st.SearchStrategy[sympy.Expr]) -> st.SearchStrategy[sympy.Expr]:
    two = st.tuples(inner, inner)
    return st.one_of(
        two.map(lambda p: p[0] + p[1]),
        two.map(lambda p: p[0] * p[1]),
        two.map(lambda p: p[0] - p[1]),
        two.map(lambda p: sympy.Min(*p)),
        two.map(lambda p: sympy.Max(*p)),
        st.tuples(inner, st.integers(2, 7)).map(lambda p: sympy.floor(p[0] / p[1])),
        st.tuples(inner, LEAVES).map(lambda p: sympy.ceiling(p[0] / p[1])),
        inner.map(lambda e: e * (e + 1) / 2),
        inner.map(lambda e: clog2(sympy.Max(e, 1))),
    )


WHOLE = st.recursive(LEAVES, _grown, max_leaves=6)
SIZES = st.tuples(*[st.integers(1, 60)] * 3)


@given(st.lists(WHOLE, min_size=1, max_size=3), st.lists(SIZES, min_size=1, max_size=4))
def test_compiled_is_evaluated(formulas: list[sympy.Expr], points: list[tuple[int, int, int]]) -> None:
    both = compiled({str(k): e for k, e in enumerate(formulas)}, ("b", "n", "m"))
    columns = [np.array(c) for c in zip(*points, strict=True)]
    arrays = [np.broadcast_to(a, len(points)) for a in both.vector(*columns)]
    for row, point in enumerate(points):
        bound = dict(zip((B, N, M), map(sympy.Integer, point), strict=True))
        wanted = tuple(int(e.xreplace(bound)) for e in formulas)
        assert both.scalar(*point) == wanted
        assert tuple(int(a[row]) for a in arrays) == wanted
        assert max(map(abs, wanted)) <= both.largest(*point)


def test_arrays_that_would_not_fit_are_python_integers() -> None:
    (large,) = compiled({"x": N**5}).vector(np.array([10**6]))
    assert large.tolist() == [10**30]


def test_what_formulas_share_is_computed_once() -> None:
    source = compiled({"x": sympy.Min(N, 5) * M, "y": sympy.Min(N, 5) + B}).javascript("f")
    assert source.count("Math.min") == 1


def test_sizes_that_all_terms_share_are_taken_out() -> None:
    g = Graph()
    assert g.exact(3 * B * N + 5 * B * M) == g.mul(g.size("b"), g.exact(3 * N + 5 * M))


def test_what_cannot_be_compiled_is_named() -> None:
    with pytest.raises(AttometerError, match=r'cannot be compiled with "sin"'):
        compiled({"x": sympy.sin(N)})
    with pytest.raises(AttometerError, match='size "n" is missing; given: m'):
        compiled({"x": N + M}, ("m",))
    pairs = count(mechanism("bigbird").program).flops("flop")
    if any(hasattr(f.func, "mask") for f in pairs.atoms(sympy.Function)):
        with pytest.raises(AttometerError, match="no closed form that JavaScript could run"):
            compiled({"x": pairs}).javascript("f")


@given(st.integers(1, 2**50))
def test_logarithms_of_arrays_are_exact(k: int) -> None:
    assert int(ceil_log2_of_array(np.array([k]))[0]) == clog2(sympy.Integer(k))


@given(st.integers(1, 512), st.integers(1, 10**6), st.data())
def test_distinct_experts_of_arrays(experts: int, tokens: int, data: st.DataObject) -> None:
    top_k = data.draw(st.integers(1, experts))
    assert distinct_experts_of_arrays(experts, top_k, np.array([tokens]))[0] == pytest.approx(
        distinct_experts(experts, top_k, tokens), rel=1e-9
    )


@pytest.mark.parametrize("name", sorted(MECHANISMS))
def test_every_mechanism_compiles_to_what_evaluation_gives(name: str) -> None:
    cost = count(mechanism(name).program)
    symbols = sorted({s.name for e in (cost.work, cost.depth) for s in e.free_symbols})
    at = {s: 4 + 2 * k for k, s in enumerate(symbols)}
    wanted = [evaluate(e, at) for e in (cost.work, cost.depth)]
    if all(isinstance(w, int) for w in wanted):
        assert list(compiled({"work": cost.work, "depth": cost.depth}, tuple(symbols)).scalar(*at.values())) == wanted


NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_javascript_of_shipped_models_runs_to_the_same_numbers(tmp_path: Path) -> None:
    cases, lines = [], []
    names = ("llama-3.1-8b", "gemma-2-2b", "mixtral-8x7b", "deepseek-v3", "jamba-v0.1")
    for k, (name, mode) in enumerate(product(names, ("prefill", "decode", "train"))):
        formulas = plan_formulas(model(name), Options(context=1, mode=mode)).memory
        sizes = (2, 3001, 2**40, 64, 64, 128, 64, 10**12, 10**12, 10**13)
        lines += [formulas.javascript(f"f{k}"), f"out.push(Object.values(f{k}({', '.join(map(str, sizes))})));"]
        cases.append(list(formulas.scalar(*sizes)))
    script = tmp_path / "formulas.js"
    script.write_text("\n".join(["const out = [];", *lines, "console.log(JSON.stringify(out));"]))
    assert NODE is not None
    done = subprocess.run([NODE, str(script)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == cases


@pytest.mark.parametrize("name", sorted(shipped()))
def test_javascript_is_printed_for_every_shipped_model(name: str) -> None:
    for mode in ("prefill", "decode"):
        formulas = plan_formulas(model(name), Options(context=1, mode=mode))
        for compiled_formulas in (formulas.memory, formulas.parts):
            assert compiled_formulas.javascript("f").endswith("};")
