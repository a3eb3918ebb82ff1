"""The names that files give to the parts of a model: `q` of an attention layer is `self_attn.q_proj`."""

# Parts whose module does not depend on the kind of layer.
_FIXED = {
    "embedding": "embed_tokens",
    "head": "lm_head",
    "q": "self_attn.q_proj",
    "q and gate": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "q down": "self_attn.q_a_proj",
    "q up": "self_attn.q_b_proj",
    "kv down": "self_attn.kv_a_proj_with_mqa",
    "kv expand": "self_attn.kv_b_proj",
    "q absorb": "self_attn.kv_b_proj",
    "o absorb": "self_attn.kv_b_proj",
    "index q": "self_attn.indexer.wq_b",
    "index k": "self_attn.indexer.wk",
    "index weights": "self_attn.indexer.weights_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "router": "mlp.gate",
    "experts up": "mlp.experts.gate_up_proj",
    "experts gate": "mlp.experts.gate_proj",
    "experts down": "mlp.experts.down_proj",
    "shared gate": "mlp.shared_experts.gate_proj",
    "shared up": "mlp.shared_experts.up_proj",
    "shared down": "mlp.shared_experts.down_proj",
    "qkv": "linear_attn.in_proj_qkv",
    "z": "linear_attn.in_proj_z",
    "beta and decay": "linear_attn.in_proj_ba",
}
_MIXERS = {"linear": "linear_attn", "ssm": "mixer"}

# Raw parameters, lookups and small heads that quantisers leave alone unless a file names them.
_NEVER = frozenset({"embed_tokens", "lm_head", "mlp.gate", "self_attn.indexer.weights_proj", "linear_attn.in_proj_ba"})


def module_path(kind: str, part: str) -> str:
    """Return the module of `part` in a layer of `kind`, below `layers.N`, as Hugging Face files name it.

    >>> module_path("full", "out"), module_path("linear", "out"), module_path("mla", "experts up")
    ('self_attn.o_proj', 'linear_attn.out_proj', 'mlp.experts.gate_up_proj')
    """
    if part in _FIXED:
        return _FIXED[part]
    if part == "out":
        return f"{_MIXERS[kind]}.out_proj" if kind in _MIXERS else "self_attn.o_proj"
    if part == "in":
        return f"{_MIXERS.get(kind, 'mixer')}.in_proj"
    if part.startswith("cross "):
        return module_path(kind, part.removeprefix("cross ")).replace("self_attn", "encoder_attn")
    return part.replace(" ", "_")


def is_linear(path: str) -> bool:
    """Return whether the module is a matrix product that quantisers take by default.

    >>> is_linear("mlp.up_proj"), is_linear("mlp.gate"), is_linear("norm")
    (True, False, False)
    """
    return path not in _NEVER and ("_proj" in path or ".indexer.w" in path or ".experts" in path)
