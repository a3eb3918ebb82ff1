"""What a measurement is held against: counted FLOPs, and the speed-ups that were printed elsewhere."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy

from attometer.count import count
from attometer.mechanisms import mechanism
from attometer.mechanisms.mechanism import Mechanism
from attometer.program import size

# What is measured under a name of its own, as the catalogue has it; the rest has the same name there.
_AS: dict[str, tuple[str, dict[str, object]]] = {
    "softmax_causal": ("softmax", {"causal": True}),
    "softmax_naive": ("softmax", {}),
}
_NOT_COUNTED = ("performer_causal", "hyperattention_causal", "decode")


@lru_cache(maxsize=64)
def _counted(name: str) -> tuple[Mechanism, sympy.Expr]:
    from attometer.run.bench.cases import CASES
    from attometer.run.bench.own import own

    known, parameters = _AS.get(name, (name, {}))
    made = mechanism(known, **parameters) if name in CASES else own(name)
    return made, count(made).flops("flop")


def flops(name: str, *, b: int, h: int, n: int, d: int) -> int | None:
    """Return the FLOPs of matrix products (2 per multiply-accumulate) of one forward pass, or None if not catalogued.

    Args:
        name: what is measured.
        b: batch.
        h: heads.
        n: tokens.
        d: width of a head.

    Returns:
        The exact count, with the catalogue's default for every other size.

    Raises:
        AttometerError: sizes at which the mechanism cannot run.

    >>> flops("softmax", b=1, h=8, n=512, d=64), flops("decode", b=1, h=8, n=512, d=64)
    (536870912, None)
    """
    if name in _NOT_COUNTED:
        return None
    from attometer.run.bench.cases import CASES
    from attometer.run.bench.own import sizes_of

    made, expression = _counted(name)
    chosen = made.sizes(b=b, h=h, n=n, d=d) if name in CASES else sizes_of(name, b=b, h=h, n=n, d=d)
    numbers: dict[Any, Any] = {size(k): sympy.Integer(v) for k, v in chosen.items()}
    return int(expression.xreplace(numbers))


@dataclass(frozen=True)
class Printed:
    """A speed-up printed elsewhere: of `mechanism` over `over`, how much, by whom, and its formula in n and d."""

    mechanism: str
    over: str
    speedup: str
    said_by: str
    formula: str

    def at(self, n: int, d: int) -> float | None:
        """Return the formula's value, or None where there is none.

        >>> PRINTED[2].at(16384, 768)
        64.0
        """
        divisors = {"n/d": d, "n/128": 128, "n/256": 256}
        return n / divisors[self.formula] if self.formula in divisors else None


_ARTICLE = 'Brenndoerfer 2025, "Attention Complexity: Quadratic Scaling, Memory Limits & Efficient Alternatives", Out[25], n = 16,384'
PRINTED = (
    Printed("linear", "softmax", "21×", f"{_ARTICLE}, d = 768", "n/d"),
    Printed("sparse_transformer_strided", "softmax", "128×", f"{_ARTICLE}, 128 keys a query", "n/128"),
    Printed("sliding_window", "softmax", "64×", f"{_ARTICLE}, a window of 256", "n/256"),
    Printed(
        "softmax", "softmax_naive", "2-4×", "Dao 2023, arXiv:2307.08691, abstract: FlashAttention on GPUs", "measured"
    ),
)
"""Speed-ups in print; those of the article are ratios of FLOPs, and none of them was measured."""
