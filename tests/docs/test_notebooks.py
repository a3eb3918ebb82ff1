"""Every cell of the example notebooks runs, in order, and its last value shows itself."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples" / "notebooks").glob("*.ipynb"))


def run(code: str, names: dict) -> object:
    """Run a cell and return the value of its last line, as a notebook does."""
    tree = ast.parse(code)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(last, "cell", "eval"), names)


@pytest.mark.docs
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            shown = run("".join(cell["source"]), names)
            page = getattr(shown, "_repr_html_", None)
            assert shown is None or (page() if page else repr(shown))


def test_notebooks_are_stored_without_results():
    cells = [cell for path in NOTEBOOKS for cell in json.loads(path.read_text())["cells"]]
    assert len(NOTEBOOKS) == 4
    assert all(cell["cell_type"] == "markdown" or cell["outputs"] == [] for cell in cells)
