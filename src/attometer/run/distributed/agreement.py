"""Before any data moves the ranks tell one another their shapes and options: a mismatch is an error everywhere, no hang."""

import hashlib
from dataclasses import dataclass

import torch
import torch.distributed as dist

from attometer.errors import AttometerError
from attometer.run.distributed.exchange import record
from attometer.run.distributed.mesh import Ranks

ALIKE = {
    "batch": "q",
    "query heads": "q",
    "key/value heads": "k",
    "width of queries and keys": "k",
    "width of values": "v",
    "dtype": "q",
    "gradient wanted": "q",
    "mask": "mask",
    "choice of scale, bias, impl or layout": "options",
}
"""What must be the same on every rank, and the argument that it belongs to."""

OWN = ("query length", "key length", "refused")
HEADER_BYTES = 8 * (len(ALIKE) + len(OWN))
"""Bytes that a rank sends to each other rank for the agreement."""


@dataclass(frozen=True)
class Agreed:
    """The lengths that each rank brought."""

    queries: tuple[int, ...]
    keys: tuple[int, ...]


def digest(*values: object) -> int:
    """Return a number for the values' text, the same in every process (Python's own hash is not)."""
    return int.from_bytes(hashlib.blake2b(repr(values).encode(), digest_size=7).digest(), "big")


def agree(ranks: Ranks, facts: dict[str, int] | None, device: torch.device | str) -> Agreed:
    """Compare `facts` (ALIKE and the two lengths) over the ranks; None tells the others that this rank refused its call.

    Raises AttometerError on every rank when they differ or one refused.
    """
    names = [*ALIKE, *OWN]
    own = {**dict.fromkeys(names, 0), "refused": int(facts is None), **(facts or {})}
    header = torch.tensor([own[name] for name in names], dtype=torch.int64, device=device)
    found = [torch.empty_like(header) for _ in range(ranks.count)]
    with ranks.guarded("agreement on shapes"):
        dist.all_gather(found, header, group=ranks.group)
    record("agreement", header.numel() * (ranks.count - 1), header, messages=ranks.count - 1)
    table = [dict(zip(names, row.tolist(), strict=True)) for row in found]
    if facts is not None:
        _compare(table)
    return Agreed(tuple(row["query length"] for row in table), tuple(row["key length"] for row in table))


def _compare(table: list[dict[str, int]]) -> None:
    refused = [rank for rank, row in enumerate(table) if row["refused"]]
    if refused:
        raise AttometerError(f"rank {refused[0]} refused its arguments; its own error says why, and no rank computes")
    for name, argument in ALIKE.items():
        other = next((rank for rank, row in enumerate(table) if row[name] != table[0][name]), None)
        if other is None:
            continue
        same = "the same on every rank"
        if argument == name or name in ("dtype", "choice of scale, bias, impl or layout"):
            raise AttometerError(f"{argument}: got a different {name} on rank {other} than on rank 0, expected {same}")
        values = f"{table[0][name]} on rank 0, {table[other][name]} on rank {other}"
        raise AttometerError(f"{argument}: got {name} {values}, expected {same}")
