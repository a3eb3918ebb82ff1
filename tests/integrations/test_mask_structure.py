"""The structure that attometer reads is the boolean mask that transformers would have made."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache, LlamaConfig, StaticCache
from transformers import masking_utils as hf

from attometer.errors import AttometerError
from attometer.integrations.transformers.mask_function import attometer_mask
from attometer.integrations.transformers.mask_structure import MaskHandle


def dense(handle):
    """Return the boolean mask [b, n, cached] that a structure means."""
    held = handle.structure
    rows = []
    for row in range(held.batch):
        pattern = held.patterns[row if len(held.patterns) > 1 else 0]
        seen = torch.ones(held.queries, held.keys, dtype=torch.bool)
        if pattern is not None:
            seen = torch.tensor(pattern.matrix(held.queries, held.keys))
        if held.padding is not None:
            seen = seen & held.padding[row]
        rows.append(torch.nn.functional.pad(seen, (0, held.cached - held.keys)))
    return torch.stack(rows)


def assert_same(**arguments):
    wanted = hf.sdpa_mask(**arguments, allow_is_causal_skip=False)
    found = attometer_mask(**arguments)
    assert found.shape == (arguments["batch_size"], 1, arguments["q_length"], arguments["kv_length"])
    assert torch.equal(dense(found), wanted[:, 0])
    return found.structure


def functions(batch, length):
    """Return patterns over `length` positions, as transformers composes them."""
    left = st.lists(st.integers(0, 3), min_size=batch, max_size=batch).map(torch.tensor)
    window, chunk = st.integers(1, 6), st.integers(1, 6)
    ids = st.lists(st.sampled_from([-1, -1, 0, 1]), min_size=length, max_size=length).map(
        lambda drawn: torch.tensor([sorted(drawn)] * batch)
    )
    causal = st.one_of(
        st.just(hf.causal_mask_function),
        window.map(hf.sliding_window_causal_mask_function),
        st.builds(hf.chunked_causal_mask_function, chunk, left),
    )
    blocks = st.builds(lambda inner, drawn: hf.or_masks(inner, hf.blockwise_overlay(drawn)), causal, ids)
    overlaid = st.builds(lambda inner, w: hf.and_masks(inner, hf.sliding_window_overlay(w)), blocks, window)
    return st.one_of(causal.map(lambda f: (f, False)), (blocks | overlaid).map(lambda f: (f, True)))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_growing_and_static_caches(data):
    """Queries end at the last key (a growing or rolling cache), or before it (a static one)."""
    batch, offset = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 4))
    seen, new, spare = (data.draw(st.integers(low, 6)) for low in (0, 1, 0))
    function, in_blocks = data.draw(functions(batch, offset + seen + new))
    if in_blocks:  # they end with the prompt, and transformers fills up with -1
        function = with_longer_blocks(function, spare)
    length = offset + seen + new
    mask = data.draw(st.none() | st.lists(st.booleans(), min_size=batch * length, max_size=batch * length))
    assert_same(
        batch_size=batch,
        q_length=new,
        kv_length=seen + new + spare,
        q_offset=offset + seen,
        kv_offset=offset,
        mask_function=function,
        attention_mask=None if mask is None else torch.tensor(mask).view(batch, length),
    )


def with_longer_blocks(function, spare):
    parts = function.__closure__[0].cell_contents
    if function.__qualname__.startswith("and_masks"):
        return hf.and_masks(with_longer_blocks(parts[0], spare), *parts[1:])
    ids = parts[1].__closure__[0].cell_contents
    return hf.or_masks(parts[0], hf.blockwise_overlay(torch.nn.functional.pad(ids, (0, spare), value=-1)))


@pytest.mark.parametrize("window", [7, 8, 9])
def test_windows_are_not_off_by_one(window):
    """A causal sliding_window counts the query itself; a two-sided one counts each side without it."""
    causal = assert_same(
        batch_size=1, q_length=20, kv_length=20, mask_function=hf.sliding_window_causal_mask_function(window)
    )
    assert str(causal.patterns[0]) == f"window({window})"
    both = assert_same(
        batch_size=1, q_length=20, kv_length=20, mask_function=hf.sliding_window_bidirectional_mask_function(window)
    )
    assert str(both.patterns[0]) == f"band({window}, {window})"


def test_a_window_that_no_query_fills_is_plain_causal():
    held = attometer_mask(1, 1, 5, 4, mask_function=hf.sliding_window_causal_mask_function(5)).structure
    assert str(held.patterns[0]) == "causal"


def test_packed_sequences_become_documents():
    positions = torch.tensor([[0, 1, 2, 0, 1, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 0, 1, 2]])
    packed = hf.find_packed_sequence_indices(positions)
    for inner in (
        hf.causal_mask_function,
        hf.sliding_window_causal_mask_function(2),
        hf.chunked_causal_mask_function(2, torch.zeros(2, dtype=torch.int64)),
    ):
        function = hf.packed_sequence_compatibility_function(inner, positions, packed)
        held = assert_same(batch_size=2, q_length=9, kv_length=9, mask_function=function)
        assert "document([3, 2, 4])" in str(held.patterns[0])


def test_a_prefix_is_a_block():
    prefix = torch.tensor([[0, 0, 0, -1, -1, -1]])
    function = hf.or_masks(hf.causal_mask_function, hf.blockwise_overlay(prefix))
    held = assert_same(batch_size=1, q_length=6, kv_length=6, mask_function=function)
    assert str(held.patterns[0]) == "causal | document([3, 1, 1, 1])"


@pytest.mark.parametrize(
    ("padding", "spans"),
    [
        ([[0, 0, 1, 1], [1, 1, 1, 1]], ((2, 4), (0, 4))),
        ([[1, 1, 0, 0], [0, 1, 1, 0]], ((0, 2), (1, 3))),
        ([[0, 0, 0, 0], [1, 1, 1, 1]], ((0, 0), (0, 4))),
        ([[1, 0, 1, 1], [1, 1, 1, 1]], None),
    ],
)
def test_padding_is_kept_as_lengths(padding, spans):
    held = assert_same(batch_size=2, q_length=4, kv_length=4, attention_mask=torch.tensor(padding).bool())
    assert held.spans == spans


def test_no_padding_is_no_tensor():
    held = attometer_mask(2, 4, 4, attention_mask=torch.ones(2, 4, dtype=torch.bool)).structure
    assert held.padding is None


def test_caches_of_transformers_give_the_lengths():
    config = LlamaConfig(
        hidden_size=8, num_attention_heads=1, num_hidden_layers=1, vocab_size=9, attn_implementation="attometer"
    )
    embedded = torch.zeros(1, 3, 8)
    key = torch.zeros(1, 1, 3, 8)
    for cache in (DynamicCache(config=config), StaticCache(config, max_cache_len=7)):
        cache.update(key, key, 0)
        handle = hf.create_causal_mask(config, embedded, None, cache)
        assert isinstance(handle, MaskHandle)
        assert (handle.structure.queries, handle.structure.keys) == (3, 6)


def test_handles_are_moved_and_cut_like_tensors():
    handle = attometer_mask(2, 3, 5, 2, attention_mask=torch.tensor([[0, 1, 1, 1, 1]] * 2).bool())
    assert handle.dim() == 4
    assert handle.dtype == torch.bool
    assert handle[:, :, :, :5] is handle
    assert handle.contiguous() is handle
    moved = handle.to("cpu")
    assert moved.structure.spans == handle.structure.spans
    assert handle.structure.padding.numel() == 10


@pytest.mark.parametrize(
    "compute",
    [
        lambda mask: torch.zeros(2, 1, 3, 5) + mask,
        lambda mask: torch.where(mask, 0.0, 1.0),
        lambda mask: mask[:, :, :, :4],
        lambda mask: mask[..., 1:],
        lambda mask: mask.to(torch.float32),
        lambda mask: ~mask,
        lambda mask: mask.all(),
        lambda mask: torch.zeros(2, 1, 3, 5).masked_fill(mask, 1.0),
        lambda mask: torch.nn.functional.scaled_dot_product_attention(*[torch.zeros(2, 1, 3, 4)] * 3, attn_mask=mask),
    ],
)
def test_a_model_that_computes_with_its_mask_is_told(compute):
    config = LlamaConfig()
    handle = attometer_mask(2, 3, 5, 2, config=config)
    with pytest.raises(AttometerError, match='model type "llama" computes with its attention mask'):
        compute(handle)


def test_unknown_patterns_are_refused_by_name():
    def checkerboard(batch, head, query, key):
        return (query + key) % 2 == 0

    with pytest.raises(AttometerError, match=r"masks with the function .*checkerboard.*pass a 4-D attention_mask"):
        attometer_mask(1, 4, 4, mask_function=hf.and_masks(hf.causal_mask_function, checkerboard))
    with pytest.raises(AttometerError, match=r'masks with the function ".*partial", whose structure'):
        attometer_mask(1, 4, 4, mask_function=partial(hf.causal_mask_function))


def test_blocks_in_pieces_or_alone_are_refused():
    pieces = hf.or_masks(hf.causal_mask_function, hf.blockwise_overlay(torch.tensor([[0, 1, 0, -1]])))
    with pytest.raises(AttometerError, match="a block in several pieces"):
        attometer_mask(1, 4, 4, mask_function=pieces)
    alone = hf.or_masks(hf.blockwise_overlay(torch.tensor([[0, 0, -1, -1]])))
    with pytest.raises(AttometerError, match="masks with blocks alone"):
        attometer_mask(1, 4, 4, mask_function=alone)


def test_a_static_cache_needs_a_causal_mask():
    with pytest.raises(AttometerError, match=r"its last query stands at key 4 of 6 and its mask is not causal"):
        attometer_mask(1, 4, 6, mask_function=hf.sliding_window_bidirectional_mask_function(2))
