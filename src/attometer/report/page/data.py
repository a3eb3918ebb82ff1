"""The data of the page: models, machines, formats, as plain values for JSON."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import track

from attometer.emit.kept import kept_data
from attometer.errors import AttometerError
from attometer.formats import CACHE_FORMATS, FORMATS
from attometer.machine import Machine, machine, machines, node_of
from attometer.mechanisms import Mechanism
from attometer.models import Model, model, shipped
from attometer.models.no_cost import NO_COST
from attometer.plan.formulas import PARTS_OF_A_BIT
from attometer.plan.planner import OPTIMIZER_BYTES, TRAFFIC
from attometer.plan.rates import HOLDS
from attometer.program.expression import FUNCTIONS
from attometer.report.page.config_data import forms
from attometer.report.page.engine_data import ROWS_OF_CACHES, engines_data, optimizers_data, recipes_data
from attometer.report.page.mechanism_data import catalogue_data, mechanism_data
from attometer.report.page.model_data import model_data
from attometer.report.page.part_data import Text, numbered, text_data
from attometer.report.page.pebble_data import games
from attometer.report.page.schedule_data import bounds_data, schedules_data


def page_data(
    more: Iterable[Model] = (),
    names: Iterable[str] | None = None,
    texts: Iterable[Mechanism] = (),
    places: Iterable[Machine] = (),
) -> dict[str, Any]:
    """Return models (those of `names`, all shipped ones when not given, and `more`), machines, formats, and mechanisms.

    Raises AttometerError for one of `places` that does not state memory, bandwidth and a rate.
    """
    own = list(places)
    for place in own:
        if not plannable(place):
            raise AttometerError(f"{place.name} states no memory, bandwidth or peak rate: a plan needs all three")
    models, formulas = _models(more, shipped() if names is None else names)
    return {
        "texts": [formulas[text] for text in numbered(models.values())],
        "models": columns(models),
        "machines": {
            **{place.id: machine_data(place) for place in own},
            **{
                name: machine_data(place)
                for name in machines()
                if name not in {each.id for each in own} and plannable(place := machine(name))
            },
        },
        "formats": {name: [PARTS_OF_A_BIT * float(f.bits), f.rate, f.source] for name, f in FORMATS.items()},
        "caches": list(CACHE_FORMATS),
        "rows": {name: PARTS_OF_A_BIT * bits for name, bits in TRAFFIC.items()},
        "cacheRows": ROWS_OF_CACHES,
        "engines": engines_data(),
        "recipes": recipes_data(),
        "optimizers": optimizers_data(),
        "holds": HOLDS,
        "free": sorted(NO_COST),
        "optimizer": OPTIMIZER_BYTES,
        "mechanisms": {
            **{one.name: mechanism_data(one) for one in texts},
            **kept_data("page-mechanisms", catalogue_data),
        },
        "games": games(),
        "functions": list(FUNCTIONS),
        "schedules": schedules_data(),
        "bounds": bounds_data(),
        "forms": forms(),
    }


def _models(
    more: Iterable[Model], names: Iterable[str]
) -> tuple[dict[str, dict[str, Any]], dict[Text, dict[str, Any]]]:
    """Return the data of models by name, and the formulas of their texts; those of a shipped model are kept for the next page."""
    own = {one.name: one for one in more}
    shown = Console(stderr=True)
    listed = [*own, *(name for name in names if name not in own)]
    followed = track(listed, "formulas of models", console=shown, transient=True, disable=not shown.is_terminal)
    models, formulas = {}, dict[Text, dict[str, Any]]()
    for name in followed:
        held = own.get(name)
        if held is None or (name in shipped() and held == model(name)):
            found = kept_data("page-model", lambda name=name: _with_formulas(model(name)), name)  # type: ignore[misc]
        else:
            found = _with_formulas(held)
        formulas |= {(text, tuple(sizes)): made for text, sizes, made in found["formulas"]}
        models[name] = found["model"]
    return models, formulas


def _with_formulas(one: Model) -> dict[str, Any]:
    """Return a model's data, and its texts with the names of their sizes and their formulas."""
    data = dict(model_data(one))
    return {
        "model": data,
        "formulas": [[text, names, text_data(text, tuple(names))] for text, names, _ in data["texts"]],
    }


def columns(models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the models' data by field, like families side by side: a third less once compressed than model by model.

    `names` are in the order offered; `at` says where each stands in the fields' lists.

    >>> columns({"b": {"family": "y", "width": 1, "x": 2}, "a": {"family": "x", "width": 3, "x": 4}})["fields"]["x"]
    [4, 2]
    """
    stored = sorted(models, key=lambda name: (models[name]["family"], models[name]["width"], name))
    fields = {key: [models[name][key] for name in stored] for key in models[stored[0]]} if stored else {}
    return {"names": list(models), "at": [stored.index(name) for name in models], "fields": fields}


def plannable(place: Machine) -> bool:
    """Return whether a plan can stand on a machine: it states memory, bandwidth and a peak rate."""
    stated = {path for path, _ in place.figures()}
    memory = stated & {"memory.usable", "memory.capacity"}
    return bool(memory) and "memory.bandwidth" in stated and any(path.startswith("peak.") for path in stated)


def machine_data(place: Machine) -> dict[str, Any]:
    """Return the figures that a plan reads, in base units, each with how it is known, and their sources."""
    figures = dict(place.figures())
    kept = {path: figure for path, figure in figures.items() if path.startswith(("peak.", "memory.", "chip.link"))}
    sources = list(dict.fromkeys(figure.source for figure in kept.values()))
    return {
        "name": place.name,
        "vendor": place.vendor,
        "kind": place.kind,
        "close": node_of(place.chip_id).close,
        "usable": place.usable_bytes,
        "bandwidth": place.bandwidth,
        "peak": {path[5:]: place.amount(path) for path in figures if path.startswith("peak.")},
        "figures": {path: [str(figure), sources.index(figure.source)] for path, figure in kept.items()},
        "measured": [path for path, figure in kept.items() if figure.status == "measured"],
        "status": "/".join(
            sorted({f.status for p, f in figures.items() if p.startswith("peak") or p.endswith("bandwidth")})
        ),
        "sources": sources,
    }
