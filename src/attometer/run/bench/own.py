"""What no case of `bench.cases` runs: any notation, compiled, on inputs that are drawn for it."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from attometer.errors import AttometerError, positive_int, unknown
from attometer.mechanisms.catalogue import MECHANISMS
from attometer.mechanisms.mechanism import Mechanism
from attometer.mechanisms.subject import SUFFIX, subject
from attometer.run.compiled_function import Compiled
from attometer.run.compiling import compile as compiled


@lru_cache(maxsize=64)
def own(name: str) -> Mechanism:
    """Return what is measured as `name`: a file of notation or `-`, perhaps with sizes (`mine.att,w=64`), or a mechanism.

    Raises AttometerError: what `subject` refuses, or a size that is no number.

    >>> own("gqa,g=2").name
    'gqa'
    """
    what, *parts = (part.strip() for part in name.split(","))
    sizes: dict[str, object] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if not (key and value.isascii() and value.isdigit()):
            raise AttometerError(f'sizes are written as in mine.att,w=64; got "{part}" in "{name}"')
        sizes[key] = int(value)
    return subject(what, **sizes)


def is_own(name: str) -> bool:
    """Return whether a name is that of a file, of standard input, or of a mechanism of the catalogue."""
    what = name.partition(",")[0].strip()
    return what == "-" or what.endswith(SUFFIX) or "/" in what or what in MECHANISMS


def sizes_of(name: str, *, b: int, h: int, n: int, d: int) -> dict[str, int]:
    """Return a number for every size of what is measured: a mechanism's defaults, and b, h = g, n = m, d = e and D = h d.

    Raises AttometerError for a size that neither tells.

    >>> sizes_of("gqa,g=2", b=1, h=4, n=8, d=16)
    {'b': 1, 'd': 16, 'h': 4, 'n': 8}
    """
    made = own(name)
    known = [str(s) for s in made.program.symbols]
    usual = {"g": h, "m": n, "e": d, "D": h * d, **made.defaults, "b": b, "h": h, "n": n, "d": d}
    missing = [k for k in known if k not in usual]
    if missing:
        raise AttometerError(
            f'{name} has a size "{missing[0]}", which measure does not tell; write {name},{missing[0]}=64'
        )
    for key in known:
        positive_int(f"size {key}", int(usual[key]))
    return made.sizes(**{k: int(usual[k]) for k in known})


@lru_cache(maxsize=64)
def _compiled(name: str, sizes: tuple[tuple[str, int], ...]) -> Compiled:
    return compiled(subject(own(name), **dict(sizes)))


def work_of_own(
    name: str, b: int, h: int, n: int, d: int, dtype: torch.dtype, backward: bool, device: str
) -> tuple[Callable[[], object], str]:
    """Return the work to time on fresh inputs, with its backward pass if that is asked for, and what it runs with.

    Raises AttometerError where no nest runs it, by name.
    """
    made, sizes = own(name), sizes_of(name, b=b, h=h, n=n, d=d)
    told = {str(e) for t in made.program.inputs for e in t.extents if e.is_Symbol}
    run = _compiled(name, tuple((k, v) for k, v in sizes.items() if k not in told))
    drawn = made.draw(sizes, np.random.default_rng())
    inputs = [torch.as_tensor(drawn[t.name], device=device) for t in made.program.inputs]
    inputs = [x.to(dtype).requires_grad_(backward) if x.is_floating_point() else x for x in inputs]
    if not backward:
        return torch.no_grad()(lambda: run(*inputs)), "compiled"

    def both() -> None:
        found = run(*inputs)
        found = found if isinstance(found, tuple) else (found,)
        torch.autograd.backward(found, [torch.randn_like(y) for y in found])

    return both, "compiled"


def _named() -> tuple[str, ...]:
    from attometer.run.bench.cases import CASES

    return tuple(CASES)


def refuse_unknown(name: str) -> None:
    """Raise AttometerError with the nearest name where nothing is measured as `name`."""
    if name not in _named() and not is_own(name):
        raise unknown("mechanism to measure", name, (*_named(), *MECHANISMS))
