"""Write the tables of docs/predicted.md from the shipped calibrations: `python docs/make_predicted.py`."""

import json
from pathlib import Path

from attometer.price.calibrate import COLUMNS
from attometer.price.classes import CLASSES
from attometer.price.intervals import NOMINAL
from attometer.price.tables import SITUATIONS, folder

PAGE = Path(__file__).parent / "predicted.md"
FIRST = "| class | rows |"  # tables begin here; what stands before them is written by hand


def page(text: str) -> str:
    """Return the page's text with its tables as the shipped calibrations have them."""
    found = {name: json.loads(path.read_text()) for name in CLASSES if (path := folder() / f"{name}.json").is_file()}
    lines = [f"{FIRST} {' | '.join(COLUMNS)} |", "|---|---|" + "---|" * len(COLUMNS)]
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
    text = text.split(FIRST)[0] + "\n".join(lines)
    text += (
        f"\n\nRows inside the {100 * NOMINAL:.0f} % interval, on rows that neither fitted nor set it:\n\n"
        + "\n".join(covered)
    )
    return text + f"\n\nSources of the rows, by the names that the coefficient files keep: {', '.join(sources)}.\n"


def _cell(entry: dict[str, float] | None) -> str:
    return f"{entry['median']:.1f} / {entry['mean']:.1f}" if entry and entry["median"] is not None else "-"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
