"""Reading the keys of a configuration: each is checked, and what became of it is kept for `--check`."""

from collections.abc import Iterable, Mapping
from typing import Any

from attometer.errors import AttometerError, nearest
from attometer.models.layer import Check

REQUIRED = object()
# A size of a real model fits here with room to spare; a larger number is a broken file, and a slow count.
LARGEST = 10**12

# Keys that say how a model is trained, sampled, stored or initialised: they do not change what a forward pass costs.
NO_COST = frozenset(
    """
    _source _name_or_path _commit_hash _attn_implementation _attn_implementation_autoset _experts_implementation
    architectures auto_map model_type transformers_version torch_dtype dtype use_cache return_dict
    output_attentions output_hidden_states torchscript use_bfloat16 tf_legacy_loss pruned_heads problem_type
    finetuning_task task_specific_params id2label label2id is_decoder tokenizer_class prefix name_or_path
    bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id forced_bos_token_id unk_token_id
    forced_eos_token_id suppress_tokens begin_suppress_tokens bad_words_ids mask_token_id cls_token_id
    image_token_id video_token_id audio_token_id vision_start_token_id vision_end_token_id vision_token_id
    boi_token_id eoi_token_id boa_token_id eoa_token_id eoi_token_index boi_token_index eoa_token_index
    image_token_index video_token_index media_placeholder_token_id image_placeholder media_placeholder ignore_index
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k
    top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size
    num_return_sequences output_scores return_dict_in_generate remove_invalid_values
    exponential_decay_length_penalty chunk_size_feed_forward gradient_checkpointing
    initializer_range initializer_factor initializer_cutoff_factor init_std rescale_prenorm_residual init_device
    attention_dropout attention_probs_dropout_prob hidden_dropout hidden_dropout_prob dropout layerdrop embd_pdrop
    attn_pdrop resid_pdrop resid_dropout embed_dropout emb_pdrop dropout_rate embedding_dropout activation_dropout
    classifier_dropout ffn_dropout mlp_dropout summary_activation summary_first_dropout summary_proj_to_labels
    summary_type summary_use_proj residual_dropout attn_dropout hidden_dropout_rate token_dropout
    rms_norm_eps layer_norm_eps layer_norm_epsilon layernorm_epsilon norm_eps norm_epsilon layernorm_eps eps
    rope_theta rope_scaling rope_parameters rotary_emb_base rope_local_base_freq rope_interleave rope_type
    swa_rope_theta rotary_base partial_rotary_factor rotary_pct rotary_dim rotary rope_pct rope_ratio
    original_max_position_embeddings rope_interleaved default_theta partial_rotary_factors swa_rope_parameters
    compress_rope_theta hc_eps indexer_rope_interleave rope_style
    router_aux_loss_coef router_z_loss_coef router_jitter_noise aux_loss_alpha seq_aux output_router_logits
    aux_loss_free norm_topk_prob routed_scaling_factor moe_router_scaling_factor scoring_func score_func
    scoring_function topk_method input_jitter_noise routed_scaling router_scaling_factor moe_renormalize
    moe_router_activation_func use_grouped_topk ep_size pretraining_tp tie_encoder_decoder type_vocab_size_note
    query_pre_attn_scalar attention_multiplier residual_multiplier embedding_multiplier logits_scaling logit_scale
    scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn attention_softmax_in_fp32
    scale_attention_softmax_in_fp32 apply_residual_connection_post_layernorm_note slow_but_exact clip_qkv
    attention_value_scale softmax_scale attn_scale floor_scale attn_temperature_tuning
    cache_implementation max_window_layers_note quantization_config compression_config use_flash_attn flash_attn
    fused_dense fused_mlp use_fused_rms_norm use_fused_swiglu use_mamba_kernels use_bfloat16_note
    inference_runner validate_runner_input pre_allocate_kv_cache position_embedding_type_note
    time_step_min time_step_max time_step_floor time_step_limit time_step_init_scheme time_step_scale A_init_range
    rescale_layer rescale_every residual_in_fp32 mamba_dt_min mamba_dt_max mamba_dt_limit hidden_act_note
    onnx_export use_onnx gradient_clipping initializer seq_length n_ctx context_window_size prefill_chunk_size
    tensor_parallel_shards max_batch_size sliding_window_note is_training dtype_note unsloth_fixed unsloth_version
    """.split()
)


class Reading:
    """One JSON object of a configuration file; `where` is its path in the file, as `$.text_config`."""

    def __init__(self, values: Mapping[str, Any], path: str, where: str = "$", shared: "Reading | None" = None):
        self.values, self.path, self.where = values, path, where
        self._read: dict[str, None] = {} if shared is None else shared._read
        self._defaults: dict[str, str] = {} if shared is None else shared._defaults
        self._ignored: dict[str, None] = {} if shared is None else shared._ignored
        self._notes: list[str] = [] if shared is None else shared._notes
        self._unread: dict[str, None] = {} if shared is None else shared._unread

    def error(self, key: str, message: str) -> AttometerError:
        """Build the error that names the file and the key."""
        return AttometerError(f"{self.path}: {self.where}.{key} {message}")

    def has(self, *keys: str) -> bool:
        """Whether any of `keys` is present and not null."""
        return any(self.values.get(key) is not None for key in keys)

    def get(self, keys: tuple[str, ...], default: Any) -> tuple[str, Any]:
        """Return the first present key of `keys` and its value, or the default, noting which."""
        for key in keys:
            if key in self.values:
                self._read[f"{self.where}.{key}"] = None
                return key, self.values[key]
        if default is REQUIRED:
            near = nearest(keys[0], self.values) if len(self.values) < 200 else ""
            hint = near if "did you mean" in near else ""
            raise self.error(keys[0], f"is missing, and nothing certain stands for it{hint}")
        self._defaults[f"{self.where}.{keys[0]}"] = _short(default)
        return keys[0], default

    def integer(self, *keys: str, default: Any = REQUIRED, least: int = 1) -> int:
        """Return a whole number of at least `least`."""
        key, value = self.get(keys, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"must be a whole number, got {_short(value)}")
        if not least <= value <= LARGEST:
            raise self.error(key, f"must be between {least} and {LARGEST}, got {_short(value)}")
        return value

    def optional(self, *keys: str, default: int | None = None, least: int = 1) -> int | None:
        """Return a whole number, or None where the file says null or nothing."""
        for key in keys:
            if key in self.values and self.values[key] is None:
                self._read[f"{self.where}.{key}"] = None
                return None
        if default is None and not any(key in self.values for key in keys):
            self._defaults[f"{self.where}.{keys[0]}"] = "none"
            return None
        return self.integer(*keys, default=default, least=least)

    def flag(self, *keys: str, default: Any = REQUIRED) -> bool:
        """Return true or false; null counts as the default."""
        key, value = self.get(keys, default)
        value = default if value is None and default is not REQUIRED else value
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, got {_short(value)}")
        return value

    def number(self, *keys: str, default: Any = REQUIRED) -> float:
        """Return a finite number greater than zero."""
        key, value = self.get(keys, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
            raise self.error(key, f"must be a number greater than 0, got {_short(value)}")
        return float(value)

    def choice(self, *keys: str, options: Iterable[str], default: Any = REQUIRED) -> str:
        """Return one of `options`."""
        key, value = self.get(keys, default)
        known = list(options)
        if not isinstance(value, str) or value not in known:
            text = value if isinstance(value, str) else _short(value)
            raise self.error(key, f"is {_short(value)}, which is not modelled{nearest(str(text)[:80], known)}")
        return value

    def each(self, key: str, length: int, options: Iterable[Any] | None = None) -> list[Any] | None:
        """Return the list at `key`, one entry per layer, or None where the file says null or nothing."""
        if self.values.get(key) is None:
            return None
        _, value = self.get((key,), None)
        if not isinstance(value, list):
            raise self.error(key, f"must be a list with one entry per layer, got {_short(value)}")
        if len(value) < length:
            raise self.error(key, f"has {len(value)} entries for {length} layers")
        known = None if options is None else list(options)
        for index, entry in enumerate(value[:length]):
            if known is not None and not any(entry == o and type(entry) is type(o) for o in known):
                raise self.error(f"{key}[{index}]", f"is {_short(entry)}, which is not modelled; known: {_short(known)}")
        return value[:length]

    def must(self, key: str, value: Any, default: Any) -> None:
        """Refuse any value of `key` other than `value`: another would change the cost."""
        if key in self.values and self.values[key] is None and value in (False, None):
            return
        found_key, found = self.get((key,), default)
        if found != value:
            raise self.error(found_key, f"is {_short(found)}; only {_short(value)} is modelled")

    def section(self, key: str) -> "Reading":
        """Return the object at `key`."""
        value = self.values.get(key)
        if not isinstance(value, Mapping):
            raise self.error(key, f"must be an object, got {_short(value)}")
        self._read[f"{self.where}.{key}"] = None
        return Reading(value, self.path, f"{self.where}.{key}", self)

    def ignore(self, *keys: str) -> None:
        """Note keys that cost nothing in this family."""
        for key in keys:
            if key in self.values:
                self._ignored[f"{self.where}.{key}"] = None

    def note(self, text: str) -> None:
        """Keep a sentence for `--check`."""
        self._notes.append(text)

    def close(self) -> None:
        """Account for every key of this object that nobody asked for."""
        for key in self.values:
            name = f"{self.where}.{key}"
            if name in self._read or name in self._ignored:
                continue
            (self._ignored if key in NO_COST else self._unread)[name] = None

    def check(self) -> Check:
        """Return what became of each key."""
        return Check(
            tuple(self._read), tuple(self._defaults.items()), tuple(self._ignored), tuple(self._unread), tuple(self._notes)
        )


def _short(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
