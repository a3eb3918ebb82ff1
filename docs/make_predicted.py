"""Write docs/predicted.md from the shipped calibrations: `python docs/make_predicted.py`."""

import json
from pathlib import Path

from attometer.price.classes import CLASSES
from attometer.price.intervals import NOMINAL
from attometer.price.tables import SITUATIONS, folder

COLUMNS = {
    "physics": "physics held out",
    "in sample": "in sample",
    "held out": "held out",
    "points": "points",
    "blocks": "blocks",
    "sibling": "unseen machine (sibling)",
    "lone": "unseen machine (lone)",
    "engine": "unseen engine",
}

HEAD = """\
# Predicted times

A datasheet roofline is a lower bound. A predicted time is what an engine's kernel takes: physics from counts (tiles, bytes,
products) with coefficients fitted to measurements, a residual where it was earned, and an interval.

```python
from attometer.price import kernel_seconds

shape = {{"batch": [1, 32], "keys": 8192, "window": 0, "streams": 8, "heads": 32, "group": 4, "width": 128}}
moved = {{"key_bytes": 512, "key_flops": 2 * 256 * 16, "out_bytes": 8 * 128 * 4}}
times = kernel_seconds("decode", "vllm 0.24 vllm_flash_attn_fa3|bfloat16|bfloat16", "h100-sxm", **shape, **moved)
print(times.seconds, times.low, times.high, times.situation[0])
```

## How

- **Classes.** One function per class (`attometer.price.kernels`, `attometer.price.whole`) turns counts into seconds by
  term. A family (an engine's kernel and its data types) is a row of coefficients, each with a unit and a prior.
- **Fit.** Least squares on log time, soft-L1 at 0.1, Gaussian priors: over the class, then per family, then per family on
  one machine; each level is the next one's prior. All cells are fitted in one call.
- **Residual.** Oblivious trees on what physics leaves, evaluated by NumPy alone. For each situation they are weighted by
  what lowers the error of rows that were left out (0 to 1), so they may count for nothing.
- **Situations.** `seen`, `unseen shape`, `unseen machine (sibling)` (of a measured architecture), `unseen machine (lone)`,
  `unseen engine` (the nearest family's coefficients, named in `measured_for`), `no rows` (priors).
- **Intervals** hold {nominal:.0%}: split conformal quantiles, one per situation, scaled by a predicted size of the residual.
- **Yours.** `attometer calibrate --quick` measures your machine for a minute; it is then the machine `this`.
  `attometer calibrate --from DIR` fits to measurement CSVs (`--to DIR` keeps the coefficients), `attometer validate DIR`
  scores any folder of such files: by class, machine and engine, with the worst rows and the rows left out by reason.

## Errors

Median / mean of |predicted ÷ measured − 1| in %, on time, one vote per group of rows that belong together. `held out` rows
were never fitted: a fixed hash (`attometer.price.split`) holds out 15 % of the groups (`points`) and a quarter of the
geometries on one machine whole (`blocks`). `sibling`, `lone` and `engine` leave out a machine or an engine whole.
`physics` is without the residual. The shipped coefficients are fitted on all rows with the same settings.

"""


def main() -> None:
    """Write the page."""
    found = {name: json.loads(path.read_text()) for name in CLASSES if (path := folder() / f"{name}.json").is_file()}
    lines = [f"| class | rows | {' | '.join(COLUMNS)} |", "|---|---|" + "---|" * len(COLUMNS)]
    for name, data in found.items():
        cells = (_cell(data["errors"].get(key)) for key in COLUMNS.values())
        lines.append(f"| {CLASSES[name].title} | {data['provenance']['rows']:,} | {' | '.join(cells)} |")
    covered = [f"| class | {' | '.join(SITUATIONS[:5])} |", "|---|" + "---|" * 5]
    for name, data in found.items():
        cells = (
            f"{data['coverage'][each]:.0%}" if each in data.get("coverage", {}) else "-" for each in SITUATIONS[:5]
        )
        covered.append(f"| {CLASSES[name].title} | {' | '.join(cells)} |")
    sources = sorted({source for data in found.values() for source in data["provenance"]["sources"]})
    text = HEAD.format(nominal=NOMINAL) + "\n".join(lines)
    text += "\n\nRows inside the 90 % interval, on rows that neither fitted nor set it:\n\n" + "\n".join(covered)
    text += f"\n\nSources of the rows, by the names that the coefficient files keep: {', '.join(sources)}.\n"
    (Path(__file__).parent / "predicted.md").write_text(text)


def _cell(entry: dict[str, float] | None) -> str:
    return f"{entry['median']:.1f} / {entry['mean']:.1f}" if entry and entry["median"] is not None else "-"


if __name__ == "__main__":
    main()
