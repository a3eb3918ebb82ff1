"""The page's style: contrast by numbers in both themes, and a table beside each chart."""

import re
from importlib.resources import files
from itertools import product

import pytest

CSS = (files("attometer") / "report" / "page" / "page.css").read_text(encoding="utf-8")
GROUNDS = ("bg", "card")
TEXT = ("ink", "soft", "accent", "good", "bad")
DRAWN = ("c0", "c1", "c2", "c3", "c4", "c5", "c6", "w", "kv", "st", "ac", "gr", "op")
"""Colours of lines and of parts of the bar."""


def _themes() -> dict[str, dict[str, str]]:
    light, dark = (
        dict(re.findall(r"--(\w+):(#\w+)", block)) for block in re.findall(r":root\{(.*?)\}", CSS, re.DOTALL)[:2]
    )
    return {"light": light, "dark": light | dark}


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2.2: (lighter + 0.05) / (darker + 0.05) of their relative luminances."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # webaim.org's well-known near miss


@pytest.mark.parametrize("theme", _themes())
def test_text_and_what_is_drawn_stand_out_in_both_themes(theme: str) -> None:
    colours = _themes()[theme]
    for name, ground in product(TEXT, GROUNDS):
        assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in DRAWN:
        assert contrast(colours[name], colours["card"]) >= 3, name
    for ground in GROUNDS:
        assert contrast(colours["field"], colours[ground]) >= 3, ground


def test_every_chart_has_a_table_and_a_picture() -> None:
    page = (files("attometer") / "report" / "page" / "page.html").read_text(encoding="utf-8")
    charts = re.findall(r'id="([\w-]+)" class="chart"', page)
    assert set(re.findall(r'data-twin="([\w-]+)"', page)) == {c for c in charts if c != "p-board"}
