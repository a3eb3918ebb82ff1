"""Closed forms of what a schedule visits under a causal mask or a window, for tiles that are aligned and n ≤ m.

Tile t of q queries sees the keys from max(0, m - n + t q - left) to m - n + (t + 1) q; both ends move by q from tile to
tile, so where one of q and the width w divides the other, the numbers of key tiles add up to sums of ⌊x/k⌋.
"""

from dataclasses import dataclass

from attometer.count.formulas.graph import Graph, Node
from attometer.masks import Mask


def aligned(mask: Mask, height: int, width: int, stack: int) -> bool:
    """Return whether these tiles of this mask have a closed form.

    >>> from attometer.masks import causal, prefix
    >>> aligned(causal(), 8, 1, 4), aligned(causal(), 8, 3, 4), aligned(prefix(2), 8, 1, 4)
    (True, False, False)
    """
    reach = mask.reach
    if reach is None or reach[1] != 0 or not (reach[0] is None or isinstance(reach[0], int)):
        return False
    if stack % height and height % stack:
        return False
    q = max(1, height // stack)
    return q % width == 0 or width % q == 0


def band_visits(g: Graph, mask: Mask, n: Node, m: Node, height: int, width: int, stack: int) -> "BandVisits":
    """Return the sums over the non-empty tiles as formulas of n and m; right for n ≤ m where `aligned` says so."""
    return BandVisits(
        g, n, m, max(1, height // stack), width, stack, max(1, stack // height), (mask.reach or (None, 0))[0]
    )


@dataclass(frozen=True)
class BandVisits:
    """`q` queries a tile, `width` keys a tile, `stack` rows a query, `parts` tiles a query where it has more rows than a tile."""

    g: Graph
    n: Node
    m: Node
    q: int
    width: int
    stack: int
    parts: int
    left: int | None

    def of(self, rows: bool, columns: bool) -> Node:
        """Return the sum over tiles that counts extents along rows, along columns, both or neither."""
        g = self.g
        total, last = (self.columns, self.last_columns) if columns else (self.counts, self.last_count)
        if not rows:
            return g.mul(g.number(self.parts), total)
        missing = g.add(g.mul(self.tiles, g.number(self.q)), g.mul(g.number(-1), self.n))
        uneven = g.add(g.mul(g.number(self.q), total), g.mul(g.number(-1), missing, last))
        return g.mul(g.number(self.stack), uneven)

    @property
    def tiles(self) -> Node:
        """Tiles of queries."""
        return self.g.ceildiv(self.n, self.g.number(self.q))

    @property
    def before(self) -> Node:
        """Keys before the first query."""
        return self.g.add(self.m, self.g.mul(self.g.number(-1), self.n))

    @property
    def ends(self) -> Node:
        """Sum over tiles of ⌈end / w⌉; the last one ends with the keys."""
        g, one = self.g, self.g.number(1)
        q, w, rest = self.q, self.width, g.add(self.tiles, g.number(-1))
        if q % w == 0:
            steps = g.mul(g.number(q // w), g.floordiv(g.mul(rest, g.add(rest, one)), g.number(2)))
            others = g.add(g.mul(rest, g.ceildiv(self.before, g.number(w))), steps)
        else:
            first = g.ceildiv(self.before, g.number(q))
            others = self._ceilings(g.add(first, rest), first, w // q)
        return g.add(others, self.key_tiles)

    def _ceilings(self, top: Node, bottom: Node, k: int) -> Node:
        """Sum of ⌈y / k⌉ for y from bottom + 1 to top."""
        g = self.g

        def below(x: Node) -> Node:
            whole = g.floordiv(x, g.number(k))
            half = g.floordiv(g.mul(whole, g.add(whole, g.number(1))), g.number(2))
            left = g.add(x, g.mul(g.number(-k), whole))
            return g.add(g.mul(g.number(k), half), g.mul(left, g.add(whole, g.number(1))))

        return g.add(below(top), g.mul(g.number(-1), below(bottom)))

    @property
    def key_tiles(self) -> Node:
        """Tiles of keys."""
        return self.g.ceildiv(self.m, self.g.number(self.width))

    @property
    def starts(self) -> Node:
        """Sum over tiles of ⌊start / w⌋."""
        g, q, w = self.g, self.q, self.width
        if self.left is None:
            return g.number(0)
        shift = g.add(self.before, g.number(-self.left))
        # Tiles whose window begins at key 0 or before it.
        free = g.minimum(self.tiles, g.maximum(g.number(0), g.ceildiv(g.mul(g.number(-1), shift), g.number(q))))
        if q % w == 0:
            later = g.add(self.tiles, g.mul(g.number(-1), free))
            ranks = g.add(self._triangle(self.tiles), g.mul(g.number(-1), self._triangle(free)))
            return g.add(g.mul(later, g.floordiv(shift, g.number(w))), g.mul(g.number(q // w), ranks))
        base = g.floordiv(shift, g.number(q))
        # ⌊y / k⌋ = ⌈(y + 1) / k⌉ - 1, over the tiles that begin later.
        top, bottom = g.add(base, self.tiles), g.add(base, free)
        later = g.add(self.tiles, g.mul(g.number(-1), free))
        return g.add(self._ceilings(top, bottom, w // q), g.mul(g.number(-1), later))

    def _triangle(self, x: Node) -> Node:
        """Sum of 0 … x - 1."""
        g = self.g
        return g.floordiv(g.mul(x, g.add(x, g.number(-1))), g.number(2))

    @property
    def counts(self) -> Node:
        """Non-empty pairs of tiles."""
        return self.g.add(self.ends, self.g.mul(self.g.number(-1), self.starts))

    @property
    def columns(self) -> Node:
        """Keys of all of them; the last tile of keys may be ragged."""
        g, w = self.g, self.g.number(self.width)
        ragged = g.add(g.mul(self.key_tiles, w), g.mul(g.number(-1), self.m))
        # Tiles of queries that reach into the last tile of keys.
        least = g.add(g.mul(g.add(self.key_tiles, g.number(-1)), w), g.mul(g.number(-1), self.before))
        first = g.minimum(g.add(self.tiles, g.number(-1)), g.maximum(g.number(0), g.floordiv(least, g.number(self.q))))
        reaching = g.add(self.tiles, g.mul(g.number(-1), first))
        return g.add(g.mul(w, self.counts), g.mul(g.number(-1), reaching, ragged))

    @property
    def last_start(self) -> Node:
        """⌊start / w⌋ of the last tile of queries."""
        g = self.g
        if self.left is None:
            return g.number(0)
        shift = g.add(self.before, g.mul(g.number(self.q), g.add(self.tiles, g.number(-1))), g.number(-self.left))
        return g.floordiv(g.maximum(g.number(0), shift), g.number(self.width))

    @property
    def last_count(self) -> Node:
        """Tiles of keys of the last tile of queries."""
        return self.g.add(self.key_tiles, self.g.mul(self.g.number(-1), self.last_start))

    @property
    def last_columns(self) -> Node:
        """Keys of them."""
        g = self.g
        return g.add(self.m, g.mul(g.number(-self.width), self.last_start))
