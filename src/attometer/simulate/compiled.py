"""Compile inner loops with Numba when it is installed; the same source runs in pure Python when it is not."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

try:
    import numba
    from numba.extending import intrinsic
except ImportError:  # the extra `io` is optional: everything below still runs, only slower
    numba = None

Function = TypeVar("Function", bound=Callable[..., Any])

COMPILED: bool = numba is not None


def jit(function: Function) -> Function:
    """Return `function` compiled on its first call, or unchanged when Numba is missing.

    Compiling takes seconds, a small solve milliseconds: machine code is kept beside the source, or in the user's folder.
    """
    if numba is None:
        return function
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
        # Kept code holds that of the functions it calls: a change to any kernel's file must make all of them stale.
        compiled._cache._cache_file._source_stamp = _stamp()
    except (RuntimeError, AttributeError):  # no folder to keep code in, or a Numba that keeps it in another way
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)


@cache
def _stamp() -> str:
    """Return a digest of the sources of all kernels."""
    folder = Path(__file__).parent
    names = ["compiled.py", "pebble/states.py", "pebble/search.py"]
    kernels = sorted(folder.glob("cache/*_kernel.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*map(folder.joinpath, names), *kernels])).hexdigest()


def _bit_intrinsic(name: str) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def bit_operation(typing_context: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            from llvmlite import ir  # type: ignore[import-untyped]

            if name == "popcount":
                return builder.ctpop(arguments[0])
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return numba.types.int64(numba.types.int64), generate

    return bit_operation


def _popcount(value: int) -> int:
    return int(value).bit_count()


def _lowest_bit(value: int) -> int:
    value = int(value)
    return (value & -value).bit_length() - 1


# Bits set in a non-negative 64-bit integer, and the index of the lowest: one machine instruction each when compiled.
popcount: Callable[[int], int] = _popcount if numba is None else _bit_intrinsic("popcount")
lowest_bit: Callable[[int], int] = _lowest_bit if numba is None else _bit_intrinsic("lowest_bit")
