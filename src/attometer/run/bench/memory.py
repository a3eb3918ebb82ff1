"""Memory of a piece of torch code: the most bytes of tensors alive at once, and the process's high-water mark."""

import ctypes
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class TensorBytes(TorchDispatchMode):  # type: ignore[misc]
    """Within this context, count the bytes of storages that operations make: `alive` now, `peak` at most.

    What was made before is not counted, nor what a custom operator uses inside and gives back.

    >>> with TensorBytes() as counted:
    ...     x = torch.ones(256)
    ...     x = x + 1
    >>> counted.peak, counted.alive
    (2048, 1024)
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage()._cdata not in known | self._seen:
                self._add(leaf.untyped_storage())
        return made

    def _add(self, storage: Any) -> None:
        self._seen.add(storage._cdata)
        self.alive += storage.nbytes()
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._drop, storage._cdata, storage.nbytes())

    def _drop(self, identity: int, size: int) -> None:
        self._seen.discard(identity)
        self.alive -= size


def high_water(work: Callable[[], object]) -> int | None:
    """Return by how many bytes the process grew at most while `work` ran, or None where the system does not tell.

    Source: proc(5), VmHWM and clear_refs.
    """
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        reset.write_text("5")
        before = _status(status, "VmRSS")
        work()
        return max(0, _status(status, "VmHWM") - before)
    except OSError:
        return None


def trim() -> None:
    """Give pages that the C library's allocator holds but does not use back to the system, where it can (glibc)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def _status(path: Path, field: str) -> int:
    line = next(x for x in path.read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024
