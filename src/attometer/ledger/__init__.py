"""Printed numbers about attention, recomputed: source, statement, our value, verdict."""

from attometer.ledger.claim import Claim, Finding, judge
from attometer.ledger.ledger import Ledger, ledger

__all__ = ["Claim", "Finding", "Ledger", "judge", "ledger"]
