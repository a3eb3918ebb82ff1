"""Decoders with grouped queries, dense first layers and shared experts: DeepSeek MoE, GLM-4.5 and their like."""

from attometer.mechanisms.projections import BIAS
from attometer.models.blocks import gated
from attometer.models.layer import Model
from attometer.models.part import part
from attometer.models.readers.decoder import decoder, depth, heads_of, windows
from attometer.models.readers.llama import act, block, feed_forward, grouped, head_norms, without_prediction
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.reading import Reading


def glm4_moe(c: Reading) -> Model:
    """GLM-4.5: dense first layers, shared experts, optional norms of query and key heads."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    heads, bias = heads_of(c, width, kv=8), c.flag("attention_bias", default=False)
    norms = head_norms(heads) if c.flag("use_qk_norm", default=False) else ()
    mix, hidden = grouped(width, heads, None, bias, False, norms), c.integer("moe_intermediate_size")
    extra = gated(width, hidden * c.integer("n_shared_experts", default=1), act(c), prefix="shared ")
    first = c.integer("first_k_dense_replace", default=1, least=0)
    sparse, plain = mixture(c, width, hidden, chosen, "sigmoid") + extra, feed_forward(c, width)
    c.ignore("n_group", "topk_group")
    without_prediction(c)
    return decoder(
        c,
        "glm4_moe",
        width,
        [block(width, heads, None, mix, plain if i < first else sparse) for i in range(layers)],
        tied=False,
    )


def deepseek(c: Reading) -> Model:
    """DeepSeek MoE, version 1: Llama attention, dense first layers, shared experts (Dai et al. 2024, arXiv:2401.06066)."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    heads, bias = heads_of(c, width), c.flag("attention_bias", default=False)
    hidden, step = c.integer("moe_intermediate_size"), c.integer("moe_layer_freq", default=1)
    extra = c.optional("n_shared_experts", least=0)
    beside = gated(width, hidden * extra, act(c), prefix="shared ") if extra else ()
    first = c.integer("first_k_dense_replace", default=0, least=0)
    mix, plain, sparse = (
        grouped(width, heads, None, bias),
        feed_forward(c, width),
        mixture(c, width, hidden, chosen, "all") + beside,
    )
    made = [block(width, heads, None, mix, sparse if i >= first and i % step == 0 else plain) for i in range(layers)]
    return decoder(c, "deepseek", width, made, tied=False)


def dots1(c: Reading) -> Model:
    """dots.llm1: a norm of each query and key head, dense first layers, shared experts (arXiv:2506.05767)."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c)
    heads, bias, hidden = (
        heads_of(c, width, kv=32),
        c.flag("attention_bias", default=False),
        c.integer("moe_intermediate_size"),
    )
    extra, first = c.optional("n_shared_experts", least=0), c.integer("first_k_dense_replace", default=0, least=0)
    beside = gated(width, hidden * extra, act(c), prefix="shared ") if extra else ()
    c.ignore("n_group", "topk_group", "topk_method")
    c.must("moe_layer_freq", 1, 1)
    window, start = c.optional("sliding_window", default=4096), c.integer("max_window_layers", default=62, least=0)
    found = windows(c, layers, lambda i: window is not None and i >= start, window)
    plain, sparse = feed_forward(c, width), mixture(c, width, hidden, chosen, "sigmoid") + beside
    made = [
        block(width, heads, w, grouped(width, heads, w, bias, norms=head_norms(heads)), plain if i < first else sparse)
        for i, w in enumerate(found)
    ]
    return decoder(c, "dots1", width, made, tied=False)


def ernie4_5_moe(c: Reading) -> Model:
    """ERNIE 4.5 MoE: experts in a range of layers, beside shared ones; the routing bias is a parameter."""
    width, layers, chosen = c.integer("hidden_size"), depth(c), routed(c, 64, 6)
    heads, bias, hidden = (
        heads_of(c, width, kv=4),
        c.flag("use_bias", default=False),
        c.integer("moe_intermediate_size", default=1536),
    )
    extra = c.integer("moe_num_shared_experts", default=2, least=0)
    beside = gated(width, hidden * extra, act(c), bias=bias, prefix="shared ") if extra else ()
    c.ignore("moe_norm_min", "moe_capacity", "moe_gate", "moe_use_aux_free", "moe_statics")
    sparse = (*mixture(c, width, hidden, chosen, "all"), part("router bias", BIAS, D=chosen.num_experts), *beside)
    start, every = c.integer("moe_layer_start_index", default=1, least=0), c.integer("moe_layer_interval", default=1)
    end = c.integer("moe_layer_end_index", default=-1, least=-1)
    last = layers - 1 if end == -1 else end
    mix, dense = grouped(width, heads, bias=bias), feed_forward(c, width, bias)
    made = [
        block(width, heads, None, mix, sparse if (i + 1) % every == 0 and start <= i <= last else dense)
        for i in range(layers)
    ]
    return decoder(c, "ernie4_5_moe", width, made, tied=True, head_bias=bias)
