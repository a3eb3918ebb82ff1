"""Decoders with LayerNorm and a gated or rotary layer: StableLM, Orion, StarCoder 2, OLMo 1, Command."""

from attometer.models.blocks import (
    gated,
    layernorm,
    norm,
    plain,
    residual,
)
from attometer.models.layer import Layer, Model
from attometer.models.readers.decoder import alike, decoder, depth, heads_of, windows
from attometer.models.readers.gpt import mixing, parallel, serial
from attometer.models.readers.llama import act, head_norms
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.reading import Reading


def stablelm(c: Reading) -> Model:
    """StableLM 2: LayerNorm and a gated feed-forward layer, part of each head rotated."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width, kv=32), c.flag("use_qkv_bias", default=False)
    norms = head_norms(heads, "layernorm", "G[h,d]") if c.flag("qk_layernorm", default=False) else ()
    feed = gated(width, c.integer("intermediate_size"), act(c))
    mix = mixing(width, heads, bias, False, True, norms=norms)
    build = parallel if c.flag("use_parallel_residual", default=False) else serial
    return decoder(
        c, "stablelm", width, [build(width, heads, mix, feed)] * depth(c), False, (layernorm(width, name="final norm"),)
    )


def orion(c: Reading) -> Model:
    """Orion 14B: Llama with LayerNorm."""
    width = c.integer("hidden_size")
    heads = heads_of(c, width)
    c.must("attention_bias", False, False)
    layer = serial(
        width, heads, mixing(width, heads, False, False, True), gated(width, c.integer("intermediate_size"), act(c))
    )
    return decoder(c, "orion", width, [layer] * depth(c), False, (layernorm(width, name="final norm"),))


def starcoder2(c: Reading) -> Model:
    """StarCoder 2: LayerNorm, rotary positions, grouped queries, biases (arXiv:2402.19173)."""
    width = c.integer("hidden_size")
    heads, bias, window = heads_of(c, width, kv=2), c.flag("use_bias", default=True), c.optional("sliding_window")
    c.must("norm_type", "layer_norm", "layer_norm")
    c.must("mlp_type", "default", "default")
    feed = plain(width, c.integer("intermediate_size"), act(c, "gelu_pytorch_tanh"), bias)
    layer = serial(width, heads, mixing(width, heads, bias, bias, True, window), feed, window)
    return decoder(c, "starcoder2", width, [layer] * depth(c), True, (layernorm(width, name="final norm"),))


def olmo(c: Reading) -> Model:
    """OLMo 1: LayerNorm without weights (arXiv:2402.00838)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    bare = norm(width, "layernorm", scale=False)
    mix = mixing(width, heads, bias, bias, True)
    feed = gated(width, c.integer("intermediate_size"), act(c))
    layer = Layer("full", (bare, *mix, bare.named("norm 2"), *feed, residual(width)), heads.cache())
    return decoder(c, "olmo", width, [layer] * depth(c), False, (bare.named("final norm"),))


def cohere(c: Reading) -> Model:
    """Command R and Aya: one LayerNorm without bias, attention and feed-forward in parallel."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    norms = head_norms(heads, "layernorm", "G[h,d]") if c.flag("use_qk_norm", default=False) else ()
    mix = mixing(width, heads, bias, bias, True, norms=norms)
    layer = parallel(width, heads, mix, gated(width, c.integer("intermediate_size"), act(c)), bias=False)
    return decoder(
        c, "cohere", width, [layer] * depth(c), True, (layernorm(width, False, "final norm"),), vocabulary=256000
    )


def cohere2(c: Reading) -> Model:
    """Command R7B and A: three sliding layers with rotary positions to each full one without."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    feed = gated(width, c.integer("intermediate_size"), act(c))
    step = c.integer("sliding_window_pattern", "_sliding_window_pattern", default=4)
    c.ignore(
        "order_of_interleaved_layers",
        "layer_switch",
        "rotary_pct",
        "position_embedding_type",
        "use_gated_activation",
        "use_parallel_block",
        "use_parallel_embedding",
        "use_embedding_sharing",
    )
    c.must("use_qk_norm", False, False)
    found = windows(c, layers, lambda i: (i + 1) % step != 0, c.optional("sliding_window", default=4096))
    made = alike(
        found,
        lambda w: parallel(
            width, heads, mixing(width, heads, bias, bias, w is not None, w), feed, window=w, bias=False
        ),
    )
    return decoder(c, "cohere2", width, made, True, (layernorm(width, False, "final norm"),), vocabulary=256000)


def cohere2_moe(c: Reading) -> Model:
    """Command A with experts: attention and a mixture side by side, sliding layers between full ones."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, bias = heads_of(c, width), c.flag("attention_bias")
    hidden, prefix = c.integer("intermediate_size"), c.integer("first_k_dense_replace", default=0, least=0)
    c.must("rms_norm_eps", None, None)
    types = c.each("mlp_layer_types", layers, ("dense", "sparse")) or [
        "dense" if i < prefix else "sparse" for i in range(layers)
    ]
    routing = c.choice("expert_selection_fn", options=("softmax", "sigmoid"))
    count = c.integer("num_shared_experts", least=0)
    beside = gated(width, hidden * count, act(c), prefix="shared ") if count else ()
    sparse = mixture(c, width, hidden, routed(c), "all" if routing == "softmax" else "sigmoid") + beside
    plain_feed = gated(width, c.optional("prefix_dense_intermediate_size") or hidden, act(c))
    first, rest = c.integer("prefix_dense_sliding_window_pattern"), c.integer("sliding_window_pattern")
    found = windows(
        c,
        layers,
        lambda i: (i + 1) % first != 0 if i < prefix else (i - prefix + 1) % rest != 0,
        c.optional("sliding_window"),
    )
    c.ignore(
        "shared_expert_combination_strategy",
        "first_k_dense_replace",
        "sliding_window",
        "prefix_dense_intermediate_size",
    )

    def build(side: tuple[int | None, str]) -> Layer:
        window, kind = side
        mix = mixing(width, heads, bias, bias, window is not None, window)
        return parallel(width, heads, mix, plain_feed if kind == "dense" else sparse, window=window, bias=False)

    made = alike(list(zip(found, types, strict=True)), build)
    return decoder(
        c, "cohere2_moe", width, made, c.flag("tie_word_embeddings"), (layernorm(width, False, "final norm"),)
    )


def nemotron(c: Reading) -> Model:
    """Nemotron 4 and Minitron: LayerNorm, rotary positions, a plain feed-forward layer with a squared ReLU (arXiv:2402.16819)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    feed = plain(width, c.integer("intermediate_size"), act(c, "relu2"), c.flag("mlp_bias", default=False))
    layer = serial(width, heads, mixing(width, heads, bias, bias, True), feed)
    return decoder(c, "nemotron", width, [layer] * depth(c), False, (layernorm(width, name="final norm"),))
