"""Compiled nests against float64: any mask, shape, type and stride, forward and backward; and what is refused."""

import os
import struct
import subprocess
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import dense, draw, gradients

from attometer.emit import build
from attometer.emit.source import micro
from attometer.errors import AttometerError
from attometer.program import band, block_causal, causal, chunked, document, global_, prefix, random, strided, window
from attometer.run import ContiguousCache, PagedCache, attention, decode_attention
from attometer.run.biases import Terms
from attometer.run.compiled import SINGLE, run_cached, run_compiled, scores
from attometer.run.decoding.cache import coded, decoded
from attometer.run.mask_text import to_text

pytestmark = pytest.mark.skipif(build.unsupported() is not None, reason=f"no machine code: {build.unsupported()}")

MASKS = (
    None,
    causal(),
    window(9),
    window(200),
    band(5, 3) | global_(2),
    causal() & (window(8) | strided(7)),
    band(3, 3) | global_(1) | random(3, 1),
    causal() | prefix(11),
    causal() & document([20, 31, 14]),
    causal() & chunked(16),
    block_causal(8),
    random(40, 1),
    random(2, 1, 16),
    ~window(9),
    ~causal(),
)
DTYPES = (torch.float32, torch.bfloat16)


def norm(x: torch.Tensor) -> float:
    return float(x.detach().double().norm())


def agrees(q, k, v, mask, scale=None) -> None:
    """Compare output, log-sum-exp and gradients with float64, each within the error of plain torch in the type."""
    own, low = ([x.detach().requires_grad_() for x in (q, k, v)] for _ in range(2))
    wide = [x.detach().double().requires_grad_() for x in (q, k, v)]
    found = attention(*own, mask=mask, scale=scale, impl="compiled", return_lse=True)
    plain, wanted = dense(*low, mask, scale=scale), dense(*wide, mask, scale=scale)
    assert torch.equal(found[1] == -torch.inf, wanted[1] == -torch.inf)
    step = torch.finfo(q.dtype).eps
    made, rough, true = ((x[0], *gradients(*x, leaves)) for x, leaves in ((found, own), (plain, low), (wanted, wide)))
    for a, b, c in zip(made, rough, true, strict=True):
        assert a.isfinite().all()
        # The backward pass makes weights again from a log-sum-exp in float32: a few of its roundings, whatever the type.
        allowed = 2 * step + 8 * torch.finfo(torch.float32).eps
        assert norm(a.double() - c) <= 2 * norm(b.double() - c) + allowed * (norm(c) + 1)


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_masks_forward_and_backward(mask, dtype) -> None:
    agrees(*draw(1, 1, 4, 2, 130, 130, 24, 24, dtype), mask)


@given(
    seed=st.integers(0, 999),
    heads=st.sampled_from([(1, 1), (4, 2), (6, 1), (3, 3)]),
    n=st.integers(1, 150),
    m=st.integers(1, 300),
    d=st.integers(1, 70),
    e=st.integers(1, 70),
    mask=st.sampled_from(MASKS),
    dtype=st.sampled_from(DTYPES),
    scale=st.sampled_from([None, 0.3, -0.2, 0.0]),
)
@settings(max_examples=40)
def test_shapes_masks_and_scales(seed, heads, n, m, d, e, mask, dtype, scale) -> None:
    try:
        if mask is not None:
            mask.matrix(n, m)
    except AttometerError:
        return
    agrees(*draw(seed, 2, *heads, n, m, d, e, dtype), mask, scale)


@pytest.mark.parametrize("mask", [None, causal(), window(40), causal() & document([100, 60, 40])], ids=str)
@pytest.mark.parametrize("sharp", [1, 4])
def test_gradients_in_bf16_are_off_by_their_own_rounding(mask, sharp) -> None:
    q, k, v = draw(11, 1, 4, 2, 200, 200, 32, 48, torch.bfloat16, grad=False)
    own, wide = ([x.to(kind).requires_grad_() for x in (q * sharp, k, v)] for kind in (q.dtype, torch.float64))
    grad = torch.randn(1, 4, 200, 48, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    made = torch.autograd.grad(attention(*own, mask=mask, impl="compiled"), own, grad)
    true = torch.autograd.grad(dense(*wide, mask)[0], wide, grad.double())
    for found, wanted in zip(made, true, strict=True):
        least = norm(wanted.bfloat16().double() - wanted)  # what any gradient in bf16 is off by
        # Where products are formed in bf16, weights and gradients of scores are rounded for them too.
        assert norm(found.double() - wanted) <= (1.6 if build.has_bf16() else 1.02) * least


@pytest.mark.slow  # three more units to compile
@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_half_precision(mask) -> None:
    agrees(*draw(1, 1, 4, 2, 130, 130, 24, 24, torch.float16), mask)


@pytest.mark.slow
@pytest.mark.parametrize("target", build.TARGETS)
def test_every_instruction_set_that_this_processor_has(target, monkeypatch) -> None:
    from attometer.emit import operators

    if lacking := build.missing(target):
        pytest.skip(f"{target}: {lacking}")
    kept = build.library
    monkeypatch.setattr(operators, "has_bf16", lambda: target in build.MULTIPLY_BF16)
    monkeypatch.setattr(operators, "library", lambda unit: kept(unit, target))
    for mask in (None, causal(), band(3, 3) | global_(1) | random(3, 1), random(40, 1)):
        for dtype in (torch.float32, torch.bfloat16):
            agrees(*draw(1, 1, 4, 2, 130, 130, 24, 40, dtype), mask)
    for dtype in DTYPES:  # one row; rows that fill a block of no instruction set, or one and some more
        for n in (1, 17, 33, 41):
            agrees(*draw(2, 1, 2, 1, n, 300, 70, 33, dtype), None)
        for mask in FEW_ROWS_MASKS:
            agrees(*draw(3, 1, 2, 1, 29, 600, 70, 33, dtype), mask)


VISITS = """
int main(int count, char** given) {
    FILE* file = std::fopen(given[1], "rb");
    int64_t s[3];
    if (count < 2 || !file || std::fread(s, sizeof s, 1, file) != 1) return 2;
    std::vector<int32_t> ends(2 * s[2] * s[0]);
    if (std::fread(ends.data(), 4, ends.size(), file) != ends.size()) return 2;
    Call call = {};
    call.b = call.h = call.g = 1, call.n = s[0], call.m = s[1], call.intervals = s[2];
    call.starts = ends.data(), call.ends = ends.data() + s[2] * s[0];
    for (bool across : {false, true}) {
        const Visits visits(Head(call, 0), across);
        const int64_t rows = across ? PANEL : ROWS, keys = across ? ROWS : PANEL;
        int64_t blocks = 0, singles = 0;
        for (int64_t q = 0; q * rows < s[0]; q++)
            for (int64_t k = 0; k * keys < s[1]; k++) blocks += visits.some(q, k);
        for (int64_t t = 0; visits.lists() && t < s[0]; t++) singles += visits.singles(t, {0, s[1]}).many;
        std::printf("%lld %lld\\n", (long long)(blocks * rows * keys), (long long)singles);
    }
}
"""


def test_the_scores_that_are_said_are_those_that_the_kernels_visit(tmp_path) -> None:
    program = tmp_path / "visits"
    build.program("\n".join(["#include <cstdio>", *map(micro, ("vectors", "call")), VISITS]), program)
    listed = []
    n, m = 96, 192  # whole blocks of a processor without instructions for vectors: 6 by 8, and 8 by 6
    for mask in (causal(), window(9), random(5, 0), random(100, 0), causal() & (window(8) | strided(16)), ~causal()):
        start, end = (np.ascontiguousarray(x, np.int32) for x in mask.intervals(np.arange(n), n, m))
        problem = tmp_path / "problem"
        problem.write_bytes(struct.pack("=3q", n, m, len(start)) + start.tobytes() + end.tobytes())
        said = subprocess.run([program, problem], capture_output=True, text=True, check=True).stdout.split()
        for (blocks, singles), block in zip((said[:2], said[2:]), ((6, 8), (8, 6)), strict=True):
            assert int(blocks) + SINGLE * int(singles) == scores(to_text(mask), n, m, block), mask
        listed.append(int(said[1]))
    assert [x > 0 for x in listed] == [False, False, True, False, True, False]


# Some rows see nothing of a tile, some nothing of a panel that others see, and some hide its middle.
FEW_ROWS_MASKS = (causal(), window(3), band(2, 0) | global_(1), strided(90), ~window(20), block_causal(8))


@pytest.mark.parametrize("mask", FEW_ROWS_MASKS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_few_rows_under_masks(mask, dtype) -> None:
    agrees(*draw(3, 1, 2, 1, 29, 600, 70, 33, dtype), mask)
    agrees(*draw(4, 1, 4, 1, 3, 5, 64, 64, dtype), mask)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_apart_see_tiles_of_their_own(dtype) -> None:
    q, k, v = draw(5, 1, 2, 1, 30, 5000, 64, 64, dtype)
    seen = torch.zeros(1, 1, 30, 5000, dtype=torch.bool)
    for t in range(30):
        seen[..., t, 160 * t : 160 * t + 40] = True
    wide = [x.detach().double() for x in (q, k, v)]
    for held in (seen, seen & (torch.arange(30) % 7 != 3)[:, None]):
        found = attention(*(x.detach() for x in (q, k, v)), mask=held, impl="compiled")
        wanted = dense(
            *wide, None, Terms(torch.zeros(()).double().expand(1, 1, 30, 5000).masked_fill(~held, -torch.inf))
        )
        assert norm(found.double() - wanted[0]) <= 4 * torch.finfo(dtype).eps * norm(wanted[0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_many_tiles_of_long_sequences(dtype) -> None:
    agrees(*draw(2, 1, 1, 1, 700, 1100, 64, 64, dtype), causal())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_large_scores_cancel_before_they_are_scaled(dtype) -> None:
    q, k, v = draw(6, 1, 2, 1, 40, 90, 4, 8, dtype)
    signs = [(x.detach().sign() * 100).requires_grad_() for x in (q, k)]  # scores of ±1e4 and 0, many the largest
    agrees(*signs, v, None, 0.25)
    agrees(*signs, v, causal(), 0.25)


def test_views_are_read_where_they_lie() -> None:
    q, k, v = (x.detach() for x in draw(3, 2, 3, 3, 40, 40, 8, 8, torch.float32))
    packed = torch.stack([q, k, v], 3)
    across = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    turned = [x.mT.contiguous().mT for x in (q, k, v)]
    wanted = attention(q, k, v, mask=causal(), impl="compiled")
    for made in ((packed[:, :, :, 0], packed[:, :, :, 1], packed[:, :, :, 2]), across, turned):
        assert torch.equal(attention(*made, mask=causal(), impl="compiled"), wanted)


def test_the_same_bits_every_time_and_with_every_number_of_threads() -> None:
    q, k, v = draw(4, 1, 2, 2, 300, 300, 32, 32, torch.float32)

    def once():
        made = attention(q, k, v, mask=causal(), impl="compiled")
        return made.detach(), *gradients(made, None, [q, k, v])

    first = once()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert all(torch.equal(a, b) for a, b in zip(first, once(), strict=True))
    finally:
        torch.set_num_threads(threads)


def test_two_threads_of_python_at_once() -> None:
    q, k, v = (x.detach() for x in draw(5, 1, 2, 2, 200, 200, 16, 16, torch.float32))
    wanted = attention(q, k, v, impl="compiled")
    found: list[torch.Tensor] = []

    def work() -> None:
        found.extend(attention(q, k, v, impl="compiled") for _ in range(5))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 10
    assert all(torch.equal(x, wanted) for x in found)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork() -> None:
    q, k, v = (x.detach() for x in draw(6, 1, 2, 2, 50, 50, 16, 16, torch.float32))
    wanted = attention(q, k, v, impl="compiled")
    child = os.fork()
    if not child:
        os._exit(0 if torch.equal(attention(q, k, v, impl="compiled"), wanted) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_opcheck() -> None:
    from attometer.emit.operators import compiled_attention

    q, k, v = draw(7, 2, 4, 2, 20, 20, 8, 8, torch.float32)
    rest = (None, None, None, None, None, 0.0, 0, 0.25, "causal & window(3)")
    torch.library.opcheck(compiled_attention, (q, k, v, *rest))


def test_compiles_to_one_graph() -> None:
    torch._dynamo.reset()
    q, k, v = draw(8, 1, 2, 2, 20, 20, 8, 8, torch.float32)
    mask = causal()
    compiled = torch.compile(
        lambda q, k, v: attention(q, k, v, mask=mask, impl="compiled"), backend="aot_eager", fullgraph=True
    )
    found = torch.autograd.grad(compiled(q, k, v).sum(), [q, k, v])
    wanted = torch.autograd.grad(attention(q, k, v, mask=causal(), impl="compiled").sum(), [q, k, v])
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_what_is_hidden_does_not_leak_and_what_is_seen_shows() -> None:
    for bad in (torch.nan, torch.inf):
        q, k, v = (x.detach() for x in draw(9, 1, 1, 1, 40, 40, 8, 8, torch.float32))
        v[0, 0, 30, 3] = bad
        k[0, 0, 35] = torch.nan
        made = attention(q, k, v, mask=causal(), impl="compiled")
        assert made[0, 0, :30].isfinite().all()
        assert not made[0, 0, 30:, 3].isfinite().any()
        assert made[0, 0, 30:35, :3].isfinite().all()
        assert made[0, 0, 35:].isnan().all()


def test_without_a_compiler_there_is_one_clear_message(monkeypatch) -> None:
    x = torch.zeros(1, 1, 4, 8)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(AttometerError, match="does not support a machine without a C\\+\\+ compiler"):
        attention(x, x, x, impl="compiled")
    assert attention(x, x, x).shape == x.shape


def test_a_scale_that_is_no_number_is_refused() -> None:
    x = torch.zeros(1, 1, 4, 8)
    with pytest.raises(AttometerError, match="compiled split_kv refused the call: a size or a stride out of range"):
        run_compiled(x, x, x, "", Terms(), float("inf"))


@pytest.mark.parametrize("mask", [None, causal(), window(9), causal() & (window(3) | global_(2))], ids=str)
@pytest.mark.parametrize("lengths", [[70, 9, 200], [5, 0, 1]], ids=str)
def test_pages_are_read_where_they_lie(mask, lengths, monkeypatch) -> None:
    cache = PagedCache(3, 16)
    _, k, v = (x.detach() for x in draw(10, 3, 4, 2, 200, 200, 24, 40, torch.float32))
    for start in range(0, 200, 50):  # sequences take pages in turn
        cache.append(
            k[:, :, start : start + 50], v[:, :, start : start + 50], [min(50, max(0, x - start)) for x in lengths]
        )
    q = torch.randn(3, 4, 2, 24)
    found = run_cached(q, cache, mask, 0.3)
    monkeypatch.setenv("CXX", "no-such-compiler")
    wanted = decode_attention(q, cache, mask=mask, scale=0.3, return_lse=True)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


CODES = [(torch.float32, torch.int8), (torch.bfloat16, torch.float8_e4m3fn)]
MORE_CODES = [(torch.float16, torch.int8), (torch.float64, torch.float8_e4m3fn), (torch.bfloat16, torch.int8)]


@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize(
    ("dtype", "codes"), [*CODES, *(pytest.param(*x, marks=pytest.mark.slow) for x in MORE_CODES)], ids=str
)
def test_codes_of_a_cache_are_read_as_what_they_stand_for(dtype, codes, paged) -> None:
    q, k, v = draw(12, 2, 4, 2, 3, 300, 24, 40, dtype, grad=False)
    k, v = k * torch.logspace(-6, 3, 300)[:, None].to(dtype), v * torch.logspace(3, -6, 300)[:, None].to(dtype)
    k[0, 0, 5], v[0, 1, 7] = 0.0, 0.0
    cache = PagedCache(2, 16, codes) if paged else ContiguousCache(codes)
    for start in range(0, 300, 100):
        cache.append(k[:, :, start : start + 100], v[:, :, start : start + 100])
    true = [decoded(*coded(x, codes), torch.float64) for x in (k, v)]
    for mask in (None, causal() & window(70), causal() & (window(3) | random(20, 1))):
        found = run_cached(q, cache, mask, 0.3, Terms(cap=5.0))
        wanted = dense(q.double(), *true, mask, Terms(cap=5.0), scale=0.3)
        for a, b in zip(found, wanted, strict=True):
            step = torch.finfo(a.dtype).eps + (torch.finfo(dtype).eps if build.has_bf16() else 0)
            # Below its normal numbers float16 rounds to a fixed step.
            least = 0.5 * torch.finfo(a.dtype).smallest_normal * torch.finfo(a.dtype).eps * b.numel() ** 0.5
            assert norm(a.double() - b) <= (2 * step + 8 * torch.finfo(torch.float32).eps) * norm(b) + least


def test_codes_without_scales_and_rows_that_are_not_finite() -> None:
    from attometer.emit.operators import Held, cached_attention

    q, k, v = draw(12, 1, 2, 1, 1, 20, 8, 8, torch.float32, grad=False)
    v[0, 0, 3, 2] = torch.inf
    cache = ContiguousCache(torch.int8)
    cache.append(k, v)
    assert run_cached(q, cache, None, 0.3)[0].isnan().all()
    assert run_cached(q, cache, window(9), 0.3)[0].isfinite().all()
    keys, values, *_ = cache.parts
    with pytest.raises(AttometerError, match="a null pointer"):
        cached_attention(q, Held(keys, values), 0.3, "")
