"""Dense decoders that differ from Llama in a bias, a norm or an activation."""

from attometer.models.blocks import Heads, gated, plain
from attometer.models.layer import Model
from attometer.models.readers.decoder import alike, architecture, decoder, depth, divides, heads_of, windows
from attometer.models.readers.llama import (
    act,
    block,
    feed_forward,
    grouped,
    head_norms,
    qwen_windows,
    without_prediction,
)
from attometer.models.reading import Reading


def mimo(c: Reading) -> Model:
    """MiMo: Qwen 2 whose biases are `attention_bias`; its multi-token prediction layer is left out."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, feed, bias = heads_of(c, width), feed_forward(c, width), c.flag("attention_bias", default=True)
    without_prediction(c)
    made = alike(qwen_windows(c, layers), lambda w: block(width, heads, w, grouped(width, heads, w, bias, False), feed))
    return decoder(c, "mimo", width, made, tied=False)


def smollm3(c: Reading) -> Model:
    """SmolLM 3: Llama without rotary positions in some layers, which changes no matrix product."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, bias = heads_of(c, width, query=16, kv=4), c.flag("attention_bias", default=False)
    c.must("use_sliding_window", False, False)
    c.ignore("sliding_window", "max_window_layers", "no_rope_layers", "no_rope_layer_interval")
    feed = feed_forward(c, width, c.flag("mlp_bias", default=False))
    found = windows(c, layers, lambda _: False, None)
    return decoder(
        c,
        "smollm3",
        width,
        alike(found, lambda w: block(width, heads, w, grouped(width, heads, w, bias), feed)),
        tied=True,
    )


def internlm(c: Reading) -> Model:
    """InternLM: Llama with a bias on q, k, v and out (`bias`)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("bias", default=True)
    layer = block(width, heads, None, grouped(width, heads, bias=bias), feed_forward(c, width))
    return decoder(c, "internlm", width, [layer] * depth(c), tied=False)


def internlm2(c: Reading) -> Model:
    """InternLM 2: grouped queries; `bias` is on q, k, v and out."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("bias", default=False)
    c.ignore("attn_implementation")
    layer = block(width, heads, None, grouped(width, heads, bias=bias), feed_forward(c, width))
    return decoder(c, "internlm2", width, [layer] * depth(c), tied=False)


def baichuan(c: Reading) -> Model:
    """Baichuan 7B: Llama with fused projections; its 13B, told by the absence of `max_position_embeddings`, uses ALiBi."""
    width = c.integer("hidden_size")
    heads = heads_of(c, width)
    if not c.has("max_position_embeddings"):
        raise c.error(
            "max_position_embeddings", "is missing: a Baichuan 13B has ALiBi, which this reader does not model"
        )
    layer = block(width, heads, None, grouped(width, heads), feed_forward(c, width))
    return decoder(c, "baichuan", width, [layer] * depth(c), tied=False)


def internlm3(c: Reading) -> Model:
    """InternLM 3: `qkv_bias` is on q, k, v and out, `bias` on the feed-forward layer."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width, kv=2, d=128), c.flag("qkv_bias", "attention_bias", default=False)
    feed = feed_forward(c, width, c.flag("bias", "mlp_bias", default=False))
    layer = block(width, heads, None, grouped(width, heads, bias=bias), feed)
    return decoder(c, "internlm3", width, [layer] * depth(c), tied=False)


def minicpm(c: Reading) -> Model:
    """MiniCPM: Llama with constant multipliers and a tied head (Hu et al. 2024, arXiv:2404.06395)."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    if c.values.get("num_experts"):
        raise c.error("num_experts", "is not modelled: the mixture of MiniCPM has no reference at hand")
    c.ignore("num_experts", "dim_model_base", "scale_depth", "scale_emb", "tie_lm_head")
    layer = block(width, heads, None, grouped(width, heads, bias=bias), feed_forward(c, width))
    return decoder(c, "minicpm", width, [layer] * depth(c), tied=True)


def qwen(c: Reading) -> Model:
    """Qwen 1: biases on the fused q, k and v; its feed-forward layer is half of `intermediate_size` (arXiv:2309.16609)."""
    width = c.integer("hidden_size")
    query = c.integer("num_attention_heads")
    d = c.integer("kv_channels", default=128)
    heads, bias = Heads(query, query, d, d), not c.flag("no_bias", default=True)
    hidden = c.integer("intermediate_size")
    divides(c, "intermediate_size", hidden, "2", 2)
    c.ignore(
        "use_dynamic_ntk",
        "use_logn_attn",
        "use_cache_quantization",
        "use_cache_kernel",
        "bf16",
        "fp16",
        "fp32",
        "softmax_in_fp32",
    )
    c.ignore(
        "scale_attn_weights", "attn_dropout_prob", "emb_dropout_prob", "rotary_emb_base", "rotary_pct", "tokenizer_type"
    )
    feed = gated(width, hidden // 2, "silu", bias)
    layer = block(width, heads, None, grouped(width, heads, bias=True, out_bias=bias), feed)
    return decoder(c, "qwen", width, [layer] * depth(c), tied=False)


def chatglm(c: Reading) -> Model:
    """ChatGLM 2 and 3: RMSNorm, few key/value groups, a gated feed-forward layer (arXiv:2406.12793)."""
    width = c.integer("hidden_size")
    query, d = c.integer("num_attention_heads"), c.integer("kv_channels", default=128)
    kv = c.integer("multi_query_group_num", default=1) if c.flag("multi_query_attention", default=False) else query
    divides(c, "num_attention_heads", query, "multi_query_group_num", kv)
    for key in ("rmsnorm", "post_layer_norm", "original_rope"):
        c.must(key, True, True)
    c.must("apply_residual_connection_post_layernorm", False, False)
    heads, bias = Heads(query, kv, d, d), c.flag("add_bias_linear", default=False)
    qkv = c.flag("add_qkv_bias", default=False) or bias
    c.ignore("bias_dropout_fusion", "fp32_residual_connection", "pre_seq_len", "prefix_projection")
    c.ignore(
        "apply_query_key_layer_scaling", "quantization_bit", "rope_ratio", "vocab_size", "seq_length", "interleaved_qkv"
    )
    feed = gated(width, c.integer("ffn_hidden_size"), "silu", bias)
    layer = block(width, heads, None, grouped(width, heads, bias=qkv, out_bias=bias), feed)
    vocabulary = c.integer("padded_vocab_size", "vocab_size")
    # ChatGLMModel itself owns the output layer, whichever class the file names.
    names = [architecture(c).replace("ChatGLMModel", "ChatGLMForConditionalGeneration")]
    filled = Reading({**c.values, "vocab_size": vocabulary, "architectures": names}, c.path, c.where, c)
    return decoder(filled, "chatglm", width, [layer] * depth(c, "num_layers", "num_hidden_layers"), tied=False)


def seed_oss(c: Reading) -> Model:
    """Seed-OSS: biases on q, k and v, and apart from them on out."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width, kv=8, d=128), c.flag("attention_bias", default=True)
    mix = grouped(width, heads, None, bias, c.flag("attention_out_bias", default=False))
    layer = block(width, heads, None, mix, feed_forward(c, width, c.flag("mlp_bias", default=False)))
    return decoder(c, "seed_oss", width, [layer] * depth(c), tied=False)


def hunyuan_dense(c: Reading) -> Model:
    """Hunyuan dense: a norm of each query and key head."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    c.must("use_qk_norm", True, True)
    c.must("use_cla", False, False)
    layer = block(width, heads, None, grouped(width, heads, bias=bias, norms=head_norms(heads)), feed_forward(c, width))
    return decoder(c, "hunyuan_v1_dense", width, [layer] * depth(c), tied=False)


def ernie4_5(c: Reading) -> Model:
    """ERNIE 4.5 dense: Llama with `use_bias` everywhere and a tied head."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width, kv=2, d=128), c.flag("use_bias", default=False)
    layer = block(width, heads, None, grouped(width, heads, bias=bias), feed_forward(c, width, bias))
    return decoder(c, "ernie4_5", width, [layer] * depth(c), tied=True)


def arcee(c: Reading) -> Model:
    """Arcee AFM: Llama with a plain feed-forward layer of two matrices."""
    width = c.integer("hidden_size")
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    feed = plain(width, c.integer("intermediate_size"), act(c, "relu2"), c.flag("mlp_bias", default=False))
    layer = block(width, heads, None, grouped(width, heads, bias=bias), feed)
    return decoder(c, "arcee", width, [layer] * depth(c), tied=False)
