"""Nemotron-H and Nemotron 3: one mixer or one feed-forward layer at a time."""

from attometer.models.blocks import (
    Heads,
    attention,
    linear,
    norm,
    plain,
    projections,
    residual,
)
from attometer.models.layer import Layer, Model
from attometer.models.part import Part
from attometer.models.readers.decoder import FULL, MOST_LAYERS, decoder, divides
from attometer.models.readers.delta_net import LINEAR
from attometer.models.readers.llama import without_prediction
from attometer.models.readers.mamba import Dual, dual
from attometer.models.readers.mixtral import routed
from attometer.models.readers.moe import experts, router
from attometer.models.reading import Reading

LETTERS = {"M": LINEAR, "E": "moe", "*": FULL, "-": "mlp"}


def nemotron_h(c: Reading) -> Model:
    """Nemotron-H and Nemotron 3: each layer is a Mamba 2 mixer, attention, a feed-forward layer or experts (arXiv:2504.03624)."""
    width = c.integer("hidden_size")
    kinds = _nemotron_kinds(c)
    c.must("use_bias", False, False)
    c.must("mamba_proj_bias", False, False)
    # transformers builds no such bias, whatever the file says.
    c.must("attention_bias", False, False)
    c.ignore(
        "num_logits_to_keep",
        "mamba_ssm_cache_dtype",
        "time_step_rank",
        "expand",
        "moe_shared_expert_overlap",
        "n_group",
        "topk_group",
        "n_shared_experts",
        "num_hidden_layers",
    )
    c.must("sliding_window", None, None)
    without_prediction(c)
    function = c.choice("mlp_hidden_act", options=("relu2", "silu", "gelu", "relu"), default="relu2")
    if "mlp" not in kinds:
        c.ignore("intermediate_size")
    build = {kind: _nemotron_part(c, width, kind, function) for kind in dict.fromkeys(kinds)}
    return decoder(c, "nemotron_h", width, [build[kind] for kind in kinds], tied=None, vocabulary=131072)


def _nemotron_kinds(c: Reading) -> list[str]:
    if c.has("layers_block_type") or c.has("layer_types"):
        key = "layers_block_type" if c.has("layers_block_type") else "layer_types"
        names = {"mamba": LINEAR, "attention": FULL} | {k: k for k in LETTERS.values()}
        value = c.values[key]
        found = c.each(key, len(value) if isinstance(value, list) else 0, names) or []
        kinds = [names[k] for k in found]
        c.ignore("hybrid_override_pattern")
    else:
        _, pattern = c.get(("hybrid_override_pattern",), None)
        if not isinstance(pattern, str) or set(pattern) - set(LETTERS):
            raise c.error(
                "hybrid_override_pattern",
                "must be a text of M (Mamba), E (experts), * (attention) and - (feed-forward)",
            )
        kinds = [LETTERS[letter] for letter in pattern]
    if not 0 < len(kinds) <= MOST_LAYERS:
        raise c.error("hybrid_override_pattern", f"names {len(kinds)} layers")
    given = c.values.get("num_hidden_layers")
    if given is not None and given != len(kinds):
        raise c.error("num_hidden_layers", f"is {given!r}, but the pattern names {len(kinds)} layers")
    return kinds


def _nemotron_part(c: Reading, width: int, kind: str, function: str) -> Layer:
    if kind == LINEAR:
        a = _nemotron_dual(c, width)
        return Layer("ssm", (norm(width), *dual(a), residual(width, 1)), a.cache)
    if kind == FULL:
        heads = _nemotron_heads(c)
        q, k, v, out = projections(width, heads)
        return Layer("full", (norm(width), q, k, v, attention(heads), out, residual(width, 1)), heads.cache())
    if kind == "mlp":
        feed = plain(width, c.integer("intermediate_size", default=21504), function, c.flag("mlp_bias", default=False))
        return Layer("feed-forward", (norm(width), *feed, residual(width, 1)))
    return Layer("experts", (norm(width), *_nemotron_experts(c, width, function), residual(width, 1)))


def _nemotron_heads(c: Reading) -> Heads:
    query, d = c.integer("num_attention_heads", default=32), c.integer("head_dim", "attention_head_dim", default=128)
    kv = c.optional("num_key_value_heads", default=8) or query
    divides(c, "num_attention_heads", query, "num_key_value_heads", kv)
    return Heads(query, kv, d, d)


def _nemotron_dual(c: Reading, width: int) -> Dual:
    heads, groups = c.integer("mamba_num_heads", default=128), c.integer("n_groups", "mamba_n_groups", default=8)
    divides(c, "mamba_num_heads", heads, "n_groups", groups)
    c.must("mamba_hidden_act", "silu", "silu")
    return Dual(
        width, heads, c.integer("mamba_head_dim", default=64), groups, c.integer("ssm_state_size", default=128),
        c.integer("conv_kernel", "mamba_d_conv", default=4), c.integer("chunk_size", "mamba_chunk_size", default=128),
        False, c.flag("use_conv_bias", "mamba_conv_bias", default=True),
    )  # fmt: skip


def _nemotron_experts(c: Reading, width: int, function: str) -> tuple[Part, ...]:
    chosen, bias = routed(c, 8, 2), c.flag("mlp_bias", default=False)
    latent = c.optional("moe_latent_size")
    inside = latent or width
    down, up = (linear("latent in", width, inside, bias),), (linear("latent out", inside, width, bias),)
    hidden = c.integer("moe_intermediate_size", default=7688)
    extra = plain(width, c.integer("moe_shared_expert_intermediate_size", default=7688), function, bias)
    beside = tuple(p.named(f"shared {p.name}") for p in extra)
    inner = experts(inside, hidden, chosen, function, gate=False)
    return router(width, chosen, routing="sigmoid"), *(down if latent else ()), *inner, *(up if latent else ()), *beside
