"""The cases that are run on 2 and on 4 processes and compared with one."""

from dataclasses import dataclass

from attometer.masks import band, block, causal, chunked, document, global_, prefix, random, strided, window
from attometer.program import Mask


@dataclass(frozen=True)
class Case:
    """One call: sizes, mask, method and layout."""

    name: str
    method: str = "ring"
    mask: Mask | None = None
    n: int = 24
    m: int | None = None
    b: int = 2
    h: int = 4
    g: int = 4
    d: int = 8
    e: int = 8
    dtype: str = "float64"
    layout: str = "zigzag"
    scale: float | None = None
    cap: float | None = None
    with_lse: bool = True
    replicate_kv: bool = False

    @property
    def keys(self) -> int:
        """Return the number of keys."""
        return self.n if self.m is None else self.m


def _both(name: str, **options: object) -> list[Case]:
    return [Case(f"{method} {name}", method, **options) for method in ("ring", "ulysses")]  # type: ignore[arg-type]


CASES: tuple[Case, ...] = (
    *_both("full"),
    *_both("causal", mask=causal()),
    *_both("causal contiguous", mask=causal(), layout="contiguous"),
    *_both("causal float32", mask=causal(), dtype="float32", n=64),
    *_both("causal bfloat16", mask=causal(), dtype="bfloat16", n=64),
    *_both("causal, uneven length", mask=causal(), n=29),
    *_both("fewer positions than pieces", mask=causal(), n=3),
    *_both("one position", mask=causal(), n=1),
    *_both("window", mask=window(5), n=31),
    *_both("window contiguous", mask=window(3), n=32, layout="contiguous"),
    *_both("two-sided band", mask=band(2, 4), n=27),
    *_both("Longformer", mask=band(3, 3) | global_(2), n=30),
    *_both("BigBird", mask=band(2, 2) | global_(1) | random(3, 7), n=30),
    *_both("Sparse Transformer", mask=causal() & (window(4) | strided(4)), n=30),
    *_both("packed documents", mask=causal() & document((7, 3, 15)), n=25),
    *_both("chunks contiguous", mask=chunked(6), n=24, layout="contiguous"),
    *_both("prefix", mask=causal() | prefix(9), n=26),
    *_both("blocks, some queries see nothing", mask=block(8, [[1, 0, 0], [0, 0, 0], [0, 1, 1]]), n=24),
    *_both("nothing seen at all", mask=causal() & ~causal(), n=12),
    *_both("cross attention", n=10, m=33),
    *_both("causal, fewer queries than keys", mask=causal(), n=9, m=30),
    *_both("causal, more queries than keys", mask=causal(), n=30, m=11),
    *_both("grouped heads", mask=causal(), h=8, g=4, n=25),
    *_both("values wider than keys", mask=causal(), d=4, e=12, n=22),
    *_both("values narrower, scale and soft cap", mask=causal(), d=12, e=3, scale=0.3, cap=2.0),
    *_both("output only", mask=causal(), with_lse=False),
    Case("ring one key head", mask=causal(), h=4, g=1, n=23),
    Case("ring heads that do not divide", mask=causal(), h=3, g=3, n=23),
    Case("ring dilated contiguous", mask=strided(2) & window(20), n=32, layout="contiguous"),
    Case("ulysses one key head, replicated", "ulysses", causal(), h=4, g=1, n=23, replicate_kv=True),
    Case(
        "ulysses one key head, replicated bfloat16",
        "ulysses",
        causal(),
        h=4,
        g=1,
        n=64,
        dtype="bfloat16",
        replicate_kv=True,
    ),
    Case("attention with a mesh", "auto", causal(), n=21),
)

LARGE: tuple[Case, ...] = (
    *_both("causal 1500", mask=causal(), n=1500, b=1, d=32, e=32, dtype="float32"),
    *_both("window 1501", mask=window(200), n=1501, b=1, h=8, d=32, e=16, dtype="float32"),
    *_both("BigBird 1000", mask=band(30, 30) | global_(8) | random(6), n=1000, b=1, d=16, e=16, dtype="float32"),
)
