"""Compile inner loops with Numba when it is installed; the same source runs in pure Python when it is not."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

try:
    import numba
    from numba.extending import intrinsic
except ImportError:  # the extra `io` is optional: everything below still runs, only slower
    numba = None

Function = TypeVar("Function", bound=Callable[..., Any])

COMPILED: bool = numba is not None


def jit(function: Function) -> Function:
    """Return `function` compiled on its first call, or unchanged when Numba is missing."""
    if numba is None:
        return function
    # Compiling takes seconds, a small solve milliseconds: machine code is kept beside the source, or in the user's cache folder.
    return cast(Function, numba.njit(nogil=True, error_model="numpy", cache=True)(function))


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
