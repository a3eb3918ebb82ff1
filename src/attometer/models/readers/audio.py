"""Encoders of sound waves: wav2vec 2.0 and HuBERT, convolutions before a stack of layers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sympy

from attometer.mechanisms import projections as products
from attometer.models.blocks import Heads, attention, layernorm, linear, norm, of_tokens, plain, projections, residual
from attometer.models.layer import Layer, Model
from attometer.models.part import Part, over, part
from attometer.models.readers.decoder import architecture, bare, depth, divides, finish, labels
from attometer.models.readers.llama import act
from attometer.models.reading import Reading
from attometer.program import size

QUIET = (
    "apply_spec_augment", "mask_time_length", "mask_time_min_masks", "mask_feature_length", "mask_feature_min_masks", "ctc_loss_reduction",
    "ctc_zero_infinity", "layerdrop", "tdnn_dim", "tdnn_kernel", "tdnn_dilation", "xvector_output_dim", "num_codevectors_per_group",
    "num_codevector_groups", "contrastive_logits_temperature", "num_negatives", "codevector_dim", "proj_codevector_dim",
    "diversity_loss_weight", "adapter_kernel_size", "adapter_stride", "num_adapter_layers", "output_hidden_size", "num_feat_extract_layers",
    "do_stable_layer_norm", "feat_extract_dropout", "feat_proj_dropout", "feat_quantizer_dropout", "final_dropout", "num_ctc_classes",
    "max_bucket_distance", "gradient_checkpointing",
)  # fmt: skip


def wave(family: str) -> Callable[[Reading], Model]:
    """Return the reader of a descendant of wav2vec 2.0 (Baevski et al. 2020, arXiv:2006.11477)."""

    def read(c: Reading) -> Model:
        width, query = c.integer("hidden_size"), c.integer("num_attention_heads")
        divides(c, "hidden_size", width, "num_attention_heads", query)
        heads = Heads(query, query, width // query, width // query)
        for key, value in (
            ("add_adapter", False),
            ("adapter_attn_dim", None),
            ("use_weighted_layer_sum", False),
            ("conv_pos_batch_norm", False),
        ):
            c.must(key, value, value)
        q, k, v, out = projections(width, heads, True)
        feed = plain(width, c.integer("intermediate_size"), act(c))
        ends = (layernorm(width), *feed, layernorm(width, name="norm 2"), residual(width))
        layer = Layer("encoder", (q, k, v, attention(heads, ""), out, *ends))
        before = (*_features(c), *_entry(c, width), *_position(c, width))
        c.ignore(*QUIET)
        return finish(c, family, width, [layer] * depth(c), before, _head(c, width))

    read.__doc__ = (
        f"{family}: convolutions over a sound wave, then a stack of layers, after wav2vec 2.0 (arXiv:2006.11477)."
    )
    return read


def _numbers(c: Reading, key: str) -> list[int]:
    value: Any = c.get((key,), None)[1]
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(x, int) and not isinstance(x, bool) and 0 < x < 10**6 for x in value)
    ):
        raise c.error(key, "must be a list of whole numbers")
    return value


def _features(c: Reading) -> tuple[Part, ...]:
    """The convolutions, each with the rows that leave it: as few samples as give n tokens."""
    widths, strides, kernels = (_numbers(c, key) for key in ("conv_dim", "conv_stride", "conv_kernel"))
    if not len(widths) == len(strides) == len(kernels):
        raise c.error(
            "conv_dim", f"has {len(widths)} entries, conv_stride {len(strides)} and conv_kernel {len(kernels)}"
        )
    bias, function = c.flag("conv_bias"), c.choice("feat_extract_activation", options=("gelu", "relu", "silu"))
    every = c.choice("feat_extract_norm", options=("group", "layer")) == "layer"
    rows: list[sympy.Expr] = [size("n")]
    for stride, kernel in zip(strides[:0:-1], kernels[:0:-1], strict=True):
        rows.insert(0, sympy.expand((rows[0] - 1) * stride + kernel))
    parts, inputs = [], 1
    for index, (outputs, stride, kernel) in enumerate(zip(widths, strides, kernels, strict=True)):
        text = products.convolution(stride, bias, function)
        parts.append(part(f"conv {index + 1}", text, D=inputs, F=outputs, u=kernel, n=rows[index]))
        if every or index == 0:
            parts.append(norm(outputs, "layernorm", bias=True, name=f"conv norm {index + 1}", rows=rows[index]))
        inputs = outputs
    return tuple(parts)


def _entry(c: Reading, width: int) -> tuple[Part, ...]:
    inner = _numbers(c, "conv_dim")[-1]
    normed = c.flag("feat_proj_layer_norm") if "feat_proj_layer_norm" in c.of_class else True
    masked = any(_positive(c, key) for key in ("mask_time_prob", "mask_feature_prob"))
    hidden = (replace(part("masked", products.BIAS, D=width, n=1), idle=True),) if masked else ()
    return (
        *((layernorm(inner, name="feature norm"),) if normed else ()),
        linear("features", inner, width, True),
        *hidden,
    )


def _positive(c: Reading, key: str) -> bool:
    value = c.get((key,), None)[1]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise c.error(key, f"must be between 0 and 1, got {str(value)[:80]}")
    return value > 0


def _position(c: Reading, width: int) -> tuple[Part, ...]:
    """The convolution that says where a token stands, its kernel a direction times a length for each place."""
    kernel, groups = c.integer("num_conv_pos_embeddings"), c.integer("num_conv_pos_embedding_groups")
    divides(c, "hidden_size", width, "num_conv_pos_embedding_groups", groups)
    place = part("position conv", products.GROUPED_CONVOLUTION, D=width, G=groups, u=kernel)
    if kernel % 2 == 0:
        # An even kernel gives one token more, which is dropped.
        place = replace(place, reference=over(place.program, n=size("n") + 1))
    lengths = replace(part("position lengths", products.BIAS, D=kernel, n=1), idle=True)
    return place, lengths, layernorm(width, name="embedding norm")


def _head(c: Reading, width: int) -> tuple[Part, ...]:
    name = architecture(c)
    c.ignore("classifier_proj_size", "vocab_size")
    if not name or bare(name):
        return ()
    if name.endswith("ForCTC"):
        return (linear("head", width, c.integer("vocab_size"), True),)
    if name.endswith("ForSequenceClassification"):
        inner = c.integer("classifier_proj_size")
        return linear("projector", width, inner, True), of_tokens(linear("labels", inner, labels(c), True), n=1)
    raise c.error(
        "architectures",
        f"names {name[:80]}, whose head is not modelled; known: …Model, …ForCTC, …ForSequenceClassification",
    )


FAMILIES = ("hubert", "unispeech", "unispeech-sat", "wav2vec2")
