"""Bamba and Granite 4: Mamba 2 mixers with attention in a few layers, each followed by a feed-forward layer."""

from attometer.models.blocks import Heads, attention, gated, projections, rotary
from attometer.models.layer import Layer, Model
from attometer.models.part import Part
from attometer.models.readers.decoder import alike, decoder, depth, divides, heads_of, pre_norm
from attometer.models.readers.llama import act, feed_forward
from attometer.models.readers.mamba import Dual, dual
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.reading import Reading

KINDS = {"mamba": False, "linear_attention": False, "attention": True, "full_attention": True}


def bamba(c: Reading) -> Model:
    """Bamba: Mamba 2 with attention in the layers that `attn_layer_indices` names."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, a = heads_of(c, width, kv=8), _dual_of(c, width)
    _, listed = c.get(("attn_layer_indices",), None)
    if listed is not None and not (isinstance(listed, list) and all(isinstance(i, int) for i in listed)):
        raise c.error("attn_layer_indices", "must be a list of layer indices")
    full = set(listed or ())
    c.ignore("z_loss_coefficient", "num_logits_to_keep", "layer_types", "layers_block_type")
    bias = c.flag("attention_bias", default=False)
    feed = feed_forward(c, width, c.flag("mlp_bias", default=False))
    made = alike([i in full for i in range(layers)], lambda here: _layer(width, heads, a, here, bias, feed, True))
    return decoder(c, "bamba", width, made, tied=False)


def granitemoehybrid(c: Reading) -> Model:
    """Granite 4: Mamba 2 or attention, then routed experts (where there are any) beside a shared one."""
    width, layers = c.integer("hidden_size"), depth(c)
    heads, a = heads_of(c, width), _dual_of(c, width)
    types = c.each("layer_types", layers, KINDS)
    if types is None:
        types = c.each("layers_block_type", layers, KINDS) or ["mamba"] * layers
    else:
        c.ignore("layers_block_type")
    bias, turned = c.flag("attention_bias", default=False), c.values.get("position_embedding_type") == "rope"
    c.ignore("position_embedding_type", "normalization_function", "init_method")
    shared = gated(width, c.integer("shared_intermediate_size", default=1024), act(c), prefix="shared ")
    if c.integer("num_local_experts", default=8, least=0) == 0:
        c.ignore("num_experts_per_tok", "intermediate_size")
        feed = shared
    else:
        feed = mixture(c, width, c.integer("intermediate_size"), routed(c, 8, 2)) + shared
    made = alike(types, lambda kind: _layer(width, heads, a, KINDS[kind], bias, feed, turned))
    return decoder(c, "granitemoehybrid", width, made, tied=False)


def _dual_of(c: Reading, width: int) -> Dual:
    inner, heads = c.integer("mamba_expand", default=2) * width, c.integer("mamba_n_heads", default=128)
    divides(c, "mamba_expand", inner, "mamba_n_heads", heads)
    d = inner // heads if c.values.get("mamba_d_head", "auto") == "auto" else c.integer("mamba_d_head")
    if d * heads != inner:
        raise c.error("mamba_d_head", f"is {d}, and {heads} heads must make {inner} channels")
    groups = c.integer("mamba_n_groups", default=1)
    divides(c, "mamba_n_heads", heads, "mamba_n_groups", groups)
    c.ignore("mamba_d_head")
    return Dual(
        width, heads, d, groups, c.integer("mamba_d_state", default=256), c.integer("mamba_d_conv", default=4),
        c.integer("mamba_chunk_size", default=256), c.flag("mamba_proj_bias", default=False), c.flag("mamba_conv_bias", default=True),
    )  # fmt: skip


def _layer(width: int, heads: Heads, a: Dual, full: bool, bias: bool, feed: tuple[Part, ...], turned: bool) -> Layer:
    if not full:
        return pre_norm(width, dual(a), feed, "ssm", a.cache)
    q, k, v, out = projections(width, heads, bias)
    turn = rotary(heads) if turned else ()
    return pre_norm(width, (q, k, v, *turn, attention(heads), out), feed, "full", heads.cache())
