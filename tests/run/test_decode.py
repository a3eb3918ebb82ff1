"""Decode over growing caches against dense attention over the whole sequence."""

import numpy as np
import pytest
import torch
from oracle import dense, draw, worst

from attometer.errors import AttometerError
from attometer.program import causal, window
from attometer.run import (
    Alibi,
    ContiguousCache,
    PagedCache,
    Sinks,
    SoftCap,
    alibi,
    decode_attention,
)
from attometer.run.biases import Terms
from attometer.run.decoding.cache import CODES, coded, decoded

EXACT = 1e-12


@pytest.mark.parametrize("g", [1, 2, 4])
@pytest.mark.parametrize("mask", [None, causal(), window(5), causal() & window(40)], ids=str)
@pytest.mark.parametrize("paged", [False, True])
def test_token_by_token_equals_the_whole(paged, mask, g):
    q, k, v = draw(0, 2, 4, g, 37, 37, 8, 6, grad=False)
    cache = PagedCache(2, page=8) if paged else ContiguousCache()
    cache.append(k[:, :, :20], v[:, :, :20])
    for t in range(20, 37):
        step = slice(t, t + 1)
        found = decode_attention(q[:, :, step], cache, k[:, :, step], v[:, :, step], mask=mask, return_lse=True)
        wanted = dense(q[:, :, step], k[:, :, : t + 1], v[:, :, : t + 1], mask)
        assert worst(found, wanted) < EXACT


@pytest.mark.parametrize("paged", [False, True])
def test_several_new_tokens_with_every_bias(paged):
    q, k, v = draw(1, 2, 4, 2, 3, 30, 8, 8, grad=False)
    sinks, additive = torch.randn(4, dtype=torch.float64), torch.randn(1, 4, 3, 30, dtype=torch.float64)
    cache = PagedCache(2, page=7) if paged else ContiguousCache()
    cache.append(k, v)
    bias = (additive, Alibi(alibi(4)), SoftCap(3.0), Sinks(sinks))
    found = decode_attention(q, cache, bias=bias, return_lse=True)
    assert worst(found, dense(q, k, v, causal(), Terms(additive, alibi(4), 3.0, sinks))) < EXACT


def test_ragged_lengths_and_an_empty_sequence():
    q, k, v = draw(2, 3, 4, 2, 2, 30, 8, 8, grad=False)
    lengths = [30, 11, 0]
    cache = PagedCache(3, page=4)
    cache.append(k, v, lengths)
    for mask in (None, causal(), window(3)):
        output, lse = decode_attention(q, cache, mask=mask, bias=Alibi(alibi(4)), return_lse=True)
        for s, m in enumerate(lengths[:2]):
            own = [q[s : s + 1], k[s : s + 1, :, :m], v[s : s + 1, :, :m]]
            assert worst([output[s : s + 1], lse[s : s + 1]], dense(*own, mask, Terms(slopes=alibi(4)))) < EXACT
        assert torch.all(output[2] == 0)
        assert torch.all(lse[2] == -torch.inf)


def test_pages_are_given_back_and_used_again():
    cache = PagedCache(2, page=4)
    tokens = torch.ones(2, 1, 16, 2)
    cache.append(tokens, tokens)
    pools = [pool.shape for pool in cache.pools]
    cache.free(0)
    assert cache.lengths == [0, 16]
    assert cache.pages_used == 4
    cache.append(tokens * 2, tokens * 2, lengths=[16, 0])
    assert [pool.shape for pool in cache.pools] == pools
    assert decode_attention(torch.ones(2, 1, 1, 2), cache)[:, 0, 0, 0].tolist() == [2.0, 1.0]


def test_contiguous_cache_grows_in_place_and_truncates():
    cache = ContiguousCache()
    tokens = torch.arange(40.0).view(1, 1, 40, 1)
    moved = 0
    for t in range(40):
        before = cache.keys.data_ptr() if t else 0
        cache.append(tokens[:, :, t : t + 1], tokens[:, :, t : t + 1])
        moved += t > 0 and cache.keys.data_ptr() != before
    assert moved == 2  # 16 → 32 → 64
    assert torch.equal(cache.keys, tokens)
    cache.truncate(3)
    assert cache.values.flatten().tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_is_no_worse_than_an_independent_reference(dtype):
    q, k, v = draw(3, 1, 8, 2, 1, 300, 64, 64, dtype, grad=False)
    cache = ContiguousCache()
    cache.append(k, v)
    found = decode_attention(q, cache)
    truth = dense(q.double(), k.double(), v.double())[0]
    peer = dense(q, k, v)[0]
    assert found.dtype == dtype
    assert torch.linalg.norm(found.double() - truth) <= 1.5 * torch.linalg.norm(peer.double() - truth)


@pytest.mark.parametrize("codes", [torch.int8, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("paged", [False, True])
def test_codes_stand_for_tokens(codes, paged, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")  # the plain steps
    q, k, v = draw(4, 2, 4, 2, 1, 30, 16, 8, grad=False)
    cache = PagedCache(2, 8, codes) if paged else ContiguousCache(codes)
    cache.append(k[:, :, :29], v[:, :, :29])
    found = decode_attention(q, cache, k[:, :, 29:], v[:, :, 29:], return_lse=True)
    kept = [decoded(*coded(x, codes), torch.float64) for x in (k, v)]
    assert worst(found, dense(q, *kept)) < EXACT
    for x, y in zip((k, v), kept, strict=True):  # half a step of the row's largest, or of the entry
        largest = x.abs().amax(-1, keepdim=True)
        bound = largest / 254 if codes == torch.int8 else torch.maximum(x.abs() / 16, largest * 2**-10 / 448)
        assert ((x - y).abs() <= bound * (1 + 1e-6)).all()


@pytest.mark.parametrize("codes", [torch.int8, torch.float8_e4m3fn], ids=str)
def test_codes_of_subnormal_rows_keep_their_signs(codes):
    x = torch.arange(1, 2000).float()[:, None] * 2.0**-149
    y = decoded(*coded(x, codes), torch.float32)
    assert (y >= 0).all()
    assert ((x - y).abs() <= (x / 2).clamp(min=CODES[codes] / 2 * 2.0**-149)).all()


CASES = [
    ("cache: it is empty; append keys and values first", lambda x: decode_attention(x, ContiguousCache())),
    ("cache: it is empty; append keys and values first", lambda x: decode_attention(x, PagedCache(1))),
    ("cache: got dict, expected a ContiguousCache or a PagedCache", lambda x: decode_attention(x, {})),
    ("v: got None with k, expected both or none", lambda x: decode_attention(x, ContiguousCache(), x)),
    ("k: got width 5, expected q's 4", lambda x: decode_attention(x, ContiguousCache(), torch.ones(1, 2, 1, 5), x)),
    ("v: got float32 of shape [1, 2, 2, 4], expected float32 [b, g, t, e] with the b, g, t of k [1, 2, 1, 4]",
     lambda x: ContiguousCache().append(x, torch.ones(1, 2, 2, 4))),
    ("page must be a positive integer, got 0", lambda x: PagedCache(1, 0)),
    ("lengths: got [2], expected 1 numbers from 0 to 1", lambda x: PagedCache(1).append(x, x, [2])),
    ("k: got batch 1, expected the cache's 2", lambda x: PagedCache(2).append(x, x)),
    ("codes: got torch.int32, expected None or one of int8, float8_e4m3fn", lambda x: ContiguousCache(torch.int32)),
    ("length: got 3, expected 0 to 0", lambda x: ContiguousCache().truncate(3)),
    ("sequence: got 4, expected 0 to 0", lambda x: PagedCache(1).free(4)),
]  # fmt: skip


@pytest.mark.parametrize(("words", "call"), CASES, ids=range(len(CASES)))
def test_words(words, call):
    with pytest.raises(AttometerError) as caught:
        call(torch.ones(1, 2, 1, 4))
    assert words in str(caught.value)


def test_a_cache_refuses_other_tokens():
    cache = ContiguousCache()
    cache.append(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
    with pytest.raises(
        AttometerError, match=r"k: got float64 \[1, 2, t, 4\], expected the cache's float32 \[1, 2, t, 4\]"
    ):
        cache.append(torch.ones(1, 2, 1, 4).double(), torch.ones(1, 2, 1, 4).double())


def test_decode_reads_only_the_window():
    """A poisoned key outside the window cannot be read: NaN would show."""
    k = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 50, 4)))
    poisoned = k.clone()
    poisoned[:, :, :40] = torch.nan
    cache = ContiguousCache()
    cache.append(poisoned, poisoned)
    q = torch.ones(1, 1, 1, 4, dtype=torch.float64)
    assert worst([decode_attention(q, cache, mask=window(10))], [dense(q, k, k, window(10))[0]]) < EXACT
