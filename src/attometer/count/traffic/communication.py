"""What the ranks of a sequence-parallel attention send, and keep from forward to backward: exact, in bytes, per rank."""

from dataclasses import dataclass

import sympy
from sympy import Add, Integer

from attometer.count.traffic.sequence_split import Split, pairs_by_block
from attometer.errors import AttometerError
from attometer.sizes import Size, size


@dataclass(frozen=True)
class Communication:
    """Bytes that one rank sends to others in the forward and in the backward pass."""

    forward: sympy.Expr
    backward: sympy.Expr


def ring_communication(split: Split, rank: Size | None = None) -> Communication:
    """Count what a rank sends in ring attention (Liu et al. 2023, arXiv:2310.01889).

    Forward, the keys and values of every block take p - 1 hops. Backward they do so again, and the gradients of both, in the
    accumulator's type, start at the owner's neighbour and take p - 1 hops to come home. With a mask, or with numbers for n,
    m and p, a block stops at the last rank that sees it, and its gradients go home from there in one hop.

    Args:
        split: what is computed where.
        rank: which rank, symbol r if not given.

    Returns:
        Bytes forward and backward; with symbols, for at least one query on each rank.

    Raises:
        AttometerError: a mask without numbers for n, m and p.

    >>> from attometer.count.traffic.sequence_split import sequence_split
    >>> sent = ring_communication(sequence_split(ranks=2, b=1, g=1, n=8, d=4, element=2, accumulator=4), 0)
    >>> sent.forward, sent.backward
    (64, 192)
    """
    at = size("r") if rank is None else sympy.sympify(rank)
    if all(x.is_Integer for x in (split.n, split.m, split.ranks, at)):
        return _routed(split, int(at))
    if split.mask is not None:
        raise AttometerError(f"mask: got {split.mask} with symbols, expected numbers for n, m, ranks and rank")
    position = split.b * split.g * (split.d + split.e)
    # A rank passes on every block but its successor's, and the gradients of every block but its own.
    onward = position * split.element * (split.m - split.keys(sympy.Mod(at + 1, split.ranks)))
    return Communication(onward, onward + position * split.accumulator * (split.m - split.keys(at)))


def ring_total(split: Split) -> Communication:
    """Count what all ranks together send in ring attention without a mask: p - 1 hops of everything, with no rounding.

    >>> from attometer.count.traffic.sequence_split import sequence_split
    >>> print(ring_total(sequence_split(m=size("m"), e=size("e"))).backward)
    a*b*g*m*(d + e)*(p - 1) + b*g*m*w*(d + e)*(p - 1)
    """
    hops = split.b * split.g * split.m * (split.d + split.e) * (split.ranks - 1)
    return Communication(hops * split.element, hops * split.element + hops * split.accumulator)


def _routed(split: Split, rank: int) -> Communication:
    ranks = int(split.ranks)
    seen = [[count > 0 for count in row] for row in pairs_by_block(split)]
    keys, gradients = [], []
    for owner in range(ranks):
        distances = [t for t in range(1, ranks) if seen[(owner + t) % ranks][owner]]
        here = (rank - owner) % ranks
        if distances and here < distances[-1]:
            keys.append(split.keys(Integer(owner)))
        if distances and distances[0] <= here <= distances[-1]:
            gradients.append(split.keys(Integer(owner)))
    position = split.b * split.g * (split.d + split.e)
    onward = position * split.element * Add(*keys)
    return Communication(onward, onward + position * split.accumulator * Add(*gradients))


def ulysses_communication(split: Split, rank: Size | None = None, *, return_lse: bool = False) -> Communication:
    """Count what a rank sends in Ulysses attention (Jacobs et al. 2023, arXiv:2309.14509).

    Forward, queries, keys and values trade positions for heads and outputs go back; backward, the outputs' gradients and
    those of queries, keys and values. A mask changes nothing. With g < p, each key/value head goes to p/g ranks, and its
    gradients come back in the accumulator's type.

    Args:
        split: what is computed where; h is a multiple of p, and so is g, or g divides p.
        rank: which rank, symbol r if not given.
        return_lse: whether the log-sum-exp is returned and differentiated too.

    >>> from attometer.count.traffic.sequence_split import sequence_split
    >>> sent = ulysses_communication(sequence_split(ranks=2, b=1, h=2, g=2, n=8, d=4, element=2, accumulator=4), 0)
    >>> sent.forward, sent.backward
    (128, 128)
    """
    p = split.ranks
    at = size("r") if rank is None else sympy.sympify(rank)
    heads, replicated = split.h / p, _replicated(split)
    here, keys_here = split.queries(at), split.keys(at)
    others, keys_elsewhere = split.n - here, split.m - keys_here
    lse = split.b * heads * split.accumulator if return_lse else Integer(0)
    rows = split.b * heads * split.element
    columns = split.b * _key_heads(split) * (split.d + split.e)
    return Communication(
        Add(
            (p - 1) * (rows * here * split.d + columns * split.element * keys_here),
            rows * others * split.e,
            lse * others,
        ),
        Add(
            (p - 1) * rows * here * split.e,
            (p - 1) * lse * here,
            rows * others * split.d,
            columns * keys_elsewhere * (split.accumulator if replicated else split.element),
        ),
    )


def ring_kept(split: Split, rank: Size | None = None) -> sympy.Expr:
    """Return the bytes alive on a rank of a ring between forward and backward: its shards of Q, K, V, O, log-sum-exp.

    >>> from attometer.count.traffic.sequence_split import sequence_split
    >>> ring_kept(sequence_split(ranks=2, b=1, h=2, g=1, n=8, d=4, element=2, accumulator=4), 0)
    224
    """
    at = size("r") if rank is None else sympy.sympify(rank)
    return _shards(split, at) + split.b * split.h * split.queries(at) * split.accumulator


def ulysses_kept(split: Split, rank: Size | None = None) -> sympy.Expr:
    """Return the bytes alive on a rank of Ulysses between forward and backward.

    These are its shards of Q, K, V, O, and again Q, K, V, O and the log-sum-exp of whole sequences of its heads.

    >>> from attometer.count.traffic.sequence_split import sequence_split
    >>> ulysses_kept(sequence_split(ranks=2, b=1, h=2, g=2, n=8, d=4, element=2, accumulator=4), 0)
    544
    """
    at = size("r") if rank is None else sympy.sympify(rank)
    heads, groups = split.h / split.ranks, _key_heads(split)
    whole = split.b * (split.d + split.e) * split.element * (heads * split.n + groups * split.m)
    return _shards(split, at) + whole + split.b * heads * split.n * split.accumulator


def _shards(split: Split, rank: sympy.Expr) -> sympy.Expr:
    positions = split.h * split.queries(rank) + split.g * split.keys(rank)
    return split.b * (split.d + split.e) * split.element * positions


def _replicated(split: Split) -> bool:
    return bool((split.g / split.ranks).is_integer is False)


def _key_heads(split: Split) -> sympy.Expr:
    """Return the key/value heads of a rank in Ulysses."""
    return Integer(1) if _replicated(split) else split.g / split.ranks
