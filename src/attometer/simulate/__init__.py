"""The room `simulate`: what is executed and counted."""

from attometer.simulate.dag import Graph, graph
from attometer.simulate.interpreter import interpret
from attometer.simulate.pebble_compile import compile_moves, flash_order, tiled_matmul_order
from attometer.simulate.pebble_dag import Dag, attention_dag, matmul_dag
from attometer.simulate.pebble_moves import Move, Replay
from attometer.simulate.pebble_referee import PebbleError, referee
from attometer.simulate.pebble_solver import Pebbling, solve
