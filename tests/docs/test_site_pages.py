"""The site's pages that are made from the code say all there is, and its table of contents names files that exist."""

import re

import pytest
from tests.docs.scripts import DOCS, script

from attometer.count.conventions import CONVENTIONS
from attometer.formats import FORMATS
from attometer.machine import machines
from attometer.masks import MASKS

ROOT = DOCS.parent


@pytest.mark.parametrize(
    ("page", "names"),
    [("masks", MASKS), ("conventions", CONVENTIONS), ("machines", machines()), ("formats", FORMATS)],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_page_has_every_name(page, names):
    text = script("site_pages").PAGES[page]()
    assert [name for name in names if f"## {name}" not in text and f"| `{name}` |" not in text] == []


def test_a_row_has_as_many_cells_as_the_head():
    for line in script("site_pages").PAGES["bounds"]().splitlines():
        assert not line.startswith("|") or len(re.findall(r"(?<!\\)\|", line)) == 8


def test_contents_name_pages_that_exist():
    listed = re.findall(r": ([\w/-]+)\.md", (ROOT / "mkdocs.yml").read_text())
    made = {f"reference/{name}" for name in script("site_pages").PAGES}
    assert [page for page in listed if page not in made and not (ROOT / "docs" / f"{page}.md").is_file()] == []


@pytest.mark.docs
def test_the_site_builds_without_a_warning(tmp_path):
    mkdocs = pytest.importorskip("mkdocs.commands.build", reason='the site needs the extra "docs"')
    from mkdocs.config import load_config

    mkdocs.build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    assert (tmp_path / "reference" / "masks.html").is_file()
