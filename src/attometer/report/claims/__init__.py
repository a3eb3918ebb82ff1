"""Printed numbers about attention, recomputed: source, statement, our value, verdict."""

from attometer.report.claims.claim import Claim, Finding, judge
from attometer.report.claims.ledger import Ledger, ledger

__all__ = ["Claim", "Finding", "Ledger", "judge", "ledger"]
