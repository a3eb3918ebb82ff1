"""Where a program runs: idealised machines and a catalogue of real ones, each figure with its source."""

from attometer.machine.catalogue import machine, machines
from attometer.machine.figure import Figure
from attometer.machine.hardware import Machine
from attometer.machine.pram import PRAM
from attometer.rooms import make_callable

__all__ = ["PRAM", "Figure", "Machine", "machine", "machines"]

make_callable(__name__)
