"""Levers: what each change would save, most useful first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from attometer.formats import CACHE_ROWS, storage
from attometer.plan.options import Options
from attometer.plan.planner import Planner

CHUNK = 8192
"""Tokens of the change that prefills piece by piece, as serving engines do."""
WEIGHTS_ONLY = frozenset({"gptq"})
"""Formats that levers try whose kernels multiply at 16 bits."""


@dataclass(frozen=True)
class Lever:
    """One change and what it saves.

    Attributes:
        name: what to change.
        bytes_saved: memory it frees (negative if it costs some).
        seconds_saved: datasheet time it saves per pass (negative if it costs some).
        fits: whether the model fits after it.
        exact: whether the model still computes the same function.
        note: what it takes.
    """

    name: str
    bytes_saved: int
    seconds_saved: float
    fits: bool
    exact: bool
    note: str


def levers(here: Planner) -> tuple[Lever, ...]:
    """Return every change to how this model runs that saves memory or time here, most useful first.

    First what makes it fit; then by the larger share of memory or time saved.
    """
    o, room = here.options, here.room
    need, seconds = here.total(o.context, o.batch), here.seconds(o.context, o.batch)
    helpful = []
    for name, options, exact, note in _candidates(here):
        # Kernels of formats that are only stored narrow widen them first: no faster product is promised.
        there = Planner(here.model, here.machine, options, widened=options.weights in WEIGHTS_ONLY)
        after, then = there.total(options.context, options.batch), there.seconds(options.context, options.batch)
        if after < need or seconds - then > 1e-3 * seconds:
            helpful.append(Lever(name, need - after, seconds - then, after <= room, exact, note))

    def useful(lever: Lever) -> tuple[bool, float]:
        share = max(lever.bytes_saved / need, lever.seconds_saved / seconds)
        return (lever.fits and need > room), share

    return tuple(sorted(helpful, key=useful, reverse=True))


Candidate = tuple[str, Options, bool, str]


def _candidates(here: Planner) -> Iterator[Candidate]:
    o = here.options
    if o.schedule == "naive":
        yield "flash attention", replace(o, schedule="flash"), True, "same result; scores stay on the chip"
    if o.mode == "train" and not o.checkpoint:
        yield "gradient checkpointing", replace(o, checkpoint=True), True, "same result; one more forward pass"
    if o.mode == "prefill" and o.at_once > CHUNK:
        note = "same result; weights are read once per chunk"
        yield f"prefill in chunks of {CHUNK}", replace(o, chunk=CHUNK), True, note
    if o.mode != "train":
        yield from _narrower(here)
    if o.batch > 1:
        yield f"batch {o.batch // 2}", replace(o, batch=o.batch // 2), True, "fewer sequences at once"


def _narrower(here: Planner) -> Iterator[Candidate]:
    """Formats of the cache and of the weights with fewer bits; a format that the machine multiplies comes with its rate."""
    o = here.options
    if o.kv not in CACHE_ROWS and storage(o.kv).bits > 8 and here.cost.cache.kv != 0:
        yield "KV cache in fp8", replace(o, kv=here.cache_format("fp8")), False, "rounds keys and values"
    names = ["fp8", "gptq", *(["nvfp4"] if here.machine.peak.fp4 is not None else [])]
    for name in names:
        if here.weight_bits > float(storage(name).bits) + 1:
            said = {"gptq": "4 bits (GPTQ, AWQ)"}.get(name, name)
            yield f"weights in {said}", replace(o, weights=name), False, "rounds the weights; scales counted"
