"""Which rows calibrate and which are held out: a fixed rule, so that nobody can choose."""

from hashlib import blake2b

POINTS, BLOCKS = 0.15, 0.25  # shares held out: of split groups, and of blocks whole


def fraction(text: str) -> float:
    """Return a number in [0, 1) that only the text decides."""
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


def held_out(split_group: str, block: str) -> str:
    """Return `block` when the row's block is held out whole, `point` when its split group is, `fit` otherwise.

    Rows of one split group (repeats and other metrics of one measurement) and of one block (one geometry on one
    machine) always fall together.

    >>> held_out("gemm-p1", "gemm|h100|n=4096"), held_out("gemm-p1", "gemm|h100|n=4096")
    ('fit', 'fit')
    """
    if fraction(f"block {block}") < BLOCKS:
        return "block"
    return "point" if fraction(f"point {split_group}") < POINTS else "fit"
