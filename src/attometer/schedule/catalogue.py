"""The schedules by name."""

import re
from collections.abc import Callable

from attometer.errors import unknown
from attometer.schedule.approximate import linear, linformer, performer
from attometer.schedule.backward import backward_passes, flash_backward_fused, flash_backward_two_kernels
from attometer.schedule.flash import flash1, flash2, flash2_sliced, split_kv, two_pass_recompute
from attometer.schedule.nest import Schedule
from attometer.schedule.passes import naive, naive_rows, two_pass, two_pass_outer

SCHEDULES: dict[str, Callable[[], Schedule]] = {
    "naive": naive,
    "naive_rows": naive_rows,
    "two_pass": two_pass,
    "two_pass_rowmax": lambda: two_pass(rowmax=True),
    "two_pass_outer": two_pass_outer,
    "two_pass_outer_rowmax": lambda: two_pass_outer(rowmax=True),
    "flash1": flash1,
    "flash2": flash2,
    "flash2_sliced": flash2_sliced,
    "two_pass_recompute": two_pass_recompute,
    "split_kv": split_kv,
    "flash_backward_fused": flash_backward_fused,
    "flash_backward_two_kernels": flash_backward_two_kernels,
    "backward_passes": backward_passes,
}
"""Builders of the schedules of softmax attention, forward first."""

APPROXIMATE: dict[str, Callable[[], Schedule]] = {"linear": linear, "linformer": linformer, "performer": performer}
"""Builders of the schedules of other mechanisms."""

_BUILT: dict[str, Schedule] = {}


def schedule(name: str) -> Schedule:
    """Return the schedule called `name`.

    Raises AttometerError for an unknown name.

    >>> print(schedule("flash2_sliced"))
    flash2_sliced: FlashAttention 2, V in column panels, scores recomputed per panel (...)
    parallel for z in tiles of 1 of z:
        parallel for i in tiles of B_r of n:
            load Q[i,c]
            parallel for x in tiles of B_e of e:
                O[i,x] = 0
                mx[i] = -inf
                l[i] = 0
                for j in tiles of B_c of m where (i,j) is not masked out:
                    P[i,j] = 0
                    for c in tiles of B_d of d:
                        load K[j,c]
                        P[i,j] += Q[i,c] K[j,c]
                        free K
                    P[i,j] = P[i,j] / √d, -inf where masked
                    m' = max(mx[i], P[i,j]); P[i,j] = exp(P[i,j] - m'); ...
                    load V[j,x]
                    O[i,x] += P[i,j] V[j,x]
                O[i,x] /= l[i]
                store O[i,x]
    """
    builders = SCHEDULES | APPROXIMATE
    if name not in builders:
        flash = re.fullmatch(r"(?:fa|flash)([12])", re.sub(r"[ _-]|attention", "", str(name).lower()))
        raise unknown("schedule", name, builders, {str(name).lower(): f"flash{flash[1]}"} if flash else None)
    if name not in _BUILT:
        _BUILT[name] = builders[name]()
    return _BUILT[name]
