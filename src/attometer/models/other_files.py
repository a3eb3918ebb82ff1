"""Files that describe a model otherwise than `config.json`: GGUF headers, Meta's and Mistral's `params.json`, read as configurations."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError, unknown
from attometer.formats.gguf_file import GGUF, read_gguf

Values = dict[str, Any]


# Keys of `params.json` that have no cost, or that `from_params` reads.
_FREE = ("norm_eps", "rope_theta", "use_scaled_rope", "max_seq_len", "max_batch_size", "max_position_embeddings")
_META = ("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "multiple_of", "ffn_dim_multiplier")
_MISTRAL = ("head_dim", "hidden_dim", "sliding_window", "tied_embeddings", "moe")


def from_params(values: Mapping[str, Any], path: str) -> Values:
    """Return Meta's or Mistral's `params.json` as a configuration of transformers' `llama`, `mistral` or `mixtral`.

    Mistral's files state the feed-forward's width as `hidden_dim`, Meta's what it follows from. Keys that are in neither are kept,
    for the reader to name. Raises AttometerError where a size is missing. Sources: `ModelArgs` and `FeedForward` of
    meta-llama/llama-models, `TransformerArgs` of mistralai/mistral-inference.

    >>> meta = from_params({"dim": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 32000, "multiple_of": 256}, "params.json")
    >>> meta["intermediate_size"], meta["num_key_value_heads"]
    (11008, 32)
    """
    sizes = {key: _whole(values, key, path) for key in ("dim", "n_layers", "n_heads")}
    if _whole(values, "vocab_size", path, least=-1) < 1:
        raise AttometerError(
            f"{path}: $.vocab_size is {values['vocab_size']}: the first Llama files leave it to the tokenizer; write 32000"
        )
    made = {
        "hidden_size": sizes["dim"],
        "num_hidden_layers": sizes["n_layers"],
        "num_attention_heads": sizes["n_heads"],
        "num_key_value_heads": values.get("n_kv_heads") or sizes["n_heads"],
        "vocab_size": values["vocab_size"],
        "tie_word_embeddings": bool(values.get("tied_embeddings", False)),
    }
    mistral = "hidden_dim" in values
    own = _of_mistral(values, path) if mistral else _of_meta(values, sizes["dim"], path)
    read = {*_FREE, *_META, *(_MISTRAL if mistral else ("tied_embeddings",))}
    return made | own | {key: value for key, value in values.items() if key not in read}


def _of_meta(values: Mapping[str, Any], dim: int, path: str) -> Values:
    hidden = 4 * dim * 2 // 3
    scale = values.get("ffn_dim_multiplier")
    hidden = int(scale * hidden) if isinstance(scale, int | float) else hidden
    multiple = _whole(values, "multiple_of", path) if "multiple_of" in values else 256
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "intermediate_size": multiple * -(-hidden // multiple),
    }


def _of_mistral(values: Mapping[str, Any], path: str) -> Values:
    moe = values.get("moe")
    made: Values = {
        "model_type": "mixtral" if moe else "mistral",
        "architectures": ["MixtralForCausalLM" if moe else "MistralForCausalLM"],
        "intermediate_size": _whole(values, "hidden_dim", path),
        "sliding_window": values.get("sliding_window"),
    }
    if "head_dim" in values:
        made["head_dim"] = _whole(values, "head_dim", path)
    if moe:
        if not isinstance(moe, Mapping):
            raise AttometerError(f"{path}: $.moe must be an object, got {moe!r:.40}")
        made["num_local_experts"] = _whole(moe, "num_experts", f"{path}: $.moe")
        made["num_experts_per_tok"] = _whole(moe, "num_experts_per_tok", f"{path}: $.moe")
    return made


def is_params(values: Mapping[str, Any]) -> bool:
    """Return whether values are those of a `params.json`."""
    return "model_type" not in values and {"dim", "n_layers", "n_heads"} <= set(values)


def _whole(values: Mapping[str, Any], key: str, path: str, least: int = 1) -> int:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise AttometerError(f"{path}: $.{key} must be a whole number, got {value!r:.40}")
    return value


class _Metadata:
    """The metadata of a GGUF file, by the keys of its architecture."""

    def __init__(self, file: GGUF, path: str) -> None:
        self.file, self.path = file, path
        self.architecture = str(file.metadata.get("general.architecture", ""))

    def get(self, key: str) -> Any:
        return self.file.metadata.get(f"{self.architecture}.{key}")

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number; a list by layer whose entries are alike is one."""
        value = self.get(key)
        if isinstance(value, list) and value and len({x for x in value if x}) == 1:
            value = next(x for x in value if x)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise AttometerError(
                f"{self.path}: {self.architecture}.{key} must be a whole number that all layers share, got {value!r:.40}"
            )
        return value

    def has(self, tensor: str) -> bool:
        return tensor in self.file.checkpoint.tensors

    def shape(self, tensor: str) -> tuple[int, ...]:
        return self.file.checkpoint.tensors[tensor].shape if self.has(tensor) else ()


def _decoder(m: _Metadata) -> Values:
    """Return the sizes that all decoders share."""
    heads, width = m.whole("attention.head_count"), m.whole("embedding_length")
    return {
        "hidden_size": width,
        "num_hidden_layers": m.whole("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": m.whole("attention.head_count_kv", heads),
        "head_dim": m.whole("attention.key_length", width // heads),
        "intermediate_size": m.whole("feed_forward_length", 4 * width),
        "max_position_embeddings": m.whole("context_length"),
        "vocab_size": m.whole("vocab_size", (m.shape("token_embd.weight") or (0, 0))[-1]),
        # A file without an output matrix reads the embedding again.
        "tie_word_embeddings": not m.has("output.weight"),
    }


def _llama(m: _Metadata) -> Values:
    found = _decoder(m)
    bias = {"attention_bias": m.has("blk.0.attn_q.bias")}
    if not m.get("expert_count"):
        return {**found, **bias, "model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    experts = {"num_local_experts": m.whole("expert_count"), "num_experts_per_tok": m.whole("expert_used_count")}
    return {**found, **experts, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"]}


def _plain(kind: str, *without: str, **more: Any) -> Callable[[_Metadata], Values]:
    def read(m: _Metadata) -> Values:
        found = {key: value for key, value in _decoder(m).items() if key not in without}
        return {**found, **more, "model_type": kind}

    return read


def _windowed(kind: str, **more: Any) -> Callable[[_Metadata], Values]:
    def read(m: _Metadata) -> Values:
        return {**_decoder(m), "sliding_window": m.whole("attention.sliding_window"), **more, "model_type": kind}

    return read


def _qwen_moe(kind: str) -> Callable[[_Metadata], Values]:
    def read(m: _Metadata) -> Values:
        found = _decoder(m) | {
            "num_experts": m.whole("expert_count"),
            "num_experts_per_tok": m.whole("expert_used_count"),
            "moe_intermediate_size": m.whole("expert_feed_forward_length"),
            "model_type": kind,
        }
        if kind == "qwen2_moe":
            del found["head_dim"]
            found["shared_expert_intermediate_size"] = m.whole("expert_shared_feed_forward_length")
        return found

    return read


def _gpt_oss(m: _Metadata) -> Values:
    hidden = m.whole("expert_feed_forward_length")
    return _decoder(m) | {
        "intermediate_size": hidden,
        "num_local_experts": m.whole("expert_count"),
        "num_experts_per_tok": m.whole("expert_used_count"),
        "sliding_window": m.whole("attention.sliding_window"),
        "model_type": "gpt_oss",
    }


def _deepseek(m: _Metadata) -> Values:
    rotary = m.whole("rope.dimension_count")
    # Absorbed files state the latent as key_length and the heads' own widths beside it.
    key = m.whole("attention.key_length_mla", m.whole("attention.key_length"))
    value = m.whole("attention.value_length_mla", m.whole("attention.value_length"))
    rank = m.get("attention.q_lora_rank")
    sigmoid = m.get("expert_gating_func") == 2
    return {
        **{k: v for k, v in _decoder(m).items() if k != "head_dim"},
        "num_key_value_heads": m.whole("attention.head_count"),
        "q_lora_rank": rank,
        "kv_lora_rank": m.whole("attention.kv_lora_rank"),
        "qk_rope_head_dim": rotary,
        "qk_nope_head_dim": key - rotary,
        "v_head_dim": value,
        "first_k_dense_replace": m.whole("leading_dense_block_count", 0),
        "moe_intermediate_size": m.whole("expert_feed_forward_length"),
        "n_routed_experts": m.whole("expert_count"),
        "n_shared_experts": m.whole("expert_shared_count", 0),
        "num_experts_per_tok": m.whole("expert_used_count"),
        "model_type": "deepseek_v3" if sigmoid else "deepseek_v2",
        **({} if sigmoid else {"n_group": 1, "topk_group": 1, "topk_method": "greedy"}),
    }


ARCHITECTURES: dict[str, Callable[[_Metadata], Values]] = {
    "llama": _llama,
    "mistral": _plain("mistral"),
    "qwen2": _plain("qwen2", "head_dim"),
    "qwen2moe": _qwen_moe("qwen2_moe"),
    "qwen3": _plain("qwen3"),
    "qwen3moe": _qwen_moe("qwen3_moe"),
    "phi3": _plain("phi3", "head_dim"),
    "gemma2": _windowed("gemma2"),
    "gemma3": _windowed("gemma3_text"),
    "gpt-oss": _gpt_oss,
    "deepseek2": _deepseek,
}
"""What llama.cpp calls the families whose files are read (src/llama-arch.cpp), and how."""


def from_gguf(path: Path) -> Values:
    """Return the metadata of a GGUF file as a configuration.

    Raises AttometerError for a damaged file, an architecture that is not read, or a size that is missing.
    """
    m = _Metadata(read_gguf(path), str(path))
    if m.architecture not in ARCHITECTURES:
        error = unknown("GGUF architecture", m.architecture, ARCHITECTURES)
        raise AttometerError(f"{path}: {error}")
    return ARCHITECTURES[m.architecture](m)
