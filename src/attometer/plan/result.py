"""The plan as an object that prints the report."""

import re
from dataclasses import dataclass
from typing import Any

from attometer.errors import unknown
from attometer.machine import Machine
from attometer.models import Model
from attometer.plan.levers import Lever
from attometer.plan.options import MOST_TOKENS, Options
from attometer.plan.planner import Planner
from attometer.plan.usage import LayerTime, MemoryFootprint
from attometer.price import Roofline, in_sequence
from attometer.view.numbers import seconds
from attometer.view.report import Block, Report, rendered


@dataclass(frozen=True)
class Plan(Report):
    """The answer to "does it fit, how fast, what limits it, what would help"; printing it prints the report.

    Attributes:
        planner: what was asked: model, machine, options.
        memory: bytes on the device, by kind.
        layers: what each type of layer takes.
        largest_context: tokens per sequence that still fit; 0 when nothing does.
        levers: changes that would help, most useful first.
    """

    planner: Planner
    memory: MemoryFootprint
    layers: tuple[LayerTime, ...]
    largest_context: int
    levers: tuple[Lever, ...]

    @property
    def model(self) -> Model:
        """The model."""
        return self.planner.model

    @property
    def machine(self) -> Machine:
        """The machine."""
        return self.planner.machine

    @property
    def options(self) -> Options:
        """What was asked."""
        return self.planner.options

    @property
    def parameters(self) -> int:
        """Exact number of parameters."""
        return self.planner.cost.parameters

    @property
    def fits(self) -> bool:
        """Whether everything fits in the memory that the machine's driver hands out."""
        return self.memory.total <= self.planner.room

    @property
    def time(self) -> Roofline:
        """The whole pass: every part at the slower of its rooflines, one after the other."""
        return in_sequence([layer.time for layer in self.layers])

    @property
    def headline(self) -> str:
        """One sentence: fits or not, by how much, the largest context, what binds."""
        room, need = self.planner.room, self.memory.total
        o = self.options
        verdict = "fits" if self.fits else "does not fit"
        spare = f"{gigabytes(abs(room - need))} {'to spare' if self.fits else 'too much'}"
        most = f"{self.largest_context:,}" if self.largest_context < MOST_TOKENS else "any"
        asked = f"{o.context:,} tokens, batch {o.batch}, {o.mode}"
        limit = f"largest context that fits: {most} tokens" if self.largest_context else self._nothing_fits()
        return (
            f"{self.model.name} in {self.weights_said} {verdict} on {self.machine.name} at {asked}: needs {gigabytes(need)} of "
            f"{gigabytes(room)} usable, {spare}; {limit}; memory is mostly {self.memory.largest}, time is bound by {self.time.binds}."
            f"{self._beyond()}"
        )

    @property
    def weights_said(self) -> str:
        """How the weights are stored, in a word, with mean bits where they differ."""
        bits = self.planner.weight_bits
        name = "its files' formats" if self.planner.checkpoint is not None else self.planner.formats.name
        return f"{name} ({bits:.2f} bits per weight)" if abs(bits - 16) > 0.01 else name

    def _beyond(self) -> str:
        trained = self.model.context
        if not trained or self.options.context <= trained:
            return ""
        return f" It was trained for {trained:,} positions: {self.options.context:,} are beyond that."

    def _nothing_fits(self) -> str:
        own = self.memory.weights + self.memory.gradients + self.memory.optimizer
        what = "weights" if own == self.memory.weights else "weights, gradients and optimizer"
        return f"no context fits: {what} alone need {gigabytes(own)}"

    def to_dict(self) -> dict[str, Any]:
        """Return every number of the plan, ready for JSON; bytes are exact integers, times seconds."""
        return {
            "model": self.model.name,
            "family": self.model.family,
            "machine": self.machine.id,
            "options": dict(vars(self.options)) | {"weights": self.planner.formats.name},
            "weight_bits": self.planner.weight_bits,
            "fits": self.fits,
            "headline": self.headline,
            "parameters": self.parameters,
            "kv_bytes": self.memory.kv,
            "bytes": dict(vars(self.memory)) | {"total": self.memory.total},
            "memory_bytes": self.planner.room,
            "largest_context": self.largest_context if self.largest_context < MOST_TOKENS else None,
            "trained_context": self.model.context,
            "flops": self.time.flops,
            "bytes_moved": self.time.bytes_moved,
            "time": self.time.to_dict() | {"tokens_per_second": self.tokens_per_second},
            "layers": [_layer_dict(layer) for layer in self.layers],
            "levers": [dict(vars(lever)) for lever in self.levers],
            "notes": self.notes,
        }

    @property
    def tokens_per_second(self) -> float:
        """New tokens per second at the datasheet's rates: an upper bound."""
        return self.options.batch * self.options.new_tokens / self.time.seconds

    @property
    def notes(self) -> list[str]:
        """What the numbers assume."""
        o, said = self.options, []
        said.append("FLOPs are 2 per multiply-accumulate of matrix products, over the pairs each mask allows")
        said.append(
            f"time is a {self.time.basis}: {self.planner.rates_said()}, every part at peak rate or peak "
            "bandwidth, one after the other; a lower bound for kernels that do not overlap"
        )
        said += self.planner.schedule_notes()
        if self.planner.routed and o.mode != "train":
            estimate = seconds(self.planner.expected.seconds(o.context, o.batch))
            said.append(
                f"of the experts those of one token are read, which no routing can undercut; an estimate with the distinct "
                f"experts of tokens that draw at random: {estimate}"
            )
        if o.mode != "train":
            said.append("logits of the last token only; runtime and allocator overhead are not counted")
        else:
            said.append(
                "AdamW in mixed precision: 12 bytes of optimizer state per parameter; backward is twice forward"
            )
        return [*said, *self.model.check.said]

    def page(self) -> list[Block]:
        """Return the sentence, memory by kind, the types of layers, what would help, and what was assumed."""
        from attometer.plan.text import plan_page

        return plan_page(self)

    def text(self, width: int | None = None) -> str:
        """Return the page as text, its sentences no longer than is easy to read."""
        from attometer.plan.text import plan_page

        return rendered(plan_page(self, width), width)

    def explain(self, name: str | None = None) -> str:
        """Return formula, numbers, value and source of every number, or of the one that `name` begins with.

        Raises AttometerError for a name that the plan does not explain.

        >>> from attometer.plan import plan
        >>> print(plan("gpt2", "l4").explain("weights"))
        weights = parameters × 16 bits / 8 = 248,879,616 bytes (bf16)
        """
        from attometer.plan.explain import explanations
        from attometer.plan.text import wrapped

        lines = explanations(self)
        chosen = [line for line in lines if name is None or line.lower().startswith(name.lower())]
        if not chosen:
            raise unknown("number of a plan", str(name), [re.split(r" = |:", line)[0] for line in lines])
        return wrapped(*chosen, indent="    ")


def gigabytes(count: int) -> str:
    """Return bytes as GB (10^9), said.

    >>> gigabytes(17179869184)
    '17.18 GB'
    """
    if count < 10**6:
        return f"{count:,} bytes"
    return f"{count / 1e9:,.2f} GB" if count >= 10**8 else f"{count / 1e6:,.2f} MB"


def _layer_dict(layer: LayerTime) -> dict[str, Any]:
    return {
        "kind": layer.kind,
        "layers": layer.layers,
        "parameters": layer.parameters,
        "kv_bytes": layer.kv_bytes,
        "flops": layer.flops,
        "bytes_moved": layer.bytes_moved,
        "seconds": layer.time.seconds,
        "binds": layer.time.binds,
    }
