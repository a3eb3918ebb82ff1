"""Places that index expressions lead to: digits, steps, shifts and their mixtures, for properties of programs that read so."""

from hypothesis import strategies as st

AXES = {"i": "n", "c": "n / B", "t": "B", "u": "2 * B", "a": "n / (2 * B)", "q": "2"}
SIZES = {"n": 12, "B": 3, "w": 2}
MAPS = [
    *AXES, "i // B", "i % B", "i // B % 2", "i // (2 * B)", "i % (2 * B)", "c * B + t", "a * 2 * B + u", "c * 2 + q", "u // B",
    "u % B", "i // B % 2 - 1", "(a * 2 + 1) * B + t", "i // B + 1", "i // B * B + t", "c + t", "i - t", "t + 2", "u - 1", "c * 2",
    "t * 3 + 1",
]  # fmt: skip
DECLARED = "axis " + ", ".join(f"{name}: {extent}" for name, extent in AXES.items())
places = st.lists(st.sampled_from(MAPS), min_size=1, max_size=2)
orders = st.permutations([*AXES])
some = st.sets(st.sampled_from([*AXES]))


def read_by(parts: list[str]) -> list[str]:
    """Return the indices that lead to places."""
    return [name for name in AXES if name in "".join(parts)]
