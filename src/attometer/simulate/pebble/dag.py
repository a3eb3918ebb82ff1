"""The computation graph on which the red-blue pebble game is played: one vertex per scalar, an edge to each use."""

from dataclasses import dataclass
from functools import cached_property

from attometer.errors import AttometerError, positive_int


@dataclass(frozen=True)
class Dag:
    """A directed acyclic graph of scalars, its vertices numbered in a topological order.

    `parents[v]` holds the operands of vertex `v`, each smaller than `v`; `inputs` start in slow memory and cannot be
    computed; `outputs` must end there. `labels` name the vertices in messages and figures (`v0`, `v1`, … by default).

    >>> dag = Dag(parents=((), (), (0, 1)), inputs=(0, 1), outputs=(2,), labels=("a", "b", "ab"))
    >>> len(dag), dag.children, dag.compulsory
    (3, ((2,), (2,), ()), 3)
    """

    parents: tuple[tuple[int, ...], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            object.__setattr__(self, "labels", tuple(f"v{v}" for v in range(len(self.parents))))
        if len(self.labels) != len(self.parents):
            counts = f"{len(self.parents)} vertices and {len(self.labels)} labels"
            raise AttometerError(f"dag has {counts}; give one label per vertex")
        for vertex in (*self.inputs, *self.outputs):
            if not 0 <= vertex < len(self.parents):
                last = len(self.parents) - 1
                raise AttometerError(f"vertex {vertex} is not in the dag; its vertices are 0 to {last}")
        for vertex, operands in enumerate(self.parents):
            self._check_operands(vertex, operands)
        if not self.outputs:
            raise AttometerError("a dag needs at least one output")

    def _check_operands(self, vertex: int, operands: tuple[int, ...]) -> None:
        name = f'{vertex} "{self.labels[vertex]}"'
        if any(not 0 <= parent < vertex for parent in operands):
            raise AttometerError(
                f"vertex {name} has parents {operands}; number the vertices so that parents come first"
            )
        if len(set(operands)) != len(operands):
            raise AttometerError(f"vertex {name} lists a parent twice: {operands}")
        if operands and vertex in self.inputs:
            raise AttometerError(f"input {name} has parents {operands}; an input cannot be computed")

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The uses of each vertex."""
        uses: list[list[int]] = [[] for _ in self.parents]
        for vertex, operands in enumerate(self.parents):
            for parent in operands:
                uses[parent].append(vertex)
        return tuple(tuple(vertices) for vertices in uses)

    @cached_property
    def needed(self) -> frozenset[int]:
        """The vertices from which an output can be reached, outputs included."""
        seen = set(self.outputs)
        stack = list(self.outputs)
        while stack:
            fresh = [parent for parent in self.parents[stack.pop()] if parent not in seen]
            seen.update(fresh)
            stack.extend(fresh)
        return frozenset(seen)

    @property
    def computed(self) -> tuple[int, ...]:
        """The needed vertices that are not inputs, in topological order."""
        sources = set(self.inputs)
        return tuple(vertex for vertex in sorted(self.needed) if vertex not in sources)

    @property
    def compulsory(self) -> int:
        """Words that move whatever M is: each needed input is loaded once, each computed output stored once."""
        sources = set(self.inputs)
        loaded = {parent for vertex in self.computed for parent in self.parents[vertex]} & sources
        return len(loaded) + len(set(self.outputs) - sources)

    def smallest_memory(self, rule: str = "place") -> int:
        """Return the smallest M with any pebbling: the largest number of operands, plus one unless results slide.

        >>> matmul_dag(2, 2, 2).smallest_memory(), matmul_dag(2, 2, 2).smallest_memory("slide")
        (4, 3)
        """
        operands = max((len(self.parents[vertex]) for vertex in self.computed), default=0)
        return operands + 1 if rule == "place" else max(operands, 1)


class _Builder:
    """Collects vertices in order; each method returns the number of the vertex that it adds."""

    def __init__(self) -> None:
        self.parents: list[tuple[int, ...]] = []
        self.labels: list[str] = []
        self.inputs: list[int] = []

    def vertex(self, label: str, *parents: int) -> int:
        self.parents.append(parents)
        self.labels.append(label)
        return len(self.parents) - 1

    def matrix(self, name: str, rows: int, columns: int) -> list[list[int]]:
        entries = [[self.vertex(f"{name}[{i},{j}]") for j in range(columns)] for i in range(rows)]
        self.inputs.extend(vertex for row in entries for vertex in row)
        return entries

    def chain(self, label: str, pairs: list[tuple[int, int]], last: str = "") -> int:
        """Multiply-add the pairs one after another into one accumulator; `last` renames the final vertex."""
        total = -1
        for step, (a, b) in enumerate(pairs):
            name = last if last and step == len(pairs) - 1 else f"{label}+{step}"
            total = self.vertex(name, a, b) if total < 0 else self.vertex(name, total, a, b)
        return total

    def tree(self, label: str, pairs: list[tuple[int, int]]) -> int:
        """Multiply the pairs into vertices of their own and add them in a balanced binary tree."""
        level = [self.vertex(f"{label}*{step}", a, b) for step, (a, b) in enumerate(pairs)]
        while len(level) > 1:
            sums = [self.vertex(f"{label}+{level[i]}", level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            level = sums + level[len(sums) * 2 :]
        return level[0]

    def dag(self, outputs: list[int]) -> Dag:
        return Dag(tuple(self.parents), tuple(self.inputs), tuple(outputs), tuple(self.labels))


def _positive(**sizes: int) -> None:
    for name, value in sizes.items():
        positive_int(name, value)


def matmul_dag(m: int, n: int, k: int, tree: bool = False) -> Dag:
    """Return the graph of C[m,n] = A[m,k] B[k,n].

    Args:
        m: rows of A and C.
        n: columns of B and C.
        k: the summed size.
        tree: sum explicit products in a balanced tree; otherwise each entry is one chain of k multiply-adds.

    Returns:
        A Dag with mk + kn inputs and mn outputs.

    Source: Hong and Kung, STOC 1981.

    >>> len(matmul_dag(2, 2, 2)), len(matmul_dag(2, 2, 2, tree=True)), matmul_dag(2, 2, 3).compulsory
    (16, 20, 16)
    """
    _positive(m=m, n=n, k=k)
    build = _Builder()
    a, b = build.matrix("A", m, k), build.matrix("B", k, n)
    outputs = []
    for i in range(m):
        for j in range(n):
            pairs = [(a[i][step], b[step][j]) for step in range(k)]
            name = f"C[{i},{j}]"
            outputs.append(build.tree(name, pairs) if tree else build.chain(name, pairs, last=name))
    return build.dag(outputs)


def attention_dag(n: int, m: int, d: int, e: int) -> Dag:
    """Return the graph of softmax attention for one head, without the maximum.

    A[i,j] = exp(Q[i,:] K[j,:]) is a chain of d multiply-adds whose last vertex holds the exponential; the row sum L[i]
    and the products A V are chains over the keys; O[i,c] divides once at the end.

    Args:
        n: query rows.
        m: key and value rows.
        d: columns of Q and K.
        e: columns of V.

    Returns:
        A Dag with nd + md + me inputs and ne outputs.

    Source: Saha and Ye, ICML 2024 (arXiv 2402.07443), figure 1, with chains in place of trees.

    >>> len(attention_dag(2, 2, 1, 1)), attention_dag(2, 2, 1, 1).compulsory
    (18, 8)
    """
    _positive(n=n, m=m, d=d, e=e)
    build = _Builder()
    q, k, v = build.matrix("Q", n, d), build.matrix("K", m, d), build.matrix("V", m, e)
    outputs = []
    for i in range(n):
        scores = [build.chain(f"S[{i},{j}]", list(zip(q[i], k[j], strict=True)), f"A[{i},{j}]") for j in range(m)]
        total = scores[0]
        for j in range(1, m):
            total = build.vertex(f"L[{i}]" if j == m - 1 else f"L[{i}]+{j}", total, scores[j])
        for c in range(e):
            numerator = build.chain(f"O[{i},{c}]", [(scores[j], v[j][c]) for j in range(m)])
            outputs.append(build.vertex(f"O[{i},{c}]", numerator, total))
    return build.dag(outputs)
