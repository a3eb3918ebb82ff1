"""The least time that the attention of a model can take on given hardware, by its datasheet."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attometer.count import count
from attometer.errors import AttometerError
from attometer.machine import Machine
from attometer.models import Model
from attometer.price import roofline
from attometer.report.figures.layers import at, attention, lengths, one_sequence
from attometer.view.style import COLOURS, GREY, lengths_axis, powers, sheet, source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WORD = 2


@dataclass(frozen=True)
class Spent:
    """What the attention core of all layers does at one length: operations, and bytes with and without the scores."""

    flops: int
    compulsory: int
    materialised: int


def spent(model: Model, n: int) -> Spent:
    """Return FLOPs and bytes of a model's attention for one sequence of n tokens, in 16-bit words.

    `compulsory` reads Q, K and V and writes the output once; `materialised` also writes and reads scores and weights,
    four times the pairs, as a program that keeps them in main memory does.

    >>> from attometer.models import model
    >>> spent(model("gpt2"), 1024).flops
    19346227200
    """
    flops = compulsory = matrices = 0
    for layers, part in attention(model):
        cost = count(part.program)
        assert cost.memory is not None
        flops += layers * at(one_sequence(cost.flops("flop")), n)
        compulsory += layers * at(one_sequence(cost.memory.inputs + cost.memory.cache + cost.memory.outputs), n)
        matrices += layers * at(one_sequence(cost.memory.matrices), n)
    return Spent(flops, _WORD * compulsory, _WORD * (compulsory + 4 * matrices))


def time(model: Model, hardware: tuple[Machine, ...]) -> "Figure":
    """Draw the least time of the attention core against length, on each machine, fused and materialised."""
    columns = lengths(512, 131072)
    work = [spent(model, n) for n in columns]
    figure = sheet(f"Least time for the attention of {model.name}, all layers", 8.5, 5.6)
    axes = figure.subplots()
    bases: set[str] = set()
    for machine, colour in zip(hardware, COLOURS, strict=False):
        dtype = rate(machine)
        for name, dash, moved in (
            ("scores stay on chip", "-", "compulsory"),
            ("scores in memory", ":", "materialised"),
        ):
            priced = [roofline(s.flops, getattr(s, moved), machine, dtype) for s in work]
            bases |= {price.basis for price in priced}
            seconds = [price.seconds for price in priced]
            axes.plot(columns, seconds, color=colour, linestyle=dash, label=f"{machine.id} {dtype}, {name}")
    lengths_axis(axes, columns)
    axes.set_yscale("log")
    powers(axes.yaxis, "s")
    axes.set_ylabel("time (seconds), a lower bound")
    axes.grid(axis="y")
    for limit, name in ((0.1, "feels instant\nbelow 100 ms"), (1.0, "breaks thought\nabove 1 s")):
        axes.axhline(limit, color=GREY, linewidth=0.8)
        axes.text(1.01, limit, name, transform=axes.get_yaxis_transform(), va="center", color=GREY, fontsize=8)
    axes.legend(loc="lower right", fontsize=8)
    basis = ", ".join(sorted(bases))
    return source(
        figure,
        f"{basis}, one sequence, 16-bit words, allowed pairs only; real kernels are slower; limits of Nielsen 1993",
    )


def rate(machine: Machine) -> str:
    """Return the 16-bit type that a machine states a rate for: bf16, else fp16.

    Raises AttometerError when it states neither.
    """
    stated = [dtype for dtype in ("bf16", "fp16") if getattr(machine.peak, dtype) is not None]
    if not stated:
        raise AttometerError(f'"{machine.id}" states no rate for bf16 or fp16, so no time can be drawn for it')
    return stated[0]
