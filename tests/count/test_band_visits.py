"""Closed forms of visited tiles equal the tiles that are counted one by one."""

from hypothesis import given
from hypothesis import strategies as st

from attometer.count.formulas import Compiled, Graph
from attometer.count.traffic.band_visits import aligned, band_visits
from attometer.count.traffic.visits import visits
from attometer.masks import causal, window


@st.composite
def _tiles(draw: st.DrawFn) -> tuple[int, int, int]:
    stack, q = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    if draw(st.booleans()):
        height = draw(st.sampled_from([h for h in range(1, stack + 1) if stack % h == 0]))
        q = 1
    else:
        height = q * stack
    divisors = [w for w in range(1, q + 1) if q % w == 0]
    return height, draw(st.sampled_from([*divisors, 2 * q, 3 * q, 5 * q])), stack


@given(_tiles(), st.integers(1, 60), st.integers(0, 60), st.none() | st.integers(1, 40))
def test_closed_forms_are_the_counted_tiles(tiles: tuple[int, int, int], n: int, before: int, w: int | None) -> None:
    height, width, stack = tiles
    mask = causal() if w is None else causal() & window(w)
    assert aligned(mask, height, width, stack)
    g = Graph()
    forms = band_visits(g, mask, g.size("n"), g.size("m"), height, width, stack)
    kinds = [(False, False), (True, False), (False, True), (True, True)]
    compiled = Compiled(g, {str(k): forms.of(*kind) for k, kind in enumerate(kinds)}, ("n", "m"))
    counted = visits(mask, n, n + before, height, width, stack)
    assert compiled.scalar(n, n + before) == tuple(counted.of(*kind) for kind in kinds)
