"""`derive --emit` prints what `compile` builds, and refuses what it has no words for."""

import pytest
from typer.testing import CliRunner

from attometer.cli import app
from attometer.errors import AttometerError


def derive(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["derive", *arguments, "-M", "65536"], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_code_of_a_file() -> None:
    out = derive("examples/forgetting.att", "--emit", "cpp")
    assert 'extern "C"' in out
    assert "// O[b,h,i,e] += S.product[b,h,i,j] * V[b,h,j,e], masked ones left out" in out


def test_triton_kernels_of_a_file() -> None:
    out = derive("examples/forgetting.att", "--emit", "triton")
    compile(out, "kernels", "exec")
    assert out.count("@triton.jit\ndef phase_") == 3
    assert "        # O[b,h,i,e] += S.product[b,h,i,j] * V[b,h,j,e], masked ones left out\n" in out


def test_another_target_and_what_cannot_be_compiled() -> None:
    with pytest.raises(AttometerError, match='unknown --emit "cuda"'):
        derive("softmax", "--emit", "cuda")
    with pytest.raises(AttometerError, match="runs place by place, for which there is no Triton kernel"):
        derive("examples/multi_token.att", "--emit", "triton")
