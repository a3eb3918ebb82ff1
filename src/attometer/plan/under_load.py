"""A model that serves: time to the first token and per token, tokens and requests per second, with labels and intervals."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attometer.plan.predicted import Expected, added, predicted
from attometer.plan.predicted_load import predicted_load
from attometer.plan.spread import spread
from attometer.plan.workload import Workload
from attometer.view.numbers import Cell, seconds
from attometer.view.table import Table

if TYPE_CHECKING:
    from attometer.plan.result import Plan


@dataclass(frozen=True)
class Measure:
    """One figure: what the datasheet allows at best, and what is predicted, with the ends of its 90 % interval."""

    name: str
    unit: str
    datasheet: float
    predicted: float | None
    low: float | None
    high: float | None

    def row(self) -> tuple[Any, ...]:
        """Return the cells of a table."""
        ends = None if self.low is None or self.high is None else f"{self._said(self.low)} to {self._said(self.high)}"
        told = Cell(None, "-") if self.predicted is None else Cell(self.predicted, self._said(self.predicted))
        sign = "≥" if self.unit == "s" else "≤"
        return self.name, Cell(self.datasheet, f"{sign} {self._said(self.datasheet)}"), told, ends

    def _said(self, value: float) -> str:
        return seconds(value) if self.unit == "s" else f"{value:,.1f}" if value >= 10 else f"{value:.3g}"


@dataclass(frozen=True)
class UnderLoad:
    """What a plan's workload comes to in a steady state; bounds are of one device's roofline, shared evenly by all.

    Attributes:
        plan: the decoding step, at the last context.
    """

    plan: "Plan"

    @property
    def workload(self) -> Workload:
        """What was asked."""
        assert self.plan.workload is not None
        return self.plan.workload

    @cached_property
    def prompt(self) -> "Plan":
        """The plan of one prompt alone, without what is cached of it; memory and layers are not asked of it."""
        length = self.workload.input_length(self.plan.options.context)
        return replace(self._with(mode="prefill", context=length, batch=1), workload=None)

    @cached_property
    def running(self) -> "Plan":
        """The plan with as many requests as the engine's cache holds at once; the others wait until one of them is done."""
        served = self.plan.served
        if served is None or served.fits or not served.requests or not self.workload.prefills:
            return self.plan
        return self._with(batch=served.requests * served.at.placement.dp * served.at.placement.attention_dp)

    def _with(self, **options: Any) -> "Plan":
        here, at = self.plan.planner.with_options(**options), self.plan.at
        return replace(self.plan, planner=here, at=None if at is None else spread(here, at.devices, at.placement))

    @property
    def devices(self) -> int:
        """How many devices serve."""
        return 1 if self.plan.at is None else self.plan.at.devices.count

    @cached_property
    def bound_first(self) -> float:
        """Datasheet seconds to the first token: a prompt alone, shared evenly by all devices."""
        return sum(max(pair) for pair in self._prompt_parts) / self.devices

    @cached_property
    def _prompt_parts(self) -> list[tuple[float, float]]:
        """Return what computing and moving take of each part of a prompt: products of new tokens, bytes as if alone."""
        here, hit = self.prompt.planner.with_options(chunk=None), self.workload.hit(self.plan.options.context)
        own = here.options.context
        whole, new = (here.part_seconds(n) for n in (own, own - hit))
        cached = here.part_seconds(hit) if hit else [(0.0, 0.0)] * len(whole)
        return [(a - c, b) for (a, _), (c, _), (_, b) in zip(whole, cached, new, strict=True)]

    @cached_property
    def bound_requests(self) -> float:
        """Requests per second at most: as products and bytes of a prompt and its steps allow, whichever takes longer."""
        grid, o = self.workload.steps(self.running.planner), self.running.options
        totals = [float(part.sum()) / o.batch for part in (grid.compute_seconds, grid.memory_seconds)]
        if self.workload.prefills:
            totals[0] += sum(a for a, _ in self._prompt_parts)
            # a step may read the weights for a prompt too: no bytes are added for it
        return self.devices / max(totals)

    @cached_property
    def expected(self) -> tuple[Expected | None, Expected | None]:
        """The predicted times to the first token and per token."""
        if not self.workload.prefills:
            return None, predicted(self.plan)
        first, each = predicted_load(self.running, self.prompt, self.workload)
        turns = self.plan.options.batch / self.running.options.batch - 1
        if first is not None and each is not None and turns:
            # in a closed loop each request waits as long as those before it are served (Little's law)
            answer = added(first, each, self.workload.output_length - 1, "steps")
            first = replace(added(first, answer, turns, "queue"), other=None)
        bounds = (self.bound_first, self.running.seconds)
        first, each = (e and e.above(bound) for e, bound in zip((first, each), bounds, strict=True))
        return first, each

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """Every figure that is asked for."""
        first, each = self.expected
        step = self.running.seconds
        tpot = Measure("time per token (TPOT)", "s", step, *_ends(each))
        user = Measure("tokens/s per user", "1/s", 1 / step, *_inverse(each, 1.0))
        o, answer = self.plan.options, self.workload.output_length
        if not self.workload.prefills:
            device = Measure(
                "tokens/s per device", "1/s", o.batch / step / self.devices, *_inverse(each, o.batch / self.devices)
            )
            return tpot, user, device
        whole = None if first is None or each is None else _answer(first, each, answer)
        requests = Measure("requests/s", "1/s", self.bound_requests, *_inverse(whole, o.batch))
        tokens = answer / self.devices
        device = Measure("tokens/s per device", "1/s", self.bound_requests * tokens, *_inverse(whole, o.batch * tokens))
        ttft = Measure("time to first token (TTFT)", "s", self.bound_first, *_ends(first))
        return ttft, tpot, user, device, requests

    @property
    def prefill_share(self) -> float | None:
        """The share of every predicted step that computes others' prompts."""
        each = self.expected[1]
        return None if each is None or not self.workload.prefills else each.terms["prefill"] / sum(each.terms.values())

    def table(self) -> Table:
        """Return the figures by label."""
        w = self.workload
        shares = "" if self.prefill_share is None else f"; prompts take {100 * self.prefill_share:.1f} % of every step"
        notes = [f"{self.asked}{shares}; {self.holds}"]
        notes += [f"{name}: {found}" for name, found in zip(("TTFT", "TPOT"), self.expected, strict=True) if found]
        columns = ("serving" if w.prefills else "decoding", "datasheet bound", "predicted", "90 % interval")
        return Table("", columns, tuple(each.row() for each in self.measures), tuple(notes))

    @property
    def asked(self) -> str:
        """The workload in words."""
        o, w = self.plan.options, self.workload
        if not w.prefills:
            return f"batch {o.batch:,}, decode of {w.output_length:,} tokens after {w.input_length(o.context):,}"
        hits = f", {100 * w.prefix_hit_rate:g} % of the prompts cached" if w.prefix_hit_rate else ""
        return f"{o.batch:,} requests at once, {w.input_length(o.context):,} tokens in, {w.output_length:,} out{hits}"

    @property
    def said(self) -> str:
        """The times to the first token and per token, by their labels."""
        told = [
            f"{name} is {seconds(bound)} by datasheet at least{'' if e is None else f', predicted {seconds(e.seconds)} under {e.engine}'}"
            for name, bound, e in zip(
                ("TTFT", "TPOT"), (self.bound_first, self.running.seconds), self.expected, strict=True
            )
        ]
        return "; ".join(told)

    @property
    def holds(self) -> str:
        """Whether the memory holds all requests at once."""
        served, o = self.plan.served, self.plan.options
        if self.plan.fits:
            return f"the cache holds all {o.batch:,}"
        if self.running is not self.plan:
            return f"the cache holds {self.running.options.batch:,} of {o.batch:,}, the others wait their turn"
        many = "the cache holds none" if served is not None else "they do not fit at once"
        return f"{many}, times are as if it held all"

    def lines(self) -> list[str]:
        """Return formula, terms and sensitivities of the figures, one line each."""
        first, each = self.expected
        lines = []
        if self.workload.prefills:
            least = "sum over parts of max(FLOPs of tokens not cached / peak rate, bytes / bandwidth)"
            lines.append(f"TTFT >= {least} = {seconds(self.bound_first)}")
        lines.append(
            f"TPOT >= mean over {self.workload.output_length:,} steps of the datasheet time = {seconds(self.running.seconds)}"
        )
        for name, found, bound in (
            ("TTFT", first, self.bound_first if first else 1.0),
            ("TPOT", each, self.running.seconds),
        ):
            lines += [f"{name}: {line}" for line in found.lines(bound)] if found else []
        if self.workload.prefills and first is not None:
            lines.append("requests/s = concurrency / (TTFT + (output length - 1) × TPOT), in a closed loop")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as plain values for JSON."""
        o = self.plan.options
        names = ("ttft", "tpot")
        found = {n: None if e is None else e.to_dict() for n, e in zip(names, self.expected, strict=True)}
        served = self.plan.served
        return {
            "workload": self.workload.to_dict(o.context, o.batch),
            "measures": [dict(vars(each)) for each in self.measures],
            "prefill_share": self.prefill_share,
            "cache_holds_all": self.plan.fits,
            "requests_held": None if served is None else served.requests,
            "expected": found,
        }


def _ends(found: Expected | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if found is None else (found.seconds, found.low, found.high)


def _inverse(found: Any, count: float) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if found is None else (count / found.seconds, count / found.high, count / found.low)


@dataclass(frozen=True)
class _Whole:
    seconds: float
    low: float
    high: float


def _answer(first: Expected, each: Expected, length: int) -> _Whole:
    """Return the time of a whole request: its first token, and then one after the other."""
    later = length - 1
    return _Whole(*(getattr(first, n) + later * getattr(each, n) for n in ("seconds", "low", "high")))
