"""The claims of M. Brenndoerfer, Attention Complexity (2025)."""

from attometer.ledger import (
    article_001_compute,
    article_001_layers,
    article_001_limits,
    article_001_memory,
    article_001_recurrent,
    article_001_variants,
)
from attometer.ledger.claim import Claim, Source

SOURCE = Source(
    id="001",
    title="Attention Complexity: Quadratic Scaling, Memory Limits & Efficient Alternatives",
    author="M. Brenndoerfer",
    where="mbrenndoerfer.com, 2025",
)


def claims() -> tuple[Claim, ...]:
    """Return the claims in the order of the article."""
    return (
        *article_001_compute.claims(),
        *article_001_memory.claims(),
        *article_001_recurrent.claims(),
        *article_001_limits.claims(),
        *article_001_layers.claims(),
        *article_001_variants.claims(),
    )
