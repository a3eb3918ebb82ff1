"""The cases of each check: small operands drawn at random, chosen where implementations are known to go wrong."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from attometer.program import (
    Mask,
    band,
    block,
    causal,
    chunked,
    document,
    fixed,
    global_,
    prefix,
    random,
    strided,
    window,
)
from attometer.run.biases import Terms, alibi
from attometer.testing.oracle import Case

LOW = (torch.bfloat16, torch.float16)


def draw(
    name: str,
    sizes: tuple[int, int, int, int, int, int, int],
    seed: int,
    mask: Mask | None = None,
    bias: Terms = Terms(),  # noqa: B008
    dtype: torch.dtype = torch.float32,
    gradients: bool = False,
    lse: bool = False,
) -> Case:
    """Return a case of sizes (b, h, g, n, m, d, e) with normal entries."""
    b, h, g, n, m, d, e = sizes
    rng = np.random.default_rng(seed)
    shapes = ((b, h, n, d), (b, g, m, d), (b, g, m, e))
    q, k, v = (torch.from_numpy(rng.standard_normal(s)).to(dtype).requires_grad_(gradients) for s in shapes)
    return Case(name, q, k, v, mask, bias, lse=lse, gradients=gradients)


SHAPES = {
    "square": (2, 3, 3, 65, 65, 16, 16),
    "one query": (2, 2, 2, 1, 70, 16, 16),
    "one key": (2, 2, 2, 9, 1, 16, 16),
    "cross, more keys": (1, 2, 2, 33, 90, 16, 16),
    "cross, more queries": (1, 2, 2, 90, 33, 16, 16),
    "v wider": (1, 2, 2, 40, 40, 16, 24),
    "v narrower": (1, 2, 2, 40, 40, 24, 8),
    "odd width": (1, 1, 1, 40, 40, 7, 7),
    "longer": (1, 1, 1, 600, 600, 8, 8),
}

MASKS: dict[str, Mask] = {
    "causal": causal(),
    "window": window(9),
    "band": band(5, 3),
    "longformer": band(4, 4) | global_(2),
    "bigbird": band(3, 3) | global_(1) | random(3, 1),
    "strided": causal() & (window(8) | strided(8)),
    "fixed": causal() & fixed(8, 2),
    "prefix": causal() | prefix(11),
    "documents": causal() & document([20, 31, 14]),
    "chunked": causal() & chunked(16),
    "blocks": block(32, [[1, 0, 0], [1, 1, 0], [0, 1, 1]]),
    "complement": ~window(9),
}


def values() -> Iterator[Case]:
    """Shapes: square, cross, single tokens, v of another width."""
    return (draw(name, sizes, 1) for name, sizes in SHAPES.items())


def gradients() -> Iterator[Case]:
    """The same shapes, and three masks, with gradients of q, k and v."""
    yield from (draw(name, sizes, 2, gradients=True) for name, sizes in SHAPES.items())
    for name in ("causal", "window", "bigbird"):
        yield draw(name, SHAPES["square"], 2, MASKS[name], gradients=True)


def log_sum_exp() -> Iterator[Case]:
    """The log of the denominator, masked and not."""
    yield draw("full", SHAPES["square"], 3, lse=True)
    yield draw("causal", SHAPES["square"], 3, causal(), lse=True)
    yield draw("rows that see nothing", SHAPES["cross, more queries"], 3, causal(), lse=True)


def masks() -> Iterator[Case]:
    """Every kind of mask, and causal with unequal lengths, which is aligned to the last key."""
    yield from (draw(name, SHAPES["square"], 4, mask) for name, mask in MASKS.items())
    for shape in ("one query", "cross, more keys", "cross, more queries"):
        yield draw(f"causal, {shape}", SHAPES[shape], 4, causal())


def grouped_heads() -> Iterator[Case]:
    """Key/value heads shared by several query heads."""
    for h, g in ((4, 2), (6, 1), (6, 3)):
        for gradient in (False, True):
            name = f"{h} on {g}{', gradients' if gradient else ''}"
            yield draw(name, (2, h, g, 40, 40, 16, 16), 5, causal(), gradients=gradient)


def strides() -> Iterator[Case]:
    """Operands that are views: transposed, interleaved, reversed by index, expanded, offset by one element."""
    base = draw("", (2, 3, 3, 33, 33, 8, 8), 6)
    made = [x.detach() for x in (base.q, base.k, base.v)]
    whole = torch.stack(made, 3)
    views: dict[str, Callable[[int], torch.Tensor]] = {
        "heads after length": lambda i: made[i].transpose(1, 2).contiguous().transpose(1, 2),
        "interleaved q, k, v": lambda i: whole[:, :, :, i],
        "width outside": lambda i: made[i].transpose(2, 3).contiguous().transpose(2, 3),
        "every second row": lambda i: made[i].repeat_interleave(2, 2)[:, :, ::2],
        "expanded batch": lambda i: made[i][:1].expand(2, -1, -1, -1),
        "odd offset": lambda i: torch.cat([torch.zeros(1), made[i].flatten()])[1:].view(made[i].shape),
    }
    for name, view in views.items():
        yield Case(name, view(0), view(1), view(2), causal())


def ragged_lengths() -> Iterator[Case]:
    """Lengths around the sizes of tiles and vectors."""
    for n in (1, 2, 15, 17, 31, 33, 63, 127, 129, 255, 257):
        yield draw(f"n = {n}", (1, 1, 1, n, n, 8, 8), 7, causal(), gradients=n < 130)


def zero_lengths() -> Iterator[Case]:
    """No batch, no queries, no keys: results are empty, or 0."""
    for name, sizes in {
        "no batch": (0, 2, 2, 5, 5, 8, 8),
        "no queries": (1, 2, 2, 0, 5, 8, 8),
        "no keys": (1, 2, 2, 5, 0, 8, 8),
    }.items():
        yield draw(name, sizes, 8)


def rows_that_see_nothing() -> Iterator[Case]:
    """Their output is 0 and their gradients are finite."""
    for mask_name, mask in {"after the query": ~causal(), "second document only": document([10])}.items():
        yield draw(mask_name, (1, 2, 2, 20, 20, 8, 8), 9, mask, gradients=True)


def extreme_logits() -> Iterator[Case]:
    """Scores of up to ±10,000, exact in the type, so that only overflow can go wrong."""
    for name, factor in (("±1e4", 100.0), ("all -1e4", -1.0), ("all 1e4", 1.0)):
        case = draw(name, (1, 1, 1, 20, 20, 4, 4), 10, gradients=True)
        with torch.no_grad():
            case.q.zero_()[..., 0] = 100.0
            if abs(factor) == 1:
                case.k.zero_()[..., 0] = 100.0 * factor
            else:
                case.k.zero_()[..., 0] = torch.arange(-10, 10) * 10.0
        yield Case(name, case.q, case.k, case.v, scale=1.0, gradients=True)


def not_finite() -> Iterator[Case]:
    """NaN and inf at hidden keys must not leak; at seen keys they must show."""
    for name, where in (("NaN in a hidden key", "k"), ("NaN in a hidden value", "v"), ("inf in a hidden value", "v")):
        case = draw(name, (1, 1, 1, 20, 20, 4, 4), 11, document([15]))
        getattr(case, where)[:, :, 17] = torch.inf if "inf" in name else torch.nan
        yield case
    seen = draw("NaN in a seen key", (1, 1, 1, 20, 20, 4, 4), 11, causal())
    seen.k[:, :, 12] = torch.nan
    yield seen
    query = draw("NaN in one query", (1, 1, 1, 20, 20, 4, 4), 11, causal())
    query.q[:, :, 12] = torch.nan
    yield query


def biases() -> Iterator[Case]:
    """ALiBi, a soft cap, sinks, additive biases that broadcast, and padding by -inf."""
    rng = np.random.default_rng(12)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape)).float()

    padding = torch.zeros(2, 1, 1, 40)
    padding[1, ..., :13] = -torch.inf
    kinds = {
        "alibi": Terms(slopes=alibi(4)),
        "soft cap": Terms(cap=2.0),
        "sinks": Terms(sinks=tensor(4)),
        "additive [b, h, n, m]": Terms(tensor(2, 4, 40, 40)),
        "additive [1, h, 1, m]": Terms(tensor(1, 4, 1, 40)),
        "padding [b, 1, 1, m]": Terms(padding),
    }
    for name, bias in kinds.items():
        yield draw(name, (2, 4, 2, 40, 40, 8, 8), 12, causal(), bias, gradients=name != "padding [b, 1, 1, m]")
    yield draw("padding, no mask", (2, 4, 2, 40, 40, 8, 8), 12, None, Terms(padding))


def low_precision() -> Iterator[Case]:
    """bf16 and fp16, with gradients, from short to long."""
    for dtype in LOW:
        for n in (40, 400):
            name = f"{str(dtype).removeprefix('torch.')}, n = {n}"
            yield draw(name, (1, 2, 1, n, n, 32, 32), 13, causal(), dtype=dtype, gradients=True)


CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "values": values,
    "gradients": gradients,
    "log-sum-exp": log_sum_exp,
    "masks": masks,
    "grouped heads": grouped_heads,
    "strides": strides,
    "ragged lengths": ragged_lengths,
    "zero lengths": zero_lengths,
    "rows that see nothing": rows_that_see_nothing,
    "extreme logits": extreme_logits,
    "inf and NaN": not_finite,
    "biases": biases,
    "low precision": low_precision,
}
"""The checks that compare with the truth; `referee` adds determinism, unchanged inputs, memory and torch's samples."""
