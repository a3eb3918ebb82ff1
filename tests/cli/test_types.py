"""What a type checker sees of the public names: real signatures, and formulas that are not `Any`."""

import subprocess
import sys
from pathlib import Path

import pytest

SNIPPET = """
import attometer as am
cost = am.count(am.mechanism("softmax"))
cost.work.also_not()
cost.at(n=1, d=1, h=1).wrk
am.plan("gpt2", nosuch=1)
am.price("cost")
am.run(3)
am.machine(5)
reveal_type(cost.work * 2 + 1)
reveal_type(cost.at(n=8, d=4, h=1).flop)
reveal_type(am.price(cost, n=8, d=4, h=1))
reveal_type(am.models())
reveal_type(am.run("softmax"))
"""


@pytest.mark.slow
def test_a_strict_checker_sees_signatures_and_formulas(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    path = tmp_path / "user.py"
    path.write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    said = [line.partition("user.py:")[2] for line in done.stdout.splitlines() if "user.py:" in line]
    for line, words in (
        (4, '"Expr" has no attribute "also_not"'),
        (5, '"CostAt" has no attribute "wrk"'),
        (6, 'Unexpected keyword argument "nosuch" for "plan"'),
        (7, 'No overload variant of "price" matches argument type "str"'),
        (8, 'Argument 1 to "run" has incompatible type "int"'),
        (9, 'Argument 1 to "machine" has incompatible type "int"'),
        (10, 'Revealed type is "attometer.algebra.Expr"'),
        (11, "int |"),
        (12, "attometer.price.roofline.Roofline"),
        (13, "str, ...]"),
        (14, "attometer.run.verb.Results"),
    ):
        assert any(text.startswith(f"{line}:") and words in text for text in said), (line, words, said)
