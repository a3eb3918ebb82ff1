"""Decoders with ALiBi or rotary positions by choice: BLOOM, MPT, Falcon."""

from attometer.models.blocks import (
    Heads,
    layernorm,
    plain,
)
from attometer.models.layer import Model
from attometer.models.readers.decoder import decoder, depth, divides
from attometer.models.readers.gpt import equal_heads, mixing, parallel, serial
from attometer.models.readers.llama import act
from attometer.models.reading import Reading


def bloom(c: Reading) -> Model:
    """BLOOM: ALiBi, a norm after the embedding (arXiv:2211.05100)."""
    width = c.integer("hidden_size", "n_embed")
    heads = equal_heads(c, width)
    layer = serial(width, heads, mixing(width, heads, True, True, alibi=True), plain(width, 4 * width, "gelu"))
    final = (layernorm(width, name="final norm"),)
    c.ignore(
        "offset_alibi",
        "masked_softmax_fusion",
        "bias_dropout_fusion",
        "skip_bias_add",
        "skip_bias_add_qkv",
        "unk_token_id",
    )
    before = (layernorm(width, name="embedding norm"),)
    return decoder(c, "bloom", width, [layer] * depth(c), True, final, before, vocabulary=250880)


def mpt(c: Reading) -> Model:
    """MPT: ALiBi, no biases, fused q, k and v."""
    width = c.integer("d_model", "hidden_size")
    q = c.integer("n_heads", "num_attention_heads")
    divides(c, "d_model", width, "n_heads", q)
    heads = Heads(q, _mpt_kv(c, q), width // q, width // q)
    c.must("no_bias", True, True)
    c.must("norm_type", "low_precision_layernorm", "low_precision_layernorm")
    hidden = _ratio(c, width)
    layer = serial(
        width, heads, mixing(width, heads, False, False, alibi=True), plain(width, hidden, "gelu", False), bias=False
    )
    c.ignore(
        "learned_pos_emb",
        "logit_scale",
        "verbose",
        "embedding_fraction",
        "init_config",
        "tokenizer_name",
        "use_norm_bias",
    )
    return decoder(c, "mpt", width, [layer] * depth(c), True, (layernorm(width, False, "final norm"),))


def _mpt_kv(c: Reading, q: int) -> int:
    if not c.has("attn_config"):
        return q
    inner = c.section("attn_config")
    inner.must("attn_type", "multihead_attention", "multihead_attention")
    inner.must("qk_ln", False, False)
    inner.must("prefix_lm", False, False)
    inner.must("alibi", True, True)
    inner.ignore(
        "attn_impl", "alibi_bias_max", "attn_uses_sequence_id", "softmax_scale", "clip_qkv", "attn_pdrop", "model_type"
    )
    inner.close()
    return q


def _ratio(c: Reading, width: int) -> int:
    # transformers builds four times the width whatever the file says.
    c.must("expansion_ratio", 4, 4)
    return 4 * width


def falcon(c: Reading) -> Model:
    """Falcon: multi-query (7B), grouped (40B and later) or multi-head (RW) attention (arXiv:2311.16867)."""
    width = c.integer("hidden_size")
    q = c.integer("num_attention_heads", "n_head")
    divides(c, "hidden_size", width, "num_attention_heads", q)
    new, bias = c.flag("new_decoder_architecture", default=False), c.flag("bias", default=False)
    kv = _falcon_kv(c, q, new)
    heads = Heads(q, kv, width // q, width // q)
    alibi, hidden = c.flag("alibi", default=False), c.optional("ffn_hidden_size") or 4 * width
    mix = mixing(width, heads, bias, bias, not alibi, alibi=alibi)
    feed = plain(
        width,
        hidden,
        act(c, "gelu") if "activation" not in c.values else c.choice("activation", options=("gelu", "relu")),
        bias,
    )
    norms = _falcon_norms(c, new)
    if new and kv != q:
        c.note("the cache keeps the key/value heads; transformers' keeps a copy of them for every query head")
    c.ignore("apply_residual_connection_post_layernorm")
    layer = parallel(width, heads, mix, feed, norms) if norms else serial(width, heads, mix, feed)
    return decoder(
        c, "falcon", width, [layer] * depth(c), True, (layernorm(width, name="final norm"),), vocabulary=65024
    )


def _falcon_norms(c: Reading, new: bool) -> int:
    """Return how many norms stand before attention and feed-forward in parallel, 0 where these follow one another."""
    if not c.flag("parallel_attn", default=True):
        if new:
            raise c.error("parallel_attn", "is false, which transformers does not run with new_decoder_architecture")
        c.ignore("num_ln_in_parallel_attn")
        return 0
    norms = c.optional("num_ln_in_parallel_attn") or (2 if new else 1)
    if norms > 1 + new:
        raise c.error("num_ln_in_parallel_attn", f"is {norms}, and transformers runs at most {1 + new} here")
    return norms


def _falcon_kv(c: Reading, q: int, new: bool) -> int:
    if new:
        kv = c.optional("num_kv_heads", "n_head_kv") or q
        divides(c, "num_attention_heads", q, "num_kv_heads", kv)
        c.ignore("multi_query")
        return kv
    c.ignore("num_kv_heads", "n_head_kv")
    return 1 if c.flag("multi_query", default=True) else q
