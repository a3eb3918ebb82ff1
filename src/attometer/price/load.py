"""Measured rows → tables of counts, one per class, by rules; every row that is left out is counted by its reason."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attometer.machine import Machine
from attometer.price import features, model_features
from attometer.price.features import Counted, Reader
from attometer.price.figures import cell_name, is_priceable, known
from attometer.price.kernels import Array, Counts
from attometer.price.rows import UNITS, Incomplete, Row, Unpriced, read
from attometer.price.split import held_out

#: what each label of a table says of a row
LABELS = ("family", "machine", "engine", "source", "group", "block", "tier", "part", "place", "geometry")


@dataclass(frozen=True)
class Rule:
    """Rows whose source, mode, operation and metric match the patterns are read by `reader`."""

    source: str
    mode: str
    reader: Reader
    op: str = r""
    metric: str = r""

    def holds(self, source: str, mode: str, op: str, metric: str) -> bool:
        """Say whether the rule reads rows of these."""
        pairs = ((self.source, source), (self.mode, mode), (self.metric, metric))
        fits = all(re.match(pattern, text) for pattern, text in pairs)
        return fits and (not self.op or bool(re.fullmatch(self.op, op)))


_PRODUCT = "|".join(map(re.escape, sorted(features.PRODUCTS)))

_STEP = r".*(norm|rope|act|act_fn|embedding|rotary_emb|sampler).*"

#: the first rule that holds reads the row
RULES = (
    Rule("aic_comm|vidur_network", "comm", features.collective),
    Rule("aic_moe", "kernel", features.moe),
    Rule("llmservingsim_profile", "kernel_fwd", features.moe, "moe"),
    Rule("vidur_mlp|llmservingsim_profile", "kernel_fwd", features.gemm, _PRODUCT),
    Rule("vidur_mlp|llmservingsim_profile|cudnn_norms", "kernel", features.operation, _STEP),
    Rule("cudnn_norms|this_operation", "kernel", features.operation),
    Rule("tokamax_gemm_loss", "kernel", features.operation, metric="latency"),
    Rule("aic_gemm|aiter_gemm|deepgemm|mamf|this_gemm", "kernel", features.gemm),
    Rule("tpu_training", "kernel", features.gemm),
    Rule(".*", "kernel_decode", features.decode),
    Rule(".*", "kernel_mixed", features.mixed),
    Rule(".*", "kernel", features.attention),
    Rule(".*", "train", model_features.training),
    Rule(".*", "prefill|decode|serving", model_features.inference),
)  # fmt: skip

#: pattern of the columns → why such rows are left out; source, engine, mode and metric are joined by spaces
EXCLUDED = (
    (r"dle_bert .*tf2.* prefill", "one label stands for four tables (TF2 inference)"),
    (r"dle_bert .*tf1.* latency", "average latency above its own 99th percentile (TF1): throughput is used"),
    (r".* ttft_min", "one request's time"),
    (r"flash_attention_charts .* train ", "no placement or batch is stated"),
)


@dataclass(frozen=True)
class Table:
    """Rows of one class: counts of shape (rows,), seconds measured, and labels by name (see LABELS)."""

    kind: str
    x: Counts
    seconds: Array
    labels: dict[str, NDArray[np.str_]]

    def __len__(self) -> int:
        return len(self.seconds)

    def where(self, mask: NDArray[np.bool_]) -> "Table":
        """Return the rows that the mask selects."""
        return Table(
            self.kind,
            {name: values[mask] for name, values in self.x.items()},
            self.seconds[mask],
            {name: values[mask] for name, values in self.labels.items()},
        )


@dataclass(frozen=True)
class Loaded:
    """Tables by class, and how many rows were left out for each (class of) reason."""

    tables: dict[str, Table]
    left_out: dict[str, int]

    @property
    def rows(self) -> int:
        """How many rows were read as counts."""
        return sum(map(len, self.tables.values()))


def load(folder: str | Path) -> Loaded:
    """Read a folder of measurement files into tables of counts.

    Raises AttometerError for a file or row that is wrong, by file, row and column; a row that states no time, is
    excluded by a rule, lacks a column or a machine is counted in `left_out` instead.
    """
    return tabulate(read(folder))


def tabulate(rows: Iterable[Row], on: Machine | None = None) -> Loaded:
    """Return rows as tables of counts; see `load`. `on` is the machine of them all, where the catalogue lacks it."""
    found: dict[str, list[tuple[Counted, dict[str, str]]]] = defaultdict(list)
    reasons: Counter[str] = Counter()
    for row in rows:
        try:
            counted = counts(row, on)
        except Incomplete as error:
            reasons[f"incomplete: {row.text('mode')} row without {error}"] += 1
        except Unpriced as error:
            reasons[str(error)] += 1
        else:
            found[counted.kind].append((counted, _labels(row, counted)))
    return Loaded({kind: _table(kind, each) for kind, each in sorted(found.items())}, dict(reasons))


def counts(row: Row, on: Machine | None = None) -> Counted:
    """Return one row as counts. Raises Unpriced or Incomplete with the reason when it cannot be priced."""
    metric = row.text("metric")
    if metric not in UNITS:
        raise Unpriced(f"states no time ({metric})")
    if row.text("tier") == "C":
        raise Unpriced("tier C (sanity only)")
    excluded = _exclusion(" ".join(row.text(name).lower() for name in ("source_id", "engine", "mode", "metric")))
    if excluded:
        raise Unpriced(f"excluded: {excluded}")
    if not row.text("hw_id"):
        raise Unpriced("names no single machine")
    machine = on or known(row.text("hw_id"))
    if machine is None:
        raise Unpriced(f"machine not in the catalogue: {row.text('hw_id')}")
    if on is None and not is_priceable(row.text("hw_id")):
        raise Unpriced(f"machine states no bandwidth or no rate: {row.text('hw_id')}")
    rule = _rule(row.text("source_id"), row.text("mode"), row.extra.get("op", ""), metric)
    if rule is None:
        raise Unpriced(f"no rule reads {row.text('mode')} of {row.text('source_id')}")
    try:
        counted = rule.reader(model_features.completed(row), machine)
    except ZeroDivisionError as error:
        raise Unpriced(f"impossible: a count of 0 in a {row.text('mode')} row") from error
    bad = [name for name, value in counted.x.items() if not 0 <= value < float("inf")]
    if bad or not 0 < counted.seconds < float("inf"):
        raise Unpriced(f"impossible: {bad[0] if bad else 'time'} of a {row.text('mode')} row")
    return counted


@lru_cache(maxsize=4096)
def _exclusion(text: str) -> str | None:
    return next((reason for pattern, reason in EXCLUDED if re.match(pattern, text)), None)


@lru_cache(maxsize=4096)
def _rule(source: str, mode: str, op: str, metric: str) -> Rule | None:
    return next((rule for rule in RULES if rule.holds(source, mode, op, metric)), None)


def _labels(row: Row, counted: Counted) -> dict[str, str]:
    block = row.text("block_id") or "|".join((row.text("source_id"), row.text("hw_id"), counted.kind, counted.geometry))
    group = row.text("split_group")
    engine = row.text("engine").split(" ")[0].lower()
    return {
        "family": counted.family,
        "machine": cell_name(row.text("hw_id")),
        "engine": engine,
        "source": row.text("source_id"),
        "group": group,
        "block": block,
        "tier": row.text("tier"),
        "part": held_out(group, block),
        "place": row.place,
        "geometry": counted.geometry,
    }


def _table(kind: str, rows: list[tuple[Counted, dict[str, str]]]) -> Table:
    names = rows[0][0].x
    return Table(
        kind,
        {name: np.array([counted.x[name] for counted, _ in rows]) for name in names},
        np.array([counted.seconds for counted, _ in rows]),
        {name: np.array([labels[name] for _, labels in rows]) for name in LABELS},
    )
