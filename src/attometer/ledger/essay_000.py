"""The claims of K. Doan, attention is logarithmic, actually (2025)."""

from attometer.ledger import essay_000_attention, essay_000_machines, essay_000_tables
from attometer.ledger.claim import Claim, Source

SOURCE = Source(id="000", title="attention is logarithmic, actually", author="K. Doan", where="supaiku.com, 2025")


def claims() -> tuple[Claim, ...]:
    """Return the claims in the order of the essay."""
    return (*essay_000_tables.claims(), *essay_000_attention.claims(), *essay_000_machines.claims())
