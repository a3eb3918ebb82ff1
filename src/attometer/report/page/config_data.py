"""How a shipped model's sizes follow from the keys of its configuration: found by asking the reader at other values.

With it a page reads configurations of the same form, as the Python readers read them, and none of another form.
"""

import json
import math
import random
import re
from collections.abc import Mapping
from fractions import Fraction
from importlib.resources import files
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any

import sympy

from attometer.count.model_cost import model_cost
from attometer.engines.pool import vocabulary
from attometer.errors import AttometerError
from attometer.models import Model, model, shipped
from attometer.models.no_cost import NO_COST
from attometer.models.read import from_values
from attometer.report.page.part_data import Pairs

DRAWS, TRIES = 3, 30
"""Draws of all keys together at which a model is read, and how often some are drawn until so many are a model of the same form."""
ALONE = (2, 3, 5, Fraction(1, 2))
LARGEST_FACTOR = 8
"""The largest number beside the keys of a product, as the 4 of a layer that is four times as wide."""
OPTIONAL = {"head_dim": "hidden_size/num_attention_heads", "num_key_value_heads": "num_attention_heads"}
"""Keys that a reader may read without a word where they are missing, and what stands for them then."""
FACTORS = (1, 1, 2, 3, 5)
LAYERS = "layer_types"
"""The list that names each layer's type: the layers of each kind are counted in it."""
_NEVER = frozenset({"quantization_config", "text_config", "compression_config"})
Values = Mapping[str, Any]


def config_data(one: Model) -> dict[str, Any] | None:
    """Return what reads a configuration of this model's form; None where its parts are more than its sizes say.

    `sizes` are keys of whole numbers, each with what stands for it where it is missing; `fixed` the other keys that are read, which
    must be as they are here or, where 1 says so, missing; `same` pairs of heads that must be equal, or must not. What follows from the
    sizes is written as products, `2*hidden_size/num_attention_heads`: of each part of each row the sizes of its text, copies, experts and
    chosen ones, and rows of its table; of each row its layers, elements of a token's cache and window; width, logits and context.

    >>> found = config_data(model("llama-3.1-8b"))
    >>> found["sizes"]["head_dim"], found["rows"][1], found["width"]
    ('hidden_size/num_attention_heads', ['num_hidden_layers', '2*head_dim*num_key_value_heads', None], 'hidden_size')
    """
    try:
        return _found(one)
    except (AttometerError, _Other):
        return None


class _Other(Exception):
    """A model whose form this does not describe."""


def _found(one: Model) -> dict[str, Any] | None:
    values = {k: v for k, v in one.values.items() if k not in _NEVER}
    if one.towers or one.quantization or any(isinstance(v, Mapping) for v in _read(one).values()):
        return None
    defaults = _defaults(one)
    at, full = _Form(_model(values, one)), {**values, **{k: v for k, v in defaults.items() if _whole(v)}}
    for key, stands in OPTIONAL.items():
        if key not in full and (number := _product(stands, full)) is not None:
            more = _model({**full, key: number}, one)
            if f"$.{key}" in more.check.read and _Form(more).numbers == at.numbers:
                full[key] = number
    if _Form(_model(full, one)).form != at.form:
        return None
    read = {**defaults, **_read(one), **{key: full[key] for key in OPTIONAL if key in full}}
    # A key that no other model of this form has at another value must be as it is.
    moved, draws = _draws(full, sorted(k for k, v in read.items() if _whole(v)), at, one)
    # Where layers of a kind are no product of all layers, these are as many as here.
    for still in ([], [key for key in moved if "layer" in key]):
        sizes = {key: full[key] for key in moved if key not in still}
        draws = [(draw, form) for draw, form in draws if all(draw[key] == full[key] for key in still)]
        fit = _Fit({key: [draw[key] for draw, _ in draws] for key in sizes})
        numbers = [fit(list(row)) for row in zip(*(form.numbers for _, form in draws), strict=True)]
        if None not in numbers:
            break
    else:
        return None
    return {
        "sizes": {key: _stands(key, full, sizes, draws, at, one) for key in sizes},
        "fixed": {
            k: [v, int(_same_without(k, full, at, one))] for k, v in read.items() if k not in sizes and k != LAYERS
        },
        "same": [[a, b, int(full[a] == full[b])] for a, b in combinations(_heads(sizes), 2)],
        "types": at.types,
        "order": "runs" if at.order == sorted(at.order) else "cycle",
        "head": _head(values),
        "free": sorted({key[2:] for key in one.check.ignored} - NO_COST - set(read)),
        **at.written(numbers),
    }


def _head(values: Values) -> str:
    """Return what stands on top of the layers, as the name of the class ends."""
    named = values.get("architectures") or [""]
    return (re.search(r"(For|LMHead)\w+$|Model$|$", str(named[0])) or [""])[0]


def _same_without(key: str, full: Values, at: "_Form", one: Model) -> bool:
    """Return whether a file that lacks a key is read as this one is."""
    try:
        other = _Form(_model({k: v for k, v in full.items() if k != key}, one))
    except (AttometerError, _Other):
        return False
    return other.form == at.form and other.numbers == at.numbers


def _product(text: str, values: Values) -> int | None:
    """Return the value of a product of keys; None where one is missing or it is no whole number."""
    above, *below = text.split("/")
    try:
        found = Fraction(math.prod(values[key] for key in above.split("*")), math.prod(values[key] for key in below))
    except (KeyError, TypeError):
        return None
    return int(found) if found.denominator == 1 else None


def _model(values: Values, one: Model) -> Model:
    return from_values(dict(values), "config.json", one.name)


def _read(one: Model) -> dict[str, Any]:
    return {key[2:]: one.values[key[2:]] for key in one.check.read if key[2:] in one.values and key[2:] not in _NEVER}


def _defaults(one: Model) -> dict[str, Any]:
    found = {}
    for key, value in one.check.defaulted:
        try:
            found[key[2:]] = json.loads(value.replace("'", '"'))
        except ValueError:
            raise _Other from None
    return found


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _heads(sizes: Mapping[str, Any]) -> list[str]:
    """Return the keys of heads: texts have other names where they are shared."""
    return sorted(key for key in sizes if "head" in key and "dim" not in key)


class _Form:
    """A model's form, and its numbers in a fixed order."""

    def __init__(self, one: Model) -> None:
        self.types, self.rows = _types(one), model_cost(one, phase="prefill").rows
        decode = model_cost(one, phase="decode").rows
        pairs = Pairs()
        texts, later = ([[pairs.number(p.program) for p in row.parts] for row in rows] for rows in (self.rows, decode))
        if texts != later:
            raise _Other
        found = pairs.data()
        self.pairs = [found[k] for row in texts for k in row]
        parts = [p for row in self.rows for p in row.parts]
        held = [s.layer.cache for s in one.layers]
        if any(p.short for p in parts) or any(c.state or c.conv or c.index or c.latent for c in held):
            raise _Other
        self.parts = [(p.part.copies, p.part.routed, p.table_rows) for p in parts]
        caches = [_cache(s.layer.cache.kv) for s in one.layers]
        if not any(kept for kept, _ in caches):
            raise _Other
        self.form = (
            [(text, names) for text, names, _ in self.pairs], [(r.kind, [p.name for p in r.parts]) for r in self.rows],
            [(routed is None, rows is None) for _, routed, rows in self.parts], [window is None for _, window in caches],
            one.context is None, self.types,
        )  # fmt: skip
        self.windows = self.form[3]
        self.order = [k for _, k in sorted((n, k) for k, each in enumerate(one.layers) for n in each.indices)]
        self.numbers: list[int] = []
        for (_, _, values), (copies, routed, rows) in zip(self.pairs, self.parts, strict=True):
            chosen = (routed.num_experts, routed.top_k) if routed else ()
            self.numbers += [*values, copies, *chosen, *([] if rows is None else [rows])]
        for stack, (kept, window) in zip(one.layers, caches, strict=True):
            self.numbers += [stack.count, kept, *([] if window is None else [window])]
        self.numbers += [one.width, vocabulary(one), *([] if one.context is None else [one.context])]

    def written(self, expressions: list[Any]) -> dict[str, Any]:
        """Return the expressions in the places of the numbers."""
        left = iter(expressions)
        parts = [
            [
                [next(left) for _ in values],
                next(left),
                [next(left), next(left)] if routed else None,
                None if rows is None else next(left),
            ]
            for (_, _, values), (_, routed, rows) in zip(self.pairs, self.parts, strict=True)
        ]
        rows = [[next(left), next(left), None if none else next(left)] for none in self.windows]
        return {
            "parts": parts,
            "rows": [[1, 0, None], *rows, [1, 0, None]],
            "width": next(left),
            "vocabulary": next(left),
            "context": next(left, None),
        }


def _types(one: Model) -> list[str] | None:
    """Return the type of each stack's layers in the list of types; None without a list."""
    listed = one.values.get(LAYERS)
    if listed is None:
        return None
    found = [{listed[n - 1] for n in stack.indices} for stack in one.layers]
    if any(len(each) > 1 for each in found) or len(set.union(*found)) < len(found):
        raise _Other
    return [each.pop() for each in found]


def _cache(kv: Any) -> tuple[int, int | None]:
    """Return the elements that a token adds to a cache and its window; of others nothing is known here."""
    m = sympy.Symbol("m", integer=True, positive=True)
    windows: list[int | None] = [int(a) for f in kv.atoms(sympy.Min) for a in f.args if a.is_Integer]
    for window in windows or [None]:
        of = m if window is None else sympy.Min(window, m)
        kept = kv.xreplace(dict.fromkeys(kv.free_symbols, m)).xreplace({of: sympy.Integer(1)})
        if kept.is_Integer:
            return int(kept), window
    raise _Other


def _draws(full: Values, keys: list[str], at: "_Form", one: Model) -> tuple[list[str], list[tuple[Values, "_Form"]]]:
    """Return the keys that can change alone, and values of the same form with what is read of them: each alone, then all together."""
    moved, draws = [], [(full, at)]
    for key in keys:
        found = next(filter(None, (_scaled(full, {key: factor}, at, one) for factor in ALONE)), None)
        if found is not None:
            moved.append(key)
            draws.append(found)
    chosen = random.Random(one.name)
    tried = (_scaled(full, {key: chosen.choice(FACTORS) for key in moved}, at, one) for _ in range(TRIES))
    return moved, [*draws, *islice(filter(None, tried), DRAWS)]


def _scaled(full: Values, by: Mapping[str, int | Fraction], at: "_Form", one: Model) -> tuple[Values, "_Form"] | None:
    """Return the values with some keys multiplied and what is read of them; None where that is no model, or of another form."""
    values = {**full, **{key: max(1, int(full[key] * factor)) for key, factor in by.items()}}
    if values == full and by:
        return None
    for a, b in combinations(_heads(full), 2):
        if full[a] == full[b]:
            values[a] = values[b] = max(values[a], values[b])
    if isinstance(full.get(LAYERS), list):
        times = next((int(factor) for key, factor in by.items() if full[key] == one.depth and "layer" in key), 1)
        values[LAYERS] = list(full[LAYERS]) * times
    try:
        made = _model(values, one)
        form = _Form(made)
    except (AttometerError, _Other):
        return None
    order = sorted(form.order) if at.order == sorted(at.order) else [at.order[k % one.depth] for k in range(made.depth)]
    return (values, form) if form.form == at.form and (at.types is not None or form.order == order) else None


def _stands(
    key: str, full: Values, sizes: Mapping[str, Any], draws: list[tuple[Values, "_Form"]], at: "_Form", one: Model
) -> str | None:
    """Return what stands for a key that is missing; None where it must be there."""
    rest = [k for k in sizes if k != key]
    found, given = [], []
    for draw, _ in draws:
        try:
            said = dict(_model({k: v for k, v in draw.items() if k != key}, one).check.defaulted)
        except AttometerError:
            continue  # these sizes need what is missing
        if (text := said.get(f"$.{key}", "")).isdigit():
            found.append(int(text))
            given.append(draw)
    if found:
        return _Fit({k: [draw[k] for draw in given] for k in rest})(found)
    stands = OPTIONAL.get(key)
    if stands is None or (number := _product(stands, full)) is None:
        return None
    plain = {**full, key: number}
    try:
        agrees = _Form(_model(plain, one))
    except (AttometerError, _Other):
        return None
    return stands if agrees.form == at.form and _same_without(key, plain, agrees, one) else None


class _Fit:
    """Finds numbers as products of a few keys' values: the simplest that holds at every draw."""

    def __init__(self, keys: Mapping[str, list[int]]) -> None:
        names = sorted(keys)
        terms: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((k,), ()) for k in names]
        terms += [(pair, ()) for pair in combinations(names, 2)]
        terms += [((a,), (b,)) for a, b in product(names, names) if a != b]
        terms += [((a, b), (c,)) for a, b in combinations(names, 2) for c in names if c not in (a, b)]
        self.keys, self.known = keys, dict[tuple[int, ...], str | None]()
        self.terms = [(up, down, self._values(up), self._values(down)) for up, down in terms]

    def _values(self, names: tuple[str, ...]) -> list[int]:
        count = len(next(iter(self.keys.values()), []))
        return [math.prod(self.keys[name][k] for name in names) for k in range(count)]

    def __call__(self, values: list[int]) -> str | None:
        """Return the product, as `2*a*b/c`; None where there is none."""
        at = tuple(values)
        if at not in self.known:
            self.known[at] = str(at[0]) if len(set(at)) == 1 else self._product(at) or self._shifted(at)
        return self.known[at]

    def _product(self, values: tuple[int, ...]) -> str | None:
        found = []
        for rank, (up, down, above, below) in enumerate(self.terms):
            if all(v * b * above[0] == values[0] * below[0] * a for v, a, b in zip(values, above, below, strict=True)):
                c = Fraction(values[0] * below[0], above[0])
                if max(c.numerator, c.denominator) <= LARGEST_FACTOR:
                    found.append((len(up) + len(down), c.numerator * c.denominator, rank, c))
        if not found:
            return None
        *_, rank, c = min(found)
        up, down = self.terms[rank][:2]
        times = [*([str(c.numerator)] if c.numerator > 1 else []), *up]
        return "/".join(["*".join(times), *([str(c.denominator)] if c.denominator > 1 else []), *down])

    def _shifted(self, values: tuple[int, ...]) -> str | None:
        """Return a key and a constant, as positions have rows beside their own."""
        for key, held in self.keys.items():
            if len({value - own for value, own in zip(values, held, strict=True)}) == 1:
                return f"{key}+{values[0] - held[0]}"
        return None


def _shared(one: Model) -> list[Any]:
    """Return which keys are whole numbers, and which heads are equally many."""
    read = {k: v for k, v in _read(one).items() if _whole(v)}
    return [sorted(read), [read[a] == read[b] for a, b in combinations(_heads(read), 2)]]


def forms() -> list[dict[str, Any]]:
    """Return the forms that the page reads, each once, with the shipped model that has it."""
    return list(json.loads((files("attometer") / "data" / "page_forms.json").read_text(encoding="utf-8")))


def keep() -> Path:
    """Find the forms of all shipped models again and write what is kept, `data/page_forms.json`."""
    found: dict[str, dict[str, Any]] = {}
    seen = set()
    for one in map(model, shipped()):
        # Of models that differ in sizes alone the first one stands for all.
        alike = str(
            [
                one.values["model_type"],
                *one.kinds(),
                sorted((k, v) for k, v in _read(one).items() if not _whole(v)),
                _shared(one),
            ]
        )
        form = None if alike in seen else config_data(one)
        if form is not None:
            seen.add(alike)
        if form is not None:
            form = {"type": one.values["model_type"], **form}
            found.setdefault(json.dumps(form), {"model": one.name, **form})
    target = Path(str(files("attometer") / "data" / "page_forms.json"))
    rows = ",\n".join(json.dumps(form, separators=(",", ":")) for form in found.values())
    target.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    return target
