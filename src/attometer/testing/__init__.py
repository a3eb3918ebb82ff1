"""A referee for attention functions: anyone can point it at their own.

Needs torch (`pip install attometer[torch]`). From the command line: `python -m attometer.testing --impl tiled`.
"""

from attometer.testing.calling import Unsupported
from attometer.testing.peers import PEERS, peer
from attometer.testing.referee import CHECKS, check_attention
from attometer.testing.report import Outcome, Report

__all__ = ["CHECKS", "PEERS", "Outcome", "Report", "Unsupported", "check_attention", "peer"]
