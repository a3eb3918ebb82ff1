"""Each rule of well-formedness and each refusal of lowering, by its exact words."""

import pytest

from attometer.errors import AttometerError
from attometer.program import Declaration, Program, parse, size
from attometer.program.expression import Name, Ref, Statement
from attometer.program.rules import RULES

BROKEN = {
    "_has_statements": [("axis i: n", "a program needs at least one statement")],
    "_not_too_deep": [
        ("Y = " + "-".join(["s"] * 101), 'statement "Y" is nested deeper than 100; name a part of it first'),
    ],
    "_not_too_many_indices": [
        (
            "Y = X[" + ",".join(f"i{k}" for k in range(33)) + "]",
            'tensor "X" has 33 indices; the limit is 32',
        ),
    ],
    "undeclared_tensors": [
        (
            "input S[i]\nP[i] = softmax[i](S)\nO[i] = Pp[i] * 2",
            'statement "O" reads "Pp", which nothing computes or declares; did you mean "P"?; '
            "inputs are declared as in: input Pp[i]",
        ),
        (
            "Score[i] = Q[i] * 2\nP[i] = exp(score[i])",
            'statement "P" reads "score", which nothing computes or declares; did you mean "Score"?; '
            "inputs are declared as in: input score[i]",
        ),
    ],
    "unknown_sizes": [
        (
            "Y[i] = maximum(X[i], -inf)",
            'statement "Y": "inf" is no tensor, and no axis has a size of that name; '
            "mask the statement, where causal(i, j), or write 1e30",
        ),
        (
            "S[i,j] = Q[i,d] * K[j,d] / sqrt(dd)",
            'statement "S": "dd" is no tensor, and no axis has a size of that name; did you mean "d"?; '
            "a number that is given is declared as in: input dd",
        ),
        (
            "S[i,j] = Q[i,d] * K[j,d]\nP[i,j] = softmax[j](s)",
            'statement "P": "s" is no tensor, and no axis has a size of that name; did you mean "S"?; '
            "a number that is given is declared as in: input s",
        ),
    ],
    "sizes_as_indices": [
        (
            "axis i: n\nY[i] = X[n - 1]",
            'statement "Y" reads "X[n - 1]": "n" is the size of axis "i"; '
            "places are counted from 0, and only an index or a whole number stands before + and -",
        ),
        (
            "axis i: n\nY[i] = X[n - 1 - i]",
            'statement "Y" reads "X[n - 1 - i]": "n" is the size of axis "i"; '
            "places are counted from 0, and only an index or a whole number stands before + and -",
        ),
    ],
    "silent_sums": [
        (
            "O[i,e] = P[i,j] * V[jj,e] * W[j]",
            'statement "O": the index "jj" stands once, on the right alone; did you mean "j"?; to sum over it write '
            "sum[jj](...) or declare it as in: axis jj: jj",
        )
    ],
    "_axes_once": [("axis i: n, i: m\nY[i] = X[i]", 'axis "i" is given two sizes: n and m')],
    "_names_not_reserved": [
        ("softmax[i] = X[i]", '"softmax" is a word of the notation and cannot name a tensor or an axis'),
        ("axis exp: n\nY[i] = X[i]", '"exp" is a word of the notation and cannot name a tensor or an axis'),
        ("input where[i]\nY[i] = X[i]", '"where" is a word of the notation and cannot name a tensor or an axis'),
    ],
    "_tensors_once": [
        ("Y[i] = X[i]\nY[i] = Z[i]", 'tensor "Y" is defined twice'),
        ("input Y[i]\nY[i] = X[i]", 'tensor "Y" is defined twice'),
    ],
    "_outputs_exist": [
        ("output Out[i]\nOuts[i] = X[i]", 'output "Out" is never computed; did you mean "Outs"?'),
        ("output Y[i,j]\nY[i] = X[i]", 'output "Y" has 1 indices, declared with 2'),
    ],
    "_indices_distinct": [
        ("Y[i,i] = X[i]", 'tensor "Y" has the index "i" twice'),
        ("input X[j,j]\nY[j] = X[j,j]", 'tensor "X" has the index "j" twice'),
    ],
    "_lookback_is_one": [
        (
            "Z[t] = Z[t] + X[t]",
            'statement "Z" reads "Z" before it is computed; a recurrence reads [t-1], [t+1], or all earlier places [s] where strict(t, s)',
        ),
        (
            "Z[t] = Z[t-2] + X[t]",
            'statement "Z" reads "Z" before it is computed; a recurrence reads [t-1], [t+1], or all earlier places [s] where strict(t, s)',
        ),
        ("A[i] = B\nB[i] = X[i]", 'statement "A" reads "B" before it is computed'),
    ],
    "_ranks_agree": [
        ("Y[i] = X[i] + X[i,j]", 'statement "Y" reads "X" with 2 indices; it has 1: [i]'),
        ("Y[i] = X[i]\nZ = Y[i,j]", 'statement "Z" reads "Y" with 2 indices; it has 1: [i]'),
    ],
    "_sizes_agree": [
        (
            "axis i: n, j: m\nY[i,k] = X[i,k]\nZ[j] = Y[j,k] * w[k]",
            'statement "Z" reads axis "i" of "Y", size n, with index "j", size m',
        ),
        (
            "axis i: 4, j: 5\nY[i,j] = X[i] * X[j]",
            'statement "Y" reads axis "i" of "X", size 4, with index "j", size 5',
        ),
    ],
    "_bare_reads_have_sizes": [
        ("A[k] = Y[k-1]\nB[k] = Y", 'statement "B" reads "Y" without its indices, which no declaration names'),
    ],
    "_index_expressions": [
        (
            "input X[i]\nY[i] = X[maximum(i-1, 0)]",
            'statement "Y" reads "X[maximum(i - 1, 0)]": an index is made of names, whole numbers, + - * // % and '
            "tensors, not of maximum(i - 1, 0)",
        ),
        (
            "Y[i,j] = X[i * j]",
            'statement "Y" reads "X[i * j]": multiplies by the index "j"; an index is multiplied by a size',
        ),
        (
            "input F[i,c], W[c,u]\nS[j,c] = F[2 * u + j, c] * W[c,u]",
            'statement "S" reads "F[2 * u + j, c]": multiplies by the index "u"; an index is multiplied by a size, as in "u * 2"',
        ),
        (
            "axis u: 3\ninput F[i]\nS[j] = sum[u](F[j + 2 * u])",
            'statement "S" reads "F[j + 2 * u]": multiplies by the index "u"; an index is multiplied by a size, as in "u * 2"',
        ),
        ("Y[i] = X[i // 0]", 'statement "Y" reads "X[i // 0]": an index is divided by a positive size, got "0"'),
        ("Y[i] = X[i % 0]", 'statement "Y" reads "X[i % 0]": an index is taken modulo a positive size, got "0"'),
        ("Y[i] = X[i * -2]", 'statement "Y" reads "X[i * -2]": an index is multiplied by a positive size, got "-2"'),
        ("input X[j]\nY[i] = X[i + 0.5]", 'statement "Y" reads "X[i + 0.5]": an index cannot use the number 0.5'),
    ],
    "_masks_over_own_indices": [
        (
            "Y[i] = X[i] where causal(i, j)",
            'statement "Y" is masked over index "j", which it does not use',
        ),
    ],
    "_left_indices_used": [("Y[Y] = X", '"Y" is both an index and a tensor in statement "Y"')],
}
"""By the rule that is broken: notation and message."""

UNLOWERED = [
    ("Y[i] = pos(j) + X[i]", 'statement "Y": pos(j) needs the index j on the left'),
    ("Y[i] = X[i] // 2", 'statement "Y": // is for indices and sizes only'),
    ("Y[i] = X[i] % 2", 'statement "Y": % is for indices and sizes only'),
    ("Y[i] = A[i,j] / B[j]", 'statement "Y": divides inside the sum over j; name the quotient first'),
    (
        "Y[i,k] = A[i,j] * B[j,l] * C[l,k]",
        'statement "Y": sums a product of 3 tensors over j, l; name the product of two of them first',
    ),
    ("Y[i] = 2 * argsort[j](X[i,j])", 'statement "Y": argsort must be the whole right-hand side'),
    ("Y[i] = sum[j](X[i])", 'statement "Y": sum[j] runs along an index its argument does not have'),
    ("Y[i] = softmax[j](X[i])", 'statement "Y": softmax[j] runs along an index its argument does not have'),
    ("axis r: k\nI[r] = topk[i, 5](X[i])", 'statement "I": topk needs one result index of size 5 on the left'),
    ("I = argsort[i](X[i])", 'statement "I": argsort needs one result index of size i on the left'),
    ("axis r: 3\nI[r] = topk[i, 0](X[i])", 'statement "I": count of topk must be a positive integer, got 0'),
    (
        "axis r: i\nI[r,i] = argsort[i](X[i])",
        'statement "I": argsort[i] keeps every other index of its argument',
    ),
    (
        "Z[t] = X[t]   associative",
        'statement "Z": associative needs the form z[t-1] + x, a * z[t-1] + x or maximum(z[t-1], x), or z[t+1]',
    ),
    (
        "Z[t] = minimum(Z[t-1], X[t])   associative",
        'statement "Z": associative needs the form z[t-1] + x, a * z[t-1] + x or maximum(z[t-1], x), or z[t+1]',
    ),
    (
        "Z[t,s] = Z[t-1,s-1] + X[t,s]",
        "recurrence \"Z\" must look back along one index, got ['s', 't']",
    ),
    (
        "axis i: n, j: n, k: n\nA[i,j] = X[i,j]   where causal(i, j)\nB[i,k] = Y[i,k]   where causal(i, k)\n"
        "C[i,j,k] = A[i,j] + B[i,k]",
        'statement "C": meets masks over different pairs of indices: (i, j), (i, k)',
    ),
    (
        "Y = X[3]",
        'tensor "X": its extent cannot be inferred from how it is read; declare it with input, weight or cache',
    ),
    (
        "axis i: n, r: n\nZ[t,r] = argsort[i](Z[t-1,i])",
        'recurrence "Z" may not contain a sort',
    ),
]

SYNTAX = [
    ("Y[i] X[i]", 'notation line 1, column 6: expected "=", got "X"'),
    ("Y[i] =", "notation line 1, column 7: expected a tensor, size, number or function, got the end of the line"),
    ("\nY[i] = X[i] Z", 'notation line 2, column 13: unexpected "Z"'),
    ("Y[i = X[i]", 'notation line 1, column 5: expected ",", got "="'),
    ("Y[i] = X[i", 'notation line 1, column 11: expected ",", got the end of the line'),
    ("Y[1] = X[i]", 'notation line 1, column 3: expected an index name, got "1"'),
    (
        "Y = X @ Z",
        "notation line 1, column 6: unexpected character '@'; a matrix product is a sum over an index that the left does "
        "not have: Y[i,k] = A[i,j] * B[j,k]",
    ),
    ("Y[i] = X[i] ** 2", 'notation line 1, column 13: "**" is not of the notation; a power is square(x) or pow(x, y)'),
    (
        "Y[i] = X[i] > 0",
        'notation line 1, column 13: unexpected ">"; a comparison is less(a, b), 1 where a < b and 0 elsewhere',
    ),
    (
        "Y[i] = cumsum[i](X)",
        'notation line 1, column 8: unknown function "cumsum"; a running sum is a recurrence: Z[t] = Z[t-1] + X[t]   associative',
    ),
    (
        "Y[i] = argmax[j](X)",
        'notation line 1, column 8: unknown function "argmax"; the place of the largest entry is topk[j, 1](X)',
    ),
    (
        "Y[i,j] = X[i,j] where causal(i, j) and window(i, j, 4)",
        'notation line 1, column 36: unexpected "and"; masks are joined with & and |, and negated with ~',
    ),
    (
        "Y[i] += X[i]",
        'notation line 1, column 6: expected "=", got "+"; nothing is added in place: what the left has no index for is '
        "summed, a running sum reads [t-1]",
    ),
    (
        "Y[d] = conj(X[d])",
        'notation line 1, column 8: unknown function "conj"; a complex number is two tensors, of real and imaginary parts: '
        "(a + bi)(c + di) is ac - bd and ad + bc",
    ),
    ("Y[i] = sofmax(X[i])", 'notation line 1, column 8: unknown function "sofmax"; did you mean "softmax"?'),
    ("Y[i] = tahn(X[i])", 'notation line 1, column 8: unknown function "tahn"; did you mean "tanh"?'),
    (
        "Y[i] = softmax(X[i])",
        'notation line 1, column 8: unknown function "softmax"; write softmax[j](X) to say along which index',
    ),
    (
        "Y[i,j] = X[j,i].T",
        "notation line 1, column 16: unexpected character '.'; there are no methods: to transpose, write the "
        "indices in another order; functions are written f(x)",
    ),
    ("Y[i] = clip(X[i], 0, 1)", 'notation line 1, column 8: unknown function "clip"; write minimum(maximum(x, a), b)'),
    ("P[i,j] = Softmax[j](X)", 'notation line 1, column 10: unknown function along an index "Softmax"; did you mean "softmax"?'),
    ("Y[i] = norm[d](X)", 'notation line 1, column 8: unknown function "norm"; the length of a vector is sqrt(sum[d](square(X)))'),
    (
        "Y[i] = X[i] == 0",
        'notation line 1, column 13: unexpected "=="; numbers are compared with equal(a, b), 1 where a is b '
        'and 0 elsewhere',
    ),
    (
        "Y[i] = X[i] if Z[i]",
        'notation line 1, column 13: unexpected "if"; choose by a product with less(a, b) or equal(a, b), or '
        'mask the statement: where causal(i, j)',
    ),
    ("Y[i] = X[:, i]", 'notation line 1, column 10: no ranges: a tensor is read at its indices, "X[i,d]", or whole, by its bare name'),
    ("Y[i,j] = tril(X)", 'notation line 1, column 10: unknown function "tril"; mask the statement: where causal(i, j)'),
    ("Y = sum[](X)", "notation line 1, column 5: sum needs the index it runs along, as in sum[j](X)"),
    ("Y = sum[i, 2](X)", "notation line 1, column 5: sum takes one index in brackets, got 2"),
    ("Y = topk[i](X)", "notation line 1, column 5: topk takes an index and a count in brackets, got 1"),
    ("Y = maximum(a)", "notation line 1, column 5: maximum takes 2 argument(s), got 1"),
    ("axis i n", 'notation line 1, column 8: expected ":", got "n"'),
    ("axis i: exp(n)\nY[i] = X[i]", "notation line 1, column 9: a size may use only names, numbers, + - * / // % and sqrt, got call"),
    ("axis i: 0\nY[i] = X[i]", 'notation line 1, column 9: size of axis "i" must be a positive integer, got 0'),
    ("axis i: -n\nY[i] = X[i]", 'notation line 1, column 9: size of axis "i" must be positive, got -n'),
    ("axis i: n // 0\nY[i] = X[i]", "notation line 1, column 9: a size divides by zero"),
    ("Y[i,j] = X[i,j] where cuasal(i, j)", 'notation line 1, column 23: unknown mask "cuasal"; did you mean "causal"?'),
    ("Y[i,j] = X[i,j] where", "notation line 1, column 22: expected a mask, got the end of the line"),
    (
        "Y[i,j] = X[i,j] where causal(i, j) & window(j, i, 3)",
        "notation line 1, column 23: a mask is over one pair of indices, got (i, j), (j, i)",
    ),
    ("Y[i] = X[i] where causal(i, i)", 'notation line 1, column 19: a mask needs two different indices, got "i" twice'),
    (
        "Y[i,j] = X[i,j] where window(i, j)",
        "notation line 1, column 23: window is written window(i, j, w), got 0 parameter(s) after the indices",
    ),
    ("Y[i,j] = X[i,j] where window(i, j, 0)", "notation line 1, column 23: window: window must be at least 1, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), [case for cases in BROKEN.values() for case in cases] + UNLOWERED + SYNTAX)
def test_a_broken_program_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        parse(text)
    assert str(error.value) == words


def test_every_rule_has_a_program_that_breaks_it() -> None:
    built_by_hand = {"_axes_positive"}
    assert {rule.__name__ for rule in RULES} == set(BROKEN) | built_by_hand


def test_rules_hold_for_programs_that_were_not_parsed() -> None:
    statement = Statement("Y", ("i",), Ref("X", (Name("i"),)))
    with pytest.raises(AttometerError, match='size of axis "i" must be a positive integer, got 1/2'):
        Program((statement,), (("i", size("n") / (2 * size("n"))),))
    with pytest.raises(AttometerError, match='output "Z" is never computed'):
        Program((statement,), (), (Declaration("output", "Z", ("i",)),))


def test_a_size_that_does_not_divide_is_refused_when_it_is_substituted() -> None:
    with pytest.raises(AttometerError, match='size of axis "c" must be a positive integer, got 7/2'):
        parse("axis c: n / B\nY[c,t] = X[c * B + t]").substitute({"n": 7, "B": 2})


def test_unknown_tensor_names_the_nearest() -> None:
    with pytest.raises(AttometerError) as error:
        parse("Scores[i] = X[i]").shape("scores")
    assert str(error.value) == 'unknown tensor "scores"; did you mean "Scores"?'


def test_composing_programs_with_different_axes_is_refused() -> None:
    one, other = parse("axis i: n\nY[i] = X[i]"), parse("axis i: m\nZ[i] = Y[i]")
    with pytest.raises(AttometerError) as error:
        one + other
    assert str(error.value) == 'axis "i" has size n in one program and m in the other'


def test_composing_feeds_outputs_to_inputs() -> None:
    both = parse("Y[i] = exp(X[i])") + parse("input Y[i]\nZ[i] = 2 * Y[i]")
    assert [t.name for t in both.inputs] == ["X"]
    assert [t.name for t in both.outputs] == ["Z"]
