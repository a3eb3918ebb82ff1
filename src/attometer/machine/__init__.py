"""Where a program runs: idealised machines and a catalogue of real ones, each figure with its source."""

from attometer.machine.catalogue import machine, machines, this_folder
from attometer.machine.cluster import Cluster, cluster
from attometer.machine.figure import Figure
from attometer.machine.hardware import Machine
from attometer.machine.node import Link, Node, node_of
from attometer.machine.pram import PRAM
from attometer.rooms import make_callable

__all__ = [
    "PRAM",
    "Cluster",
    "Figure",
    "Link",
    "Machine",
    "Node",
    "cluster",
    "machine",
    "machines",
    "node_of",
    "this_folder",
]

make_callable(__name__)
