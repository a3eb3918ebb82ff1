"""The plan as an object that prints the report."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attometer.count.model_cost import ModelCost
from attometer.engines import Training
from attometer.errors import unknown
from attometer.machine import Machine
from attometer.models import Model
from attometer.plan.degrees import Filled
from attometer.plan.options import MOST_TOKENS, Options
from attometer.plan.placement_search import Found
from attometer.plan.planner import Planner
from attometer.plan.serving import Served
from attometer.plan.speculation import Speculation
from attometer.plan.spread import Spread
from attometer.plan.usage import LayerTime, MemoryFootprint
from attometer.plan.workload import Workload
from attometer.price import Roofline, in_sequence
from attometer.view.numbers import seconds
from attometer.view.report import Block, Report, rendered

if TYPE_CHECKING:
    from pathlib import Path

    from attometer.plan.levers import Lever
    from attometer.plan.predicted import Expected
    from attometer.plan.under_load import UnderLoad

UNCOUNTED = "runtime and allocator overhead are not counted (--engine counts them, --reserve-gib keeps memory for them)"


@dataclass(frozen=True)
class Plan(Report):
    """The answer to "does it fit, how fast, what limits it, what would help"; printing it prints the report.

    Attributes:
        planner: what was asked: model, machine, options.
        memory: bytes on the device, by kind.
        layers: what each type of layer takes.
        largest_context: tokens per sequence that still fit; 0 when nothing does.
        levers: changes that would help, most useful first.
        at: the placement over several devices, or under an engine; figures of `memory` are then of the fullest rank.
        served: what the engine makes of it.
        trained: what the training recipe makes of it.
        trainer: the framework that trains it, as in `megatron`, where one was named.
        found: the placements that were searched.
        filled: the degrees that were not given, and why they are these.
        speculation: a draft beside the model.
        fewest: how many devices of the kind it takes at least, where that was looked for.
        workload: what a server is asked for, or over how many tokens the context grows; `context` is then the last one.
    """

    planner: Planner
    memory: MemoryFootprint
    layers: tuple[LayerTime, ...]
    largest_context: int
    levers: "tuple[Lever, ...]"
    at: Spread | None = None
    served: Served | None = None
    trained: Training | None = None
    trainer: str | None = None
    found: Found | None = None
    filled: Filled | None = None
    speculation: Speculation | None = None
    fewest: int | None = None
    workload: Workload | None = None

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
    def devices(self) -> str:
        """The devices in words, as in `2 × GeForce RTX 4090 (tp 2)`."""
        if self.at is None:
            return self.machine.name
        many = self.at.devices.count > 1
        return f"{self.at.devices} ({self.at.placement})" if many else self.machine.name

    @property
    def needed(self) -> int:
        """Bytes needed on the fullest device."""
        if self.served is not None:
            return self.served.taken
        return self.memory.total if self.trained is None else self.trained.total

    @property
    def fits(self) -> bool:
        """Whether everything fits in the memory that the machine's driver, or the engine, hands out."""
        return self.served.fits if self.served is not None else self.needed <= self.planner.room

    @property
    def time(self) -> Roofline:
        """The whole pass on one device: every part at the slower of its rooflines, one after the other."""
        return in_sequence([layer.time for layer in self.layers])

    @property
    def seconds(self) -> float:
        """A lower bound on the pass: the roofline of one device, shared evenly by all, their links left out.

        Under a workload the mean over its decoding steps; with a draft what a round takes for each token that it yields.
        """
        if self.speculation is not None:
            return self.speculation.seconds / self.speculation.per_check
        once = self.time.seconds if self.workload is None else self.workload.mean_seconds(self.planner)
        return once / (self.at.devices.count if self.at is not None else 1)

    @cached_property
    def load(self) -> "UnderLoad | None":
        """Time to the first token and per token, tokens and requests per second, where a workload was asked about."""
        from attometer.plan.under_load import UnderLoad

        return None if self.workload is None else UnderLoad(self)

    @cached_property
    def predicted(self) -> "Expected | None":
        """The time that an engine is predicted to take for the pass, with an interval, where measurements tell."""
        if self.load is not None:
            return self.load.expected[1]
        return None if isinstance(self._predicted, str) else self._predicted

    @property
    def unpredicted(self) -> str | None:
        """Why no time of the pass is predicted, where none is."""
        return self._predicted if self.load is None and isinstance(self._predicted, str) else None

    @cached_property
    def _predicted(self) -> "Expected | str":
        from attometer.plan.predicted import predicted_or_why

        return predicted_or_why(self)

    @property
    def headline(self) -> str:
        """One sentence: fits or not, by how much, the largest context, what binds, and what a better figure is worth."""
        from attometer.plan.verdict import headline

        return headline(self)

    @property
    def weights_said(self) -> str:
        """How the weights are stored, in a word, with mean bits where they differ."""
        bits = self.planner.weight_bits
        name = "its files' formats" if self.planner.checkpoint is not None else self.planner.formats.name
        return f"{name} ({bits:.2f} bits per weight)" if abs(bits - 16) > 0.01 else name

    def plot(self, path: "str | Path", which: int | None = None) -> "Path":
        """Draw memory by kind and time by term, or the numbers of table `which`, into a .png, .svg or .pdf; return the path.

        Raises AttometerError for another ending, a folder that is not there, and where matplotlib is missing.
        """
        from attometer.plan.plot import plot_plan

        return plot_plan(self, path) if which is None else super().plot(path, which)

    def to_dict(self, explain: bool = False) -> dict[str, Any]:
        """Return every number of the plan, ready for JSON; bytes are exact integers, times seconds.

        With `explain` also where each number comes from: its name, and formula, numbers, value and source as text.
        """
        found = self._numbers()
        if explain:
            from attometer.plan.explain import explanations

            pairs = (_NAMED.match(line) for line in explanations(self))
            found["explanation"] = [{"name": pair[1], "said": pair[3]} for pair in pairs if pair is not None]
        return found

    def _numbers(self) -> dict[str, Any]:
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
            "predicted": None if self.predicted is None else self.predicted.to_dict(),
            "unpredicted": self.unpredicted,
            "time": self.time.to_dict() | {"tokens_per_second": self.tokens_per_second},
            "layers": [_layer_dict(layer) for layer in self.layers],
            "levers": [dict(vars(lever)) for lever in self.levers],
            "needed_bytes": self.needed,
            "devices": None if self.at is None else self.at.to_dict(),
            "engine": None if self.served is None else self.served.to_dict(),
            "training": None if self.trained is None else self.trained.to_dict(),
            "speculation": None if self.speculation is None else self.speculation.to_dict(),
            "placements": None if self.found is None else self.found.to_dict(),
            "filled": None if self.filled is None else self.filled.to_dict(),
            "fewest_devices": self.fewest,
            "load": None if self.load is None else self.load.to_dict(),
            "notes": self.notes,
        }

    @property
    def tokens_per_second(self) -> float:
        """New tokens per second at the datasheet's rates: an upper bound."""
        return self.options.batch * self.options.new_tokens / self.seconds

    @property
    def notes(self) -> list[str]:
        """What the numbers assume."""
        o, said = self.options, []
        said.append("FLOPs are 2 per multiply-accumulate of matrix products, over the pairs each mask allows")
        said.append(
            f"time is a {self.time.basis}: {self.planner.rates_said()}, every part at peak rate or peak "
            "bandwidth, one after the other; a lower bound for kernels that do not overlap"
        )
        if self.speculation is not None:
            said.append(str(self.speculation))
        said += self.planner.schedule_notes()
        if self.planner.routed and o.mode != "train":
            estimate = seconds(self.planner.expected.seconds(o.context, o.batch))
            said.append(
                f"of the experts those of one token are read, which no routing can undercut; an estimate with the distinct "
                f"experts of tokens that draw at random: {estimate}"
            )
        if self.at is not None and self.at.devices.count > 1:
            timed = self.at.timed
            terms = ", ".join(f"{_TERMS[name]} {seconds(taken)}" for name, taken in timed.terms.items() if taken)
            said.append(
                f"{self.at.placement}: {seconds(timed.seconds)} a pass by datasheet rates, an estimate with even routing: {terms}; "
                f"a rank sends {timed.sent / 1e9:,.3f} GB"
            )
        if self.filled is not None:
            said.append(str(self.filled))
        if self.at is not None and self.at.ranks.replicated:
            said.append(f"alike on several ranks: {'; '.join(self.at.ranks.replicated)}")
        if self.served is not None and self.served.crowded is not None:
            asked, pages = self.served.crowded
            said.append(
                f"{asked:,} requests of a step are more than the {pages:,} pages that hold a state each: the engine may refuse to "
                f"start without --max-num-seqs {pages}"
            )
        if self.planner.host_bytes:
            bandwidth = self.planner.host_bandwidth / 1e9
            said.append(
                f"{self.planner.host_bytes / 1e9:,.2f} GB of {'layers' if o.host_whole else 'experts'} stay in the host's memory, "
                f"read at {bandwidth:g} GB/s"
            )
        if self.planner.tower_bytes:
            names = " and ".join(tower.name for tower in self.model.towers)
            said.append(
                f"weights hold {self.planner.tower_bytes / 1e9:,.2f} GB of {names}, which run beside the text model"
            )
        if o.mode != "train":
            own = "" if self.served is not None else f"; {UNCOUNTED}"
            said.append(f"logits of the last token only{own}")
        elif self.trained is None:
            said.append(
                f"AdamW in mixed precision: 12 bytes of optimizer state per parameter; {_backward(self.planner.cost)}"
            )
        if o.reserve_gib:
            said.append(f"{o.reserve_gib:g} GiB of each device are kept for what is not counted (--reserve-gib)")
        return [*said, *self.model.check.said]

    def page(self) -> list[Block]:
        """Return the sentence, memory by kind, the types of layers, what would help, and what was assumed."""
        from attometer.plan.text import plan_page

        return plan_page(self)

    def text(self, width: int | None = None) -> str:
        """Return the page as text, its sentences no longer than is easy to read."""
        from attometer.plan.text import plan_page

        return rendered(plan_page(self, width), width)

    def explain(self, name: str | None = None, width: int | None = None) -> str:
        """Return formula, numbers, value and source of every number, or of the one that `name` begins with, in lines of at
        most `width` characters.

        Raises AttometerError for a name that the plan does not explain.

        >>> from attometer.plan import plan
        >>> print(plan("gpt2", "l4").explain("weights"))
        weights = parameters × 16 bits / 8 = 248,879,616 bytes (bf16)
        """
        from attometer.plan.explain import explanations
        from attometer.plan.text import WIDTH, wrapped

        lines = explanations(self)
        chosen = [line for line in lines if name is None or line.lower().startswith(name.lower())]
        if not chosen:
            raise unknown("number of a plan", str(name), [_name(line) for line in lines])
        return wrapped(*chosen, indent="    ", width=min(width or WIDTH, WIDTH))


# The name of an explanation, what relates it, and what is said of it.
_NAMED = re.compile(r"(.+?)( = | >= |: )(.*)", re.DOTALL)


def _name(line: str) -> str:
    found = _NAMED.match(line)
    return line if found is None else found[1]


def _backward(cost: ModelCost) -> str:
    """Say what backward counts: gradients of programs, or twice forward where a part has none."""
    twice = ", ".join(cost.without_gradient)
    return "backward counts the gradients' programs" + (f", twice forward for {twice}" if twice else "")


_TERMS = {"compute": "computing", "memory": "moving bytes", "links": "links", "bubble": "waiting for stages"}


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
