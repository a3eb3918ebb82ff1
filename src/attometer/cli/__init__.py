"""The command line: parse, call, print. Each command loads its rooms when it runs, so that `--help` stays quick."""

from attometer.cli import ask, draw, measure, plan, prove  # each adds its commands to the app
from attometer.cli.app import ASK, DRAW, MEASURE, PROVE, app, main

__all__ = ["ASK", "DRAW", "MEASURE", "PROVE", "app", "ask", "draw", "main", "measure", "plan", "prove"]
