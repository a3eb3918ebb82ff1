"""M. Brenndoerfer (2025): attention against recurrent networks, Out[12] and Out[15]."""

from functools import partial

import sympy

from attometer.count.paths.path_length import path_length
from attometer.ledger.checks import Between, Exactly, Rounded, Row, Says
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.paths import mean_from_first, mean_over_pairs, recurrent_path
from attometer.ledger.programs import at, cost, d, n, row, term, total
from attometer.mechanisms import mechanism

_OUT12 = (
    (64, 2_097_152, 16_777_216, "0.12"),
    (128, 8_388_608, 33_554_432, "0.25"),
    (256, 33_554_432, 67_108_864, "0.50"),
    (512, 134_217_728, 134_217_728, "1.00"),
    (1024, 536_870_912, 268_435_456, "2.00"),
    (2048, 2_147_483_648, 536_870_912, "4.00"),
    (4096, 8_589_934_592, 1_073_741_824, "8.00"),
)
_OUT15 = (
    (128, "0.25", "63.5", "254.000"),
    (256, "0.50", "127.5", "255.000"),
    (512, "1.00", "255.5", "255.500"),
    (1024, "2.00", "511.5", "255.750"),
    (2048, "4.00", "1023.5", "255.875"),
)
_WIDTH = 512


def claims() -> tuple[Claim, ...]:
    """Return the claims about recurrent networks and path lengths."""
    return (*_recurrent(), *_crossover(), *_costs(), *_paths(), *_trade_offs(), *_around_the_trade_offs())


def _attention(length: int, width: int = _WIDTH) -> sympy.Expr:
    return at(term("attention"), h=1, n=length, d=width)


def _rnn(length: int, width: int = _WIDTH) -> sympy.Expr:
    return at(term("rnn"), n=length, d=width)


def _ratio(length: int) -> sympy.Expr:
    return sympy.Rational(_attention(length), _rnn(length))


def _recurrent() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.rnn.step", "RNN Complexity Analysis", "per step, two matrix-vector products: O(d²)",
            Exactly("O(d^2)"), lambda: str(_order(cost("rnn").work / n)),
        ),
        Claim(
            "001.rnn.activation", "RNN Complexity Analysis", "the activation function takes O(d) operations per step",
            Exactly("O(d)"), lambda: str(_order(_elementwise() / n)),
        ),
        Claim(
            "001.rnn.total", "RNN Complexity Analysis", "for n tokens O(n d²)",
            Exactly("O(d^2 n)"), lambda: str(cost("rnn").order()),
        ),
        Claim(
            "001.rnn.code", "In[11]", "an RNN costs n·d·d",
            Exactly(n * d**2), lambda: term("rnn"),
            Otherwise("multiplications of both products", lambda: total("rnn", "mac")),
            "each step multiplies by W_h and by W_x; attention has two products too, so the ratio stays",
        ),
    )  # fmt: skip


def _elementwise() -> sympy.Expr:
    """Return the work of an RNN outside its matrix products: an addition and an activation."""
    return cost("rnn").work - (2 * total("rnn", "mac") - 2 * row("rnn", "U").entries)


def _order(expression: sympy.Expr) -> object:
    from attometer.count import order

    return order(sympy.expand(expression))


def _crossover() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.crossover", "Comparative Analysis", "n²d = nd² at n = d",
            Exactly(d), lambda: _crossing(),
        ),
        Claim(
            "001.crossover.cheaper", "Summary", "attention is cheaper than an RNN when n < d (at n=64, d=512)",
            Says("cheaper"), lambda: _cheaper(total("attention", "mac", h=1, n=64, d=_WIDTH)),
            Otherwise("with its four projections", lambda: _cheaper(_with_projections())),
            "with projections 4nd² + 2n²d exceeds the 2nd² of an RNN at every n",
        ),
        Claim(
            "001.crossover.512", "Out[12]", "crossover point n = d = 512",
            Exactly(512), lambda: at(_crossing(), d=512),
        ),
        Claim(
            "001.crossover.few", "Summary",
            "for typical model dimensions (512 to 4096) attention is more expensive beyond a few hundred tokens (at 4096)",
            Between("a few hundred tokens", 200, 999, suffix=" tokens"), lambda: at(_crossing(), d=4096),
            why="by its own n = d it is beyond 512 to 4096 tokens",
        ),
    )  # fmt: skip


def _crossing() -> sympy.Expr:
    """Return the length at which the leading terms of attention and of an RNN are equal, solved for n."""
    roots = sympy.solve(at(term("attention"), h=1) - term("rnn"), n)
    return next(root for root in roots if root != 0)


def _with_projections() -> sympy.Expr:
    return total("attention", "mac", h=1, n=64, d=_WIDTH) + total("projections", "mac", n=64, d=_WIDTH)


def _cheaper(attention: sympy.Expr) -> tuple[bool, str]:
    ratio = sympy.Rational(attention, total("rnn", "mac", n=64, d=_WIDTH))
    return ratio < 1, f"×{float(ratio):.3g} of the RNN"


def _costs() -> tuple[Claim, ...]:
    rows = tuple(
        Claim(
            f"001.out12.{length}", "Out[12]", f"n={length}, d=512: attention, RNN, ratio",
            Row(Exactly(attention), Exactly(rnn), Rounded(ratio, suffix="x")), partial(_compared, length),
        )
        for length, attention, rnn, ratio in _OUT12
    )  # fmt: skip
    texts = tuple(
        Claim(
            f"001.out12.text{length}", "below Out[12]", f"at n={length} attention costs {ratio}x an RNN",
            Rounded(ratio, suffix="x"), partial(_ratio, length), why=why,
        )
        for length, ratio, why in (
            (64, "0.13", "the table prints 0.12: both round 0.125"),
            (128, "0.25", ""),
            (512, "1.00", ""),
            (4096, "8", ""),
        )
    )  # fmt: skip
    return (*rows, *texts)


def _compared(length: int) -> tuple[sympy.Expr, ...]:
    return _attention(length), _rnn(length), _ratio(length)


def _paths() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.path.rnn", "Path Length", "in an RNN information from token i to j takes |j - i| steps",
            Exactly(12), partial(recurrent_path, 5, 17),
        ),
        Claim(
            "001.path.max", "In[14]", "maximum path length of an RNN is n - 1, of attention 1 (n = 128)",
            Row(Exactly(127), Exactly(1)), lambda: (recurrent_path(0, 127), path_length(mechanism("softmax"), 128).longest),
        ),
        Claim(
            "001.path.mean", "In[14]", "average path length (uniform distribution of source and target): (n - 1)/2, n = 128",
            Rounded("63.5"), partial(mean_from_first, 128),
            Otherwise("mean of |i - j| over all pairs of different tokens, (n + 1)/3", partial(mean_over_pairs, 128)),
            "(n - 1)/2 is the mean distance from the first token (itself included), not between uniform pairs",
        ),
    )  # fmt: skip


def _trade_offs() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"001.out15.{length}", "Out[15]", f"n={length}, d=512: compute ratio, path improvement, efficiency",
            Row(Rounded(ratio, suffix="x"), Rounded(improvement, suffix="x"), Rounded(efficiency)),
            partial(_traded, length, mean_from_first(length)),
            Otherwise("mean over pairs", partial(_traded, length, mean_over_pairs(length))),
            "its mean path (n - 1)/2 is from the first token; over pairs it is (n + 1)/3",
        )
        for length, ratio, improvement, efficiency in _OUT15
    )  # fmt: skip


def _traded(length: int, mean: sympy.Expr) -> tuple[sympy.Expr, ...]:
    return _ratio(length), mean, mean / _ratio(length)


def _around_the_trade_offs() -> tuple[Claim, ...]:
    texts = tuple(
        Claim(
            f"001.out15.text{length}", "below Out[15]", f"at n={length}: {improvement}x shorter average paths",
            Rounded(improvement, suffix="x"), partial(mean_from_first, length),
        )
        for length, improvement in ((128, "63"), (512, "255"), (2048, "1023"))
    )  # fmt: skip
    return (
        *texts,
        Claim(
            "001.out15.efficiency128", "below Out[15]", "at n=128 an efficiency of 252",
            Rounded("252"), lambda: mean_from_first(128) / _ratio(128),
            why="63.5 / 0.25; 252 is the rounded 63 / 0.25",
        ),
        Claim(
            "001.out15.limit", "below Out[15]", "efficiency remains nearly constant around d/2 = 256",
            Exactly(256), lambda: sympy.limit((n - 1) / 2 / (n / sympy.Integer(_WIDTH)), n, sympy.oo),
            Otherwise("mean over pairs: d/3", lambda: sympy.limit((n + 1) / 3 / (n / sympy.Integer(_WIDTH)), n, sympy.oo)),
        ),
    )  # fmt: skip
