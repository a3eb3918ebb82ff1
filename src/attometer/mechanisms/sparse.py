"""Sparse attention with a fixed pattern: softmax attention over a mask, and never a second copy of the code."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import count, size_parameter
from attometer.mechanisms.softmax import KEYS, VALUE_WIDTH, attention

CHILD = "Child et al. 2019, Generating Long Sequences with Sparse Transformers, arXiv:1904.10509, section 4"

SLIDING_WINDOW = Entry(
    "sliding_window",
    "causal sliding-window attention",
    attention("window(i, j, w)"),
    "Jiang et al. 2023, Mistral 7B, arXiv:2310.06825, section 2",
    parameters=(size_parameter("w", 256, "newest keys a query sees, itself included"), KEYS, VALUE_WIDTH),
    notes="Mistral 7B itself has w = 4096.",
)

LONGFORMER = Entry(
    "longformer",
    "symmetric window and global tokens",
    attention("band(i, j, w/2, w/2) | global(i, j, t)"),
    "Beltagy et al. 2020, Longformer: The Long-Document Transformer, arXiv:2004.05150",
    parameters=(
        size_parameter("w", 512, "window: w/2 keys on each side of the query, besides itself; even"),
        size_parameter("t", 1, "global tokens: the first, which see all and are seen by all"),
        KEYS,
        VALUE_WIDTH,
    ),
    divides=(("w", "2"),),
    notes="The published model gives global tokens their own projections; the attention itself is this one.",
)


def _bigbird(r: int, seed: int) -> str:
    return attention(f"band(i, j, w/2, w/2) | global(i, j, t) | random(i, j, {r}, {seed})")


BIGBIRD = Entry(
    "bigbird",
    "symmetric window, global tokens and random keys",
    _bigbird,
    "Zaheer et al. 2020, Big Bird: Transformers for Longer Sequences, arXiv:2007.14062",
    parameters=(
        size_parameter("w", 192, "window: w/2 keys on each side of the query, besides itself; even"),
        size_parameter("t", 128, "global tokens: the first, which see all and are seen by all"),
        count("r", 192, "random keys of each query"),
        count("seed", 0, "seed of the random keys", least=0),
        KEYS,
        VALUE_WIDTH,
    ),
    divides=(("w", "2"),),
    notes="Token by token; the published model draws the same pattern in blocks of 64 tokens (3 window, 2 global, 3 random).",
)

SPARSE_TRANSFORMER_STRIDED = Entry(
    "sparse_transformer_strided",
    "causal window and every l-th key before it",
    attention("causal(i, j) & (window(i, j, l) | strided(i, j, l))"),
    CHILD,
    parameters=(size_parameter("l", 128, "stride, and window"), KEYS, VALUE_WIDTH),
    notes="Both patterns in one head (the paper's merged head); the paper also splits them over heads or layers.",
)

SPARSE_TRANSFORMER_FIXED = Entry(
    "sparse_transformer_fixed",
    "causal block and the last c keys of every block before it",
    attention("causal(i, j) & fixed(i, j, l, c)"),
    CHILD,
    parameters=(
        size_parameter("l", 128, "block length"),
        size_parameter("c", 8, "summary keys at the end of each block"),
        KEYS,
        VALUE_WIDTH,
    ),
    notes="Both patterns in one head (the paper's merged head); the paper also splits them over heads or layers.",
)
