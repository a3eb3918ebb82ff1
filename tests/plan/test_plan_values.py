"""Plans by hand, per mode and per type of layer: every value is worked out beside it from the model's published sizes."""

import pytest

import attometer as am
from attometer.plan import Plan, plan
from attometer.plan.usage import LayerTime

# Llama-3.1-8B: 32 layers, width 4096, 32 query and 8 key/value heads of 128, feed-forward 14,336, vocabulary 128,256.
D, F, V, LAYERS = 4096, 14_336, 128_256, 32
LLAMA = 8_030_261_248
PROJECTIONS = D * D + 2 * D * 1024 + D * D
FEED_FORWARD = 3 * D * F


def row(made: Plan, kind: str) -> LayerTime:
    return next(layer for layer in made.layers if layer.kind == kind)


def test_llama_weights_are_16_06_gb_and_its_cache_131072_bytes_a_token() -> None:
    made = plan("llama-3.1-8b", context=1000, mode="decode")
    assert LLAMA == V * D + LAYERS * (PROJECTIONS + FEED_FORWARD + 2 * D) + D + V * D
    assert made.memory.weights == 2 * LLAMA == 16_060_522_496
    assert made.memory.kv == 1000 * 131_072 == 1000 * LAYERS * 2 * 8 * 128 * 2


# Embedding, head and norms stay at 16 bits; scales are counted: one fp16 scale per 128, with a 4-bit zero in GPTQ.
OUTSIDE = 2 * V * D + (2 * LAYERS + 1) * D
INSIDE = LLAMA - OUTSIDE


@pytest.mark.parametrize(
    ("dtype", "bytes_of_weights"),
    [
        ("fp8", INSIDE + 2 * OUTSIDE),
        ("int4", INSIDE * 33 // 64 + 2 * OUTSIDE),
        ("awq", INSIDE * 133 // 256 + 2 * OUTSIDE),
        ("mxfp4", INSIDE * 17 // 32 + 2 * OUTSIDE),
    ],
)
def test_weights_by_format(dtype: str, bytes_of_weights: int) -> None:
    assert plan("llama-3.1-8b", context=1, weights_dtype=dtype).memory.weights == bytes_of_weights


def test_prefill_flops_of_each_row() -> None:
    n = 2048
    made = plan("llama-3.1-8b", context=n, batch=2)
    pairs = n * (n + 1) // 2
    layer = 2 * n * (PROJECTIONS + FEED_FORWARD) + 2 * 2 * 32 * 128 * pairs
    assert row(made, "full").flops == 2 * LAYERS * layer
    assert row(made, "head").flops == 2 * 2 * D * V  # the last token of each sequence
    assert row(made, "embedding").flops == 0


def test_prefill_activations_are_the_stream_and_the_gated_product() -> None:
    n = 2048
    # The widest moment: gate, up and their product beside the residual stream, two bytes each.
    assert plan("llama-3.1-8b", context=n).memory.activations == 2 * n * (D + 3 * F)


def test_decode_reads_every_weight_but_the_table_and_the_cache_once() -> None:
    made = plan("llama-3.1-8b", context=4096, mode="decode", batch=4)
    read = 2 * (LLAMA - V * D) + 2 * 4 * D  # a row of the table for each sequence
    rest = made.time.bytes_moved - read - made.memory.kv
    # What is left are activations of four tokens: under a two-hundredth.
    assert 0 < rest < made.time.bytes_moved // 200
    assert made.time.seconds == pytest.approx(made.time.bytes_moved / 3350e9, rel=1e-2)


def test_training_holds_sixteen_bytes_a_parameter_and_computes_three_forwards_and_the_scores_again() -> None:
    made = plan("llama-3.1-8b", context=1024, mode="train")
    kept = made.memory
    assert (kept.weights, kept.gradients, kept.optimizer, kept.kv) == (2 * LLAMA, 2 * LLAMA, 12 * LLAMA, 0)
    pairs = 1024 * 1025 // 2
    forward = LAYERS * (2 * 1024 * (PROJECTIONS + FEED_FORWARD) + 4 * 32 * 128 * pairs) + 2 * 1024 * D * V
    # A kernel that keeps no scores computes them once more.
    again = LAYERS * 2 * 32 * 128 * pairs
    assert made.time.flops == 3 * forward + again
    # The head is not computed again.
    layers = forward - 2 * 1024 * D * V
    assert plan("llama-3.1-8b", context=1024, mode="train", checkpoint=True).time.flops == 3 * forward + layers + again


def test_frozen_weights_have_no_products_of_gradients() -> None:
    whole, frozen, ends, again = (
        plan("llama-3.1-8b", context=1024, mode="train", recipe=f"{how},loss=whole")
        for how in ("adamw", "lora,recompute=none", "lora,recompute=none,ends", "lora,recompute=full")
    )
    products = LAYERS * 2 * 1024 * (PROJECTIONS + FEED_FORWARD)
    head = 2 * 1024 * D * V
    assert whole.time.flops - frozen.time.flops == products + head
    assert ends.time.flops - frozen.time.flops == head
    assert again.time.flops - frozen.time.flops == products + LAYERS * 4 * 32 * 128 * (1024 * 1025 // 2)
    assert frozen.predicted is not None
    assert whole.predicted is not None
    assert frozen.predicted.seconds < 0.75 * whole.predicted.seconds
    # Steps of adapters under this framework were not measured in 16 bits: the interval says so.
    assert frozen.predicted.borrowed
    lever = next(lever for lever in whole.levers if lever.name == "LoRA")
    assert not plan("llama-3.1-8b", context=1024, mode="train", recipe="lora,recompute=none,loss=whole").fits or (
        lever.seconds_saved == pytest.approx(whole.seconds - frozen.seconds)
    )


def test_checkpointing_keeps_one_stream_per_layer() -> None:
    whole, again = (plan("gpt2", context=512, mode="train", checkpoint=c).memory.activations for c in (False, True))
    # GPT-2: 12 layers of width 768; saved per layer S, so that 12 S becomes 12 streams and one S.
    stream = 2 * 512 * 768
    saved = (whole - again + 12 * stream) // 11
    assert whole - again == 11 * saved - 12 * stream


# Cache bytes of one sequence of m tokens at 16 bits, by type of layer.
CACHES = [
    (
        "gemma-2-2b",
        "sliding",
        8192,
        13 * 2 * 4 * 256 * 4096 * 2,
        "13 layers keep a window of 4,096 tokens, 4 heads of 256",
    ),
    ("gemma-2-2b", "full", 8192, 13 * 2 * 4 * 256 * 8192 * 2, "the other 13 keep all"),
    ("mistral-7b", "sliding", 32_768, 32 * 2 * 8 * 128 * 4096 * 2, "a window of 4,096, 8 heads of 128"),
    ("gpt2", "full", 1024, 12 * 2 * 12 * 64 * 1024 * 2, "12 heads of 64"),
    ("deepseek-v3", "mla", 4096, 61 * (512 + 64) * 4096 * 2, "a latent of 512 and one rotary key of 64"),
    ("mixtral-8x7b", "full", 4096, 32 * 2 * 8 * 128 * 4096 * 2, "experts keep nothing"),
    ("bert-base", "encoder", 512, 0, "an encoder keeps nothing"),
]


@pytest.mark.parametrize(("name", "kind", "context", "wanted", "why"), CACHES)
def test_cache_by_type_of_layer(name: str, kind: str, context: int, wanted: int, why: str) -> None:
    made = plan(name, "h200-sxm", context=context, mode="decode")
    assert row(made, kind).kv_bytes == wanted, why


def test_recurrent_state_does_not_grow_and_is_of_inner_width_times_state() -> None:
    near, far = (plan("mamba-2.8b", context=n, mode="decode").memory for n in (1, 100_000))
    # 64 layers of inner width 5,120: a state of 16 and the last 3 inputs of a convolution of 4, two bytes each.
    assert near.state == far.state == 64 * 5120 * (16 + 3) * 2
    assert near.kv == 0


def test_one_token_of_mixtral_reads_two_experts_of_eight() -> None:
    made = plan("mixtral-8x7b", "h200-sxm", context=1, mode="decode")
    experts = 32 * 8 * 3 * 4096 * 14_336
    read = 46_702_792_704 - 32_000 * 4096 - experts * 6 // 8
    assert made.time.bytes_moved == pytest.approx(2 * read, rel=1e-3)


def test_absorbed_latents_decode_in_the_latent_width() -> None:
    made = plan("deepseek-v3", "h200-sxm", context=8192, mode="decode")
    per_pair = (
        2 * 128 * (512 + 64) + 2 * 128 * 512
    )  # 128 heads: scores over latent and rotary key, values in the latent
    longer = plan("deepseek-v3", "h200-sxm", context=8193, mode="decode")
    assert longer.time.flops - made.time.flops == 61 * per_pair


def test_largest_context_by_hand() -> None:
    # Decoding on 80 GB: what 131,072 bytes a token leave beside the weights and one token's activations.
    asked = am.planner("llama-3.1-8b", "h100-sxm", mode="decode")
    fixed = asked.total(1) - 131_072
    assert asked.largest_context() == (asked.room - fixed) // 131_072
