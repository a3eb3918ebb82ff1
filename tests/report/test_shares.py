"""Component shares: the article's table, exact FLOPs, a picture, and refusals; Strassen's scores as a report."""

from pathlib import Path

import pytest

from attometer.errors import AttometerError
from attometer.models import model
from attometer.report.io.strassen import io_strassen
from attometer.report.shares import shares

# Brenndoerfer 2025, Out[22]: attention, projections, feed-forward at d = 768
OUT22 = {256: (5.3, 31.6, 63.2), 1024: (18.2, 27.3, 54.5), 4096: (47.1, 17.6, 35.3)}


def test_the_article_s_shares() -> None:
    made = shares("gpt2", list(OUT22))
    for n, printed in OUT22.items():
        parts = made.flops[n]
        assert tuple(round(100 * part / sum(parts.values()), 1) for part in parts.values()) == printed
    assert [int(c.root) for c in made.crossings] == [1536, 3072, 4608]


def test_masked_pairs_can_be_left_out() -> None:
    full, exact = (shares("gpt2", [1024], causal).flops[1024] for causal in ("full", "exact"))
    assert exact["attention core"] * 2048 == full["attention core"] * 1025
    assert exact["projections"] == full["projections"]


def test_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert shares(model("llama-3.1-8b")).plot(tmp_path / "shares.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": [0]}, "context must name at least one number of tokens, each at least 1"),
        ({"context": []}, "context must name at least one number of tokens, each at least 1"),
        ({"causal": "half"}, 'causal: got "half", expected full or exact'),
    ],
)
def test_refusals(options: dict[str, object], message: str) -> None:
    with pytest.raises(AttometerError) as error:
        shares("gpt2", **options)  # type: ignore[arg-type]
    assert str(error.value) == message


def test_strassen_wins_only_far_beyond_any_head() -> None:
    made = io_strassen(n=4096, d=64, M=4096)
    assert made.crossing is not None
    below, at = (io_strassen(n=1, d=d, M=4096).rows[0] for d in (made.crossing // 2, made.crossing))
    assert below[2] >= below[3]
    assert at[2] < at[3]
    with pytest.raises(AttometerError, match="too small for Strassen"):
        io_strassen(n=4, d=4, M=2)
