"""Formulas compiled once: to exact Python integers, to NumPy arrays, and to JavaScript, from the same graph."""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import sympy

from attometer.count.formulas.functions import FUNCTIONS, Function
from attometer.count.formulas.graph import Graph, Node
from attometer.errors import AttometerError
from attometer.masks.counts import SizeGuard

_LARGEST = 2**62


class Compiled:
    """Several formulas of the same sizes, sharing what they have in common.

    Args:
        graph: where the formulas were built.
        outputs: the formula of each name.
        sizes: the names of the sizes, in the order of arguments.

    >>> n = sympy.Symbol("n", integer=True, positive=True)
    >>> c = compiled({"pairs": n * (n + 1) / 2, "square": n**2})
    >>> c.scalar(4), [a.tolist() for a in c.vector(np.array([3, 4]))]
    ((10, 16), [[6, 10], [9, 16]])
    >>> print(c.javascript("count"))
    const count = (n) => {
      return {"pairs": Math.floor((n*(n + 1))/2), "square": n*n};
    };
    """

    def __init__(self, graph: Graph, outputs: Mapping[str, Node], sizes: tuple[str, ...]) -> None:
        self.graph, self.outputs, self.sizes = graph, dict(outputs), sizes
        self.used = _needed(graph, self.outputs.values())
        missing = sorted({graph.nodes[n][1] for n in self.used if graph.nodes[n][0] == "size"} - set(sizes))
        if missing:
            raise AttometerError(f'size "{missing[0]}" is missing; given: {", ".join(sizes) or "none"}')

    @cached_property
    def scalar(self) -> Any:
        """A function of Python integers in the order of `sizes`, exact at any size; returns a tuple of integers."""
        return self._python(
            _SCALAR, {name: f.scalar for name, f in self._functions().items()} | {"max": max, "min": min}
        )

    @cached_property
    def arrays(self) -> Any:
        """A function of NumPy arrays that broadcast together, of any number type, unchecked; returns a tuple of arrays."""
        return self._python(_VECTOR, {name: f.vector for name, f in self._functions().items()} | {"np": np})

    @cached_property
    def floats(self) -> Any:
        """The same on float64 arrays: exact while no step exceeds 2^53, else right to about 1e-15 per step, and fast."""
        return self._python(_FLOAT, {name: f.vector for name, f in self._functions().items()} | {"np": np})

    def vector(self, *values: Any) -> tuple[Any, ...]:
        """Return the formulas at integer arrays: int64 where no step exceeds 2^62, else Python integers, both exact.

        A formula that does not depend on an array comes back as a number.
        """
        most = self.largest(*(int(np.max(v)) for v in values))
        kind = np.int64 if most <= _LARGEST else object
        return tuple(self.arrays(*(np.asarray(v, dtype=kind) if np.ndim(v) else int(v) for v in values)))

    def largest(self, *most: int) -> int:
        """Return a number that no step of the formulas exceeds in absolute value while sizes are 1 … `most`."""
        sizes = dict(zip(self.sizes, most, strict=True))
        bounds: dict[Node, tuple[int, int]] = {}
        for node in self.used:
            bounds[node] = _bounds(self.graph, node, bounds, sizes)
        return max((max(abs(low), abs(high)) for low, high in bounds.values()), default=0)

    def javascript(self, name: str, listed: bool = False) -> str:
        """Return a JavaScript function of numbers that returns an object of the formulas, or their list; exact below 2^53.

        Raises AttometerError where a formula counts the pairs of a mask that has no closed form.
        """
        for called, counting in self.graph.counting.items():
            if not issubclass(counting, SizeGuard) and any(
                self.graph.nodes[n][:2] == ("call", called) for n in self.used
            ):
                raise AttometerError(f"{counting.mask} has no closed form that JavaScript could run")
        helpers = [f.javascript for f in self._functions().values()]
        steps, texts = self._steps(_JAVASCRIPT, [f"v{n}" for n in range(len(self.graph.nodes))])
        body = [f"  const {to} = {text};" for to, text in steps]
        keys = ("" if listed else f'"{key}": ' for key in self.outputs)
        result = ", ".join(key + _bare(texts[node]) for key, node in zip(keys, self.outputs.values(), strict=True))
        result = f"[{result}]" if listed else f"{{{result}}}"
        head = f"const {name} = ({', '.join(self.sizes)}) => {{"
        return "\n".join([*helpers, head, *body, f"  return {result};", "};"])

    def _called(self) -> list[str]:
        return list(dict.fromkeys(self.graph.nodes[n][1] for n in self.used if self.graph.nodes[n][0] == "call"))

    def _functions(self) -> dict[str, Function]:
        return {name: _function(self.graph, name) for name in self._called()}

    def _python(self, words: Mapping[str, str], names: dict[str, Any]) -> Any:
        steps, texts = self._steps(words, [f"v{n}" for n in range(len(self.graph.nodes))])
        body = [f"    {to} = {text}" for to, text in steps]
        result = ", ".join(_bare(texts[node]) for node in self.outputs.values())
        source = "\n".join([f"def formulas({', '.join(self.sizes)}):", *body, f"    return ({result},)"])
        exec(compile(source, "<formulas>", "exec"), names)
        return names["formulas"]

    def _steps(self, words: Mapping[str, str], names: list[str]) -> tuple[list[tuple[str, str]], dict[Node, str]]:
        """Return assignments for what is used more than once, and the text of every node."""
        uses = Counter(self.outputs.values())
        for node in self.used:
            uses.update(set(_inputs(self.graph, node)))
        steps, texts = [], dict[Node, str]()
        for node in self.used:
            text = _text(self.graph, node, texts, words)
            if uses[node] > 1 and self.graph.nodes[node][0] not in ("int", "size"):
                steps.append((names[node], _bare(text)))
                text = names[node]
            texts[node] = text
        return steps, texts


def compiled(formulas: Mapping[str, sympy.Expr], sizes: tuple[str, ...] | None = None) -> Compiled:
    """Compile SymPy expressions that are whole numbers; `sizes` orders the arguments, by name when not given.

    Raises AttometerError for a function that formulas do not know.
    """
    graph = Graph()
    outputs = {name: graph.exact(e) for name, e in formulas.items()}
    symbols = sorted({s.name for e in formulas.values() for s in sympy.sympify(e).free_symbols})
    return Compiled(graph, outputs, sizes or tuple(symbols))


def _inputs(graph: Graph, node: Node) -> tuple[Node, ...]:
    kind, *rest = graph.nodes[node]
    if kind in ("int", "size"):
        return ()
    return tuple(rest[1:] if kind == "call" else rest)


def _needed(graph: Graph, outputs: Any) -> list[Node]:
    """Return the nodes that the outputs need, operands first."""
    found: set[Node] = set()
    todo = list(outputs)
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += _inputs(graph, node)
    return sorted(found)


def _function(graph: Graph, name: str) -> Function:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    counting = graph.counting[name]
    if issubclass(counting, SizeGuard):
        return Function(counting.on_arrays, counting.on_arrays, counting.javascript, lambda top, bottom: top)

    def scalar(*arguments: Any) -> int:
        return int(counting(*(sympy.Integer(int(a)) for a in arguments)))

    return Function(scalar, np.vectorize(scalar, otypes=[np.int64]), "", lambda n, m, *_: n * m)


_SCALAR = {
    "floordiv": "({a} // {b})",
    "ceildiv": "(-(-{a} // {b}))",
    "min": "min({all})",
    "max": "max({all})",
    "pow2": "(1 << {a})",
    "if": "({c} if {a} <= {b} else {d})",
    "call": "{name}({all})",
}
_VECTOR = _SCALAR | {
    "min": "np.minimum({a}, {b})",
    "max": "np.maximum({a}, {b})",
    "pow2": "(2 ** {a})",
    "if": "np.where({a} <= {b}, {c}, {d})",
}
_FLOAT = _VECTOR | {"floordiv": "np.floor({a} / {b})", "ceildiv": "np.ceil({a} / {b})"}
_JAVASCRIPT = {
    "floordiv": "Math.floor({a}/{b})",
    "ceildiv": "Math.ceil({a}/{b})",
    "min": "Math.min({all})",
    "max": "Math.max({all})",
    "pow2": "(2 ** {a})",
    "if": "({a} <= {b} ? {c} : {d})",
    "call": "{name}({all})",
}


def _text(graph: Graph, node: Node, texts: Mapping[Node, str], words: Mapping[str, str]) -> str:
    kind, *rest = graph.nodes[node]
    if kind in ("int", "size"):
        return str(rest[0]) if kind == "size" or rest[0] >= 0 else f"({rest[0]})"
    name, operands = (rest[0], rest[1:]) if kind == "call" else ("", rest)
    parts = [texts[n] for n in operands]
    if kind in ("add", "mul"):
        return f"({' + '.join(parts)})" if kind == "add" else "*".join(parts)
    if kind in ("min", "max") and "{b}" in words[kind]:
        while len(parts) > 1:  # NumPy's take two
            parts = [*(words[kind].format(a=_bare(a), b=_bare(b)) for a, b in zip(parts[::2], parts[1::2], strict=False)),
                     *parts[len(parts) // 2 * 2 :]]  # fmt: skip
        return parts[0]
    named = dict(zip("abcd", map(_guarded, parts) if kind in ("floordiv", "ceildiv", "if") else parts, strict=False))
    return words[kind].format(name=name, all=", ".join(map(_bare, parts)), **named)


def _guarded(text: str) -> str:
    """Put a product into parentheses, so that it can be divided by."""
    return f"({text})" if "*" in text and not _enclosed(text) else text


def _enclosed(text: str) -> bool:
    """Return whether the outer parentheses belong together."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    depth = 0
    for at, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return at == len(text) - 1
    return False


def _bare(text: str) -> str:
    return text[1:-1] if _enclosed(text) else text


def _bounds(
    graph: Graph, node: Node, bounds: Mapping[Node, tuple[int, int]], sizes: Mapping[str, int]
) -> tuple[int, int]:
    """Return the least and the largest value of a node from those of its operands."""
    kind, *rest = graph.nodes[node]
    if kind == "int":
        return rest[0], rest[0]
    if kind == "size":
        return 1, sizes[rest[0]]
    if kind == "call":
        highs = [bounds[n][1] for n in rest[1:]]
        return 0, int(_function(graph, rest[0]).most(*highs))
    lows, highs = [bounds[n][0] for n in rest], [bounds[n][1] for n in rest]
    match kind:
        case "add":
            return sum(lows), sum(highs)
        case "mul":
            low, high = 1, 1
            for a, b in zip(lows, highs, strict=True):
                corners = (low * a, low * b, high * a, high * b)
                low, high = min(corners), max(corners)
            return low, high
        case "floordiv" | "ceildiv":
            divisor = max(1, lows[1])
            return min(lows[0], 0) // divisor, max(0, -(-highs[0] // divisor))
        case "min":
            return min(lows), min(highs)
        case "max":
            return max(lows), max(highs)
        case "pow2":
            return 1, 2 ** max(0, highs[0])
    return min(lows[2:]), max(highs[2:])  # if
