"""Levers: what each change would save, most useful first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from attometer.models import Model
from attometer.plan.dtypes import BITS
from attometer.plan.options import Options
from attometer.plan.planner import Planner
from attometer.plan.what_if import with_half_the_heads, with_window

CHUNK = 8192
"""Tokens of the what-if that prefills piece by piece, as serving engines do."""

RETRAINED = "another model: needs training"
"""The note of a lever that changes what is computed beyond rounding."""

WINDOW = 4096
"""The window of the what-if: Mistral 7B's."""


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
    """Return every change that saves memory or time here, most useful first.

    First what makes it fit; then changes to how this model runs before changes that need another model; then by the larger
    share of memory or time saved.
    """
    o, room = here.options, here.room
    need, seconds = here.total(o.context, o.batch), here.seconds(o.context, o.batch)
    helpful = []
    for name, model, options, exact, note in _candidates(here.model, o):
        there = Planner(model, here.machine, options)
        after, then = there.total(options.context, options.batch), there.seconds(options.context, options.batch)
        if after < need or seconds - then > 1e-3 * seconds:
            helpful.append(Lever(name, need - after, seconds - then, after <= room, exact, note))

    def useful(lever: Lever) -> tuple[bool, bool, float]:
        share = max(lever.bytes_saved / need, lever.seconds_saved / seconds)
        return (lever.fits and need > room), lever.note != RETRAINED, share

    return tuple(sorted(helpful, key=useful, reverse=True))


def _candidates(model: Model, options: Options) -> Iterator[tuple[str, Model, Options, bool, str]]:
    if options.schedule == "naive":
        yield "flash attention", model, replace(options, schedule="flash"), True, "same result; scores stay on the chip"
    if options.mode == "train" and not options.checkpoint:
        yield (
            "gradient checkpointing",
            model,
            replace(options, checkpoint=True),
            True,
            "same result; one more forward pass",
        )
    if options.mode == "prefill" and options.at_once > CHUNK:
        yield (
            f"prefill in chunks of {CHUNK}",
            model,
            replace(options, chunk=CHUNK),
            True,
            "same result; weights are read once per chunk",
        )
    if options.mode != "train":
        if BITS[options.kv] > 8:
            yield "KV cache in fp8", model, replace(options, kv="fp8"), False, "rounds keys and values"
        for narrow in ("fp8", "int4"):
            if BITS[options.weights] > BITS[narrow]:
                yield (
                    f"weights in {narrow}",
                    model,
                    replace(options, weights=narrow),
                    False,
                    "rounds the weights; scales not counted",
                )
    if options.batch > 1:
        yield (
            f"batch {options.batch // 2}",
            model,
            replace(options, batch=options.batch // 2),
            True,
            "fewer sequences at once",
        )
    yield from _other_models(model, options)


def _other_models(model: Model, options: Options) -> Iterator[tuple[str, Model, Options, bool, str]]:
    whatifs: tuple[tuple[str, Callable[[], Model | None]], ...] = (
        (f"window of {WINDOW} on full layers", lambda: with_window(model, WINDOW)),
        ("half the key/value heads", lambda: with_half_the_heads(model)),
    )
    for name, change in whatifs:
        changed = change()
        if changed is not None:
            yield name, changed, options, False, RETRAINED
