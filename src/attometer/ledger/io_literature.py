"""Claims of the I/O literature: formulas of published algorithms, constants, and a bound that is false as printed."""

import math
from functools import partial
from typing import Any

import numpy as np
import sympy

from attometer.count.traffic.tile_search import paper_blocks
from attometer.count.traffic.words import traffic
from attometer.ledger import io_literature_bounds
from attometer.ledger.checks import Exactly, Formula, Rounded, Says
from attometer.ledger.claim import Claim, Source
from attometer.ledger.io_values import (
    HEAD,
    LONG,
    B,
    B_c,
    B_r,
    Truth,
    coefficient,
    d,
    e,
    given,
    m,
    n,
    ratio,
    reads,
    writes,
)
from attometer.schedule.catalogue import schedule

SOURCE = Source(
    id="io",
    title="I/O of attention and of matrix products",
    author="Hong & Kung, Dao et al., Saha & Ye, Kwasniewski et al., Li et al.",
    where="the papers named with each claim",
)
_DAO22, _DAO23 = "Dao et al. 2022, arXiv:2205.14135", "Dao 2023, arXiv:2307.08691"
_SAHA_YE = "Saha & Ye 2024, arXiv:2402.07443"
_rows, _columns, _square = (sympy.ceiling(n / B_r), sympy.ceiling(m / B_c), sympy.ceiling(n / B))


def claims() -> tuple[Claim, ...]:
    """Return the claims, schedules first, then constants, bounds and products."""
    return (*_flash(), *_two_pass(), *_constants(), *_blocks(), *io_literature_bounds.claims())


def _flash() -> tuple[Claim, ...]:
    return (
        Claim(
            "io.flash2.reads", f"{_DAO23}, Algorithm 1", "reads Nd + T_r M(d + e)",
            Formula(n * d + _rows * m * (d + e), "Nd + T_r M(d + e)"), partial(reads, "flash2"),
        ),
        Claim(
            "io.flash2.writes", f"{_DAO23}, Algorithm 1", "writes O and the log-sum-exp once: Ne + N",
            Formula(n * e + n, "Ne + N"), partial(writes, "flash2"),
        ),
        Claim(
            "io.flash2.inner", f"{_DAO23}, Algorithm 1", "the inner block size B_c does not change the I/O",
            Exactly(0), lambda: sympy.diff(reads("flash2") + writes("flash2"), B_c),
        ),
        Claim(
            "io.flash1.reads", f"{_DAO22}, Algorithm 1", "reads K and V once, Q, O and two statistics T_c times",
            Formula(m * (d + e) + _columns * n * (d + e + 2), "M(d + e) + T_c N(d + e + 2)"), partial(reads, "flash1"),
        ),
        Claim(
            "io.flash1.writes", f"{_DAO22}, Algorithm 1", "writes O and two statistics T_c times, and once to begin",
            Formula((1 + _columns) * n * (e + 2), "(1 + T_c) N(e + 2)"), partial(writes, "flash1"),
        ),
        Claim(
            "io.gqa.stacked", "Ainslie et al. 2023, arXiv:2305.13245", "8 query heads on one key head, all in one tile, read K once",
            Exactly(8), _shared_reads,
        ),
        Claim(
            "io.split.extra", "Dao, Haziza, Massa & Sizov 2023", "S splits move 2 S N(e + 2) words of partial results",
            Formula(2 * sympy.ceiling(m / (B_c * sympy.Symbol("t", integer=True, positive=True))) * n * (e + 2), "2 S N(e + 2)"),
            _partial_results,
        ),
    )  # fmt: skip


def _shared_reads() -> int:
    s = {"n": 64, "m": 512, "d": 8, "e": 8, "B_r": 64, "B_c": 1, "B_d": 1, "B_e": 1}
    shared = traffic(schedule("flash2"), {**s, "B_r": 512}, stack=8).reads["K"]
    return int(traffic(schedule("flash2"), s, copies=8).reads["K"] // shared)


def _partial_results() -> Any:
    moved = traffic(schedule("split_kv"))
    names = ("O_part", "m_part", "l_part")
    return sympy.Add(*(side[name] for side in (moved.reads, moved.writes) for name in names))


def _two_pass() -> tuple[Claim, ...]:
    return (
        Claim(
            "io.square.reads", f"{_SAHA_YE}, Algorithm 1", "reads 2⌈N/B⌉Nd + N + ⌈d/B⌉N² + ⌈N/B⌉Nd",
            Formula(3 * _square * n * d + n + sympy.ceiling(d / B) * n**2, "3⌈N/B⌉Nd + N + ⌈d/B⌉N²"),
            lambda: reads("two_pass").xreplace({m: n, e: d}),
        ),
        Claim(
            "io.square.writes", f"{_SAHA_YE}, Algorithm 1", "writes N² + N + Nd",
            Formula(n**2 + n + n * d, "N² + N + Nd"), lambda: writes("two_pass").xreplace({m: n, e: d}),
        ),
        Claim(
            "io.square.fits", f"{_SAHA_YE}, Theorem 3.5", "B = ⌊√M / 2⌋: 3B² + B words fit into M",
            Says("3B² + B ≤ M"), _square_fits,
        ),
        Claim(
            "io.square.overflow", f"{_SAHA_YE}, Algorithm 1", "exp without a row maximum: scores near 710 overflow float64",
            Says("overflow"), lambda: (bool(np.isinf(_huge())), f"exp(711) = {_huge()} in float64"),
        ),
    )  # fmt: skip


def _huge() -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(np.float64(711)))


def _square_fits() -> Truth:
    over = sum(given("two_pass", {"B": math.isqrt(M // 4)}, 1 << 14, 1 << 14)[1] > M for M in range(4, 4000, 7))
    return over == 0, f"{over} of {len(range(4, 4000, 7))} sizes overflow"


def _constants() -> tuple[Claim, ...]:
    return (
        Claim(
            "io.backward.large", "Li et al. 2024, arXiv:2410.09397", "the gradients take O((n²d² + nd³)/M) for M ≥ d²",
            Says("O(n²d²/M)"), partial(_backward, 1, 64.0),
        ),
        Claim(
            "io.backward.small", "Li et al. 2024, arXiv:2410.09397", "the gradients take O((n²d + nd²)/√M) for M < d²",
            Says("O(n²d/√M)"), partial(_backward, 0.5, 1 / 64),
        ),
        Claim(
            "io.constant.flash1.paper", f"{_DAO22}, Algorithm 1", "with its own blocks the leading constant is 12",
            Rounded("12"), _paper_constant,
        ),
        Claim(
            "io.constant.two_pass", f"{_SAHA_YE}, Theorem 3.5", "the leading constant of N²d/√M is 8 with ⌊√M / 2⌋ tiles",
            Rounded("8"), _square_constant,
        ),
    )  # fmt: skip


def _backward(power: float, share: float) -> Truth:
    names = ("flash_backward_fused", "flash_backward_two_kernels", "backward_passes")
    found = {name: coefficient(name, power, share) for name in names}
    name = min(found, key=lambda key: found[key])
    unit = "n²d²/M" if power == 1 else "n²d/√M"
    return found[name] < 16, f"{ratio(found[name])} {unit} by {name} at M = {share:g} d²"


def _paper_constant() -> sympy.Float:
    M = 1024 * HEAD * HEAD
    moved, _ = given("flash1", paper_blocks(M, HEAD), LONG, HEAD)
    return sympy.Float(moved * M / (LONG * HEAD) ** 2, 4)


def _square_constant() -> sympy.Float:
    width, M = 1 << 14, 1 << 16
    moved, _ = given("two_pass", {"B": math.isqrt(M // 4)}, 1 << 20, width)
    return sympy.Float(moved * math.sqrt(M) / (2.0**40 * width), 4)


def _blocks() -> tuple[Claim, ...]:
    rows = ((1, "1.08"), (4, "1.27"), (6, "1.09"), (8, "1.01"), (10, "0.96"))
    return tuple(
        Claim(
            f"io.blocks.{factor}", f"{_DAO22}, Algorithm 1, line 1", f"B_c = ⌈M/4d⌉, B_r = min(B_c, d) fit at M = {factor} d²",
            Says("fit"), partial(_blocks_fit, factor),
            why="" if factor > 9 else f"at d = 32 the tiles and statistics need {text} M; the order of growth is not touched",
        )
        for factor, text in rows
    )  # fmt: skip


def _blocks_fit(factor: int) -> Truth:
    M = factor * 32 * 32
    _, need = given("flash1", paper_blocks(M, 32), 4096, 32)
    return need <= M, f"{need:,} words of M = {M:,}: {need / M:.3f} M"
