"""Jamba: state-space layers, attention in one layer of eight, and experts in every other."""

from attometer.models.blocks import (
    attention,
    projections,
)
from attometer.models.layer import Model
from attometer.models.readers.decoder import decoder, depth, heads_of, pre_norm
from attometer.models.readers.llama import feed_forward
from attometer.models.readers.mamba import Selective, selective, step_rank
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.reading import Reading


def jamba(c: Reading) -> Model:
    """Jamba: one attention layer in eight, experts in every other layer (Lieber et al. 2024, arXiv:2403.19887)."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads = heads_of(c, width, kv=8)
    a = Selective(
        width, c.integer("mamba_expand", default=2) * width, c.integer("mamba_d_state", default=16), step_rank(c, "mamba_dt_rank", width),
        c.integer("mamba_d_conv", default=4), c.flag("mamba_proj_bias", default=False), c.flag("mamba_conv_bias", default=True),
    )  # fmt: skip
    c.must("sliding_window", None, None)
    c.ignore(
        "use_mambapy",
        "use_associative_scan",
        "num_logits_to_keep",
        "calc_logits_for_entire_prompt",
        "mamba_inner_layernorms",
    )
    every, offset = c.integer("attn_layer_period", default=8), c.integer("attn_layer_offset", default=4, least=0)
    expert_every, expert_offset = (
        c.integer("expert_layer_period", default=2),
        c.integer("expert_layer_offset", default=1, least=0),
    )
    chosen, hidden = routed(c, 16, 2), c.integer("intermediate_size")
    q, k, v, out = projections(width, heads)
    mixes = {
        True: ("full", (q, k, v, attention(heads), out), heads.cache()),
        False: ("ssm", selective(a, norms=True), a.cache),
    }
    feeds = {
        True: mixture(c, width, hidden, chosen, "all") if chosen.num_experts > 1 else feed_forward(c, width),
        False: feed_forward(c, width),
    }
    made = []
    for i in range(layers):
        kind, mixing, cache = mixes[i % every == offset % every]
        made.append(pre_norm(width, mixing, feeds[i % expert_every == expert_offset % expert_every], kind, cache))
    return decoder(c, "jamba", width, made, tied=False)
