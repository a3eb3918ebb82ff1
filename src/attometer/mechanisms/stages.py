"""A text in stages: a layer's mechanism is one Program, and a model's parts are the same text, cut where kernels end."""

from collections.abc import Mapping


def joined(axes: str, stages: Mapping[str, str]) -> str:
    """Return the text of all stages together: what one leaves is what a later one reads.

    >>> joined("axis i: n", {"first": "A[i] = X[i] * 2", "second": "Y[i] = exp(A)"})
    'axis i: n\\nA[i] = X[i] * 2\\nY[i] = exp(A)'
    """
    return "\n".join((axes, *stages.values()))
