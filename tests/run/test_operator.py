"""The operators hold torch's contract for custom operators, under every kind of bias."""

import pytest
import torch

from attometer.program import causal, random, strided, window
from attometer.run import attention, explain_choice, register_kernel, unregister_kernel
from attometer.run.kernels import Kernel
from attometer.run.mask_text import from_text, to_text
from attometer.run.tiled.attention import run_tiled, tiled_attention


def operands(grad=True):
    return [torch.randn(2, h, 20, 8, requires_grad=grad) for h in (4, 2, 2)]


@pytest.mark.parametrize("schedule", ["flash2", "flash1", "two_pass_recompute", "split_kv"])
@pytest.mark.parametrize("biased", [False, True])
def test_opcheck(schedule, biased):
    additive = torch.randn(1, 4, 20, 20, requires_grad=True) if biased else None
    sinks = torch.randn(4, requires_grad=True) if biased else None
    more = ([0.1, 0.2, 0.3, 0.4], 5.0) if biased else (None, None)
    mask = to_text(causal() & (window(3) | strided(5)))
    torch.library.opcheck(tiled_attention, (*operands(), additive, sinks, *more, 0.25, mask, schedule))


@pytest.mark.parametrize("mask", [causal() & window(9), random(3, 2) | ~causal(), None], ids=str)
def test_masks_survive_as_text(mask):
    assert from_text(to_text(mask)) == mask


@pytest.mark.parametrize("impl", ["auto", "tiled", "sdpa"])
@pytest.mark.parametrize("mask", [None, causal(), causal() & window(7)], ids=str)
def test_compiles_to_one_graph(impl, mask):
    torch._dynamo.reset()
    q, k, v = operands()
    compiled = torch.compile(
        lambda q, k, v: attention(q, k, v, mask=mask, impl=impl), backend="aot_eager", fullgraph=True
    )
    output = compiled(q, k, v)
    found = torch.autograd.grad(output.sum(), [q, k, v])
    wanted = torch.autograd.grad(attention(q, k, v, mask=mask, impl=impl).sum(), [q, k, v])
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own deprecations
def test_compiles_with_inductor():
    torch._dynamo.reset()
    q, k, v = operands()
    mask = causal() & window(7)
    compiled = torch.compile(lambda q, k, v: attention(2 * q, k, v, mask=mask, impl="tiled").tanh(), fullgraph=True)
    found = torch.autograd.grad(compiled(q, k, v).sum(), [q, k, v])
    wanted = torch.autograd.grad(attention(2 * q, k, v, mask=mask, impl="tiled").tanh().sum(), [q, k, v])
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_flex_agrees_where_it_runs():
    q, k, v = operands(grad=False)
    for mask in (None, causal() & window(7)):
        found = attention(q, k, v, mask=mask, impl="flex")
        torch.testing.assert_close(found, attention(q, k, v, mask=mask, impl="reference"))


def test_flex_predicates_are_the_masks():
    from test_tile_plan import ATOMS

    for mask in (*ATOMS, causal() & ~ATOMS[3], ATOMS[4] | ATOMS[6]):
        i, j = torch.arange(50)[:, None], torch.arange(70)[None]
        found = mask.predicate(50, 70, torch.tensor)(i, j)
        assert torch.equal(found.expand(50, 70), torch.tensor(mask.matrix(50, 70))), str(mask)


def test_a_registered_kernel_runs_and_can_refuse():
    def run(q, k, v, mask, bias, scale):
        return run_tiled(q, k, v, mask, bias, scale, "flash1")

    def lacks(q, k, v, mask, bias):
        return None if q.shape[3] == 8 else f"width {q.shape[3]}"

    register_kernel(Kernel("test kernel", run, lacks, scores_per_second=1e15))
    try:
        q, k, v = operands(grad=False)
        assert explain_choice(q, k, v).impl == "kernels"
        torch.testing.assert_close(attention(q, k, v, impl="kernels"), attention(q, k, v, impl="tiled"))
        narrow = [x[..., :4] for x in (q, k, v)]
        assert "kernels: does not support width 4" in str(explain_choice(*narrow))
        with pytest.raises(ValueError, match='impl "kernels" does not support width 4'):
            attention(*narrow, impl="kernels")
    finally:
        unregister_kernel()


def test_a_mesh_of_one_rank_is_the_same_attention():
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        q, k, v = operands()
        found = attention(q, k, v, mask=causal(), mesh=mesh)
        torch.testing.assert_close(found, attention(q, k, v, mask=causal(), impl="tiled"))
    finally:
        dist.destroy_process_group()


def test_the_choice_says_why(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    x = torch.zeros(1, 8, 4096, 64)
    said = str(explain_choice(x, x, x, mask=window(256)))
    assert said.startswith("auto takes sdpa_chunked")
    assert "16,777,216" not in said.splitlines()[1]
    assert "134,217,728 scores (with a dense mask)" in said
    assert explain_choice(x, x, x, mask=causal()).impl == "sdpa"
    assert explain_choice(x, x, x, mask=causal(), return_lse=True).impl == "tiled"
    assert "sdpa: does not support return_lse" in str(explain_choice(x, x, x, return_lse=True))
