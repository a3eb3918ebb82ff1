"""The referee passes what is right and catches what is wrong, each fault by the check that is meant for it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.mechanisms import mechanism
from attometer.program import causal, size, window
from attometer.run import attention
from attometer.simulate import interpret
from attometer.testing import CHECKS, Outcome, Report, Unsupported, check_attention, peer
from attometer.testing.__main__ import main
from attometer.testing.oracle import Case, dense

COMPARED = tuple(name for name in CHECKS if name not in ("memory growth", "torch's samples"))
QUICK = ("values", "masks", "zero lengths", "rows that see nothing", "extreme logits", "inf and NaN", "low precision")


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_the_judge_agrees_with_the_interpreted_program(n, m, masked):
    rng = torch.Generator().manual_seed(n * 10 + m)
    q, k, v = (torch.randn(1, 2, x, 4, generator=rng, dtype=torch.float64) for x in (n, m, m))
    program = mechanism("softmax", m=size("m"), mask=causal() if masked else None).program
    names = {"Q": q.numpy(), "K": k.numpy(), "V": v.numpy()}
    wanted = interpret(program, names)["O"]
    found = dense(Case("", q, k, v, causal() if masked else None))[0]
    if masked and n > m:  # the catalogue's softmax of a row that sees nothing is 0 by the interpreter's rule
        found, wanted = found[:, :, n - m :], wanted[:, :, n - m :]
    torch.testing.assert_close(found, torch.from_numpy(wanted))


def test_tiled_passes_everything():
    report = check_attention(peer("tiled"), checks=COMPARED)
    report.raise_if_failed()
    assert report.count("unsupported") == 0


@pytest.mark.parametrize("impl", ["flash1", "two_pass_recompute", "split_kv", "reference"])
def test_our_implementations_pass(impl):
    report = check_attention(peer(impl), checks=QUICK, gradients=impl != "reference")
    report.raise_if_failed()
    assert report.count("unsupported") == 0


@pytest.mark.slow
@pytest.mark.parametrize("impl", ["tiled", "flash1", "two_pass_recompute", "split_kv", "reference"])
def test_our_implementations_pass_all_and_keep_no_memory(impl):
    check_attention(peer(impl)).raise_if_failed()


def plain(q, k, v, mask=None):
    return attention(q, k, v, mask=mask, impl="tiled")


class Doubled(torch.autograd.Function):
    """Right values, wrong gradient of v: the fault of a ring that adds the wrong term."""

    @staticmethod
    def forward(ctx, v):
        return v.clone()

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def widened(q, k, v, mask=None):
    return plain(q, k, v, window(10) if mask == window(9) else mask)


def averaged(q, k, v, mask=None):
    seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool)
    seen = seen if mask is None else torch.tensor(mask.matrix(*seen.shape))
    return torch.softmax((q @ k.mT * q.shape[3] ** -0.5).masked_fill(~seen, -1e30), -1) @ v


def unsafe(q, k, v, scale=None):
    weights = torch.exp(q @ k.mT * (q.shape[3] ** -0.5 if scale is None else scale))
    return weights @ v / weights.sum(-1, keepdim=True)


def coarse(q, k, v, mask=None):
    return plain(*(x.float().div(0.03).round().mul(0.03).to(x.dtype) for x in (q, k, v)), mask)


def writing(q, k, v, mask=None):
    output = plain(q, k, v, mask)
    q.detach().mul_(2)
    return output


KEPT: list[torch.Tensor] = []


def leaking(q, k, v, mask=None):
    KEPT.append(torch.ones(q.numel()))
    return plain(q, k, v, mask)


def unsteady(q, k, v, mask=None):
    return plain(q, k, v, mask) * (1 + 1e-6 * torch.randn(()).to(q.dtype))


FAULTS = [
    (widened, "masks", "window: output is off by"),
    (averaged, "rows that see nothing", "after the query: output is off by"),
    (unsafe, "extreme logits", "±1e4: output is off by inf"),
    (coarse, "low precision", "bfloat16, n = 40: output is off by"),
    (writing, "inputs unchanged", "q, k, v: q was written to"),
    (leaking, "memory growth", "1000 calls: resident memory grew by"),
    (unsteady, "determinism", "float32: output, dq, dk, dv differ between equal calls"),
    (lambda q, k, v: plain(q, k, Doubled.apply(v)), "gradients", "square: dv is off by"),
    (lambda q, k, v: plain(q, k, v).double(), "values", "square: output is torch.float64, q is torch.float32"),
    (lambda q, k, v: plain(q, k, v)[:, :, :1], "values", "square: output is off by inf"),
    (lambda q, k, v: plain(q[:, :1], k, v), "values", "square: AttometerError: k: got 3 heads"),
]


@pytest.mark.parametrize(("fault", "check", "words"), FAULTS, ids=[words for *_, words in FAULTS])
def test_a_fault_is_caught_by_its_check(fault, check, words):
    report = check_attention(fault, checks=(check,))
    KEPT.clear()
    assert report.count("failed", check)
    assert f"failed: {check}, {words}" in str(report)
    with pytest.raises(AttometerError, match=r"of \d+ cases failed, first"):
        report.raise_if_failed()


def test_what_a_function_does_not_take_is_unsupported_and_not_failed():
    def bare(q, k, v):
        return plain(q, k, v)

    def shy(q, k, v, mask=None):
        raise Unsupported("masks are not for me")

    report = check_attention(bare, checks=("masks", "biases", "log-sum-exp"))
    assert (report.count("passed"), report.count("failed")) == (0, 0)
    assert check_attention(shy, checks=("masks",)).count("unsupported") == 15


def test_torch_itself_can_be_judged_with_its_own_keywords():
    report = check_attention(torch.nn.functional.scaled_dot_product_attention, checks=("values", "masks"))
    assert report.count("failed") == 0
    assert report.count("passed", "masks") == 15


def test_report_and_command(capsys):
    assert main(["--impl", "tiled", "--check", "zero lengths"]) == 0
    assert "zero lengths       3       0            0" in capsys.readouterr().out
    assert main(["--impl", "tilde"]) == 2
    assert capsys.readouterr().err == 'error: unknown implementation "tilde"; did you mean "tiled"?\n'
    assert main(["--check", "mask"]) == 2
    assert 'unknown check "mask"; did you mean "masks"?' in capsys.readouterr().err
    assert main(["--impl", "kernels", "--check", "zero lengths"]) == 0
    report = Report("f", (Outcome("a", "b", "failed", "wrong"), Outcome("a", "c", "passed")))
    assert str(report).splitlines()[-1] == "failed: a, b: wrong"
