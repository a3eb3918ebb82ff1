"""The room `simulate`: what is executed and counted."""

from attometer.simulate.belady import optimal_misses
from attometer.simulate.dag import graph
from attometer.simulate.interpreter import interpret
from attometer.simulate.networks import Graph
from attometer.simulate.partition import Partition, check_partition, hong_kung_partition, minimum_dominator, minimum_set
from attometer.simulate.pebble_attention import flash_order
from attometer.simulate.pebble_compile import compile_moves, tiled_matmul_order
from attometer.simulate.pebble_dag import Dag, attention_dag, matmul_dag
from attometer.simulate.pebble_moves import Move, Replay
from attometer.simulate.pebble_program import program_dag
from attometer.simulate.pebble_referee import PebbleError, referee
from attometer.simulate.pebble_schedule import schedule_order
from attometer.simulate.pebble_solver import Pebbling, solve
from attometer.simulate.schedule_trace import schedule_trace
from attometer.simulate.set_associative import misses_by_ways
from attometer.simulate.stack_distance import MissCurve, misses_by_size
from attometer.simulate.traces import Layout, Trace, flash_trace, matmul_trace

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
