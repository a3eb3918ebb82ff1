"""Every rule of the table, by its words."""

from collections.abc import Callable

import pytest
import torch

from attometer.errors import AttometerError
from attometer.program import causal, window
from attometer.run import (
    Alibi,
    Sinks,
    SoftCap,
    attention,
    hyper_attention,
    linformer_attention,
    performer_attention,
)

X = torch.zeros(2, 4, 5, 8)
G = torch.zeros(2, 2, 5, 8)

CASES = [
    ("q: got list, expected a tensor", lambda: attention([1], X, X)),
    ("k: got shape [4, 5, 8], expected 4 axes [batch, heads, length, width]", lambda: attention(X, X[0], X)),
    ("v: got dtype int64, expected one of float64, float32, bfloat16, float16", lambda: attention(X, X, X.long())),
    ("k: got dtype float64, expected q's float32", lambda: attention(X, X.double(), X)),
    ("v: got dtype bfloat16, expected q's float32", lambda: attention(X, X, X.bfloat16())),
    ("k: got device meta, expected q's cpu", lambda: attention(X, X.to("meta"), X)),
    ("k: got batch 3, expected q's 2", lambda: attention(X, torch.zeros(3, 4, 5, 8), X)),
    ("k: got width 7, expected q's 8", lambda: attention(X, X[..., :7], X)),
    ("v: got length 4, expected k's 5", lambda: attention(X, X, X[:, :, :4])),
    ("v: got heads 2, expected k's 4", lambda: attention(X, X, G)),
    ("q: got width 0, expected a width of at least 1", lambda: attention(*[X[..., :0]] * 3)),
    ("k: got 3 heads, expected a number of heads that divides q's 4", lambda: attention(X, X[:, :3], X[:, :3])),
    ("mask: got list, expected a mask such as attometer.causal(), its text, a tensor, or None",
     lambda: attention(X, X, X, mask=[1])),
    ("mask: got a tensor of shape [1, 1, 1, 4], expected [2 or 1, 4 or 1, 5 or 1, 5 or 1]",
     lambda: attention(X, X, X, mask=torch.ones(4, dtype=torch.bool))),
    ("bias: got an additive bias of shape [2, 4, 5, 8], expected", lambda: attention(X, X, X, mask=X)),
    ("mask: got a tensor of torch.int64, expected booleans (True is seen) or numbers to add",
     lambda: attention(X, X, X, mask=torch.ones(5, 5, dtype=torch.int64))),
    ("mask: got a tensor of 5 axes, expected at most 4", lambda: attention(X, X, X, mask=X[None])),
    ('unknown mask "casual"; did you mean "causal"?', lambda: attention(X, X, X, mask="casual")),
    ('unknown layout "nbhd"; did you mean "bnhd"?', lambda: attention(X, X, X, layout="nbhd")),
    ('unknown argument "is_casual"; did you mean "is_causal"?', lambda: attention(X, X, X, is_casual=True)),
    ('is_causal: torch lines 5 queries up with the first of 4 keys; say mask="causal" for queries at the last positions',
     lambda: attention(X, X[:, :, :4], X[:, :, :4], is_causal=True)),
    ("key_padding_mask: True is padding to torch.nn and a key to others; say mask=~padding[:, None, None, :]",
     lambda: attention(X, X, X, key_padding_mask=torch.ones(2, 5))),
    ("attention_mask: say mask=attention_mask.bool()[:, None, None, :]",
     lambda: attention(X, X, X, attention_mask=torch.ones(2, 5))),
    ("block_mask: say it in the algebra", lambda: attention(X, X, X, block_mask=1)),
    ("score_mod: say bias=Alibi(slopes)", lambda: attention(X, X, X, score_mod=1)),
    ("need_weights: weights are not formed", lambda: attention(X, X, X, need_weights=True)),
    ("window_size: got 3, expected (left, right)", lambda: attention(X, X, X, window_size=3)),
    ("cu_seqlens: got [0, 3], expected 0 and the ends of sequences up to 5 queries, 5 keys",
     lambda: attention(X, X, X, cu_seqlens=[0, 3])),
    ("cu_seqlens: got [0, 3, 5] and [0, 2, 5], expected equal ends of queries and of keys",
     lambda: attention(X, X, X, cu_seqlens_q=[0, 3, 5], cu_seqlens_k=[0, 2, 5])),
    ("cu_seqlens: got [0, 3, 3, 5] and [0, 0, 3, 5], expected equal ends",
     lambda: attention(X, X, X, cu_seqlens_q=[0, 3, 3, 5], cu_seqlens_k=[0, 0, 3, 5])),
    ("mask: got int, expected a mask such as", lambda: attention(X, X, X, mask=(5, "causal"))),
    ("mask: got int, expected a mask such as", lambda: attention(X, X, X, mask=("causal", 5))),
    ("dropout: got 1, expected a probability of at least 0 and below 1", lambda: attention(X, X, X, dropout=1)),
    ("dropout: got 'a', expected a probability", lambda: attention(X, X, X, dropout_p="a")),
    ("scale: got a tensor of shape [3], expected a number or [4]", lambda: attention(X, X, X, scale=torch.ones(3))),
    ("scale: got '2', expected a number, or None for 1/sqrt(d)", lambda: attention(X, X, X, scale="2")),
    ("bias: got an additive bias of shape [5, 5], expected [2 or 1, 4 or 1, 5 or 1, 5 or 1]",
     lambda: attention(X, X, X, bias=torch.zeros(5, 5))),
    ("bias: got 3 slopes, expected 4 slopes, one for each head", lambda: attention(X, X, X, bias=Alibi((1.0,) * 3))),
    ("bias: got sinks of shape [1], expected sinks of shape [4]",
     lambda: attention(X, X, X, bias=Sinks(torch.zeros(1)))),
    ("bias: got dtype bool, expected a floating dtype (a boolean mask goes in mask=)",
     lambda: attention(X, X, X, bias=torch.ones(1, 1, 5, 5, dtype=torch.bool))),
    ("bias: got device meta, expected q's device cpu",
     lambda: attention(X, X, X, bias=torch.zeros(1, 1, 5, 5, device="meta"))),
    ("bias: got str, expected a tensor, Additive, Alibi, SoftCap, Sinks, or a tuple of them",
     lambda: attention(X, X, X, bias="alibi")),
    ("bias: got two of kind SoftCap, expected at most one", lambda: attention(X, X, X, bias=(SoftCap(1.0),) * 2)),
    ('unknown impl "tilde"; did you mean "tiled"?', lambda: attention(X, X, X, impl="tilde")),
    ("mask: window(w) has the symbol w; give it a number before it runs",
     lambda: attention(X, X, X, mask=window("w"))),
    ('impl "sdpa" does not support return_lse; use "tiled", or "auto" to choose',
     lambda: attention(X, X, X, impl="sdpa", return_lse=True)),
    ('impl "sdpa" does not support a soft cap', lambda: attention(X, X, X, bias=SoftCap(5.0), impl="sdpa")),
    ('impl "sdpa" does not support sinks', lambda: attention(X, X, X, bias=Sinks(torch.zeros(4)), impl="sdpa")),
    ('impl "flex" does not support gradients on CPU',
     lambda: attention(X.clone().requires_grad_(), X, X, impl="flex")),
    ('impl "flex" does not support return_lse on CPU', lambda: attention(X, X, X, impl="flex", return_lse=True)),
    ('impl "flex" does not support sinks on CPU',
     lambda: attention(X, X, X, bias=Sinks(torch.zeros(4)), impl="flex")),
    ('impl "flex" does not support float64', lambda: attention(X.double(), X.double(), X.double(), impl="flex")),
    ('impl "kernels" does not support anything: no compiled kernel is registered',
     lambda: attention(X, X, X, mask=causal(), impl="kernels")),
]  # fmt: skip


@pytest.mark.parametrize(("words", "call"), CASES, ids=[words for words, _ in CASES])
def test_words(words, call):
    with pytest.raises(AttometerError) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("function", "name"),
    [(performer_attention, "features"), (linformer_attention, "key_mix"), (hyper_attention, "planes")],
)
def test_a_number_in_place_of_a_tensor_is_told(function: Callable[..., object], name: str) -> None:
    x = torch.zeros(1, 1, 8, 4)
    own = {name: 4096} | ({"value_mix": torch.zeros(2, 8)} if name == "key_mix" else {})
    with pytest.raises(AttometerError, match=f"^{name}: got int, expected a tensor$"):
        function(x, x, x, **own)
