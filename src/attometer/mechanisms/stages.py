"""A text in stages: a layer's mechanism is one Program, and a model's parts are the same text, cut where kernels end."""

import re
from collections.abc import Iterator, Mapping


def joined(axes: str, stages: Mapping[str, str]) -> str:
    """Return the text of all stages together: what one leaves is what a later one reads.

    >>> joined("axis i: n", {"first": "A[i] = X[i] * 2", "second": "Y[i] = exp(A)"})
    'axis i: n\\nA[i] = X[i] * 2\\nY[i] = exp(A)'
    """
    return "\n".join((axes, *stages.values()))


def apart(axes: str, stages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each stage as a text of its own; one that declares its inputs declares what an earlier stage left it, too.

    >>> dict(apart("axis i: n", {"first": "A[i] = X[i] * 2", "second": "input U[i]\\nY[i] = exp(A[i]) * U[i]"}))["second"]
    'axis i: n\\ninput A[i]\\ninput U[i]\\nY[i] = exp(A[i]) * U[i]'
    """
    made: dict[str, str] = {}
    for name, text in stages.items():
        left = [f"input {known}" for own, known in made.items() if re.search(rf"\b{own}\b", text)]
        yield name, "\n".join((axes, *(left if re.search(r"^\s*(input|cache)\b", text, re.M) else ()), text))
        made |= {found[2]: found[1] for found in re.finditer(r"^\s*(([A-Za-z_]\w*)(?:\[[^\]]*\])?)\s*=", text, re.M)}
