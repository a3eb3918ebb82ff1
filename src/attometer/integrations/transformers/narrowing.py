"""A mechanism as what it makes of a full layer's mask: fewer keys, chosen by the catalogue's name."""

from dataclasses import dataclass

from attometer.errors import AttometerError, unknown
from attometer.integrations.transformers.closures import both
from attometer.masks import Band
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.program import Mask, size

NARROWINGS = ("bigbird", "longformer", "sliding_window", "sparse_transformer_fixed", "sparse_transformer_strided")
"""The catalogue's mechanisms that are softmax attention over a mask."""


@dataclass(frozen=True)
class Narrowing:
    """A mask that full layers get: `causal` is that of causal layers, `full` that of layers that see both sides."""

    name: str
    causal: Mask
    full: Mask

    def of(self, mask: Mask | None, n: int, m: int) -> Mask | None:
        """Return what becomes of a full layer's mask (None or `causal()`) for n queries and m keys."""
        own = self.full if mask is None else self.causal
        if n != m and any(atom.draws for atom in own.atoms()):
            raise AttometerError(
                f'mechanism "{self.name}" draws keys for a whole sequence, got {n} queries of {m} keys; '
                "run without a cache (use_cache=False)"
            )
        return both(mask, own)


def narrowing(name: str, **parameters: int) -> Narrowing:
    """Return the narrowing that the catalogue's mechanism `name` is, with its parameters or their defaults.

    `sliding_window` also takes `left`, keys before the query, and `right`, keys after it in layers that see both sides
    (default: as many as left). `w` counts the query itself, as the catalogue does: w = left + 1.

    Raises AttometerError for a mechanism that is not softmax attention over a mask, or wrong parameters.

    >>> str(narrowing("sliding_window", left=7).causal)
    'window(8)'
    """
    if name not in MECHANISMS:
        raise unknown("mechanism", name, NARROWINGS)
    if name not in NARROWINGS:
        raise AttometerError(
            f'mechanism "{name}" is not softmax attention over a mask, so a trained layer has no such form; '
            f"known: {', '.join(NARROWINGS)}"
        )
    if name == "sliding_window" and {"left", "right"} & set(parameters):
        return _window(**parameters)
    held = mechanism(name, **parameters)
    numbers = {size(k): v for k, v in held.defaults.items() if size(k) in held.program.symbols}
    wheres = (getattr(operation, "where", None) for operation in held.program.substitute(numbers).operations)
    mask: Mask = next(where.mask for where in wheres if where is not None)
    if name == "sliding_window" and isinstance(mask, Band):
        return Narrowing(name, mask, Band(mask.left, mask.left))
    return Narrowing(name, mask, mask)


def _window(left: int | None = None, right: int | None = None, **others: int) -> Narrowing:
    if others:
        raise unknown("parameter", next(iter(others)), ("left", "right", "w"))
    if left is None:
        raise AttometerError("right: give left too, the keys before the query")
    for name, value in (("left", left), ("right", right)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise AttometerError(f"{name} must be an integer of at least 0, got {value!r}")
    return Narrowing("sliding_window", Band(left, 0), Band(left, left if right is None else right))
