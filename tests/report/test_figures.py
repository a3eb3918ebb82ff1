"""Figures: real files with real labels, drawn from counts; looked at by hand, and parsed here."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from attometer.errors import AttometerError
from attometer.models import model
from attometer.report.figures import FIGURES, draw_all
from attometer.report.figures.layers import at, components
from attometer.report.figures.memory import cached, materialised
from attometer.report.figures.shares import component_crossovers
from attometer.report.figures.time import spent

pytest.importorskip("matplotlib")

LABELS = {
    "interactions": [
        "n = 8: 64 interactions",
        "n = 32: 1,024 interactions",
        "n = 32: 528 interactions",
        "key position j",
    ],
    "contour": ["sequence length n (tokens)", "width of all heads together, h d", "gpt2: 12 heads of 64", "10 GFLOP"],
    "flops": ["FLOPs of one forward pass of gpt2", "131,072", "FLOP (floating-point operations)"],
    "memory": ["gpt2-medium", "key/value cache", "fits rtx-3090: 24 GB = 22.4 GiB", "1.36"],
    "crossover": ["equal at n = h d = 768", "recurrent network, width 768", "FLOP of one layer"],
    "time": ["time (seconds), a lower bound", "h100-sxm bf16, scores stay on chip", "100 ms"],
    "shares": [
        "attention core",
        "core = projections, n = 1,536",
        "core = all the rest, n = 4,608",
        "share of the FLOPs of the layers (%)",
    ],
    "variants": [
        "softmax (itself)",
        "sliding window (w = 256, itself)",
        "linear (approximates softmax)",
        "FLOP of one attention layer",
    ],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    paths = draw_all(tmp_path_factory.mktemp("figures") / "new" / "folder")
    return {name: {p.suffix: p for p in paths if p.stem == name} for name in FIGURES}


def texts(path: Path) -> str:
    root = ET.parse(path).getroot()
    return "\n".join("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize("name", FIGURES)
def test_a_png_is_a_whole_image(name: str, drawn: dict[str, dict[str, Path]]) -> None:
    from matplotlib.image import imread

    image = imread(drawn[name][".png"])
    assert image.shape[0] > 700
    assert image.shape[1] > 1100
    # neither blank nor cut off: the outermost pixels are the white margin
    assert image[..., :3].std() > 0.05
    assert all((edge[..., :3] > 0.99).all() for edge in (image[0], image[-1], image[:, 0], image[:, -1]))


@pytest.mark.parametrize("name", FIGURES)
def test_an_svg_says_what_it_shows(name: str, drawn: dict[str, dict[str, Path]]) -> None:
    said = texts(drawn[name][".svg"])
    assert "counted by attometer" in said
    for label in LABELS[name]:
        assert label in said


def test_the_same_counts_give_the_same_file(tmp_path: Path) -> None:
    (first,) = draw_all(tmp_path / "a", names=["crossover"], formats=["svg"])
    (second,) = draw_all(tmp_path / "b", names=["crossover"], formats=["svg"])
    assert first.read_bytes() == second.read_bytes()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["crossover.svg"]


def test_another_model_and_machine(tmp_path: Path) -> None:
    (path,) = draw_all(tmp_path, model="llama-3.1-8b", on=["b200"], names=["time"], formats=["svg"])
    assert "llama-3.1-8b" in texts(path)
    assert "b200 bf16, scores in memory" in texts(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma-2-2b", "deepseek-v3", "t5-base", "jamba-v0.1", "gpt-oss-120b", "bert-base"])
def test_every_family_draws(name: str, tmp_path: Path) -> None:
    assert len(draw_all(tmp_path, model=name, formats=["png"])) == len(FIGURES)


def test_the_numbers_behind_the_figures() -> None:
    gpt2 = model("gpt2")
    # M. Brenndoerfer 2025, "Attention Complexity", Out[9]: 0.11, 1.27 and 18.56 GiB for GPT-2 Small
    assert [round(materialised(gpt2, n) / 2**30, 2) for n in (512, 2048, 8192)] == [0.11, 1.27, 18.56]
    assert cached(model("llama-3.1-8b"), 131072) == 17179869184
    # Out[22]: 5.3 % attention, 31.6 % projections, 63.2 % feed-forward at 256 tokens
    parts = [at(expression, 256) for expression in components(gpt2).values()]
    assert [round(100 * part / sum(parts), 1) for part in parts] == [5.3, 31.6, 63.2]
    assert spent(gpt2, 100).flops == 12 * 4 * 768 * 100 * 101 // 2


def test_crossings_of_the_components_are_solved() -> None:
    assert [int(c.root) for c in component_crossovers(model("gpt2"))] == [1536, 3072, 4608]
    # a causal core is half as large: n (n + 1) / 2 pairs
    assert [int(c.root) for c in component_crossovers(model("gpt2"), "exact")] == [3071, 6143, 9215]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["memry"]}, r'unknown figure "memry"; did you mean "memory"\?'),
        ({"formats": ["jpg"]}, r'unknown format "jpg"'),
        ({"formats": []}, "no format was asked for; known: png, svg, pdf"),
        ({"formats": "png"}, 'formats must be a list of names, got the text "png"'),
        ({"on": ["h1000"]}, r'unknown hardware "h1000"'),
        ({"on": []}, "on must name 1 to 6 machines, got 0"),
        ({"model": "gpt3"}, r'unknown model "gpt3"; did you mean "gpt2"\?'),
        ({"model": "mamba-2.8b"}, 'model "mamba-2.8b" has no attention to draw; its layers are ssm'),
    ],
)
def test_bad_input_is_named_and_writes_nothing(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(AttometerError, match=message):
        draw_all(tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AttometerError, match=r'folder ".*file/out" cannot be made: not a directory'):
        draw_all(tmp_path / "file" / "out", names=["crossover"])


def test_without_matplotlib_the_message_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from attometer.errors import AttometerError\n"
        "from attometer.report.figures import draw_all\n"
        f"try: draw_all({str(tmp_path)!r})\n"
        "except AttometerError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == 'figures need matplotlib; install it with: pip install "attometer[plot]"'
    assert list(tmp_path.iterdir()) == []


def test_reports_do_not_load_matplotlib_until_they_draw() -> None:
    code = "import sys, attometer.report, attometer.report.figures; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"


def test_what_was_drawn_prints_and_serialises(tmp_path: Path) -> None:
    drawn = draw_all(tmp_path, names=["crossover"], formats=["svg"], on=["h100-sxm"])
    assert str(drawn) == f"wrote {tmp_path / 'crossover.svg'}"
    said = drawn.to_dict()
    assert (said["model"], said["hardware"], said["paths"]) == ("gpt2", ["h100-sxm"], [str(tmp_path / "crossover.svg")])
    (own, _, article, _) = said["numbers"]["crossover"]
    # 4 n² d of one head of 512 at the crossing, where the axis of the picture has a point
    assert article["y"][article["x"].index(512)] == 4 * 512**3
    assert own["name"] == "softmax attention"
