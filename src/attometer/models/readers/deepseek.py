"""DeepSeek V2 to V3.2 and what shares their layers: Kimi K2, GLM-5."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from attometer.mechanisms import selection
from attometer.models.blocks import gated, layernorm, linear, norm, residual
from attometer.models.layer import Layer, Model
from attometer.models.part import Part, part
from attometer.models.readers.decoder import decoder, depth, divides
from attometer.models.readers.llama import act, without_prediction
from attometer.models.readers.mixtral import mixture, routed
from attometer.models.readers.mla import V3, Latent, absorbed, expanded, latent_of
from attometer.models.reading import Reading
from attometer.program import size

# The values of DeepseekV2Config, Glm4MoeLiteConfig and GlmMoeDsaConfig for missing keys.
V2 = Latent(32, 1536, 512, 128, 64, 128)
LITE = Latent(20, 768, 512, 192, 64, 256)
DSA = Latent(64, 2048, 512, 192, 64, 256)


def deepseek_v2(c: Reading) -> Model:
    """DeepSeek-V2 (arXiv:2405.04434)."""
    c.must("mlp_bias", False, False)
    c.must("moe_layer_freq", 1, 1)
    _by_count(c)
    return _deepseek(c, "deepseek_v2", V2, first=0, shared=2)


def deepseek_v3(c: Reading) -> Model:
    """DeepSeek-V3, R1 and Kimi K2 (arXiv:2412.19437)."""
    c.must("moe_layer_freq", 1, 1)
    _by_count(c)
    return _deepseek(c, "deepseek_v3", V3, first=3, shared=1)


def glm4_moe_lite(c: Reading) -> Model:
    """GLM-4.7-Flash: latent attention, one dense layer, then experts."""
    if not c.has("mlp_layer_types"):
        c.must("first_k_dense_replace", 1, 1)
    c.must("moe_layer_freq", 1, 1)
    return _deepseek(c, "glm4_moe_lite", LITE, first=1, shared=1)


def _by_count(c: Reading) -> None:
    """Refuse a list of dense and sparse layers in a family whose class reads `first_k_dense_replace` alone."""
    if c.has("mlp_layer_types"):
        raise c.error("mlp_layer_types", "is not read by transformers' class; first_k_dense_replace is")


def _deepseek(c: Reading, family: str, default: Latent, first: int, shared: int) -> Model:
    width, layers, a = c.integer("hidden_size"), depth(c), latent_of(c, default)
    bias = c.flag("attention_bias", default=False)
    _quiet(c)
    feeds = _feeds(c, width, layers, first, shared)
    made = [_layer(width, a, bias, feed) for feed in feeds]
    return decoder(c, family, width, made, tied=False)


def _quiet(c: Reading) -> None:
    c.ignore("num_key_value_heads", "head_dim", "qk_head_dim", "n_group", "topk_group", "topk_method", "use_seq_aux")
    without_prediction(c)


def _layer(width: int, a: Latent, bias: bool, feed: tuple[Part, ...]) -> Layer:
    def around(mixing: tuple[Part, ...]) -> tuple[Part, ...]:
        return (norm(width), *mixing, norm(width, name="norm 2"), *feed, residual(width))

    return Layer("mla", around(expanded(width, a, bias)), a.cache, around(absorbed(width, a, bias)))


def _feeds(c: Reading, width: int, layers: int, first: int, shared: int) -> list[tuple[Part, ...]]:
    """The feed-forward of each layer: dense in the first ones, then routed experts beside the shared ones."""
    types = c.each("mlp_layer_types", layers, ("dense", "sparse"))
    if types is None:
        dense = c.integer("first_k_dense_replace", default=first, least=0)
        types = ["dense"] * min(dense, layers) + ["sparse"] * max(layers - dense, 0)
    else:
        c.ignore("first_k_dense_replace", "moe_layer_freq")
    hidden = c.integer("moe_intermediate_size")
    extra = c.optional("n_shared_experts", "num_shared_experts", default=shared, least=0)
    beside = gated(width, hidden * extra, act(c), prefix="shared ") if extra else ()
    # DeepSeek-V2 weighs by a softmax over all experts, what came later by sigmoids.
    routing = "all" if c.values.get("model_type") in ("deepseek_v2", "mistral4") else "sigmoid"
    sparse = mixture(c, width, hidden, routed(c), routing) + beside if "sparse" in types else ()
    plain = gated(width, c.integer("intermediate_size"), act(c)) if "dense" in types else ()
    return [plain if t == "dense" else sparse for t in types]


@dataclass(frozen=True)
class Indexer:
    """The lightning indexer: its heads, their dimension, and how many keys it keeps for each query."""

    num_heads: int
    head_dim: int
    top_k: int

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes by the symbols of `mechanisms.selection`."""
        return {"x": self.num_heads, "y": self.head_dim, "k": self.top_k}


def deepseek_v32(c: Reading) -> Model:
    """DeepSeek-V3.2: MLA over the keys that a small indexer chooses (arXiv:2512.02556)."""
    return _sparse(c, "deepseek_v32", V3, 64, lambda layers: ["full"] * layers)


def glm_moe_dsa(c: Reading) -> Model:
    """GLM-5: DeepSeek sparse attention; in GLM-5.2 some layers share the indexer of an earlier one."""

    def kinds(layers: int) -> list[str]:
        given = c.each("indexer_types", layers, ("full", "shared"))
        if given is not None:
            c.ignore("index_topk_freq", "index_skip_topk_offset", "index_topk_pattern")
            return given
        if c.values.get("index_topk_pattern") is not None:
            raise c.error("index_topk_pattern", "is not modelled; indexer_types is")
        every = c.integer("index_topk_freq", default=1)
        offset = c.integer("index_skip_topk_offset", default=2, least=0)
        c.ignore("index_topk_pattern")
        return ["full" if max(i - offset + 1, 0) % every == 0 else "shared" for i in range(layers)]

    c.ignore("index_share_for_mtp_iteration")
    return _sparse(c, "glm_moe_dsa", DSA, 32, kinds)


def _sparse(c: Reading, family: str, default: Latent, index_heads: int, kinds: Callable[[int], list[str]]) -> Model:
    width, layers, a = c.integer("hidden_size"), depth(c), latent_of(c, default)
    if a.q_lora_rank is None:
        raise c.error("q_lora_rank", "is null, and the indexer reads the compressed queries")
    bias = c.flag("attention_bias", default=False)
    c.must("mlp_bias", False, False)
    c.must("moe_layer_freq", 1, 1)
    index = Indexer(
        c.integer("index_n_heads", default=index_heads),
        c.integer("index_head_dim", default=128),
        c.integer("index_topk", default=2048),
    )
    c.each("layer_types", layers, ("deepseek_sparse_attention", "indexed_attention"))
    _quiet(c)
    modes = kinds(layers)
    feeds = _feeds(c, width, layers, 3, 1)
    return decoder(
        c,
        family,
        width,
        [_sparse_layer(width, a, bias, index, m, f) for m, f in zip(modes, feeds, strict=True)],
        tied=False,
    )


def _sparse_layer(width: int, a: Latent, bias: bool, index: Indexer, mode: str, feed: tuple[Part, ...]) -> Layer:
    # The chosen keys are as many as a causal window of that length has: `keep` per query, fewer for the first ones.
    where = f"causal(i, j) & window(i, j, {index.top_k})"
    between = indexer(width, a.q_lora_rank or width, index) if mode == "full" else ()

    def around(mixing: tuple[Part, ...]) -> tuple[Part, ...]:
        return (norm(width), *mixing, norm(width, name="norm 2"), *feed, residual(width))

    width_of_keys = index.head_dim if between else 0
    kept = replace(a.cache, kv=a.cache.kv + width_of_keys * size("m"), index=width_of_keys)
    parts, decode = expanded(width, a, bias, where, between), absorbed(width, a, bias, where, between)
    return Layer("sparse", around(parts), kept, around(decode))


def indexer(width: int, rank: int, index: Indexer) -> tuple[Part, ...]:
    """Return the lightning indexer: a score of every key for every query, and the choice of the best."""
    return (
        linear("index q", rank, index.num_heads * index.head_dim),
        linear("index k", width, index.head_dim),
        layernorm(index.head_dim, name="index norm"),
        linear("index weights", width, index.num_heads),
        part("index scores", selection.indexer(), **index.sizes),
    )


def youtu(c: Reading) -> Model:
    """Youtu-LLM: latent attention and dense feed-forward layers."""
    return _dense(c, "youtu", False)


def minicpm3(c: Reading) -> Model:
    """MiniCPM 3: latent attention and dense feed-forward layers, constant multipliers (arXiv:2404.06395)."""
    c.ignore("dim_model_base", "scale_depth", "scale_emb")
    return _dense(c, "minicpm3", c.flag("mlp_bias"))


def _dense(c: Reading, family: str, bias: bool) -> Model:
    width = c.integer("hidden_size")
    if c.optional("v_head_dim") is None:
        query = c.integer("num_attention_heads")
        divides(c, "hidden_size", width, "num_attention_heads", query)
        c.of_class = {**c.of_class, "v_head_dim": width // query}
        c.values = {key: value for key, value in c.values.items() if key != "v_head_dim"}
    feed = gated(width, c.integer("intermediate_size"), act(c), bias)
    _quiet(c)
    layer = _layer(width, latent_of(c), c.flag("attention_bias"), feed)
    return decoder(c, family, width, [layer] * depth(c), c.flag("tie_word_embeddings"))


def mistral4(c: Reading) -> Model:
    """Mistral 4: latent attention, experts weighed by a softmax over all of them, a shared one."""
    return _deepseek(c, "mistral4", V3, first=0, shared=1)


def axk1(c: Reading) -> Model:
    """A.X K1: DeepSeek-V3 with a norm after each mixture."""
    width, a, bias = c.integer("hidden_size"), latent_of(c), c.flag("attention_bias")
    _quiet(c)
    after = (norm(width, name="post norm"),)
    made = [
        _layer(width, a, bias, feed + after if feed[0].name == "router" else feed)
        for feed in _feeds(c, width, depth(c), 1, 1)
    ]
    return decoder(c, "axk1", width, made, c.flag("tie_word_embeddings"))
