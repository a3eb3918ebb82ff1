"""What is asked of a server: requests at once, their prompts and answers, and how much of the prompts is already cached."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attometer.errors import AttometerError, positive_int
from attometer.plan.options import MOST_TOKENS

if TYPE_CHECKING:
    from attometer.plan.planner import Planner

PROMPT, ANSWER = 1024, 128
"""Tokens of a prompt and of an answer where they are not given: those of `vllm bench serve`."""
# Nodes and weights of Gauss and Legendre's rule on [0, 1], which is exact for polynomials to degree five.
_NODES = tuple((float((1 + x) / 2), float(w / 2)) for x, w in zip(*np.polynomial.legendre.leggauss(3), strict=True))


@dataclass(frozen=True)
class Workload:
    """A pass repeated over a growing context: the plan's batch is the concurrency, its context the last one.

    Attributes:
        output_length: tokens that each sequence decodes, one after the other.
        prefix_hit_rate: share of a prompt's tokens whose keys and values are already cached.
        prefills: whether prompts arrive while others decode; else only decoding is asked about.
    """

    output_length: int
    prefix_hit_rate: float = 0.0
    prefills: bool = True

    def input_length(self, context: int) -> int:
        """Return the tokens that are there before the first one is decoded."""
        return context - self.output_length

    def hit(self, context: int) -> int:
        """Return the tokens of a prompt that are already cached; the last one is always computed."""
        prompt = self.input_length(context)
        return min(prompt - 1, int(self.prefix_hit_rate * prompt))

    def middle(self, context: int) -> int:
        """Return the mean context of the steps."""
        return context - 1 - (self.output_length - 1) // 2

    def positions(self, context: int) -> list[tuple[int, float]]:
        """Return contexts and weights whose weighted sum is the mean over the steps.

        >>> Workload(1).positions(1025), [keys for keys, _ in Workload(1001).positions(2001)]
        ([(1024, 1.0)], [1113, 1500, 1887])
        """
        first, steps = self.input_length(context), self.output_length - 1
        return [(first, 1.0)] if not steps else [(round(first + x * steps), w) for x, w in _NODES]

    def mean_seconds(self, here: "Planner") -> float:
        """Return the datasheet time of a step: the mean over all of them."""
        return float(np.mean(self.steps(here).seconds))

    def steps(self, here: "Planner") -> Any:
        """Return the grid of all steps, over contexts."""
        last = here.options.context
        return here.grid(np.arange(self.input_length(last), last, dtype=np.int64), here.options.batch)

    def to_dict(self, context: int, batch: int) -> dict[str, Any]:
        """Return what was asked as plain values."""
        return dict(vars(self)) | {"concurrency": batch, "input_length": self.input_length(context)}


@dataclass(frozen=True)
class Asking:
    """What a person says of a workload, before it is checked; the names are those of `plan`."""

    mode: str | None = None
    context: int | None = None
    batch: int | None = None
    concurrency: int | None = None
    input_length: int | None = None
    output_length: int | None = None
    prefix_hit_rate: float | None = None
    new_tokens: int | None = None
    trains: bool = False

    def read(self) -> tuple[str, int | None, int | None, Workload | None]:
        """Return mode, context, batch and workload of a plan's pass.

        Raises AttometerError for what contradicts itself, and for numbers that are none.
        """
        load = {name: getattr(self, name) for name in _LOAD if getattr(self, name) is not None}
        mode = self.mode or ("serve" if load else "train" if self.trains else "prefill")
        if mode == "serve" and self.new_tokens is None:
            return self._serve()
        if load:
            raise AttometerError(f'{", ".join(load)} of serving; mode is "{mode}", use mode serve')
        if self.new_tokens is None:
            return mode, self.context, self.batch, None
        if mode != "decode" or self.context is None:
            raise AttometerError("new_tokens are decoded after a context: give mode decode and the context")
        steps, context = (positive_int(n, getattr(self, n), MOST_STEPS) for n in ("new_tokens", "context"))
        return "decode", context + steps, self.batch, Workload(steps, prefills=False)

    def _serve(self) -> tuple[str, int | None, int | None, Workload | None]:
        for one, other in (("context", "input_length"), ("batch", "concurrency")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise AttometerError(f"{one} and {other} say the same of serving: give one")
        rate = self.prefix_hit_rate or 0.0
        if not 0 <= rate < 1:
            raise AttometerError(f"prefix_hit_rate must be at least 0 and below 1, got {rate:g}")
        prompt = positive_int("input_length", _first(self.input_length, self.context, PROMPT), MOST_TOKENS // 2)
        answer = positive_int("output_length", _first(self.output_length, ANSWER), MOST_STEPS)
        return "decode", prompt + answer, _first(self.concurrency, self.batch, 1), Workload(answer, rate)


_LOAD = ("concurrency", "input_length", "output_length", "prefix_hit_rate")
MOST_STEPS = 2**24
"""Steps of one answer beyond which no mean is taken."""


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)
