"""Words that sorting by key moves through a small fast memory: an external merge sort, and moving rows into its order."""

from attometer.errors import AttometerError

RECORD = 2
"""Words of a record: its key and its place."""


def fan_in(M: int) -> int:
    """Return how many sorted runs are merged at once: a record of each, and the one written, lie in fast memory.

    Raises AttometerError when M holds fewer than three records.

    >>> fan_in(64)
    31
    """
    if M < 3 * RECORD:
        raise AttometerError(f"M = {M} is too small to merge: two runs and their result need {3 * RECORD} words")
    return M // RECORD - 1


def merge_passes(n: int, M: int) -> int:
    """Return the passes of an external merge sort of n records after the runs of M words were sorted.

    >>> merge_passes(32, 64), merge_passes(1000, 64), merge_passes(1 << 20, 64)
    (0, 2, 4)
    """
    ways, runs, passes = fan_in(M), -(-n * RECORD // (M // RECORD * RECORD)), 0
    while runs > 1:
        runs, passes = -(-runs // ways), passes + 1
    return passes


def sorting_words(n: int, M: int) -> int:
    """Return the words that sorting n records moves: every pass reads and writes each of them.

    Source: Aggarwal and Vitter 1988, The input/output complexity of sorting, with transfers of one word.

    >>> sorting_words(1000, 64)
    12000
    """
    return 2 * RECORD * n * (1 + merge_passes(n, M))


def sort_lsh_words(n: int, d: int, e: int, M: int) -> int:
    """Return what HyperAttention moves around its blocks: hashes made, two sorts, rows gathered, the result scattered.

    Hashing reads the queries and the keys and writes their records (the planes stay in fast memory); each row of Q, K and V
    is read by its place and written in order, and each row of the result is read and written to its place.

    >>> sort_lsh_words(n=1024, d=16, e=16, M=1 << 20)
    179200
    """
    hashing = 2 * (n * d + RECORD * n)
    moving = 2 * n * (2 * d + e) + 2 * n + 2 * n * e + n
    return hashing + 2 * sorting_words(n, M) + moving
