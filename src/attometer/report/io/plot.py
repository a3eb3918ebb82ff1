"""The figure of an I/O report: its problem at every size of fast memory."""

from pathlib import Path

from attometer.count.traffic.io_curve import io_curve
from attometer.report.io.curve import draw_io_curve, simulated_caches
from attometer.report.io.report import IoReport

REFERENCES = 30_000_000
"""The longest trace worth simulating for a picture; about 8 n² d references."""


def plot_io(report: IoReport, path: str | Path) -> Path:
    """Draw words moved against M for the report's problem: its schedules, the bounds, and, where small, simulated caches.

    Args:
        report: what `io_report` returned.
        path: `.png`, `.svg` or `.pdf`, written whole or not at all.

    Returns:
        The path written.

    Raises:
        AttometerError: another suffix, or a folder that does not exist.
    """
    shape = report.shape
    curve = io_curve(
        n=shape.n,
        d=shape.d,
        m=shape.m,
        e=shape.e,
        mask=shape.mask,
        heads=shape.copies * shape.stack,
        kv_heads=shape.copies,
        schedules=[row.name for row in report.rows],
        backward=any("backward" in row.name for row in report.rows),
    )
    alone = shape.mask is None and shape.copies * shape.stack == 1 and (shape.m, shape.e) == (shape.n, shape.d)
    simulated = alone and 8 * shape.n**2 * shape.d <= REFERENCES
    caches = simulated_caches(shape.n, shape.d, report.M) if simulated else None
    return draw_io_curve(curve, path, caches, asked=report.M)
