"""The room `simulate`: what is executed and counted."""

from attometer.simulate.cache.belady import optimal_misses
from attometer.simulate.cache.schedule_trace import schedule_trace
from attometer.simulate.cache.set_associative import misses_by_ways
from attometer.simulate.cache.stack_distance import MissCurve, misses_by_size
from attometer.simulate.cache.traces import Layout, Trace, flash_trace, matmul_trace
from attometer.simulate.graph.dag import graph
from attometer.simulate.graph.networks import Graph
from attometer.simulate.interpreter import interpret
from attometer.simulate.pebble.attention import flash_order
from attometer.simulate.pebble.compile import compile_moves, tiled_matmul_order
from attometer.simulate.pebble.dag import Dag, attention_dag, matmul_dag
from attometer.simulate.pebble.moves import Move, Replay
from attometer.simulate.pebble.partition import (
    Partition,
    check_partition,
    hong_kung_partition,
    minimum_dominator,
    minimum_set,
)
from attometer.simulate.pebble.program import program_dag
from attometer.simulate.pebble.referee import PebbleError, referee
from attometer.simulate.pebble.schedule import schedule_order
from attometer.simulate.pebble.solver import Pebbling, solve

__all__ = [
    "Dag",
    "Graph",
    "Layout",
    "MissCurve",
    "Move",
    "Partition",
    "PebbleError",
    "Pebbling",
    "Replay",
    "Trace",
    "attention_dag",
    "check_partition",
    "compile_moves",
    "flash_order",
    "flash_trace",
    "graph",
    "hong_kung_partition",
    "interpret",
    "matmul_dag",
    "matmul_trace",
    "minimum_dominator",
    "minimum_set",
    "misses_by_size",
    "misses_by_ways",
    "optimal_misses",
    "program_dag",
    "referee",
    "schedule_order",
    "schedule_trace",
    "solve",
    "tiled_matmul_order",
]
