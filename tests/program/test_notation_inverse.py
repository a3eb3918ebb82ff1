"""Parser and printer are inverses: on trees, masks, sizes and whole Programs."""

import pickle

import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from notation_strategies import mask_expressions, programs, size_expressions, syntax_trees

from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.program import Program, parse, parse_mask, size
from attometer.program.expression import MAX_HEIGHT, Expression, Where, height
from attometer.program.expression_reader import read_expression
from attometer.program.printer import expression_text, size_text, where_text
from attometer.program.size_expressions import to_size


@settings(max_examples=300, deadline=None)
@given(syntax_trees())
def test_every_syntax_tree_reads_back(tree: Expression) -> None:
    assume(height(tree) < 20)
    assert read_expression(expression_text(tree)) == tree


@settings(max_examples=150, deadline=None)
@given(mask_expressions(symbolic=True))
def test_every_mask_reads_back(mask: Mask) -> None:
    assert parse_mask(str(mask)) == mask
    text = f"Y[i,j] = X[i,j] where {where_text(Where(mask, 'i', 'j'))}"
    assert parse(text).statements[0].where == Where(mask, "i", "j")


@settings(max_examples=200, deadline=None)
@given(size_expressions())
def test_every_size_reads_back(value: sympy.Expr) -> None:
    assert to_size(read_expression(size_text(value))) == value


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_program_reads_back(data: st.DataObject) -> None:
    try:
        program = data.draw(programs())
    except AttometerError:
        assume(False)
    again = parse(str(program))
    assert again == program
    assert hash(again) == hash(program)
    assert str(again) == str(program)


PROGRAMS = [
    "axis i: n, j: n\nS[b,h,i,j] = Q[b,h,i,d] * K[b, h // (h / g), j, d] / sqrt(d)   where causal(i, j)",
    "input X[i,c]\nweight W[c,f], b[f]\noutput Y[i,f]\nY[i,f] = X[i,c] * W[c,f] + b[f]",
    "Z[t,x] = L[t,x] * Z[t - 1, x] + U[t,x]   associative",
    "axis x: D, y: D\nH[t,x] = tanh(A[x,y] * H[t - 1, y] + U[t,x])",
    "axis r: k\ninput X[i], V[i,d], W[r]\nI[r] = topk[i, k](X[i])\nY[d] = V[I[r], d] * W[r]",
    "input X[i,j], Z[i,j], s\n"
    "Y[i,j] = X[i,j] - (Z[i,j] - 1) / 2 * --s   where ~(causal(i, j) | band(i, j, *, 3)) & block(i, j, 2, [[1, 0], [0, 1]])",
    "axis t: B, c: n // B\nY[c,t] = X[c * B + t]",
    "Y = 0.1 + 1e-07 + 2.5e22",
]


@pytest.mark.parametrize("text", PROGRAMS)
def test_the_canonical_notation_is_a_fixed_point(text: str) -> None:
    program = parse(text)
    assert parse(str(program)) == program
    assert str(parse(str(program))) == str(program)


def test_comments_blank_lines_and_spacing_do_not_matter() -> None:
    tidy = parse("axis i: n\nY[i] = 2 * X[i]")
    assert parse("\n  axis   i:n   # length\n\n# nothing\nY [ i ]=2*X[ i ]  # doubled\n") == tidy


def test_substitution_prints_and_reads_back() -> None:
    program = parse("axis i: n, j: n\nS[i,j] = Q[i,d] * K[j,d] / sqrt(d)   where window(i, j, w)")
    chosen = program.substitute({"n": 8, "w": 3, "d": 2 * size("c")})
    assert parse(str(chosen)) == chosen
    assert [str(s) for s in chosen.symbols] == ["c"]
    assert chosen.size_of("d") == 2 * size("c")


def test_the_tallest_tree_prints_and_reads_back() -> None:
    chain = "input s\nY = " + " + ".join(["s"] * (MAX_HEIGHT - 1))
    assert isinstance(parse(str(parse(chain))), Program)


def test_a_program_leaves_what_it_cached_behind() -> None:
    program = parse("Y[i,k] = A[i,j] * B[j,k]")
    assert {program: 1}[parse(str(program))] == 1  # which caches its hash, other in each process
    sent = pickle.loads(pickle.dumps(program))
    assert sent == program
    assert vars(sent).keys() == {"statements", "axes", "declarations"}
