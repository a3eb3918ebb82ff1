"""One LRU list per set, as a row of tags from the newest to the oldest."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.simulate.cache.traces import Words
from attometer.simulate.compiled import jit


@jit
def set_pass(lines: Any, sets: int, limit: int, tags: Any, histogram: Any) -> None:
    """Count the depths at which references find their lines in their sets, and move each to the front."""
    for position in range(len(lines)):
        line = lines[position]
        first = line % sets * limit
        depth = 0
        carried = line
        while depth < limit:
            tag = tags[first + depth]
            tags[first + depth] = carried
            depth += 1
            if tag == line:
                histogram[depth] += 1
                break
            carried = tag


def first_touches(seen: NDArray[np.bool_], lines: Words) -> tuple[NDArray[np.bool_], int]:
    """Return the marks of lines seen, these added, and how many were new."""
    if not len(lines):
        return seen, 0
    largest = int(lines.max())
    if largest >= len(seen):
        seen = np.concatenate([seen, np.zeros(max(largest + 1 - len(seen), len(seen)), np.bool_)])
    before = int(np.count_nonzero(seen))
    seen[lines] = True
    return seen, int(np.count_nonzero(seen)) - before
