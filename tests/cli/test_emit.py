"""`derive --emit` prints what `compile` builds, and refuses what it has no words for."""

import pytest

from attometer.cli import main


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


def test_the_code_of_a_file(capsys) -> None:
    code, out, _ = run(capsys, "derive", "examples/forgetting.att", "-M", "65536", "--emit", "cpp")
    assert code == 0
    assert 'extern "C"' in out
    assert "// O[b,h,i,e] += S.product[b,h,i,j] * V[b,h,j,e], masked ones left out" in out


def test_another_target_and_what_cannot_be_compiled(capsys) -> None:
    code, _, err = run(capsys, "derive", "softmax", "-M", "65536", "--emit", "triton")
    assert code == 2
    assert 'unknown --emit "triton"' in err
    code, _, err = run(capsys, "derive", "examples/multi_token.att", "-M", "65536", "--emit", "cpp")
    assert code == 2
    assert "which is not a rectangle of whole axes" in err
