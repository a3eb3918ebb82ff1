"""`plan --open`: the page of the models asked about, at the plan that was asked for."""

import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attometer.machine import machine, machines
from attometer.models import model as read
from attometer.plan import plan
from attometer.report.page.assemble import asked, page
from attometer.view.files import write_atomically

PLAN_FLAGS = (
    "context",
    "batch",
    "mode",
    "chunk",
    "checkpoint",
    "weights_dtype",
    "kv_dtype",
    "engine",
    "utilization",
    "recipe",
    "schedule",
    "reserve_gib",
)
"""The options of `plan` that the page has inputs for."""
_NAMES = {"weights_dtype": "weights", "kv_dtype": "kv"}


def open_page(subjects: Sequence[str], on: str, options: Mapping[str, Any]) -> Path:
    """Write the page of these models alone at a plan of the first of them, open it in the browser, return its path.

    Raises AttometerError as `plan` does, and for several devices.
    """
    models = [read(subject) for subject in subjects]
    given = {name: value for name, value in options.items() if value not in (None, False, "flash")}
    start = {_NAMES.get(name, name): value for name, value in given.items()}
    place = machine(on)
    made = plan(models[0], place, **asked(start))
    start = {"model": models[0].name, "machine": place.id, "context": made.options.context, **start}
    text = page(models, start, names=(), places=() if place.id in machines() else [place])
    path = write_atomically(Path(tempfile.mkdtemp(prefix="attometer-")) / "attometer.html", text)
    webbrowser.open(path.as_uri())
    return path
