"""The report of `attometer pebble`: the fewest words that a calculation moves with M words of fast memory, move by move."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError, nearest, unknown
from attometer.mechanisms import MECHANISMS
from attometer.mechanisms.mechanism import Mechanism
from attometer.mechanisms.subject import SUFFIX, Subject, subject
from attometer.simulate.pebble.attention import flash_order
from attometer.simulate.pebble.compile import compile_moves, tiled_matmul_order
from attometer.simulate.pebble.dag import Dag, attention_dag, matmul_dag
from attometer.simulate.pebble.moves import Replay
from attometer.simulate.pebble.program import program_dag
from attometer.simulate.pebble.referee import boards, referee
from attometer.simulate.pebble.solver import Pebbling, solve
from attometer.view.report import Block, Report
from attometer.view.table import Table

Order = tuple[str, tuple[int, ...]]

EXTENT = 2000
"""The largest product of sizes whose graph is built at all."""


@dataclass(frozen=True)
class Form:
    """A calculation that can be pebbled: its sizes with their defaults, its graph, and the orders it is usually run in."""

    title: str
    sizes: tuple[str, ...]
    defaults: Mapping[str, str]
    dag: Callable[..., Dag]
    orders: Callable[..., list[Order]]


def _attention_orders(n: int, m: int, d: int, e: int) -> list[Order]:
    return [(f"FlashAttention-2, {rows} query rows", flash_order(n, m, d, e, rows)) for rows in range(1, n + 1)]


def _product_orders(m: int, n: int, k: int) -> list[Order]:
    sides = sorted({1, 2, max(m, n)})
    return [(f"tiles of {side} × {side}", tiled_matmul_order(m, n, k, side, side)) for side in sides]


def _tree(m: int, n: int, k: int) -> Dag:
    return matmul_dag(m, n, k, tree=True)


FORMS: dict[str, Form] = {
    "softmax": Form(
        "softmax attention, one head, no maximum, one multiply-add a vertex",
        ("n", "m", "d", "e"),
        {"m": "n", "e": "d"},
        attention_dag,
        _attention_orders,
    ),
    "matmul": Form("matrix product, chains of multiply-adds", ("m", "n", "k"), {}, matmul_dag, _product_orders),
    "matmul-tree": Form("matrix product, balanced summation trees", ("m", "n", "k"), {}, _tree, lambda m, n, k: []),
}


@dataclass(frozen=True)
class PebbleReport(Report):
    """The best pebbling of one calculation, beside what its usual orders cost with farthest-next-use eviction."""

    name: str
    title: str
    sizes: Mapping[str, int]
    pebbling: Pebbling
    replay: Replay
    orders: tuple[tuple[str, int], ...]

    @property
    def moves(self) -> Table:
        """Every move with the words in fast memory after it."""
        answer, rows = self.pebbling, []
        for number, (move, board) in enumerate(boards(answer.dag, answer.moves, answer.M, answer.rule)):
            if move is None:
                continue
            source = f" from {answer.dag.labels[move.source]}" if move.source >= 0 else ""
            held = " ".join(answer.dag.labels[vertex] for vertex in sorted(board.red))
            words = board.loads + board.stores
            rows.append((number, move.action, answer.dag.labels[move.vertex] + source, words, len(board.red), held))
        return Table("moves", ("move", "action", "vertex", "moved", "held", "in fast memory"), tuple(rows))

    @property
    def summary(self) -> str:
        """The answer in a few lines."""
        answer, sizes = self.pebbling, ", ".join(f"{name} = {value}" for name, value in self.sizes.items())
        dag = answer.dag
        found = (
            f"{answer.cost} words, proved least"
            if answer.optimal
            else f"{answer.cost} words, least {answer.lower_bound}"
        )
        again = f"{self.replay.recomputes} computed again" if answer.recompute else "recomputation off"
        lines = [
            f"{self.name} at {sizes}, M = {answer.M}: words moved and held",
            self.title,
            f"graph: {len(dag)} vertices, {len(dag.inputs)} inputs, {len(dag.outputs)} outputs; rule {answer.rule}",
            f"cost: {found} ({self.replay.loads} loads, {self.replay.stores} stores; {again}; compulsory {dag.compulsory})",
            *(f"order: {name}: {cost} words, {cost / answer.cost:.2f} times" for name, cost in self.orders),
            f"search: {answer.states:,} states in {answer.seconds:.2f} s; every move list replayed by the referee",
        ]
        if not answer.optimal:
            lines.append(
                "the search stopped at its limit: the lower bound holds for every pebbling, the cost for this one"
            )
        return "\n".join(lines)

    def page(self) -> list[Block]:
        """Return the answer in a few lines, and every move."""
        return [self.summary, self.moves]

    def plot(self, path: str | Path, which: int = 0) -> Path:
        """Draw who is in fast memory when into a .png, .svg or .pdf, and return its path."""
        from attometer.report.pebble.figure import figure

        return figure(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Return sizes, costs, orders and moves as plain values."""
        orders = [{"order": name, "cost": cost} for name, cost in self.orders]
        counts = {"loads": self.replay.loads, "stores": self.replay.stores, "recomputes": self.replay.recomputes}
        labels = list(self.pebbling.dag.labels)
        return {
            "name": self.name,
            "sizes": dict(self.sizes),
            **self.pebbling.to_dict(),
            **counts,
            "orders": orders,
            "labels": labels,
        }


def pebble(
    what: Subject, /, M: int, slide: bool = False, recompute: bool = True, seconds: float = 60.0, **sizes: int
) -> PebbleReport:
    """Return the least traffic of a calculation at M words of fast memory, with the moves that reach it.

    Args:
        what: `softmax`, `matmul`, `matmul-tree`, or any mechanism, file of notation (or `-`, standard input) or Program,
            whose every operation is a vertex.
        M: words of fast memory.
        slide: whether a result may take the word of an operand.
        recompute: whether anything may be computed twice.
        seconds: limit on the search.
        **sizes: sizes by name; for `softmax` m defaults to n and e to d.

    Returns:
        A PebbleReport.

    Raises:
        AttometerError: an unknown name or size, a size missing, a graph too large, or M too small.

    >>> print(pebble("softmax", M=5, n=2, d=1).pebbling.cost)
    11
    """
    form = FORMS.get(what) if isinstance(what, str) else None
    if isinstance(what, str) and form is None and not what.endswith((SUFFIX, "-")) and what not in MECHANISMS:
        raise unknown("calculation to pebble", what, [*FORMS, *MECHANISMS])
    made = subject("softmax" if form else what)
    name = str(what) if form else made.name
    title = form.title if form else "every scalar operation a vertex"
    given = _filled(name, form, sizes) if form else dict(sizes)
    _check_extent(given)
    dag = form.dag(**given) if form else _mechanism_dag(made, sizes)
    rule = "slide" if slide else "place"
    answer = solve(dag, M, rule, recompute, seconds)
    # Listing the usual orders is worth its time only for a graph that the solver took.
    orders = form.orders(**given) if form else []
    costs = tuple((order, referee(dag, compile_moves(dag, M, steps, rule), M, rule).cost) for order, steps in orders)
    return PebbleReport(name, title, given, answer, referee(dag, answer.moves, M, rule, recompute), costs)


def _check_extent(sizes: Mapping[str, int]) -> None:
    """Refuse sizes whose graph would take longer to write down than anyone waits; the solver's own limit is far below."""
    if prod(sizes.values()) > EXTENT:
        told = ", ".join(f"{name} = {value:,}" for name, value in sizes.items())
        raise AttometerError(
            f"a graph at {told} is too large to pebble: the product of the sizes is above the limit of {EXTENT:,}; "
            "hint: `attometer io` gives lower bounds and schedules at such sizes"
        )


def _mechanism_dag(made: Mechanism, sizes: Mapping[str, int]) -> Dag:
    return program_dag(made.program, {"b": 1, "h": 1, **sizes})


def _filled(name: str, form: Form, sizes: Mapping[str, int]) -> dict[str, int]:
    for key in sizes:
        if key not in form.sizes:
            raise AttometerError(f'{name} has no size "{key}"{nearest(key, form.sizes)}')
    given = dict(sizes)
    for key, other in form.defaults.items():
        if key not in given and other in given:
            given[key] = given[other]
    missing = [key for key in form.sizes if key not in given]
    if missing:
        raise AttometerError(
            f"{name} needs size {', '.join(missing)}; give --sizes {','.join(f'{k}=2' for k in form.sizes)}"
        )
    return {key: given[key] for key in form.sizes}
