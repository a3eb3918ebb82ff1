"""The off-by-one of windows and the alignment of causal, pinned against what other libraries' conventions say."""

import pytest
import torch

from attometer.program import band, causal, window
from attometer.run import attention

IMPLS = ("reference", "sdpa", "tiled", "flash1", "two_pass_recompute", "split_kv")


def keys_seen(mask, n, m, query, impl):
    """Return how many keys a query sees: with equal scores its output is their mean, with one-hot values their places."""
    q, k = torch.zeros(1, 1, n, 4), torch.zeros(1, 1, m, 4)
    values = torch.eye(m)[None, None]
    return (attention(q, k, values, mask=mask, impl=impl)[0, 0, query] > 0).nonzero().flatten().tolist()


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("w", [7, 8, 9])
def test_window_counts_the_query_itself(impl, w):
    # Hugging Face's sliding_window (Mistral): keys i-w+1 … i.
    assert keys_seen(window(w), 20, 20, 15, impl) == list(range(15 - w + 1, 16))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("w", [7, 8, 9])
def test_band_names_left_and_right_without_the_query(impl, w):
    # flash-attn's window_size=(left, right), which excludes the query itself: left + right + 1 keys.
    assert keys_seen(band(w, 2), 20, 20, 12, impl) == list(range(12 - w, 15))


@pytest.mark.parametrize("impl", IMPLS)
def test_causal_is_aligned_to_the_last_key(impl):
    assert keys_seen(causal(), 1, 9, 0, impl) == list(range(9))
    assert keys_seen(causal(), 3, 9, 0, impl) == list(range(7))
    assert keys_seen(causal(), 9, 3, 5, impl) == []  # queries before the first key see nothing and give 0


@pytest.mark.parametrize("impl", IMPLS)
def test_a_row_that_sees_nothing_is_zero_with_finite_gradients(impl):
    q, k, v = (torch.randn(1, 2, 6, 4, requires_grad=True) for _ in "qkv")
    output = attention(q, k, v, mask=~causal(), impl=impl)
    assert torch.all(output[:, :, -1] == 0)
    output.sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))
    assert torch.all(q.grad[:, :, -1] == 0)
