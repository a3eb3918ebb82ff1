"""The page as one file: text, style, script and compressed data put together."""

import base64
import html
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from attometer.machine import Machine, machine
from attometer.mechanisms import Mechanism
from attometer.mechanisms.subject import SUFFIX, subject
from attometer.models import Model
from attometer.models import model as read
from attometer.plan import Plan, plan
from attometer.plan.serving import EngineOptions
from attometer.plan.verdict import verdict
from attometer.report.page.data import page_data
from attometer.view.files import in_folder, write_atomically

START: dict[str, Any] = {"model": "llama-3.1-8b", "machine": "h100-sxm", "context": 131072}
"""What the page shows first."""


def write_page(
    path: str | Path,
    subjects: Iterable[str | Path | Model] = (),
    start: Mapping[str, Any] | None = None,
    names: Iterable[str] | None = None,
    claims: Mapping[str, Any] | None = None,
    places: Iterable[str | Path | Machine] = (),
) -> Path:
    """Write the explorer page and return its path.

    Args:
        path: the file to write.
        subjects: models, configurations and files of notation (`.att`) to offer beside what is shipped; the first one is shown first.
        start: the state shown first, as in `{"model": "gpt2", "machine": "l4", "context": 1024, "mode": "decode"}`.
        names: the shipped models that are offered; all when not given.
        claims: what documents print and what is counted, as `am.claims().to_dict()`: a tab of its own.
        places: machines to offer beside those shipped, as `this` after `calibrate --quick` or a file; the first one is shown first.

    Raises AttometerError for a folder that does not exist and a configuration that cannot be read.
    """
    in_folder(path, "page")
    texts, models = [], []
    for one in subjects:
        if not isinstance(one, Model) and str(one).endswith(SUFFIX):
            texts.append(subject(str(one)))
        else:
            models.append(one if isinstance(one, Model) else read(one))
    on = [one if isinstance(one, Machine) else machine(one) for one in places]
    return write_atomically(path, page(models, start, names, texts, claims, on))


CODE = (
    ("parts.js", "weights.js", "placement.js", "serving.js", "view.js", "why.js", "charts.js", "share.js"),
    ("masks.js", "notation.js", "config.js", "memory.js", "tabs.js"),
)
"""What runs once the data is there, and is packed with it: for the plan shown first, and for the rest; numbers.js unpacks them."""
LATER = ("mechanisms", "games", "schedules", "bounds", "forms", "functions", "free", "claims")
"""Data that the plan shown first does not need."""


def page(
    more: Iterable[Model] = (),
    start: Mapping[str, Any] | None = None,
    names: Iterable[str] | None = None,
    texts: Iterable[Mechanism] = (),
    claims: Mapping[str, Any] | None = None,
    places: Iterable[Machine] = (),
) -> str:
    """Return the explorer page: one HTML text that makes no request.

    Args:
        more: models to offer beside the shipped ones.
        start: the state shown first.
        names: the shipped models that are offered; all when not given.
        texts: mechanisms to offer beside the catalogue's; with no model given, their tab is shown first.
        claims: the ledger of claims, as a dictionary; without it there is no such tab.
        places: machines to offer beside those shipped.
    """
    added, mine, own = list(more), list(texts), {one.id: one for one in places}
    first_of = {"model": added[0].name} if added else {}
    shown = {**START, **first_of, **({"machine": next(iter(own))} if own else {}), **(start or {})}
    data = page_data(added, names, mine, own.values()) | {"claims": claims}
    tab = {"tab": "mechanisms"} if mine and not added else {}
    first = _first(shown, added, own)
    pieces = {
        "css": _file("page.css"),
        "numbers": _file("numbers.js"),
        **{
            name: _packed(part, code)
            for (name, part), code in zip(_split(data, first, shown["machine"]).items(), CODE, strict=True)
        },
        "state": html.escape(urlencode({**shown, **tab})),
        "own": html.escape(mine[0].name) if mine else "",
        "verdict": "✓ fits" if first.fits else "✗ does not fit",
        "headline": html.escape(verdict(first)),
        "report": html.escape(first.text(110)),
        "version": version("attometer"),
    }
    made = _file("page.html")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: pieces[found[1]], made)


def _split(data: Mapping[str, Any], shown: Plan, on: str) -> dict[str, dict[str, Any]]:
    """Return what a plan needs of the data, and the rest; models, texts and machines stand in both, first those of the plan."""
    models, place = data["models"], on if on in data["machines"] else shown.machine.chip_id
    at = models["at"][models["names"].index(shown.model.name)]
    own: dict[str, Any] = {
        "names": [shown.model.name],
        "at": [0],
        "fields": {k: [v[at]] for k, v in models["fields"].items()},
    }
    used = {text for text, _ in own["fields"]["texts"][0]}
    texts = [text if k in used else 0 for k, text in enumerate(data["texts"])]
    first = {k: v for k, v in data.items() if k not in LATER}
    rest = {k: data[k] for k in ("models", "texts", "machines", *LATER)}
    return {
        "first": first | {"models": own, "texts": texts, "machines": {place: data["machines"][place]}},
        "rest": rest,
    }


def _packed(data: Mapping[str, Any], code: Iterable[str]) -> str:
    """Return data and code compressed, as text that stands in HTML as it is."""
    text = json.dumps({**data, "code": "\n".join(map(_file, code))}, separators=(",", ":"))
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def _first(shown: Mapping[str, Any], added: list[Model], own: Mapping[str, Machine]) -> Plan:
    subject = next((m for m in added if m.name == shown["model"]), shown["model"])
    return plan(subject, own.get(shown["machine"], shown["machine"]), **asked(shown))


def asked(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `plan` that a state of the page stands for, model and machine apart.

    >>> asked({"model": "gpt2", "machine": "l4", "weights": "fp8", "context": 1024})
    {'weights_dtype': 'fp8', 'context': 1024}
    """
    own = {"weights": "weights_dtype", "kv": "kv_dtype"}
    found = {own.get(k, k): v for k, v in state.items() if k not in ("model", "machine", "utilization")}
    if state.get("utilization"):
        found["engine"] = EngineOptions(state["engine"], utilization=state["utilization"])
    return found


@lru_cache(maxsize=16)
def _file(name: str) -> str:
    """Return a file of the page; of scripts without comments on lines of their own and without what indents a line."""
    text = (files("attometer") / "report" / "page" / name).read_text(encoding="utf-8")
    if not name.endswith(".js"):
        return text
    lines = map(str.strip, text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))
