"""The C structures of a call, as `micro/call.hpp` declares them."""

import ctypes
from typing import Any

I64, POINTER = ctypes.c_int64, ctypes.c_void_p
STATUS = {
    1: "a null pointer, or structures of another size",
    2: "a size or a stride out of range",
    3: "a tensor that is not aligned to its elements",
    4: "too little memory",
    5: "the system does not let this process use tile registers",
}
"""What a kernel answers, apart from 0."""


class Operand(ctypes.Structure):
    """A tensor: its address, and the strides of batch (or page), head, row and column in elements."""

    _fields_ = [("data", POINTER), *((name, I64) for name in ("batch", "head", "row", "column"))]


OPERANDS = ("q", "k", "v", "o", "lse", "grad", "lse_grad", "dq", "dk", "dv", "rest", "k_scale", "v_scale", "bias")


class Call(ctypes.Structure):
    """One call of a kernel."""

    _fields_ = [
        *((name, Operand) for name in OPERANDS),
        ("slopes", POINTER), ("sinks", POINTER),
        *((name, I64) for name in ("b", "h", "g", "n", "m", "d", "e")),
        ("starts", POINTER), ("ends", POINTER), ("intervals", I64), ("interval_batch", I64),
        ("interval_head", I64),
        ("pages", POINTER), ("lengths", POINTER), ("page", I64), ("page_batch", I64),
        *((name, I64) for name in ("threads", "tile_rows", "tile_columns", "splits", "budget")),
        ("seed", ctypes.c_uint64), *((name, ctypes.c_double) for name in ("scale", "cap", "dropout")),
    ]  # fmt: skip


def operand(tensor: Any) -> Operand:
    """Return a tensor [batch, heads, length] or [batch, heads, length, width] as an operand."""
    strides = [*tensor.stride(), *[1] * (4 - tensor.dim())]
    return Operand(tensor.data_ptr(), *strides)
