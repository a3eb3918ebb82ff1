"""The order of growth, derived: by hand for known forms, and by doubling sizes for the whole catalogue."""

import pytest
import sympy
from law_programs import PROGRAMS

from attometer.count import count
from attometer.count.order import order
from attometer.errors import AttometerError
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.program import causal, global_, prefix, random, size, strided, window
from attometer.sizes import clog2, scan_depth, scan_work

n, m, d, w, s = map(size, "nmdws")

TABLE = [
    (sympy.Integer(7), "O(1)"),
    (3 * n**2 * d - 2 * n * d + 5 * n**2 - 2 * n, "O(d n^2)"),
    (4 * n**2 * d + n * d**2, "O(d^2 n + d n^2)"),
    (n * (n + 1) / 2, "O(n^2)"),
    (clog2(n), "O(log(n))"),
    (3 * clog2(n) + clog2(d) + 6, "O(log(d) + log(n))"),
    (n * clog2(d) + n, "O(n log(d))"),
    (clog2(n) * (clog2(n) + 1) / 2, "O(log(n)^2)"),
    (2 ** clog2(n) * clog2(n), "O(n log(n))"),
    (scan_work(n) * d, "O(d n)"),
    (scan_depth(n / 2), "O(log(n))"),
    (scan_depth(n - 1) + 4, "O(log(n))"),
    (clog2(n * d), "O(log(d) + log(n))"),
    (sympy.Min(n, m), "O(m)"),
    (sympy.Max(n, m), "O(m + n)"),
    (window(w).pairs(n), "O(n w)"),
    (window(4).pairs(n), "O(n)"),
    (causal().pairs(n), "O(n^2)"),
    (prefix(size("p")).pairs(n), "O(n p)"),
    (strided(s).pairs(n), "O(n^2/s)"),
    ((window(w) | global_(2) | random(3)).pairs(n), "O(n w)"),
    (n**3 / d, "O(n^3/d)"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "text"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_order_of_known_forms(expression: sympy.Expr, text: str) -> None:
    assert str(order(expression)) == text


def test_order_in_one_symbol_drops_the_others() -> None:
    cost = count(PROGRAMS["layer"])
    assert str(cost.order()) == "O(d^2 n + d n^2)"
    assert str(cost.order("n")) == "O(n^2)"
    assert str(cost.order("d")) == "O(d^2)"
    assert str(cost.order("n", "d")) == "O(d^2 n + d n^2)"
    assert str(cost.order("n", of="depth")) == "O(log(n))"
    assert str(cost.order(of="flop")) == "O(d^2 n + d n^2)"
    assert str(count(PROGRAMS["sum"]).order("n")) == "O(1)"


def test_unknown_names_are_said() -> None:
    cost = count(PROGRAMS["layer"])
    with pytest.raises(AttometerError) as error:
        cost.order("width")
    assert str(error.value) == 'unknown size "width"; known: d, n'
    with pytest.raises(AttometerError) as error:
        cost.order(of="worth")
    assert str(error.value) == 'unknown quantity "worth"; did you mean "work"?'


_START = dict.fromkeys(("n", "m", "D", "F", "h"), 64) | {"E": 128}


@pytest.mark.parametrize("quantity", ["work", "depth"])
@pytest.mark.parametrize("name", MECHANISMS)
def test_a_count_grows_no_faster_than_its_order(name: str, quantity: str) -> None:
    made = mechanism(name)
    cost = count(made)
    bound = cost.order(of=quantity).expression
    names = sorted(str(x) for x in cost.symbols)
    for grown in names:
        ratios = []
        for factor in (1, 16):
            # E experts stay more than the k chosen, whichever of the two grows.
            sizes = {k: _START.get(k, 4) * (factor if k == grown else 1) for k in names}
            numbers = {size(k): sympy.Integer(v) for k, v in sizes.items()}
            ratios.append(getattr(cost.at(**sizes), quantity) / max(1.0, float(bound.xreplace(numbers))))
        # Had a factor of that symbol been dropped, the ratio would grow by sixteen.
        assert ratios[1] <= 4 * ratios[0], (grown, ratios)
