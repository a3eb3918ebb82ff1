"""Amounts as people write them: 128k, 1M, 131,072, 1e5; lists 8k,32k; ranges of powers of two 1k..1M."""

import re
from fractions import Fraction

from attometer.errors import AttometerError, printable

SUFFIXES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
"""Powers of 1,024: a context of 128k is 131,072 tokens."""
MOST_STEPS = 64

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e[0-9]{1,2})?)\s*([kmgt]?)i?")
_DASHED = re.compile(r"\s*([0-9.]+[kmgt]?)\s*[-–:]\s*([0-9.]+[kmgt]?)\s*", re.IGNORECASE)
_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")


def amount(text: str, name: str = "amount") -> int:
    """Return a positive whole number; k, M, G and T are powers of 1,024, and commas or underscores may group digits.

    Raises AttometerError naming what it is for anything else.

    >>> [amount(t) for t in ("128k", "1M", "131,072", "1e5", "1.5k", "4_096")]
    [131072, 1048576, 131072, 100000, 1536, 4096]
    """
    bare = text.strip().replace("_", "")
    bare = bare.replace(",", "") if _GROUPED.fullmatch(bare) else bare
    match = _NUMBER.fullmatch(bare.lower())
    value = Fraction(match[1]) * SUFFIXES[match[2]] if match else Fraction(0)
    if value < 1 or value.denominator != 1:
        told = printable(text.strip())
        if re.search(r"\d[kmgt]?\s*(,|\.\.)\s*\d", bare, re.IGNORECASE):
            raise AttometerError(f"{name} is one number here, got {told:.60}; sweep takes lists and ranges")
        raise AttometerError(f"{name} must be a positive integer, got {told:.60}; as in 4096, 128k, 1M, 131,072 or 1e5")
    return int(value)


def amounts(text: str, name: str = "amount") -> tuple[int, ...]:
    """Return a list: amounts between commas, and ranges `1k..1M` of the powers of two from one to the other.

    A range ends with its own end, a power of two or not. Raises AttometerError for an empty list, for a range that falls,
    and for `1,024`, which could be one amount or two.

    >>> amounts("8k,32k"), amounts("1..8"), amounts("1k..3k")
    ((8192, 32768), (1, 2, 4, 8), (1024, 2048, 3072))
    """
    if _GROUPED.fullmatch(text.strip()):
        plain = text.strip().replace(",", "")
        raise AttometerError(f'{name} "{text}" is one amount or several; write {plain}, or {text.replace(",", ", ")}')
    values = [value for part in text.split(",") for value in _range(part, name)]
    return tuple(dict.fromkeys(values))


def _range(text: str, name: str) -> list[int]:
    first, dots, last = text.partition("..")
    if (ends := _DASHED.fullmatch(text)) is not None:
        raise AttometerError(f'{name} "{text.strip()}" is no amount; a range is written {ends[1]}..{ends[2]}')
    low = amount(first, name)
    if not dots:
        return [low]
    high = amount(last, name)
    if high < low:
        raise AttometerError(f"{name} range {text.strip()} falls; write {last.strip()}..{first.strip()}")
    steps = [low << k for k in range(MOST_STEPS) if low << k < high]
    return [*steps, high]
