"""The explorer page in a headless browser: its numbers are Python's, it makes no request, and it says what `plan` says."""

import base64
import json
import math
import random
import re
import shutil
import subprocess
import zlib
from collections.abc import Collection
from functools import cache, lru_cache
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sympy import Integer, sympify
from typer.testing import CliRunner

from attometer.cli import app
from attometer.count import count
from attometer.count.bounds.attention import ATTENTION_BOUNDS, attention_sizes
from attometer.count.evaluate import evaluate
from attometer.count.model_cost import model_cost
from attometer.count.paths.path_length_formula import path_length_formula
from attometer.count.placement.rank_cost import shard
from attometer.count.traffic.tile_search import best_tiles
from attometer.count.traffic.words import footprint, traffic
from attometer.engines import recipe, recipes, training
from attometer.errors import AttometerError
from attometer.ledger.ledger import ledger
from attometer.machine import cluster, machine
from attometer.mechanisms import mechanism, mechanisms
from attometer.models import model, shipped
from attometer.models.shipped import shipped_path
from attometer.models.stored import state_type, stored_type
from attometer.plan import plan, planner
from attometer.plan.asking import recipe_of
from attometer.plan.options import Options
from attometer.plan.planner import Planner, cache_format_of
from attometer.plan.serving import EngineOptions, serve, step_tokens
from attometer.plan.spread import spread
from attometer.plan.verdict import verdict
from attometer.program import causal, parse, strided, window
from attometer.report.page import page, write_page
from attometer.report.page.assemble import asked
from attometer.report.page.config_data import config_data, forms
from attometer.report.page.data import machine_data, page_data, plannable
from attometer.report.page.mechanism_data import QUANTITIES, drawn, mechanism_data
from attometer.report.page.pebble_data import games
from attometer.report.page.rank_data import cuts
from attometer.report.page.schedule_data import schedules_data
from attometer.report.pebble.report import pebble
from attometer.schedule.catalogue import schedule
from attometer.schedule.placement import Placement
from attometer.sizes import size

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here; Debian's package is called chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
]  # fmt: skip
FORMS = (("prefill", False), ("decode", False), ("train", False), ("train", True))
"""Modes, and whether layers are computed again."""
FEW = ("gpt2", "gemma-2-2b", "mixtral-8x7b", "jamba-v0.1")
PAGE = """
<script id="cases" type="application/json">%s</script>
<script>
(async () => {
  await AM.load("first");
  await AM.load("rest");
  const typed = (s) => {
    try {
      const c = NOTATION.count(NOTATION.parse(s.text), s.sizes);
      return s.drawn ? drawnMasks(NOTATION.parse(s.text)).map((m) => m.rows) : s.counted.map((q) => c[q]);
    } catch (error) { return error.message; }
  };
  const found = JSON.parse(document.getElementById("cases").textContent).map((s) => {
    if (s.text) return typed(s);
    if (s.schedule && s.M) { const shape = { ...s, w: s.w ?? Infinity }; return [IO.best(s.schedule, shape, s.M), IO.bounds(shape, s.M)]; }
    if (s.config !== undefined) try { s.model = CONFIG.give(s.config, "given"); } catch (error) { return error.message; }
    if (s.mechanism) { const m = AM.data.mechanisms[s.mechanism]; return m.js && AM.fn(m.js)(...m.sizes.map((k) => s.sizes[k])); }
    let p = null;
    try { p = AM.plan(s); } catch (error) { return error.message; }
    if (s.engine) {
      const v = p.served;
      return [...Object.values(v.pool.terms), v.left, v.cache, v.tokens, v.requests, v.alone, Math.min(v.needed, 1e9), +v.fits, p.seconds];
    }
    if (s.recipe) return [...Object.values(p.bytes), p.needed, p.largest, p.seconds];
    if (s.levers) return AM.levers(s, p).map((l) => [l.name, l.saved, l.quicker, l.fits, l.exact, l.note]);
    return [...Object.values(p.bytes), p.needed, p.largest, p.flops, p.moved, p.compute, p.memory, p.seconds];
  });
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
})();
</script>
"""
LOADED = """
<script>
setTimeout(() => {
  const out = document.createElement("i");
  out.id = "loaded";
  out.textContent = performance.getEntriesByType("resource").length;
  document.body.append(out);
}, 3000);
</script>
"""


_read = cache(model)
"""Models, each read once: a page's points come back to them."""


@cache
def _open(name: str) -> tuple[Placement, ...]:
    """Return the placements over tensors and experts that divide a model."""
    return tuple(place for place in cuts(_read(name)) if _divides(name, place))


def _run(folder: Path, text: str, *flags: str) -> str:
    """Return the document after the scripts of `text` have run."""
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    assert BROWSER is not None
    asked = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", *flags]
    done = subprocess.run(
        [*asked, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=900, check=True
    )
    return done.stdout


def _points(names: tuple[str, ...], count: int) -> list[dict[str, Any]]:
    """Return random questions over models, machines, modes and formats, a few of each so that formulas are shared."""
    chosen = random.Random(12)
    places = list(page_data(names=())["machines"])
    found = []
    for k in range(count):
        name = names[k % len(names)]
        mode, again = FORMS[k // len(names) % len(FORMS)]
        point = {
            "model": name, "mode": mode, "checkpoint": again, "machine": chosen.choice(places),
            "context": int(2 ** chosen.uniform(0, 21)), "batch": int(2 ** chosen.uniform(0, 8)),
            "weights": chosen.choice(("", "fp8", "gptq", "q4_k_m")), "kv": chosen.choice(("", "fp8", "q8_0")),
            "chunk": chosen.choice((0, 0, 512, 8192)), "tp": 1, "pp": 1, "dp": 1, "ep": 1,
        }  # fmt: skip
        found.append(point)
    return found


def _python(point: dict[str, Any]) -> list[float]:
    read, mode = _read(point["model"]), point["mode"]
    own = stored_type(read)
    kv = cache_format_of(read, (point["kv"] or own) if mode != "train" else own)
    options = Options(
        context=point["context"], batch=point["batch"], mode=mode, weights=point["weights"] or None, kv=kv,
        activations=own, state=state_type(read) or own, checkpoint=point["checkpoint"],
        chunk=(point["chunk"] or None) if mode == "prefill" else None,
    )  # fmt: skip
    asked = Planner(read, machine(point["machine"]), options)
    at = point["context"], point["batch"]
    times = [layer.time for layer in asked.layers(*at)]
    flops, moved = sum(t.flops for t in times), sum(t.bytes_moved for t in times)
    estimate = asked(*at)
    seconds = (estimate.compute_seconds, estimate.memory_seconds, estimate.seconds)
    kinds = [getattr(asked.memory(*at), kind) for kind in _KINDS]
    return [*kinds, estimate.bytes, estimate.largest_context, flops, moved, *seconds]


_KINDS = ("weights", "kv", "state", "activations", "gradients", "optimizer")


@lru_cache(maxsize=4)
def _shown(names: tuple[str, ...]) -> str:
    return page(names=names, start={"model": names[0], "context": 1024})


def _answers(folder: Path, names: tuple[str, ...], points: list[dict[str, Any]]) -> list[Any]:
    """Return what the page computes at each of the points."""
    text = _shown(names) + PAGE % json.dumps(points)
    document = _run(folder, text)
    answers = re.search(r'<pre id="found">(.*?)</pre>', document, re.DOTALL)
    assert answers is not None
    found = json.loads(unescape(answers[1]))
    assert isinstance(found, list)
    return found


def _same(point: dict[str, Any], got: list[Any], expected: list[Any]) -> None:
    for k, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert math.isclose(a, b, rel_tol=1e-12, abs_tol=0), f"{point} {k} {a} {b}"


def _hold(folder: Path, names: tuple[str, ...], count: int) -> None:
    points = _points(names, count)
    found = _answers(folder, names, points)
    assert len(found) == count
    for point, got in zip(points, found, strict=True):
        expected = _python(point)
        _same(point, got, expected)


def _held_naive(point: dict[str, Any]) -> list[float]:
    keys = ("mode", "chunk", "checkpoint", "schedule", "reserve_gib")
    one = planner(
        _read(point["model"]), point["machine"], **{k: point[k] or None if k == "chunk" else point[k] for k in keys}
    )
    at = point["context"], point["batch"]
    return [*(getattr(one.memory(*at), kind) for kind in _KINDS), one.total(*at), one.largest_context(point["batch"])]


@browser
def test_naive_attention_and_what_is_kept_for_the_uncounted_are_pythons(tmp_path: Path) -> None:
    points = [
        {**point, "weights": "", "kv": "", "machine": "h100-sxm", "schedule": "naive", "reserve_gib": 0.5 * (k % 3)}
        for k, point in enumerate(_points(FEW, 32))
    ]
    for point in points:
        point["chunk"] = point["chunk"] if point["mode"] == "prefill" else 0
    for point, got in zip(points, _answers(tmp_path, FEW, points), strict=True):
        _same(point, got[:8], _held_naive(point))
    (said,) = _answers(tmp_path, FEW, [{**points[0], "reserve_gib": 500}])
    with pytest.raises(AttometerError, match=re.escape(said)):
        planner(points[0]["model"], "h100-sxm", reserve_gib=500)


@browser
def test_javascript_computes_what_python_does(tmp_path: Path) -> None:
    _hold(tmp_path, FEW, 32)


def _spread(point: dict[str, Any]) -> list[float]:
    degrees = {name: point[name] for name in ("tp", "pp", "dp", "ep")}
    asked = planner(
        _read(point["model"]), point["machine"], mode=point["mode"], weights_dtype=point["weights"] or None,
        kv_dtype=point["kv"] or None, chunk=point["chunk"] or None,
    )  # fmt: skip
    at = spread(asked, cluster(f"{point['tp'] * point['pp'] * point['dp']}x-{point['machine']}"), Placement(**degrees))
    memory = at.memory(point["context"], point["batch"])
    return [*(getattr(memory, kind) for kind in _KINDS), memory.total, at.largest_context(point["batch"])]


def _hold_spread(folder: Path, names: tuple[str, ...], count: int) -> None:
    chosen, points = random.Random(13), []
    for k in range(count):
        name = names[k % len(names)]
        place, pp = chosen.choice(_open(name)), chosen.choice((1, 2, 3))
        dp = chosen.choice((1, 2, 3)) if place.tp * pp > 1 else 2
        mode = chosen.choice(("prefill", "decode"))
        points.append({
            "model": name, "mode": mode, "machine": "h100-sxm", "tp": place.tp, "ep": place.ep, "pp": pp, "dp": dp,
            "context": int(2 ** chosen.uniform(0, 20)), "batch": int(2 ** chosen.uniform(0, 7)), "checkpoint": False,
            "weights": chosen.choice(("", "fp8", "gptq", "q4_k_m")), "kv": chosen.choice(("", "fp8")),
            "chunk": chosen.choice((0, 512)) if mode == "prefill" else 0,
        })  # fmt: skip
    for point, got in zip(points, _answers(folder, names, points), strict=True):
        _same(point, got[:8], _spread(point))


def _divides(name: str, place: Placement) -> bool:
    try:
        shard(_read(name), place)
    except AttometerError:
        return False
    return True


@pytest.mark.slow
@browser
def test_the_fullest_of_several_devices_holds_what_python_says(tmp_path: Path) -> None:
    _hold_spread(tmp_path, FEW, 48)


@browser
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_fullest_of_several_devices_of_every_model(tmp_path: Path) -> None:
    _hold_spread(tmp_path, shipped(), 300)


ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "mlx", "transformers")
PLACES = ("h100-sxm", "mi300x", "rtx-4090", "h200-sxm", "l4", "apple-m2-ultra", "b200")


def _served(point: dict[str, Any]) -> list[float]:
    degrees = {name: point[name] for name in ("tp", "pp", "dp", "ep")}
    options = EngineOptions(point["engine"], utilization=point["utilization"] or None)
    devices = cluster(f"{point['tp'] * point['pp'] * point['dp']}x-{point['machine']}")
    asked = planner(
        _read(point["model"]), point["machine"], mode=point["mode"], weights_dtype=point["weights"] or None,
        kv_dtype=point["kv"] or None, chunk=step_tokens(options, devices, point["context"], _read(point["model"])),
    ).with_options(context=point["context"], batch=point["batch"])  # fmt: skip
    found = serve(spread(asked, devices, Placement(**degrees)), options)
    seconds = asked.seconds(point["context"], point["batch"]) / devices.count
    own = [
        found.left,
        found.cache,
        found.tokens,
        found.requests,
        found.largest,
        min(found.needed, 1e9),
        found.fits,
        seconds,
    ]
    return [*found.pool.terms.values(), *map(float, own)]


def _hold_engines(folder: Path, names: tuple[str, ...], count: int) -> None:
    chosen, points = random.Random(14), []
    for k in range(count):
        name = names[k % len(names)]
        place = chosen.choice(_open(name))
        pp = chosen.choice((1, 1, 2))
        points.append({
            "model": name, "mode": chosen.choice(("prefill", "decode")), "machine": chosen.choice(PLACES), "chunk": 0,
            "tp": place.tp, "ep": place.ep, "pp": pp, "dp": chosen.choice((1, 2)) if place.tp * pp > 1 else 1,
            "context": int(2 ** chosen.uniform(4, 20)), "batch": int(2 ** chosen.uniform(0, 7)), "checkpoint": False,
            "weights": chosen.choice(("", "fp8", "mxfp4")), "kv": chosen.choice(("", "fp8")),
            "engine": chosen.choice(ENGINES), "utilization": chosen.choice((0, 0, 0.8)),
        })  # fmt: skip
    for point, got in zip(points, _answers(folder, names, points), strict=True):
        _same(point, got, _served(point))


@browser
def test_engines_leave_for_the_cache_what_python_says(tmp_path: Path) -> None:
    _hold_engines(tmp_path, FEW, 48)


@browser
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_engines_leave_for_the_cache_of_every_model(tmp_path: Path) -> None:
    _hold_engines(tmp_path, shipped(), 300)


def _with_parts(chosen: random.Random, name: str) -> str:
    """Return a recipe with one or two parts changed, or as it is."""
    parts = [
        "optimizer=lion",
        "recompute=selective",
        "recompute=offloaded",
        "loss=chunked",
        "compiled=true",
        "optimizer=adamw-8bit",
    ]
    parts += ["lora_rank=24"] * 3 if recipe(name).lora_rank else []
    few = chosen.sample(parts, chosen.choice((0, 1, 2)))
    return ",".join([name, *({part.partition("=")[0]: part for part in few}.values())])


def _hold_recipes(folder: Path, names: tuple[str, ...], count: int) -> None:
    chosen, every = random.Random(15), recipes()
    base = {"mode": "train", "weights": "", "kv": "", "chunk": 0, "ep": 1}
    points: list[dict[str, Any]] = []
    for k in range(count):
        name = names[k % len(names)]
        tp = chosen.choice([p.tp for p in _open(name) if p.ep == 1])
        degrees = {
            "tp": tp,
            "pp": chosen.choice((1, 1, 2)),
            "dp": chosen.choice((1, 2, 3)),
            "zero": chosen.choice((0, 1, 2, 3)),
        }
        if k % 2:
            degrees = {"tp": 1, "pp": 1, "dp": 1, "zero": 0}
        points.append(base | degrees | {
            "model": name, "machine": chosen.choice(PLACES[:5]), "recipe": _with_parts(chosen, chosen.choice(every)),
            "context": int(2 ** chosen.uniform(4, 15)), "batch": degrees["dp"] * int(2 ** chosen.uniform(0, 5)),
            "checkpoint": chosen.choice((True, False)),
        })  # fmt: skip
    seen: set[str] = set()
    for point, got in zip(points, _answers(folder, names, points), strict=True):
        place = Placement(**{degree: point[degree] for degree in ("tp", "pp", "dp", "zero")})
        how, once = recipe_of(point["recipe"], point["checkpoint"]), 1 if place.devices > 1 else point["batch"]
        found = training(_read(point["model"]), how, once, point["context"], place)
        expected = [*found.terms.values(), found.total]
        _same(point, got[: len(expected)], expected)
        # A whole plan takes a while: once a recipe will do.
        if how.name not in seen and place.devices == 1:
            seen.add(how.name)
            asked = plan(
                _read(point["model"]), point["machine"], mode="train", recipe=point["recipe"], context=point["context"],
                batch=point["batch"], checkpoint=point["checkpoint"],
            )  # fmt: skip
            assert math.isclose(got[-1], asked.seconds, rel_tol=1e-12), (point, got[-1], asked.seconds)


@pytest.mark.slow
@browser
def test_recipes_hold_what_python_says(tmp_path: Path) -> None:
    _hold_recipes(tmp_path, (*FEW, "t5-base"), 40)


@browser
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_recipes_hold_what_python_says_of_every_model(tmp_path: Path) -> None:
    _hold_recipes(tmp_path, shipped(), 300)


READ = ("llama", "mistral", "qwen3", "gemma2", "mixtral", "gpt2")
"""Families whose forms are read in every run: heads shared or not, output weights tied or not, windows, experts, fused matrices."""
ROUNDS = (
    {"mode": "prefill"}, {"mode": "decode", "weights": "gptq"}, {"mode": "train", "checkpoint": True},
    {"mode": "decode", "tp": 2, "pp": 2}, {"mode": "prefill", "engine": "vllm"},
)  # fmt: skip


def _values(name: str) -> dict[str, Any]:
    return dict(json.loads(shipped_path(name).read_text(encoding="utf-8")))


def _forms(types: Collection[str] | None = None) -> list[dict[str, Any]]:
    return [form for form in forms() if types is None or form["type"] in types]


def _configurations(chosen: random.Random, read: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return shipped configurations of the families that are read, and of each form two at other sizes."""
    kinds = {form["type"] for form in read}
    shipped_ones = [values for values in map(_values, shipped()) if values.get("model_type") in kinds]
    plain = [values for values in shipped_ones if not values.get("quantization_config")]
    for form in 2 * read:
        values = _values(form["model"])
        keys = [key for key in form["sizes"] if key in values and key != "max_window_layers"]
        for key in chosen.sample(keys, min(len(keys), chosen.choice((1, 2, 3)))):
            values[key] = chosen.choice((2 * values[key], 3 * values[key], values[key] + 16))
        plain.append(values)
    return plain


def _hold_configurations(folder: Path, read: list[dict[str, Any]], most: int) -> None:
    chosen = random.Random(18)
    base = {"machine": "h100-sxm", "context": 5000, "batch": 3, "weights": "", "kv": "", "chunk": 0, "checkpoint": False,
            "tp": 1, "pp": 1, "dp": 1, "ep": 1, "utilization": 0}  # fmt: skip
    points: list[dict[str, Any]] = [
        base | one | {"config": json.dumps(values)} for values in _configurations(chosen, read) for one in ROUNDS
    ]
    points = chosen.sample(points, min(most, len(points)))
    names = tuple(dict.fromkeys(form["model"] for form in read))
    held = 0
    for k, (point, got) in enumerate(zip(points, _answers(folder, names, points), strict=True)):
        if isinstance(got, str):
            assert re.search(r"the command|attometer plan config.json", got), (point, got)
            continue
        held += 1
        file = folder / str(k) / "config.json"
        file.parent.mkdir()
        file.write_text(point["config"], encoding="utf-8")
        point["model"] = str(file)
        if "engine" in point:
            _same(point, got, _served(point))
        elif point["tp"] > 1:
            _same(point, got[:8], _spread(point))
        else:
            _same(point, got, _python(point))
    assert held > len(points) / 2


@browser
def test_configurations_given_cost_what_python_reads_of_them(tmp_path: Path) -> None:
    _hold_configurations(tmp_path, _forms(READ), 80)


@browser
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_configurations_of_every_form_cost_what_python_reads_of_them(tmp_path: Path) -> None:
    _hold_configurations(tmp_path, _forms(), 300)


def test_forms_are_kept_as_the_readers_have_them() -> None:
    for form in _forms(("gpt2", "gemma2")):
        assert {k: v for k, v in form.items() if k not in ("model", "type")} == config_data(model(form["model"]))


@pytest.mark.slow
def test_every_form_is_kept_as_the_readers_have_it() -> None:
    assert all(_forms())
    for form in _forms():
        assert {k: v for k, v in form.items() if k not in ("model", "type")} == config_data(model(form["model"])), form[
            "model"
        ]


@browser
def test_configurations_that_the_page_does_not_read_are_refused_with_the_command(tmp_path: Path) -> None:
    llama = _values("llama-3-8b")
    texts = {
        "[1]": "a configuration is an object in JSON",
        '{"model_type"': "this is not JSON, or is cut off",
        json.dumps(_values("gpt2")): '$.model_type is "gpt2": this page reads llama',
        json.dumps(llama | {"num_experts": 8}): "$.num_experts is not read by this page",
        json.dumps(llama | {"quantization_config": {"bits": 4}}): '$.quantization_config is {"bits":4}',
        json.dumps(llama | {"num_attention_heads": 30}): "$.hidden_size/$.num_attention_heads is no whole number",
        json.dumps(llama | {"vocab_size": 0}): "$.vocab_size is no positive whole number",
        json.dumps({k: v for k, v in llama.items() if k != "hidden_size"}): "$.hidden_size is missing",
        json.dumps(llama | {"attention_bias": True}): "$.attention_bias is true",
    }
    found = _answers(
        tmp_path, tuple(form["model"] for form in _forms(("llama",))), [{"config": text} for text in texts]
    )
    assert [said.partition("; the command reads it: attometer plan config.json")[0] for said in found] == list(
        texts.values()
    )
    assert all("attometer page config.json" in said for said in found)


@browser
def test_levers_are_those_of_plan(tmp_path: Path) -> None:
    base = {
        "batch": 1,
        "checkpoint": False,
        "weights": "",
        "kv": "",
        "chunk": 0,
        "levers": True,
        "tp": 1,
        "pp": 1,
        "dp": 1,
    }
    points: list[dict[str, Any]] = [
        base | {"model": "gpt2", "machine": "l4", "context": 65536, "mode": "prefill"},
        base | {"model": "mixtral-8x7b", "machine": "b200", "context": 32768, "mode": "decode", "batch": 8},
        base | {"model": "gpt2", "machine": "t4", "context": 1024, "mode": "train", "batch": 2},
    ]
    for point, got in zip(points, _answers(tmp_path, ("gpt2", "mixtral-8x7b"), points), strict=True):
        asked = {name: point[name] for name in ("context", "batch", "mode")}
        expected = [
            lever
            for lever in plan(point["model"], point["machine"], **asked).levers
            if " × " not in lever.name and "host" not in lever.name
        ]
        # The page has no predicted times: it ranks by the datasheet's.
        by_name = {lever.name: lever for lever in expected}
        assert {name for name, *_ in got} == set(by_name)
        for name, saved, quicker, fits, exact, note in got:
            lever = by_name[name]
            assert (saved, fits, exact, note) == (lever.bytes_saved, lever.fits, lever.exact, lever.note)
            assert math.isclose(quicker, lever.seconds_saved, rel_tol=1e-9, abs_tol=1e-15)


@browser
def test_mechanisms_cost_what_python_counts(tmp_path: Path) -> None:
    data = {name: mechanism_data(name) for name in mechanisms()}
    points = [{"mechanism": name, "sizes": one["start"]} for name, one in data.items()]
    for point, got in zip(points, _answers(tmp_path, ("gpt2",), points), strict=True):
        cost = count(mechanism(point["mechanism"]))
        if data[point["mechanism"]]["js"] is None:
            assert got is None
            continue
        expected = [int(evaluate(cost.quantity(q), point["sizes"])) for q in QUANTITIES]
        hops = path_length_formula(mechanism(point["mechanism"]))
        if hops is not None:
            expected.append(hops.at(**point["sizes"])[0])
        assert got == pytest.approx(expected, rel=1e-12, abs=0), point


def _shapes(count: int) -> list[dict[str, Any]]:
    """Return random shapes of one head, fast memories and schedules, in turn without a mask, causal and with a window."""
    chosen, names = random.Random(17), list(schedules_data())
    points = []
    for k in range(count):
        d, n = chosen.choice((4, 8, 40, 64, 128)), int(2 ** chosen.uniform(1, 12))
        masked, w = k % 3 > 0, chosen.randint(1, n + 20) if k % 3 == 2 else None
        sizes = {"n": n, "m": chosen.choice((n, n + chosen.randint(0, 500))), "d": d, "e": chosen.choice((d, 4, 100))}
        points.append(
            {**sizes, "M": int(2 ** chosen.uniform(3, 18)), "schedule": names[k % len(names)], "masked": masked, "w": w}
        )
    return points


@browser
def test_words_of_shapes_typed_are_those_that_python_counts(tmp_path: Path) -> None:
    points = _shapes(132)
    for point, (best, bounds) in zip(points, _answers(tmp_path, ("gpt2",), points), strict=True):
        name, M, sizes = point["schedule"], point["M"], {k: point[k] for k in ("n", "m", "d", "e")}
        mask = (causal() if point["w"] is None else window(point["w"])) if point["masked"] else None
        expected = [bound.value(attention_sizes(**sizes, M=M, mask=mask)) for bound in ATTENTION_BOUNDS]
        assert bounds == pytest.approx(expected, rel=1e-12, abs=0), point
        if best is None:
            with pytest.raises(AttometerError, match="needs at least"):
                best_tiles(name, **sizes, M=M, mask=mask)
            continue
        assert best["held"] == footprint(schedule(name), {**sizes, **best["tiles"]}) <= M
        assert best["words"] == traffic(schedule(name), {**sizes, **best["tiles"]}, mask).words
        found = best_tiles(name, **sizes, M=M, mask=mask)
        # Under a mask neither search tries all tiles.
        assert best["words"] <= (1.05 if point["masked"] else 1) * found.words, point
        assert best["words"] >= found.words or not found.exact, point


AXES = "axis i: n, j: n, e: d\n"
SCORES = "S[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d] / sqrt(d)"
TEXTS = (
    f"{AXES}{SCORES}\nP[b,h,i,j] = softmax[j](S)\nO[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]",
    f"{AXES}{SCORES} where causal(i, j)\nP[b,h,i,j] = softmax[j](S)\nO[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]",
    f"{AXES}{SCORES} where causal(i, j) & window(i, j, w)\nP[b,h,i,j] = softmax[j](S)\nO[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]",
    f"axis i: n, j: m, e: d\n{SCORES} where window(i, j, 7)\nP[b,h,i,j] = sigmoid(S)\nO[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]",
    "axis i: n, j: m\nS[i,j] = Q[i,d] * K[j,d] where causal(i, j)\nT[i,j] = 50 * tanh(S[i,j] / 50)\nZ[i] = sum[j](T)\nM[i] = max[j](S)",
    f"{AXES}{SCORES} where 0 <= i - j < w\nP[b,h,i,j] = softmax[j](S)\nO[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]",
    f"{AXES}{SCORES} where j <= i & i - j <= 6\nP[b,h,i,j] = softmax[j](S)",
    f"{AXES}{SCORES} where i >= j\nP[b,h,i,j] = softmax[j](S)",
    f"{AXES}{SCORES} where window(i, j, w)\nP[b,h,i,j] = softmax[i](S)\nO[b,h,j,e] = P[b,h,i,j] * V[b,h,i,e]",
    f"axis i: n, j: m, e: d\n{SCORES} where prefix(i, j, 3) | strict(i, j) & strided(i, j, 2)\nO[b,h,j,e] = S[b,h,i,j] * V[b,h,i,e]",
    "F[i,d] = relu(Q[i,d]) * cos(A[i]) + 2 * Q[i,d] - exp(-Q[i,d])\nC[d,e] = F[i,d] * V[i,e]\nY[d] = F[i,d]",
    "axis i: n, j: n, k: c\ninput X[i,k], V[j,k]\nweight W[k]\ncache C[j,k]\noutput Y[i,k], Z[j]\n"
    "Y[i,k] = X[i,k] * W[k]\nU[i,j] = Y[i,k] * C[j,k] * 3\n"
    "T[i,j] = exp(U)\nZ[j] = sum[i](T)\nR[k] = max[j](V)",
    "A[b,i,f] = X[b,i,c] * G[c,f]\nB[b,i,f] = X[b,i,c] * W[c,f]\nM[b,i,f] = silu(A) * B[b,i,f]\nY[b,i,c] = M[b,i,f] * U[f,c] * 2",
)  # fmt: skip
MASKS = (
    "(i - j) % s == 0", "(j - i) % s != 0 & j <= i", "j // c <= i // c", "i // c == j // c & j != i", "j // c < i // c", "i // c != j // c",
    "j // c >= i // c", "i // c < j // c | (i - j) % 3 == 0", "j < i & (i - j) % s == 0", "abs(i - j) <= 2 | j < p", "abs(i - j) > w",
    "j == 0 | i == j", "i - j < w", "~(j <= i)", "j <= i & (i - j < w | (i - j) % s == 0) & ~chunked(i, j, c)", "i - j == 2",
    "j == 4 | j > p & i >= j",
    "strict(i, j) | block_causal(i, j, c)", "band(i, j, *, 4) & chunked(i, j, c) | prefix(i, j, p)",
    "window(i, j, w) | global(i, j, g)", "causal(i, j) & strided(i, j, s) & ~strided(i, j, 3)", "j >= i", "i < j", "pos(j) <= pos(i)",
    "band(i, j, 1, w) | strided(i, j, 2) & strided(i, j, 3)",
)  # fmt: skip
"""Masks over as many queries as keys, by name and as comparisons."""
UNLIKE = (
    "j <= i + m - n", "strict(i, j)", "block_causal(i, j, c)", "chunked(i, j, c) | causal(i, j) & strided(i, j, s)",
    "window(i, j, w) | global(i, j, g)", "0 <= i + m - n - j < w", "band(i, j, 2, *)",
    "(i + m - n - j) % s == 0", "(i + m - n) // c == j // c",
)  # fmt: skip
OTHER = "the page counts masks of i - j, j, (i - j) % s and chunks; attometer show counts every mask"
REFUSED = {
    "S[i,j] = Q[i,d] * K[j,d] where fixed(i, j, 3, 1)": f'line 1: mask "fixed": {OTHER}',
    f"{AXES}{SCORES} where (i - j) % s == 1": f'line 2: mask "( i - j ) % s == 1": {OTHER}',
    f"{AXES}{SCORES} where i * j < w": f'line 2: mask "i * j < w": {OTHER}',
    f"{AXES}{SCORES} where i - j < w - 2": "line 2: whether a distance is negative depends on sizes",
    "S[i,j] = Q[i,d] * K[j,d] where causal(i, j)\nT[d] = S[i,j] * W[d]": (
        "line 2: a sum over both indices of a mask is counted by attometer show"
    ),
    f"{AXES}{SCORES} where window(i, j, 0)": "line 2: a window is at least 1, got 0",
    f"axis i: n, j: m\n{SCORES} where j <= i": (
        "line 2: whether a distance is negative depends on sizes: of unlike sizes causal is j <= i + m - n"
    ),
    "H[t,d] = H[t-1,d] + X[t,d]": 'line 1: index "t-…": the page reads plain indices; attometer show reads shifts and shared heads',
    "O[i] = foo(A[i])": 'line 1: the page does not know the function "foo"',
    "O[i,k] = A[i,j] * B[j,k] * C[k,l]": "line 1: a sum is over one product of two tensors and a constant in the page's notation",
    "axis j: m\nO[i] = A[i,j] * B[i]": 'line 2: "B" multiplies the sum; give the sum a name first, in the page\'s notation',
    "axis k: 4\nO[i] = sum[j](A[i,j,k])": "line 2: sum[…] names every index that it removes, in the page's notation",
    "output X[i]\nO[i,k] = A[i,j] * B[j,k]": 'output "X" is never computed',
    "O[i,k] = A[i]": 'line 1: index "k" is not on the right',
    "O[i] = A[i] +": 'line 1: expected a name, found "the end of the line"',
}


COUNTED = ("flop", "work", "depth", "peak", "inputs", "weights", "cache", "outputs", "matrices")


@browser
def test_notation_typed_is_counted_as_python_counts_it_or_refused(tmp_path: Path) -> None:
    chosen = random.Random(16)
    points: list[dict[str, Any]] = [
        {"text": text, "sizes": {str(s): chosen.randint(1, 40) for s in "bhnmdwijefcg"}}
        for text in TEXTS
        for _ in range(6)
    ]
    masked = [f"{AXES}{SCORES} where {mask}" for mask in MASKS]
    masked += [f"axis i: n, j: m, e: d\n{SCORES} where {mask}" for mask in UNLIKE]
    points += [
        {"text": f"{text}\nP[b,h,i,j] = softmax[j](S)\nO[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]",
         "sizes": {str(s): chosen.randint(1, 7 if s in "wscpg" else 60) + (60 if s == "m" else 0) for s in "bhnmdwijefcspg"}}
        for text in masked for _ in range(4)
    ]  # fmt: skip
    points += [{"text": t, "sizes": dict.fromkeys("ijkldtm", 4)} for t in REFUSED]
    found = _answers(tmp_path, ("gpt2",), [p | {"counted": [*COUNTED, "path"]} for p in points])
    points, paths = points[: -len(REFUSED)], set[str]()
    for point, (*got, path) in zip(points, found, strict=False):
        program = parse(point["text"])
        cost, sizes = count(program), {str(s): point["sizes"][str(s)] for s in program.symbols}
        assert got == [int(evaluate(cost.quantity(q), sizes)) for q in COUNTED], point
        hops = path_length_formula(program)
        if path is not None:
            assert hops is not None
            assert path == evaluate(hops.longest, sizes), point
            paths.add(point["text"])
    assert len(paths) > 8
    assert found[len(points) :] == list(REFUSED.values())


@browser
def test_masks_typed_are_drawn_as_they_are(tmp_path: Path) -> None:
    sizes = {"w": 8, "c": 4, "s": 4, "p": 6, "g": 3}
    points = [
        {"text": f"axis i: n, j: n\nT[i,j] = S[i,j] * 2 where {mask}", "sizes": sizes | {"n": 8}, "drawn": True}
        for mask in MASKS
    ]
    for point, got in zip(points, _answers(tmp_path, ("gpt2",), points), strict=True):
        where = parse(str(point["text"])).statements[0].where
        assert where is not None
        bound = where.mask.mapped(lambda one: one.resized(tuple(_at(v, sizes) for _, v, _ in one.sizes())))
        seen = bound.matrix(32)
        rows = [f"{int(row, 16):032b}" for row in got[0]]
        assert rows == ["".join("01"[bool(x)] for x in row) for row in seen], point


def _at(value: Any, sizes: dict[str, int]) -> int:
    return int(sympify(value).xreplace({size(name): Integer(v) for name, v in sizes.items()}))


@browser
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_javascript_computes_what_python_does_of_every_model(tmp_path: Path) -> None:
    _hold(tmp_path, shipped(), 2000)


@browser
def test_page_shows_the_plan_and_makes_no_request(tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    text = page(names=("gpt2",), start={"model": "gpt2", "machine": "l4", "context": 1024})
    document = _run(tmp_path, text + LOADED, f"--log-net-log={log}")
    shown = re.search(r'<p id="headline">(.*?)</p>', document, re.DOTALL)[1]  # type: ignore[index]
    assert shown == verdict(plan("gpt2", "l4", context=1024))
    assert 'data-ready="' in document
    asked = planner("gpt2", "l4")
    fitting = sum(asked.total(2**k) <= asked.room for k in range(12, 21))
    assert document.count('class="ok') == fitting
    assert '<i id="loaded">0</i>' in document
    # The browser asks its maker for the time; a page's request would name another host.
    asked_for = re.findall(r'"url":"(?:https?|wss?)://([^/"]*)', log.read_text(encoding="utf-8"))
    assert {host for host in asked_for if not re.search(r"(^|\.)(google|googleapis|gvt1)\.com$", host)} == set()


@browser
@pytest.mark.slow
def test_page_is_as_python_says_for_states_in_its_address(tmp_path: Path) -> None:
    states: list[dict[str, Any]] = [
        {"mode": "decode", "batch": 4, "kv": "fp8"},
        {"mode": "train", "context": 512},
        {"mode": "train", "context": 512, "recipe": "lora"},
        {"mode": "train", "context": 512, "recipe": "lora,optimizer=lion,lora_rank=64"},
        {"context": 10**7},
        {"mode": "decode", "engine": "vllm"},
        {"mode": "decode", "engine": "sglang", "batch": 64, "context": 65536, "utilization": 0.5},
    ]
    for start in states:
        shown = {"model": "gemma-2-2b", "machine": "l4", "context": 4096} | start
        document = _run(tmp_path, page(names=("gemma-2-2b",), start=shown))
        text = re.search(r'<p id="headline">(.*?)</p>', document, re.DOTALL)[1]  # type: ignore[index]
        said = verdict(plan("gemma-2-2b", "l4", **asked(shown)))
        assert text == re.sub(r"[;,] [\d,]+ × [^;]* (?:are needed at least|would do)", "", said)


CLICKS = """
<script>
const wait = setInterval(() => {
  if (!document.documentElement.dataset.ready) return;
  clearInterval(wait);
  const shown = [], tell = (text) => shown.push(text), set = (id, value) => { $(id).value = value; $(id).onchange({ target: $(id) }); };
  set("c-pairs", "full"); set("c-logits", "all"); tell($("c-value").textContent);
  set("c-unit", "1"); tell($("c-value").textContent);
  for (const id of ["memory-chart", "time-chart", "roof-chart"]) {
    const d = document.querySelector(`[data-twin=${id}]`);
    d.open = true; showTwin(d); tell(d.querySelectorAll("tr").length);
  }
  const svg = new DOMParser().parseFromString(picture("memory-chart").text, "image/svg+xml");
  tell(svg.querySelector("parsererror") ? "broken" : svg.documentElement.nodeName);
  $("levers").querySelector("[data-lever]").click(); tell($("did").textContent); tell(address());
  $("undo").click(); tell(address());
  $("pin").click(); change({ batch: 2 }); settle();
  const silent = [];
  for (const b of [...document.querySelectorAll("[data-why]")]) {
    const id = b.dataset.why; chosen = id; showWhy();
    const title = $("why").querySelector("h2").textContent;
    if (id !== "needed" && title.startsWith("Memory needed")) silent.push(id);
  }
  tell(silent.join(" "));
  const out = document.createElement("pre"); out.id = "shown"; out.textContent = JSON.stringify(shown); document.body.append(out);
}, 20);
</script>
"""


def _clicked(folder: Path, **start: Any) -> list[Any]:
    document = _run(folder, page(names=("gpt2",), start={"model": "gpt2", "machine": "l4"} | start) + CLICKS)
    shown = re.search(r'<pre id="shown">(.*?)</pre>', document, re.DOTALL)
    assert shown is not None
    return list(json.loads(unescape(shown[1])))


@browser
def test_what_clicks_do(tmp_path: Path) -> None:
    square, macs, *rows, picture, did, there, back, silent = _clicked(tmp_path, context=16384)
    printed = model_cost(model("gpt2"), causal="full").flops("flop", "all")
    flops = int(evaluate(printed, {"b": 1, "n": 16384, "m": 16384, "s": 16384}))
    number, unit = square.split(":")[0].split()
    assert (float(number), unit) == (pytest.approx(flops / 1e12, rel=1e-5), "TFLOP")
    assert "FlopCounterMode" in square
    assert float(macs.split()[0]) == pytest.approx(flops / 2e12, rel=1e-5)
    assert rows[:2] == [14, 14]
    assert rows[2] == 1 + len(
        {
            (row.kind, p.name)
            for row in model_cost(model("gpt2")).rows
            for p in row.running
            if p.moved != 0 and p.flops != 0
        }
    )
    assert picture == "svg"
    assert "undo" in did
    assert "→" in did
    assert there != back
    assert silent == ""


REFUSED_STATE = """
<script>
const wait = setInterval(() => {
  if (!document.documentElement.dataset.ready) return;
  clearInterval(wait);
  const shown = [], tell = () => {
    const hidden = getComputedStyle($("results")).display === "none";
    shown.push([$("verdict").textContent, $("headline").textContent, $("tiles").textContent, $("tp").value, $("model").value, hidden]);
  };
  tell(); change({ tp: 2 }); tell(); change({ tp: 8 }); tell();
  const out = document.createElement("pre"); out.id = "shown"; out.textContent = JSON.stringify(shown); document.body.append(out);
}, 20);
</script>
"""


@browser
def test_what_cannot_be_placed_shows_why_and_no_number_of_another_plan(tmp_path: Path) -> None:
    text = page(names=("gpt2",), start={"model": "gpt2", "machine": "l4", "context": 1024})
    document = _run(tmp_path, text.replace('data-state="', 'data-state="tp=8&amp;') + REFUSED_STATE)
    shown = re.search(r'<pre id="shown">(.*?)</pre>', document, re.DOTALL)
    assert shown is not None
    first, fits, again = json.loads(unescape(shown[1]))
    assert first == ["not priced", 'part "q": tp 8 does not divide axis "h" of size 12', "", "8", "gpt2", True]
    assert first == again
    assert (fits[0], fits[3], fits[5]) == ("✓ fits", "2", False)
    assert fits[2]


STRANGE = (
    "model=__proto__", "machine=constructor&engine=__proto__&recipe=toString&mode=train", "weights=toString&kv=constructor&vs=tp%3D8",
    "context=1e99&batch=%20&tp=3", "own=,,&machine=own", "own=1e300,-1,x&machine=own", "%E0%A4%A", "config=%7B%7D&model=x",
    "context=0&chunk=0.5",
    "tab=mechanisms&one=__proto__&two=constructor&sizes=n:0,d:1e40,x",
    "tab=io&n=0&d=1e9&M=1e30&schedules=foo,constructor&mask=zzz&game=99&move=-5",
    "tab=mechanisms&text=axis%20i&one=yours", "tab=claims&source=zz&verdict=q", "mode=train&recipe=lora,lora_rank=-4,optimizer=foo",
    "mode=decode&context=1099511627776&batch=1048576", "utilization=abc&engine=vllm",
)  # fmt: skip
ADDRESSES = """
<script>
const shown = [];
addEventListener("error", (e) => shown.push(["error", e.message]));
const wait = setInterval(async () => {
  if (!document.documentElement.dataset.ready) return;
  clearInterval(wait);
  for (const text of %s) {
    const read = new Promise((done) => addEventListener("hashchange", done, { once: true }));
    location.hash = text; await read; settle();
    const all = document.body.innerText;
    shown.push([$("verdict").textContent, ["undefined", "NaN", "[object", "not iterable"].filter((word) => all.includes(word)).join()]);
  }
  const out = document.createElement("pre"); out.id = "shown"; out.textContent = JSON.stringify(shown); document.body.append(out);
}, 20);
</script>
"""


@browser
def test_an_address_may_say_anything(tmp_path: Path) -> None:
    text = page(names=("gpt2",), start={"model": "gpt2", "machine": "l4", "context": 1024})
    document = _run(tmp_path, text + ADDRESSES % json.dumps(STRANGE))
    shown = re.search(r'<pre id="shown">(.*?)</pre>', document, re.DOTALL)
    assert shown is not None
    found = json.loads(unescape(shown[1]))
    assert len(found) == len(STRANGE)
    for address, (said, wrong) in zip(STRANGE, found, strict=True):
        assert said in ("✓ fits", "✗ does not fit"), address
        assert wrong == "", address


TABS = """
<script>
const wait = setInterval(() => {
  if (!document.documentElement.dataset.ready) return;
  clearInterval(wait);
  const shown = [], tell = (text) => shown.push(text);
  const value = (id) => { chosen = id; showWhy(); return $("why").querySelector(".v").textContent; };
  const numbers = (tab) => [...$(tab).querySelectorAll("[data-why]")].map((b) => [b.dataset.why, b.textContent]);
  const unlike = (tab) => numbers(tab).filter(([id, text]) => !value(id).includes(text));
  change({ tab: "mechanisms" }); const silent = unlike("tab-mechanisms"); change({ tab: "io" });
  tell([...silent, ...unlike("tab-io")]); tell(document.querySelectorAll("#m-table [data-why], #io-table [data-why]").length);
  tell(tabState.one); tell($("m-text").querySelectorAll(".mask rect:not(.empty)").length);
  change({ tab: "io" });
  for (const [k, g] of AM.data.games.entries()) {
    game.which = k; game.at = g.moves.length; drawGame();
    tell([$("p-said").textContent, $("p-board").querySelectorAll("circle.slow").length]);
  }
  game.at = 0; $("p-step").click(); tell($("p-said").textContent); $("p-back").click(); tell($("p-said").textContent);
  tell(address());
  const out = document.createElement("pre"); out.id = "shown"; out.textContent = JSON.stringify(shown); document.body.append(out);
}, 20);
</script>
"""


@browser
def test_notation_given_is_shown_with_its_mask_numbers_say_why_and_pebbles_are_played_to_the_end(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.att").write_text(
        "axis i: n, j: n\nS[i,j] = Q[i,d] * K[j,d] where window(i, j, w)\nO[i,d] = softmax[j](S) * V[j,d]\n"
    )
    text = write_page(tmp_path / "out.html", [tmp_path / "mine.att"], {"model": "gpt2", "context": 1024}, ("gpt2",))
    document = _run(tmp_path, text.read_text("utf-8") + TABS)
    shown = re.search(r'<pre id="shown">(.*?)</pre>', document, re.DOTALL)
    assert shown is not None
    silent, asked_why, own, runs, *played, first, back, address = json.loads(unescape(shown[1]))
    assert silent == []  # every number of both tabs says the same where it says why
    assert asked_why == 2 * 5 + 5 * 5 + 4
    assert own == "mine"
    assert runs == 32  # a window is one run of keys in each row
    assert len(played) == len(games())
    for (said, slow), each in zip(played, games(), strict=True):
        answer = pebble(each["name"], each["M"], **each["sizes"])
        assert answer.pebbling.optimal
        assert f"moved {answer.pebbling.cost} of {answer.pebbling.cost} words" in said
        stored = {v for action, v in each["moves"] if action == "store"}
        assert slow == len(stored | set(each["inputs"]))
        assert set(answer.pebbling.dag.outputs) <= stored
    assert re.match(r"move 1 of \d+: load", first)
    assert re.match(r"move 0 of \d+: start", back)
    assert "tab=io" in address


CLAIMS = """
<script>
const wait = setInterval(() => {
  if (!document.documentElement.dataset.ready) return;
  clearInterval(wait);
  const shown = [[state.tab, $("l-said").textContent]];
  $("l-verdict").value = "convention"; $("l-verdict").onchange();
  shown.push([address(), $("l-table").querySelectorAll("tbody tr").length]);
  const out = document.createElement("pre"); out.id = "shown"; out.textContent = JSON.stringify(shown); document.body.append(out);
}, 20);
</script>
"""


@browser
def test_claims_are_listed_as_the_ledger_has_them(tmp_path: Path) -> None:
    found = ledger("004")
    text = page(names=("gpt2",), start={"model": "gpt2", "context": 1024}, claims=found.to_dict())
    document = _run(tmp_path, text.replace('data-state="', 'data-state="tab=claims&amp;') + CLAIMS)
    shown = re.search(r'<pre id="shown">(.*?)</pre>', document, re.DOTALL)
    assert shown is not None
    (tab, said), (address, rows) = json.loads(unescape(shown[1]))
    totals = found.to_dict()["totals"]
    assert tab == "claims"
    assert said.endswith(
        f"{totals['agrees']} agree, {totals['wrong']} wrong, {totals['convention']} by another convention"
    )
    assert rows == totals["convention"]
    assert "verdict=convention" in address


def test_masks_are_drawn_as_they_are() -> None:
    for mask in (causal(), window(5), causal() & strided(4)):
        rows = [f"{int(row, 16):032b}" for row in drawn(mask)["rows"]]
        assert rows == ["".join("01"[bool(x)] for x in row) for row in mask.matrix(32)]
    assert drawn(window("w"))["shown"] == "window(8)"


@browser
def test_every_number_under_an_engine_and_a_recipe_says_where_it_comes_from(tmp_path: Path) -> None:
    assert _clicked(tmp_path, context=4096, engine="vllm", mode="prefill", batch=2)[-1] == ""


def test_page_is_one_file_without_addresses_to_load(tmp_path: Path) -> None:
    text = write_page(tmp_path / "page.html", start={"model": "gpt2", "context": 1024}, names=("gpt2",)).read_text(
        "utf-8"
    )
    assert not re.findall(r'(?:src|href)="(?!#|data:,)[^"]*"|@import|url\(', text)
    assert not re.search(r"\{\{\w+\}\}", re.sub(r'<script id="(?:first|rest)".*?</script>', "", text))
    assert '<html lang="en">' in text
    assert verdict(plan("gpt2", "h100-sxm", context=1024)) in text


def test_the_number_shown_first_waits_for_one_model_and_machine() -> None:
    text = page(names=("gpt2", "gemma-2-2b"), start={"model": "gemma-2-2b", "machine": "l4", "context": 1024})
    packed = dict(re.findall(r'<script id="(first|rest)" type="text/plain">(.*?)</script>', text, re.DOTALL))
    first, rest = (json.loads(zlib.decompress(base64.b85decode(packed[part]))) for part in ("first", "rest"))
    assert first["models"]["names"] == ["gemma-2-2b"]
    assert list(first["machines"]) == ["l4"]
    assert set(first) & set(rest) == {"models", "texts", "machines", "code"}
    used = {text for text, _ in first["models"]["fields"]["texts"][0]}
    assert first["texts"] == [text if k in used else 0 for k, text in enumerate(rest["texts"])]
    assert 0 in first["texts"]
    at = rest["models"]["at"][rest["models"]["names"].index("gemma-2-2b")]
    assert {key: list_[0] for key, list_ in first["models"]["fields"].items()} == {
        key: list_[at] for key, list_ in rest["models"]["fields"].items()
    }


def test_a_machine_given_is_shown_first_with_its_measured_ceilings(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "Mine"\nvendor = "AMD"\nkind = "cpu"\n[sources]\nran = "measured here"\n[peak]\n'
        'fp32 = { value = 95, unit = "GFLOP/s", source = "ran", status = "measured" }\n[memory]\n'
        'capacity = { value = 16, unit = "GB", source = "ran", status = "measured" }\n'
        'bandwidth = { value = 14, unit = "GB/s", source = "ran", status = "measured" }\n'
    )
    start = {"model": "gpt2", "context": 1024}
    text = write_page(tmp_path / "page.html", (), start, ("gpt2",), places=[tmp_path / "mine.toml"]).read_text("utf-8")
    assert verdict(plan("gpt2", str(tmp_path / "mine.toml"), context=1024)) in text
    assert not [path for path in machine_data(machine("h100-sxm"))["measured"] if path.startswith("peak")]
    assert "peak.fp32" in machine_data(machine(tmp_path / "mine.toml"))["measured"]
    if BROWSER is not None:
        assert "95.0 GFLOP/s, measured" in _run(tmp_path, text) or "95 GFLOP/s, measured" in _run(tmp_path, text)


def test_every_control_has_a_name() -> None:
    text = page(names=("gpt2",), start={"model": "gpt2", "context": 1024})
    for control in re.findall(r"<(?:input|select|textarea)[^>]*>", text.split("<script")[0]):
        name = re.search(r'id="([^"]+)"', control)[1]  # type: ignore[index]
        inside = re.search(rf'<label[^>]*>(?:(?!</label>).)*id="{name}"', text, re.DOTALL)
        assert inside or "aria-label" in control, control


def test_machines_without_memory_or_rates_are_left_out() -> None:
    assert not plannable(machine("core-i9-13900k"))
    assert plannable(machine("h100-sxm"))


def test_configurations_given_are_offered_and_shown_first(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    shutil.copy(shipped_path("gpt2"), tmp_path / "mine" / "config.json")
    text = write_page(tmp_path / "page.html", [tmp_path / "mine" / "config.json"], names=()).read_text("utf-8")
    assert re.search(r'data-state="model=mine', text)


def test_command_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["page", "--out", str(tmp_path / "none" / "page.html")])
    assert isinstance(made.exception, AttometerError)
    assert "does not exist" in str(made.exception)


def test_a_folder_is_no_page(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["page", "--out", str(tmp_path)])
    assert str(made.exception) == f'"{tmp_path}" is a folder; name a file in it for the page'
    assert list(tmp_path.iterdir()) == []


def test_open_shows_the_plan_that_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    made = CliRunner().invoke(app, ["plan", "gpt2", "--on", "L4", "--ctx", "1k", "--batch", "2", "--open"])
    assert made.exit_code == 0
    text = Path(opened[0].removeprefix("file://")).read_text(encoding="utf-8")
    assert 'data-state="model=gpt2&amp;machine=l4&amp;context=1024&amp;batch=2&amp;mode=prefill"' in text
    served = ["plan", "gpt2", "--on", "L4", "--engine", "vllm", "--utilization", "0.8", "--open"]
    assert CliRunner().invoke(app, served).exit_code == 0
    text = Path(opened[1].removeprefix("file://")).read_text(encoding="utf-8")
    assert "engine=vllm&amp;utilization=0.8" in text
    refused = CliRunner().invoke(app, ["plan", "gpt2", "--goal", "latency", "--open"])
    assert "--open does not take --goal" in str(refused.exception)


def test_what_is_kept_of_a_shipped_model_serves_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    first = json.dumps(page_data(names=("gpt2",)))

    def counted(*_: object) -> None:
        raise AssertionError("counted again")

    for name in ("model_data", "text_data"):
        monkeypatch.setattr(f"attometer.report.page.data.{name}", counted)
    assert json.dumps(page_data(names=("gpt2",))) == first
    assert json.dumps(page_data([model("gpt2")], names=())) == first
