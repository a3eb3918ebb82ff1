"""Keys that say how a model is trained, sampled, stored or initialised: they do not change what a forward pass costs."""

NO_COST = frozenset(
    """
    A_init_range _attn_implementation _attn_implementation_autoset _commit_hash _experts_implementation
    _from_model_config _name_or_path _source activation_dropout architectures attention_dropout
    attention_multiplier attention_probs_dropout_prob attention_softmax_in_fp32 attention_value_scale attn_dropout
    attn_pdrop attn_scale attn_temperature_tuning audio_token_id auto_map aux_loss_alpha aux_loss_free
    bad_words_ids begin_suppress_tokens boa_token_id boi_token_id boi_token_index bos_token_id
    cache_implementation chunk_size_feed_forward classifier_dropout clip_qkv cls_token_id compress_rope_theta
    compression_config context_window_size cross_attention_hidden_size decoder_start_token_id default_theta
    diversity_penalty do_sample dropout dropout_rate dtype early_stopping emb_pdrop embd_pdrop embed_dropout
    embedding_dropout embedding_multiplier encoder_no_repeat_ngram_size eoa_token_id eoa_token_index eoi_token_id
    eoi_token_index eos_token_id ep_size eps exponential_decay_length_penalty ffn_dropout finetuning_task
    flash_attn floor_scale forced_bos_token_id forced_eos_token_id full_attn_mod fused_dense fused_mlp
    gradient_checkpointing hc_eps hidden_dropout hidden_dropout_prob hidden_dropout_rate id2label ignore_index
    image_placeholder image_token_id image_token_index indexer_rope_interleave init_device init_std initializer
    initializer_cutoff_factor initializer_factor initializer_range input_jitter_noise interpolate_factor
    is_decoder is_llama_config label2id layer_norm_eps layer_norm_epsilon layerdrop layernorm_eps
    layernorm_epsilon length_penalty logit_scale logits_scaling mamba_dt_limit mamba_dt_max mamba_dt_min
    mask_token_id max_batch_size max_length media_placeholder media_placeholder_token_id min_length mlp_dropout
    model_max_length model_type moe_renormalize moe_router_activation_func moe_router_scaling_factor n_ctx
    n_special name_or_path no_repeat_ngram_size norm_eps num_choices num_labels norm_epsilon norm_topk_prob num_beam_groups num_beams
    num_return_sequences original_max_position_embeddings output_attentions output_hidden_states
    output_router_logits output_scores pad_token_id partial_rotary_factor partial_rotary_factors
    predict_special_tokens _num_labels prefill_chunk_size prefix pretraining_tp problem_type pruned_heads quantization_config
    query_pre_attn_scalar remove_invalid_values reorder_and_upcast_attn repetition_penalty rescale_every
    rescale_layer rescale_prenorm_residual resid_dropout resid_pdrop residual_dropout residual_in_fp32
    residual_multiplier return_dict return_dict_in_generate rms_norm_eps rope_interleave rope_interleaved
    rope_local_base_freq rope_parameters rope_pct rope_ratio rope_scaling rope_style rope_theta rope_type rotary
    rotary_base rotary_dim rotary_emb_base rotary_pct routed_scaling routed_scaling_factor router_aux_loss_coef
    router_jitter_noise router_scaling_factor router_z_loss_coef runner_max_sequence_length
    scale_attention_softmax_in_fp32 scale_attn_by_inverse_layer_idx scale_attn_weights score_func scoring_func
    scoring_function sep_token_id seq_aux slow_but_exact softmax_scale summary_activation summary_first_dropout
    summary_proj_to_labels summary_type summary_use_proj suppress_tokens swa_rope_parameters swa_rope_theta
    task_specific_params temperature tensor_parallel_shards tf_legacy_loss tie_encoder_decoder time_step_floor
    time_step_init_scheme time_step_limit time_step_max time_step_min time_step_scale token_dropout tokenizer
    tokenizer_class top_k top_p topk_method torch_dtype torchscript transformers.js_config transformers_version
    typical_p unk_token_id unsloth_fixed unsloth_version use_bfloat16 use_cache use_flash_attn use_fused_rms_norm
    use_fused_swiglu use_grouped_topk use_mamba_kernels use_mrope use_onnx video_token_id video_token_index
    vision_end_token_id vision_start_token_id vision_token_id
    """.split()  # noqa: SIM905 - a table of words reads better than quotes
)
"""Keys of a configuration that are known and cost nothing."""

EVERYWHERE = {"per_layer_config": "transformers obeys it in any: single layers would have other sizes"}
"""Keys that change the cost of any family, and why: where a reader does not read one, the file is refused."""
