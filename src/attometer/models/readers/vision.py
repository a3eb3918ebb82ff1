"""Encoders of images: the Vision Transformer and its descendants, CLIP's and SigLIP's two sides, Qwen's towers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from attometer.mechanisms import blocks_of_keys
from attometer.mechanisms import projections as products
from attometer.models.blocks import (
    Heads,
    activation,
    attention,
    embedding,
    gated,
    layernorm,
    linear,
    norm,
    of_tokens,
    plain,
    projections,
    residual,
    rotary,
)
from attometer.models.layer import Layer, Model
from attometer.models.part import Part, at, part
from attometer.models.readers.decoder import alike, architecture, bare, depth, divides, finish, labels
from attometer.models.readers.llama import act
from attometer.models.reading import Reading
from attometer.program import size


@dataclass(frozen=True)
class Recipe:
    """What differs between the descendants of the Vision Transformer (Dosovitskiy et al. 2020, arXiv:2010.11929).

    Attributes:
        classes: tokens before the patches that have positions; `registers` is the key of those that have none.
        positions: whether positions are a table; else heads are rotated.
        patch_bias: bias of the product over the pixels of a patch.
        before, after: norms before and after the layers; `after` over `all` tokens, the `first`, or `none`.
        kind: the norm.
        biases: of q, k, v and out; a text is the key that says so.
        gate: key that makes the feed-forward gated, or a constant.
        feed_bias: bias of the feed-forward layer.
        scaled: whether each branch is scaled by a learned vector.
        mask: key, or whether there is a token for masked patches, which a plain pass does not read.
        rgb: whether the class reads three channels whatever the file says.
        head: what follows: `pooler` (a dense layer on the first token), `probe` (attention of one query), or nothing.
    """

    classes: int = 1
    registers: str = ""
    positions: bool = True
    patch_bias: bool = True
    before: bool = False
    after: str = "all"
    kind: str = "layernorm"
    biases: tuple[bool | str, bool | str, bool | str, bool | str] = (True, True, True, True)
    gate: str | bool = False
    feed_bias: bool | str = True
    scaled: bool = False
    mask: str | bool = False
    head: str = ""
    rgb: bool = False


QKV: tuple[bool | str, bool | str, bool | str, bool | str] = ("qkv_bias", "qkv_bias", "qkv_bias", True)
CLIP = Recipe(patch_bias=False, before=True, after="first")
NONE: tuple[bool | str, bool | str, bool | str, bool | str] = (False, False, False, False)
RECIPES = {
    **{f"{name}_vision_model": CLIP for name in ("altclip", "clipseg", "git", "kosmos_2", "owlv2", "owlvit")},
    "aimv2_vision_model": Recipe(
        classes=0, before=True, kind="rmsnorm", biases=("qkv_bias", "qkv_bias", "qkv_bias", "qkv_bias"), gate=True, feed_bias="mlp_bias",
    ),
    "blip_2_vision_model": Recipe(biases=QKV, rgb=True),
    "blip_vision_model": Recipe(rgb=True),
    "chinese_clip_vision_model": CLIP,
    "clip_vision_model": CLIP,
    "deit": Recipe(classes=2, biases=QKV, head="pooler"),
    "dinov2": Recipe(biases=QKV, gate="use_swiglu_ffn", scaled=True, mask="use_mask_token"),
    "dinov2_with_registers": Recipe(registers="num_register_tokens", biases=QKV, gate="use_swiglu_ffn", scaled=True, mask=True),
    "dinov3_vit": Recipe(
        registers="num_register_tokens", positions=False, biases=("query_bias", "key_bias", "value_bias", "proj_bias"),
        gate="use_gated_mlp", feed_bias="mlp_bias", scaled=True, mask=True,
    ),
    "idefics2_vision": Recipe(classes=0),
    "idefics3_vision": Recipe(classes=0),
    "ijepa": Recipe(classes=0, biases=QKV),
    "instructblip_vision_model": Recipe(biases=QKV, rgb=True),
    "metaclip_2_vision_model": CLIP,
    "pixtral": Recipe(
        classes=0, positions=False, patch_bias=False, before=True, after="none", kind="rmsnorm", biases=NONE, gate=True,
        feed_bias=False,
    ),
    "siglip2_vision_model": Recipe(classes=0, head="probe"),
    "siglip_vision_model": Recipe(classes=0, head="probe"),
    "smolvlm_vision": Recipe(classes=0),
    "vit": Recipe(biases=QKV, head="pooler"),
    "vit_msn": Recipe(biases=QKV),
}  # fmt: skip
CLASSIFIED = "ForImageClassification"


def seen(family: str) -> Callable[[Reading], Model]:
    """Return the reader of a descendant of the Vision Transformer; its `tokens` are those of one image."""
    r = RECIPES[family]

    def read(c: Reading) -> Model:
        width = c.integer("hidden_size")
        heads = equal(c, width)
        if "num_patches" in c.of_class:
            height, wideness = 1, c.integer("num_patches")
        else:
            height, wideness = patches(c)
        if family == "aimv2_vision_model":
            c.must("use_head", False, True)
            c.must("is_native", False, False)
        extra = c.integer(r.registers, least=0) if r.registers else 0
        pre = r.classes + extra
        layer = _layer(c, r, width, heads)
        if r.rgb:
            c.must("num_channels", 3, 3)
        pixels = (3 if r.rgb else c.integer("num_channels")) * patch_area(c)
        rows = size("n") - pre if pre else "n"
        before = [linear("patches", pixels, width, r.patch_bias, rows)]
        before += [embedding(r.classes, width, "class tokens", r.classes)] if r.classes else []
        before += [embedding(extra, width, "registers", extra)] if extra else []
        before += [replace(embedding(1, width, "mask token", 1), idle=True)] if flag(c, r.mask) else []
        table = height * wideness + r.classes
        spots = size("n") - extra if extra else "n"
        before += [embedding(table, width, "positions", spots)] if r.positions else []
        before += [norm_of(r.kind, width, "embedding norm")] if r.before else []
        model = finish(c, family, width, [layer] * depth(c), before, _head(c, r, family, width, heads))
        return replace(model, tokens=height * wideness + pre, context=None)

    read.__doc__ = (
        f"{family}: patches of an image through pre-norm layers, after the Vision Transformer (arXiv:2010.11929)."
    )
    return read


def equal(c: Reading, width: int, *keys: str) -> Heads:
    """Return heads that each have keys and values of their own and share the width."""
    query = c.integer(*(keys or ("num_attention_heads",)))
    divides(c, "hidden_size", width, (keys or ("num_attention_heads",))[0], query)
    return Heads(query, query, width // query, width // query)


def flag(c: Reading, key: str | bool) -> bool:
    """Return a flag that is a constant of the family, or a key."""
    return key if isinstance(key, bool) else c.flag(key)


def norm_of(kind: str, width: int, name: str = "norm") -> Part:
    """Return LayerNorm with a bias, or RMSNorm."""
    return norm(width, kind, bias=kind == "layernorm", name=name)


def pair(c: Reading, key: str) -> tuple[int, int]:
    """Read a height and a width, one number for both or a list of two."""
    value = c.get((key,), c.of_class.get(key))[1]
    if isinstance(value, list):
        if len(value) != 2 or not all(isinstance(v, int) and not isinstance(v, bool) and 0 < v < 10**6 for v in value):
            raise c.error(key, "must be a whole number, or a list of a height and a width")
        return value[0], value[1]
    side = c.integer(key)
    return side, side


def patches(c: Reading) -> tuple[int, int]:
    """Return how many patches an image has down and across."""
    (height, across), (down, right) = pair(c, "image_size"), pair(c, "patch_size")
    if height < down or across < right:
        raise c.error("image_size", f"is smaller than {c.where}.patch_size")
    return height // down, across // right


def patch_area(c: Reading) -> int:
    """Return the pixels of a patch."""
    down, right = pair(c, "patch_size")
    return down * right


def _layer(c: Reading, r: Recipe, width: int, heads: Heads) -> Layer:
    biases = [flag(c, bias) for bias in r.biases]
    q, k, v, out = (projections(width, heads, bias, bias)[i] for i, bias in enumerate(biases))
    turn = () if r.positions else rotary(heads)
    mixing = (q, k, v, *turn, attention(heads, ""), out)
    return vit_layer(width, mixing, _feed(c, r, width), r.kind, r.scaled)


def vit_layer(
    width: int, mixing: tuple[Part, ...], feed: tuple[Part, ...], kind: str = "layernorm", scaled: bool = False
) -> Layer:
    """Return a pre-norm layer that keeps nothing, its branches scaled by learned vectors where `scaled`."""
    scales = tuple(part(f"scale {i}", products.SCALE, D=width) for i in (1, 2)) if scaled else ()
    ends = (norm_of(kind, width, "norm 2"), *feed, *scales, residual(width))
    return Layer("encoder", (norm_of(kind, width), *mixing, *ends))


def _feed(c: Reading, r: Recipe, width: int) -> tuple[Part, ...]:
    bias, double = flag(c, r.feed_bias), flag(c, r.gate)
    if "mlp_ratio" not in c.of_class:
        hidden = c.integer("intermediate_size")
    else:
        ratio = c.number("mlp_ratio")
        hidden = int(width * ratio)
        # DINOv2 rounds two thirds of it up to a multiple of eight.
        hidden = (int(hidden * 2 / 3) + 7) // 8 * 8 if double else hidden
        if double:
            c.ignore("hidden_act")
            return gated(width, hidden, "silu", bias)
    function = act(c)
    return gated(width, hidden, function, bias) if double else plain(width, hidden, function, bias)


def _head(c: Reading, r: Recipe, family: str, width: int, heads: Heads) -> tuple[Part, ...]:
    name = architecture(c)
    after = norm_of(r.kind, width, "final norm")
    final = {"all": (after,), "first": (of_tokens(after, n=1),), "none": ()}[r.after]
    quiet(c)
    if name.endswith(CLASSIFIED) and r.head != "probe":
        inputs = 2 * width if r.scaled and "dinov2" in family else width
        return *(final if r.after == "all" else ()), first("labels", inputs, labels(c))
    if name.endswith("WithProjection"):
        return *final, first("projection", width, c.integer("projection_dim"), False)
    if name and not bare(name) and not name.endswith("VisionTransformer"):
        raise c.error("architectures", f"names {name[:80]}, whose head is not modelled")
    c.ignore("projection_dim")
    if r.head == "pooler":
        outputs = c.optional("pooler_output_size") or width
        c.ignore("pooler_act")
        return *final, first("pooler", width, outputs)
    if r.head == "probe" and c.flag("vision_use_head"):
        return *final, *probe(width, heads, plain(width, c.integer("intermediate_size"), act(c)))
    return final


def quiet(c: Reading) -> None:
    """Note what a plain pass over an image does not obey."""
    c.ignore(
        "encoder_stride",
        "drop_path_rate",
        "layerscale_value",
        "out_features",
        "out_indices",
        "_out_features",
        "_out_indices",
    )
    c.ignore(
        "apply_layernorm",
        "reshape_hidden_states",
        "stage_names",
        "pos_embed_shift",
        "pos_embed_jitter",
        "pos_embed_rescale",
    )
    c.ignore("head_dim", "interpolate_pos_encoding", "num_labels", "id2label", "pooler_act", "pooler_output_size")


def first(name: str, inputs: int, outputs: int, bias: bool = True) -> Part:
    """Return a product on one token of each image."""
    return linear(name, inputs, outputs, bias, rows=1)


def probe(width: int, heads: Heads, feed: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return SigLIP's pooling: one learned query attends to all tokens, then a feed-forward layer (arXiv:2303.15343)."""
    q, k, v, out = projections(width, heads, True)
    one = (attention(heads, ""), out, layernorm(width, name="probe norm"), *feed)
    return (
        embedding(1, width, "probe", 1),
        of_tokens(q, n=1),
        k,
        v,
        *(of_tokens(p, n=1).named(f"probe {p.name}") for p in one),
    )


def clip_text(c: Reading) -> Model:
    """CLIP's text side: learned positions, causal attention, the state of the last token (Radford et al. 2021, arXiv:2103.00020)."""
    final, name = layernorm(c.integer("hidden_size"), name="final norm"), architecture(c)
    if name.endswith("WithProjection"):
        return _text(
            c,
            "clip_text_model",
            "causal(i, j)",
            (final, first("projection", c.integer("hidden_size"), c.integer("projection_dim"), False)),
        )
    c.ignore("projection_dim")
    return _text(c, "clip_text_model", "causal(i, j)", (final,))


def siglip_text(c: Reading) -> Model:
    """SigLIP's text side: learned positions, a dense layer on the last token (Zhai et al. 2023, arXiv:2303.15343)."""
    width = c.integer("hidden_size")
    outputs = c.optional("projection_size") or width
    return _text(c, "siglip_text_model", "", (layernorm(width, name="final norm"), first("head", width, outputs)))


def _text(c: Reading, family: str, where: str, last: tuple[Part, ...]) -> Model:
    width = c.integer("hidden_size")
    heads, name = equal(c, width), architecture(c)
    if name and not bare(name) and not name.endswith("WithProjection"):
        raise c.error("architectures", f"names {name[:80]}, whose head is not modelled")
    q, k, v, out = projections(width, heads, True)
    feed = plain(width, c.integer("intermediate_size"), act(c))
    layer = vit_layer(width, (q, k, v, attention(heads, where), out), feed)
    words = embedding(c.integer("vocab_size"), width)
    places = embedding(c.integer("max_position_embeddings"), width, "positions")
    return finish(c, family, width, [layer] * depth(c), (words, places), last)


def internvl_vision(c: Reading) -> Model:
    """InternViT: learned positions, scaled branches, norms of all queries and keys where the file says so (arXiv:2312.14238)."""
    width = c.integer("hidden_size")
    heads, kind = (
        equal(c, width),
        {"layer_norm": "layernorm", "rms_norm": "rmsnorm"}[c.choice("norm_type", options=("layer_norm", "rms_norm"))],
    )
    bias = c.flag("attention_bias")
    q, k, v, out = projections(width, heads, bias, True)
    norms = (norm(width, name="norm q"), norm(width, name="norm k")) if c.flag("use_qk_norm") else ()
    mixing = (q, k, v, *norms, attention(heads, ""), out)
    layer = vit_layer(width, mixing, plain(width, c.integer("intermediate_size"), act(c)), kind, True)
    height, across = patches(c)
    pixels, rows = c.integer("num_channels") * patch_area(c), size("n") - 1
    before = [linear("patches", pixels, width, True, rows), embedding(1, width, "class tokens", 1)]
    before += [replace(embedding(1, width, "mask token", 1), idle=True)] if c.flag("use_mask_token") else []
    before += [embedding(height * across + 1, width, "positions")] if c.flag("use_absolute_position_embeddings") else []
    final = () if c.flag("use_mean_pooling") else (layernorm(width, name="final norm"),)
    c.ignore("layer_scale_init_value", "projection_dropout")
    quiet(c)
    return replace(
        finish(c, "internvl_vision", width, [layer] * depth(c), before, final), tokens=height * across + 1, context=None
    )


def qwen2_vl_vision(c: Reading) -> Model:
    """Qwen2-VL's tower: rotated heads on patches of two frames, four neighbours merged into one token (arXiv:2409.12191)."""
    width = c.integer("embed_dim")
    heads, ratio = equal(c, width, "num_heads"), c.number("mlp_ratio")
    layer = vit_layer(width, _fused(width, heads), plain(width, int(width * ratio), act(c)))
    return _merged(
        c, "qwen2_vl_vision", width, [layer] * depth(c, "depth"), "layernorm", c.integer("hidden_size"), False
    )


def qwen2_5_vl_vision(c: Reading) -> Model:
    """Qwen2.5-VL's tower: most layers attend within windows of an image, a few to all of it (arXiv:2502.13923)."""
    width, layers = c.integer("hidden_size"), depth(c, "depth")
    heads = equal(c, width, "num_heads")
    feed = gated(width, c.integer("intermediate_size"), act(c), True)
    _, full = c.get(("fullatt_block_indexes",), None)
    if not isinstance(full, list) or not all(isinstance(i, int) for i in full):
        raise c.error("fullatt_block_indexes", "must be a list of layer indices")
    side = c.integer("window_size") // c.integer("spatial_merge_size") // pair(c, "patch_size")[0]
    inside = (side * c.integer("spatial_merge_size")) ** 2
    if not inside:
        raise c.error("window_size", "is smaller than one merged patch")
    c.note(f"layers within windows of {inside} patches are counted for images that the windows divide")
    made = alike(
        [i in full for i in range(layers)], lambda whole: _windowed(width, heads, feed, None if whole else inside)
    )
    c.ignore("tokens_per_second")
    return _merged(c, "qwen2_5_vl_vision", width, made, "rmsnorm", c.integer("out_hidden_size"), False)


def qwen3_vl_vision(c: Reading) -> Model:
    """Qwen3-VL's tower: positions from a table as well; the results of some layers are merged too (arXiv:2511.21631)."""
    width = c.integer("hidden_size")
    heads = equal(c, width, "num_heads")
    layer = vit_layer(width, _fused(width, heads), plain(width, c.integer("intermediate_size"), act(c)))
    side, outputs = c.integer("spatial_merge_size"), c.integer("out_hidden_size")
    deep = c.get(("deepstack_visual_indexes",), [])[1] if "deepstack_visual_indexes" in c.of_class else []
    if not isinstance(deep, list) or not all(isinstance(i, int) for i in deep):
        raise c.error("deepstack_visual_indexes", "must be a list of layer indices")
    c.ignore("deepstack_visual_indexes")
    inner = width * side**2
    each = (
        of_tokens(norm_of("layernorm", inner, "deep merger norm"), n=size("n") / side**2),
        *merge("deep merger", inner, outputs, side**2),
    )
    model = _merged(c, "qwen3_vl_vision", width, [layer] * depth(c, "depth"), "layernorm", outputs, True)
    places = embedding(c.integer("num_position_embeddings"), width, "positions")
    more = tuple(p.times(len(deep)) for p in each) if deep else ()
    return replace(model, embedding=(*model.embedding, places), head=(*model.head, *more))


def glm4v_vision(c: Reading) -> Model:
    """GLM-4.1V's tower: RMSNorms, gated layers, neighbours merged by a convolution and a gated layer (arXiv:2507.01006)."""
    width, outputs = c.integer("hidden_size"), c.integer("out_hidden_size")
    heads, side = equal(c, width, "num_heads"), c.integer("spatial_merge_size")
    q, k, v, out = projections(width, heads, c.flag("attention_bias"), False)
    function = act(c)
    layer = vit_layer(
        width, (q, k, v, *rotary(heads), attention(heads, ""), out), gated(width, outputs, function), "rmsnorm"
    )
    height, across = patches(c)
    pixels = c.integer("in_channels") * patch_area(c) * c.integer("temporal_patch_size")
    first_norm, last_norm = norm(width, name="embedding norm"), norm(width, name="final norm")
    before = (linear("patches", pixels, width, True), first_norm, embedding(height * across, width, "positions"))
    merger = (
        linear("downsample", width * side**2, outputs, True), linear("merger", outputs, outputs), layernorm(outputs, name="merger norm"),
        *gated(outputs, c.integer("intermediate_size"), function, prefix="merger "),
    )  # fmt: skip
    quiet(c)
    end = (last_norm, *(of_tokens(p, n=size("n") / side**2) for p in merger))
    return replace(finish(c, "glm4v_vision", width, [layer] * depth(c, "depth"), before, end), context=None)


def llama4_vision(c: Reading) -> Model:
    """Llama 4's tower: a class token behind the patches, rotated heads, neighbours merged into two dense layers."""
    width, heads = c.integer("hidden_size"), equal(c, c.integer("hidden_size"))
    hidden = c.integer("intermediate_size")
    layer = vit_layer(width, _fused(width, heads), plain(width, hidden, "gelu"))
    (height, across), side = patches(c), round(1 / c.number("pixel_shuffle_ratio"))
    first_width, last_width = c.integer("projector_input_dim"), c.integer("projector_output_dim")
    for key, value in (("intermediate_size", width * side**2), ("projector_output_dim", first_width)):
        c.must(key, value, c.of_class[key])
    rows = size("n") - 1
    before = (
        linear("patches", c.integer("num_channels") * patch_area(c), width, rows=rows), embedding(1, width, "class token", 1),
        embedding(height * across + 1, width, "positions"), layernorm(width, name="embedding norm"),
    )  # fmt: skip
    merger = (
        linear("merger up", hidden, first_width), activation("merger act", first_width, "gelu", False),
        linear("merger down", last_width, last_width), activation("merger act 2", last_width, "gelu", False),
    )  # fmt: skip
    c.ignore(
        "hidden_act", "vision_output_dim", "vision_feature_select_strategy", "multi_modal_projector_bias", "norm_eps"
    )
    c.ignore("vision_feature_layer", "projector_dropout")
    quiet(c)
    end = (layernorm(width, name="final norm"), *(of_tokens(p, n=rows / side**2) for p in merger))
    model = finish(c, "llama4_vision_model", width, [layer] * depth(c), before, end)
    return replace(model, tokens=height * across + 1, context=None)


def _windowed(width: int, heads: Heads, feed: tuple[Part, ...], inside: int | None) -> Layer:
    core = attention(heads, "")
    if inside is not None:
        run = at(blocks_of_keys.WINDOWS, **heads.sizes, x=inside)
        core = replace(attention(heads, f"chunked(i, j, {inside})"), reference=run)
    return replace(
        vit_layer(width, _fused(width, heads, core), feed, "rmsnorm"), kind="full" if inside is None else "windowed"
    )


def _fused(width: int, heads: Heads, core: Part | None = None) -> tuple[Part, ...]:
    q, k, v, out = projections(width, heads, True)
    return q, k, v, *rotary(heads), core or attention(heads, ""), out


def _merged(c: Reading, family: str, width: int, layers: list[Layer], kind: str, outputs: int, bias: bool) -> Model:
    """The tower behind its patches, with the merger: neighbours side by side, and two dense layers."""
    side, frames = c.integer("spatial_merge_size"), c.integer("temporal_patch_size")
    pixels = c.integer("in_channels", "in_chans") * patch_area(c) * frames
    before = (linear("patches", pixels, width, bias),)
    inner = width * side**2
    merger = (norm_of(kind, width, "merger norm"), *merge("merger", inner, outputs, side**2))
    quiet(c)
    model = finish(c, family, width, layers, before, merger)
    return replace(model, context=None)


def merge(name: str, inner: int, outputs: int, neighbours: int) -> tuple[Part, ...]:
    """Return two dense layers over merged tokens, `neighbours` of them in one."""
    one = (
        linear(f"{name} up", inner, inner, True),
        activation(f"{name} act", inner, "gelu", False),
        linear(f"{name} down", inner, outputs, True),
    )
    return tuple(of_tokens(p, n=size("n") / neighbours) for p in one)
