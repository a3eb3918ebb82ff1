"""What `auto` can take: torch's function on packed heads and on chunks, exact; and what it takes where values are hidden."""

import importlib

import pytest
import torch
from oracle import dense, draw, gradients, worst

from attometer.emit import build
from attometer.errors import AttometerError
from attometer.program import band, causal, chunked, global_, prefix, window
from attometer.run import IMPLEMENTATIONS, alibi, attention, choice, explain_choice, speed
from attometer.run.biases import Alibi, Terms
from attometer.run.tiled.forward import NESTS
from attometer.schedule import SCHEDULES

EXACT = 1e-12
MASKS = (
    window(9),
    window(70),
    band(5, 3),
    causal() & (window(6) | global_(2)),
    causal() & chunked(16),
    causal() | prefix(11),
    causal() & ~window(4),  # the first rows see nothing
)


def test_the_tiles_go_by_the_names_of_the_nests_that_they_execute() -> None:
    assert set(NESTS) <= set(SCHEDULES)
    assert set(NESTS) <= set(IMPLEMENTATIONS)
    q, k, v = draw(1, 1, 2, 1, 20, 20, 4, 4)
    assert torch.equal(attention(q, k, v, impl="tiled"), attention(q, k, v, impl="flash2"))


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("sizes", [(2, 2, 300, 300), (4, 2, 70, 200), (6, 1, 1, 90), (2, 2, 200, 70)])
def test_chunks_are_the_same_attention(mask, sizes) -> None:
    h, g, n, m = sizes
    q, k, v = draw(2, 2, h, g, n, m, 8, 8)
    wanted, _ = dense(q, k, v, mask)
    got = attention(q, k, v, mask=mask, impl="sdpa_chunked")
    assert worst([got], [wanted]) < EXACT
    assert worst(gradients(got, None, [q, k, v]), gradients(wanted, None, [q, k, v])) < EXACT * 10


@pytest.mark.parametrize("shape", [None, (1, 6, 1, 40), (2, 1, 1, 40), (1, 1, 1, 40), (2, 6, 1, 1)])
@pytest.mark.parametrize("mask", [None, causal(), window(7), causal() & ~window(3)], ids=str)
def test_heads_packed_as_rows_are_the_same_attention(shape, mask) -> None:
    q, k, v = draw(3, 2, 6, 2, 1, 40, 8, 4)
    additive = None if shape is None else torch.randn(shape, dtype=torch.float64)
    wanted, _ = dense(q, k, v, mask, Terms(additive))
    got = attention(q, k, v, mask=mask, bias=additive, impl="sdpa")
    assert worst([got], [wanted]) < EXACT
    assert worst(gradients(got, None, [q, k, v]), gradients(wanted, None, [q, k, v])) < EXACT * 10
    sloped, _ = dense(q, k, v, mask, Terms(additive, alibi(6)))
    given = (Alibi(alibi(6)),) if additive is None else (Alibi(alibi(6)), additive)
    assert worst([attention(q, k, v, mask=mask, bias=given, impl="sdpa")], [sloped]) < EXACT
    many = torch.randn(2, 6, 5, 8, dtype=torch.float64)
    assert worst([attention(many, k, v, impl="sdpa")], [dense(many, k, v)[0]]) < EXACT


@pytest.fixture
def no_compiler(monkeypatch) -> None:
    """Leave torch's functions and the tiles to choose from."""
    monkeypatch.setenv("CXX", "no-such-compiler")


@pytest.mark.skipif(build.unsupported() is not None, reason=f"no machine code: {build.unsupported()}")
def test_auto_takes_machine_code_for_long_calls_and_compiles_for_no_short_one(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ATTOMETER_CACHE", str(tmp_path))
    long, short = torch.zeros(1, 8, 4096, 64), torch.zeros(1, 2, 64, 16)
    for mask in (None, causal(), window(256), causal() & (window(64) | global_(4))):
        assert explain_choice(long, long, long, mask=mask).impl == "compiled"
        said = explain_choice(short, short, short, mask=mask)
        assert said.impl != "compiled"
        assert "compiled: does not support calls below 5 ms until they are compiled for others" in str(said)
    assert explain_choice(long.double(), long.double(), long.double()).impl == "sdpa"
    assert explain_choice(long, long, long, bias=Alibi(alibi(8))).impl == "compiled"


@pytest.mark.skipif(build.unsupported() is not None, reason=f"no machine code: {build.unsupported()}")
def test_auto_times_machine_code_once_and_takes_it_where_it_won(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ATTOMETER_CACHE", str(tmp_path))
    asked = []

    def timed(dtype, kind):
        asked.append((dtype, kind))
        speed.keep(dtype, kind, speed.Rates(2e-9 if dtype == torch.float32 else 3e-10, 1e-9))

    monkeypatch.setattr(speed, "measure", timed)
    long = torch.zeros(1, 8, 4096, 64)
    for _ in range(2):
        assert choice.chosen(long, long, long, "", Terms(), False) == "sdpa"
        assert choice.chosen(long.bfloat16(), long.bfloat16(), long.bfloat16(), "", Terms(), False) == "compiled"
    assert choice.chosen(long.requires_grad_(), long, long, "", Terms(), False) == "sdpa"
    assert asked == [(torch.float32, "forward"), (torch.bfloat16, "forward"), (torch.float32, "training")]
    assert "machine code, 0.50 times as fast as torch's (measured here)" in str(explain_choice(long, long, long))
    next(tmp_path.glob("*training*.json")).write_text("cut sh")
    speed._read.cache_clear()  # another process reads it
    assert speed.measured(torch.float32, "training") is None


@pytest.mark.skipif(build.unsupported() is not None, reason=f"no machine code: {build.unsupported()}")
@pytest.mark.parametrize("kind", speed.UNITS)
def test_what_was_timed_is_kept(kind) -> None:
    found = speed.measure(torch.float32, kind)
    assert speed.measured(torch.float32, kind) == found
    assert found.ratio > 0.01


def test_a_plain_call_that_comes_again_is_checked_once(monkeypatch) -> None:
    module = importlib.import_module("attometer.run.attention")
    monkeypatch.setattr(module, "_SETTLED", {})
    checked = []
    monkeypatch.setattr(module, "check", checked.append)
    q, k = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 17, 8)
    shown = torch.ones(3, 17, dtype=torch.bool)

    def checks(**given) -> int:
        """How many checks two such calls take, whose results are the plain ones."""
        del checked[:]
        made = [attention(q, k, k, **given) for _ in range(2)]
        count = len(checked)
        for found in made:
            torch.testing.assert_close(found, attention(q, k, k, **given | {"impl": "dense"}), atol=0.05, rtol=0)
        return count

    assert (checks(impl="sdpa"), checks(impl="sdpa"), checks(impl="sdpa", scale=0.3)) == (1, 0, 1)
    assert (checks(impl="tiled", mask=causal()), checks(impl="tiled", mask=(causal(),))) == (1, 0)
    assert checks(impl="tiled", mask=shown) == checks(impl="tiled", bias=torch.zeros(17)[None, None, None]) == 2
    q.requires_grad_()
    assert checks(impl="sdpa") == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert checks(impl="sdpa") == 2


@pytest.mark.usefixtures("no_compiler")
def test_auto_takes_what_costs_least() -> None:
    q, cache = torch.zeros(1, 32, 1, 128), torch.zeros(1, 8, 8192, 128)
    assert explain_choice(q, cache, cache, mask=causal()).impl == "sdpa"
    assert explain_choice(q, cache, cache, mask=window(256)).impl == "sdpa_chunked"
    x = torch.zeros(1, 8, 8192, 64)
    assert explain_choice(x, x, x, mask=window(256)).impl == "sdpa_chunked"
    trained = x.clone().requires_grad_()
    assert explain_choice(trained, x, x, mask=window(256)).impl == "tiled"
    assert "gradients of many chunks" in str(explain_choice(trained, x, x, mask=window(256)))


@pytest.mark.usefixtures("no_compiler")
def test_values_that_are_not_finite_send_auto_to_the_tiles_where_torch_would_have_to_hide_them() -> None:
    for bad in (torch.nan, torch.inf, -torch.inf):
        q, k, v = torch.zeros(1, 2, 1, 8), torch.zeros(1, 2, 40, 8), torch.zeros(1, 2, 40, 8)
        v[0, 0, 3, 5] = bad
        assert explain_choice(q, k, v, mask=window(4)).impl == "tiled"
        assert explain_choice(q, k, v, mask=causal()).impl == "sdpa"  # one causal query sees every key
        assert attention(q, k, v, mask=window(4)).isfinite().all()
        x = torch.zeros(1, 8, 2048, 16)
        hidden = x.clone()
        hidden[0, 0, 2000] = bad
        assert explain_choice(x, x, x, mask=window(64)).impl == "sdpa_chunked"
        assert explain_choice(x, hidden, x, mask=window(64)).impl == "tiled"


def test_chunks_refuse_what_they_lack() -> None:
    x = torch.zeros(1, 2, 8, 4)
    for given, lacks in (
        ({"mask": causal(), "bias": Alibi((0.5, 0.25))}, "an additive bias or ALiBi"),
        ({}, "a call without a mask"),
        ({"mask": causal(), "return_lse": True}, "return_lse"),
    ):
        with pytest.raises(AttometerError, match=f'impl "sdpa_chunked" does not support {lacks}; use "tiled"'):
            attention(x, x, x, impl="sdpa_chunked", **given)


@pytest.mark.parametrize("impl", ["auto", "tiled", "flash1", "two_pass_recompute", "split_kv", "reference"])
def test_empty_values_give_empty_output_and_gradients(impl) -> None:
    q, k, _ = draw(4, 2, 4, 2, 9, 12, 4, 4)
    v = torch.zeros(2, 2, 12, 0, dtype=torch.float64, requires_grad=True)
    output, lse = attention(q, k, v, mask=causal(), impl=impl, return_lse=True)
    assert output.shape == (2, 4, 9, 0)
    wanted = dense(q, k, v, causal())[1]
    assert worst([lse], [wanted]) < EXACT
    assert worst(torch.autograd.grad(lse.sum(), [q, k, v]), [*torch.autograd.grad(wanted.sum(), [q, k]), v]) < EXACT
    assert all(torch.all(x == 0) for x in torch.autograd.grad(attention(q, k, v, impl=impl).sum(), [q, k, v]))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_auto_under_the_transforms_of_torch_func() -> None:
    q, k, v = (torch.randn(3, 1, 2, 5, 4, dtype=torch.float64) for _ in range(3))

    def run(q, k, v):
        return attention(q, k, v, mask=causal())

    def loss(q, k, v):
        return run(q, k, v).square().sum()

    apart = torch.stack([run(*one) for one in zip(q, k, v, strict=True)])
    assert worst([torch.func.vmap(run)(q, k, v)], [apart]) < EXACT
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    wanted = torch.autograd.grad(sum(loss(*one) for one in zip(*leaves, strict=True)), leaves)
    assert worst(torch.func.vmap(torch.func.grad(loss, (0, 1, 2)))(q, k, v), wanted) < EXACT
    assert torch.func.jacrev(run)(q[0], k[0], v[0]).shape == (1, 2, 5, 4, 1, 2, 5, 4)


@pytest.mark.parametrize("impl", ["tiled", "split_kv", "reference"])
def test_gradients_under_torch_func_are_refused_by_name(impl) -> None:
    x = torch.randn(1, 2, 5, 4)
    message = rf'^impl "{impl}" does not support torch.func\'s grad, vjp, jacrev and jvp; use "dense" or "sdpa"$'
    with pytest.raises(AttometerError, match=message):
        torch.func.jacrev(lambda q: attention(q, x, x, impl=impl))(x)


def test_the_reference_refuses_tensors_without_values() -> None:
    x = torch.zeros(1, 2, 5, 4, device="meta")
    with pytest.raises(AttometerError, match='impl "reference" does not support meta tensors, which hold no values'):
        attention(x, x, x, impl="reference")
    assert attention(x, x, x, mask=window(2), impl="auto").shape == x.shape
