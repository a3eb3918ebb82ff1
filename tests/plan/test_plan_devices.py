"""Plans over several devices, under engines and recipes: against logs and published tables, and what is refused."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

import attometer as am
from attometer.cli import app
from attometer.errors import AttometerError
from attometer.models import Model, from_values
from attometer.plan import EngineOptions, Plan, plan, side_by_side

GIB = 2**30


def read(name: str, **changes: Any) -> Model:
    found = dict(am.model(name).values) | changes
    found.pop("layer_types", None)
    return from_values(found, f"{name}.json", name)


def test_two_cards_share_each_layer() -> None:
    # vllm-project/vllm, issue 13061: Qwen2.5-14B on two RTX 4090 at 0.98: 13.95 GiB a rank, 98,304 bytes a token and rank
    sizes = {"hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40, "num_hidden_layers": 48,
             "num_key_value_heads": 8, "vocab_size": 152064, "tie_word_embeddings": False}  # fmt: skip
    made = plan(
        read("qwen2.5-7b", **sizes), "2x rtx-4090", context=65536, mode="decode", engine=EngineOptions("vllm@0.7", 0.98)
    )
    assert made.served is not None
    assert made.at is not None
    assert made.at.placement.tp == 2
    assert made.served.weights / GIB == pytest.approx(13.9476, rel=0.02)
    assert made.served.layout.per_token == 98_304
    assert made.served.tokens == pytest.approx(81_536, rel=0.05)
    assert made.fits
    assert "on 2 × GeForce RTX 4090 (tp 2) under vllm 0.7" in made.headline


def test_what_one_card_cannot_hold_more_can() -> None:
    made = plan("llama-3.1-70b", "h100-sxm", context=65536, engine="vllm@0.19")
    assert not made.fits
    assert made.fewest == 4
    assert "4 × H100 SXM5 80GB are needed at least" in made.headline
    assert plan("llama-3.1-70b", "4x h100-sxm", context=65536, engine="vllm@0.19").fits


def test_an_engine_answers_the_utilisation_it_needs() -> None:
    # vllm-project/vllm, issue 33155: gpt-oss-120b does not hold one request of 131,072 tokens on one H100 at the default
    made = plan("gpt-oss-120b", "h100-sxm", context=131_072, mode="decode", engine="vllm@0.13")
    assert made.served is not None
    assert not made.fits
    assert made.served.weights / GIB == pytest.approx(64.38, rel=0.005)
    again = plan(
        "gpt-oss-120b",
        "h100-sxm",
        context=131_072,
        mode="decode",
        engine=EngineOptions("vllm@0.13", made.served.needed + 1e-6),
    )
    assert again.fits


@pytest.mark.parametrize(
    ("gib", "tokens"),
    [(0.39, 1280)],  # vllm-project/vllm, issue 11230: 0.39 GiB of cache are 1,280 tokens of Qwen2.5-72B
)
def test_tokens_of_a_given_cache(gib: float, tokens: int) -> None:
    sizes = {"hidden_size": 8192, "intermediate_size": 29568, "num_attention_heads": 64, "num_hidden_layers": 80,
             "num_key_value_heads": 8, "vocab_size": 152064, "tie_word_embeddings": False}  # fmt: skip
    asked = EngineOptions("vllm@0.6", pool=int(gib * GIB))
    made = plan(read("qwen2.5-7b", **sizes), "rtx-a6000", context=1024, weights_dtype="awq", engine=asked)
    assert made.served is not None
    assert made.served.tokens == pytest.approx(tokens, rel=0.02)


def ladder(recipe: str, **changes: Any) -> Plan:
    return plan("llama-3.2-3b", "a100-80gb-sxm", context=4096, batch=2, mode="train", recipe=recipe, **changes)


# meta-pytorch/torchtune, README.md: peak GiB of Llama-3.2-3B, batch 2 × 4,096
@pytest.mark.parametrize(
    ("recipe", "gib"),
    [("adamw-bf16", 60.0), ("lora,compiled,recompute=offloaded", 8.5), ("qlora,compiled,recompute=offloaded", 4.6)],
)
def test_recipes_against_torchtune(recipe: str, gib: float) -> None:
    made = ladder(recipe)
    assert made.trained is not None
    assert made.trained.allocated / GIB == pytest.approx(gib, rel=0.04)
    assert made.fits
    assert f"with {recipe.partition(',')[0]} " in made.headline


def test_states_divided_over_replicas() -> None:
    # deepspeedai/DeepSpeed, issue 4527: Llama-7B, ZeRO-3 on four devices, 29.01 GiB of states and the largest layer
    how = {"recipe": "megatron", "checkpoint": True, "placement": {"dp": 4, "zero": 3}}
    made = plan("llama-2-7b", "4x a100-80gb-sxm", context=2048, mode="train", **how)
    assert made.trained is not None
    assert made.at is not None
    assert (made.at.placement.dp, made.at.placement.zero) == (4, 3)
    assert (made.trained.states + made.trained.gathered) / GIB == pytest.approx(29.01, rel=0.03)


def test_cards_of_unlike_kinds_hold_whole_layers() -> None:
    made = plan("llama-3.1-70b", "2x rtx-3090 + 1x rtx-4090", context=8192, weights_dtype="q4_k_m", mode="decode")
    assert made.fits
    assert made.planner.room == (2 * 24576 + 24564) * 2**20
    mixed = "2x rtx-3090 + 1x rtx-4090"
    served = plan("llama-3.1-70b", mixed, context=8192, weights_dtype="q4_k_m", mode="decode", engine="llama.cpp")
    assert served.fits
    assert "2 × GeForce RTX 3090 + 1 × GeForce RTX 4090 under llama.cpp" in served.headline
    with pytest.raises(
        AttometerError, match="vllm shares each layer over devices of one kind, got 2 × GeForce RTX 3090"
    ):
        plan("llama-3.1-70b", mixed, context=8192, weights_dtype="q4_k_m", mode="decode", engine="vllm")
    with pytest.raises(AttometerError, match="a placement needs devices of one kind"):
        plan("llama-3.1-8b", "2x rtx-3090 + 2x rtx-4090", context=8192, placement={"tp": 4})


def test_several_devices_bound_the_time_by_their_number() -> None:
    one, eight = (plan("llama-3.1-70b", f"{n}x h200-sxm", context=1024, mode="decode") for n in (1, 8))
    assert eight.seconds == pytest.approx(one.seconds / 8)
    assert eight.memory.weights < one.memory.weights / 7.9


def test_a_given_cache_is_positive() -> None:
    with pytest.raises(AttometerError, match="pool must be a positive integer, got 0"):
        EngineOptions("vllm", pool=0)


def test_side_by_side() -> None:
    both = side_by_side([plan("gpt2", on, context=512) for on in ("l4", "t4")])
    assert "L4" in both.text()
    assert [each["machine"] for each in both.to_dict()["plans"]] == ["l4", "t4"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"on": "8x h100", "placement": {"tp": 3}}, "takes 3 devices, 8 × H100 SXM5 80GB are 8"),
        ({"on": "7x h100", "placement": {"tp": 7}}, 'tp 7 does not divide axis "'),
        ({"mode": "train", "engine": "vllm"}, "an engine serves; training takes a recipe"),
        ({"recipe": "qlora", "mode": "prefill"}, 'a recipe trains; mode is "prefill", use --mode train'),
        ({"kv_dtype": "fp8_ds_mla"}, "holds latents of 512 + 64; llama-3.1-8b keeps something else"),
        ({"engine": "vlm"}, 'unknown engine "vlm"; did you mean "vllm"?'),
        ({"mode": "train", "recipe": "qloro"}, 'unknown recipe "qloro"; did you mean "qlora"?'),
        (
            {"mode": "train", "on": "8x h100", "batch": 9, "placement": {"dp": 8}},
            "batch 9 is no multiple of micro_batch 1 x dp 8",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(AttometerError) as error:
        plan("llama-3.1-8b", asked.pop("on", "h100-sxm"), context=1024, **asked)
    assert message in str(error.value)


def test_placements_are_searched_and_the_others_told_why() -> None:
    made = plan("llama-3.1-70b", "8x h100-sxm", context=8192, batch=16, mode="decode")
    assert made.found is not None
    assert str(made.found.best[0].placement) == "tp 8"
    assert "(tp 8)" in made.headline
    assert "16 legal placements, by latency" in made.text()
    assert any("links" in note for note in made.notes)
    assert made.to_dict()["placements"]["best"][0]["why"] == "the best"


def test_what_eight_cannot_train_more_can() -> None:
    made = plan("llama-3.1-8b", "1x h100-sxm", context=4096, mode="train", recipe="adamw")
    assert not made.fits
    assert made.fewest == 8
    assert made.levers[0].fits


def test_towers_are_part_of_the_weights() -> None:
    # vllm-project/vllm, issue 15676: Gemma-3-27B-it on four devices holds 13.1664 GiB a rank, its vision tower included
    text = {"head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504, "model_type": "gemma3_text", "sliding_window": 1024,
            "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16, "query_pre_attn_scalar": 168,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}  # fmt: skip
    tower = {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "model_type": "siglip_vision_model",
             "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14, "vision_use_head": False}  # fmt: skip
    whole = {"model_type": "gemma3", "text_config": text, "vision_config": tower, "mm_tokens_per_image": 256}
    made = plan(from_values(whole, "x", "x"), "4x a100-40gb-sxm", context=8192, mode="decode", engine="vllm@0.8")
    assert made.served is not None
    assert made.served.weights / GIB == pytest.approx(13.1664, rel=0.02)
    assert any("of vision, which run beside the text model" in note for note in made.notes)


def test_how_many_of_each_kind() -> None:
    found = am.devices("llama-3.1-70b", ["h100-sxm", "h200-sxm"], context=8192, mode="decode")
    assert found.counts == {"h100-sxm": 2, "h200-sxm": 1}
    assert "takes at least 2 × H100 SXM5 80GB, or 1 × H200 SXM 141GB." in found.headline
    done = CliRunner().invoke(
        app, ["devices", "llama-3.1-70b", "--on", "h100-sxm", "h200-sxm", "--ctx", "8k", "--json"]
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["counts"] == found.counts


def test_models_and_machines_beside_each_other_on_the_command_line() -> None:
    done = CliRunner().invoke(app, ["plan", "gpt2", "opt-125m", "--on", "l4", "t4", "--ctx", "512", "--json"])
    told = json.loads(done.stdout)["plans"]
    assert [(each["model"], each["machine"]) for each in told] == [
        ("gpt2", "l4"), ("gpt2", "t4"), ("opt-125m", "l4"), ("opt-125m", "t4")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--utilization", "0.9"], "are an engine's; name one: --engine vllm"),
        (["--what-if", "window"], "--what-if takes NAME=VALUE, as in window=4096"),
        (["--goal", "speed"], 'unknown goal "speed"'),
    ],
)
def test_flags_of_the_command(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["plan", "gpt2", "--context", "512", *arguments])
    assert isinstance(done.exception, AttometerError)
    assert message in str(done.exception)


def test_experts_in_the_hosts_memory() -> None:
    whole = plan("qwen3-30b-a3b", "rtx-5080", context=4096, mode="decode", weights_dtype="q4_k_m")
    assert not whole.fits
    assert "experts in host memory" in [lever.name for lever in whole.levers if lever.fits]
    beside = plan("qwen3-30b-a3b", "rtx-5080", context=4096, mode="decode", weights_dtype="q4_k_m", offload="experts")
    assert beside.fits
    assert beside.memory.weights + beside.planner.host_bytes == whole.memory.weights
    assert beside.seconds > whole.seconds
    slower = plan(
        "qwen3-30b-a3b",
        "rtx-5080",
        context=4096,
        mode="decode",
        weights_dtype="q4_k_m",
        offload="experts",
        host_gb_s=40,
    )
    assert slower.seconds > beside.seconds
    assert any("stay in the host's memory, read at 40 GB/s" in note for note in slower.notes)
    with pytest.raises(AttometerError, match="offload of experts is modelled for serving a mixture of experts"):
        plan("llama-3.1-8b", "rtx-5080", context=4096, offload="experts")


def test_experts_of_the_first_layers_in_the_hosts_memory() -> None:
    how: dict[str, Any] = {"context": 4096, "mode": "decode", "weights_dtype": "q8_0", "engine": "llama.cpp"}
    none, some, most, every = (
        plan("qwen3-30b-a3b", "rtx-4090", **how, offload=offload)
        for offload in ("experts=0", "experts=12", "experts=36", "experts")
    )
    # 48 layers with experts alike
    assert none.planner.host_bytes == 0
    assert 4 * some.planner.host_bytes == pytest.approx(every.planner.host_bytes, rel=1e-9)
    assert 4 * most.planner.host_bytes == pytest.approx(3 * every.planner.host_bytes, rel=1e-9)
    assert none.seconds < some.seconds < most.seconds < every.seconds
    assert [made.fits for made in (none, some, every)] == [False, False, True]
    both = plan("qwen3-30b-a3b", "2x rtx-4090", **how, offload="experts=12")
    assert both.fits
    assert both.planner.room == 2 * some.planner.room
    with pytest.raises(AttometerError, match="offload takes a number of layers, as in experts=12"):
        plan("qwen3-30b-a3b", "rtx-4090", offload="experts=all")


def test_experts_in_the_hosts_memory_in_llama_cpps_words(command: Callable[..., Any]) -> None:
    line = ["plan", "gpt-oss-20b", "--on", "RTX 3070", "--engine", "llama.cpp", "-c", "8k", "--json"]
    said = [
        ["--offload", "experts"],
        ["--cpu-moe"],
        ["-ot", "exps=CPU"],
        ["-ot", ".ffn_.*_exps.=CPU"],
        ["--n-cpu-moe", "24"],
    ]
    found = [json.loads(command(*line, *how).stdout) for how in said]
    assert len({each["bytes"]["weights"] for each in found}) == 1
    for how, message in (
        (["-ot", r"blk\.[0-9]\.ffn=CPU"], "--override-tensor is read where it keeps all experts, as in exps=CPU"),
        (["--cpu-moe", "--n-cpu-moe", "3"], "said more than once: experts, experts=3"),
    ):
        done = command(*line, *how)
        assert done.returncode == 2
        assert message in done.stderr


def test_options_in_the_words_of_engines(command: Callable[..., Any]) -> None:
    line = ["plan", "llama-3.1-8b", "--on", "2x rtx-4090", "--engine", "vllm@0.19", "--mode", "decode", "--json"]
    ours = ["--context", "8192", "--tp", "2", "--kv-dtype", "fp8", "--weights-dtype", "fp8", "--batched-tokens", "4096"]
    theirs = ["--max-model-len", "8192", "--tensor-parallel-size", "2", "--kv-cache-dtype", "fp8", "--quantization", "fp8",
              "--chunked-prefill-size", "4096"]  # fmt: skip
    assert command(*line, *ours).stdout == command(*line, *theirs).stdout


def test_engines_commands_may_be_pasted(command: Callable[..., Any]) -> None:
    line = ["plan", "Qwen/Qwen3-30B-A3B-GPTQ-Int4", "--on", "4xH100", "--engine", "vllm", "--ctx", "8k", "--json"]
    plain = json.loads(command(*line, "--tp", "4", "--ep", "4").stdout)
    pasted = command(*line, "--enable-expert-parallel", "--quantization", "gptq_marlin", "--kv-cache-dtype", "auto")
    assert json.loads(pasted.stdout)["devices"] == plain["devices"]
    layers = ["plan", "qwen3-8b", "--on", "rtx-4090", "--engine", "llama.cpp", "-c", "8k", "-ngl"]
    assert command(*layers, "99").returncode == 0
    assert "7.42 GB of layers stay in the host's memory" in command(*layers, "20").stdout
    alone = command("plan", "qwen3-8b", "--on", "rtx-4090", "-c", "8k", "-ngl", "20")
    assert alone.returncode == 2
    assert "whole layers in the host's memory are an engine's" in alone.stderr


def test_layers_in_the_memory_of_the_host(command: Callable[..., Any]) -> None:
    def asked(*how: str) -> Any:
        line = (
            "plan",
            "qwen3-8b",
            "--on",
            "rtx-4090",
            "--engine",
            "llama.cpp",
            "--quant",
            "q8_0",
            "-c",
            "8k",
            "--json",
        )
        return json.loads(command(*line, *how).stdout)

    whole, none = asked(), asked("-ngl", "0")
    parts = [asked("-ngl", str(n)) for n in (9, 18, 36)]
    assert none["kv_bytes"] == none["engine"]["memory"]["weights"] == 0
    # Layers are alike: what lies on the device grows with their number, and the head comes last.
    assert [p["kv_bytes"] * 36 // whole["kv_bytes"] for p in parts] == [9, 18, 36]
    held = [p["engine"]["memory"]["weights"] for p in parts]
    assert held[1] == pytest.approx(2 * held[0])
    assert whole["engine"]["memory"]["weights"] - held[2] == 151_936 * 4096 * 8.5 / 8 + 4 * 4096


def test_stages_of_a_pipeline_hold_their_layers_of_every_token(command: Callable[..., Any]) -> None:
    def served(*how: str) -> Any:
        line = ("plan", "llama-3.1-8b", "--on", "2xh100-sxm", "--engine", "vllm@0.10", "--ctx", "8k", "--json")
        return json.loads(command(*line, *how).stdout)["engine"]

    ranks, stages = served("--tp", "2"), served("--tp", "1", "--pp", "2")
    assert ranks["bytes_per_token"] == stages["bytes_per_token"] == 65_536
    assert stages["cache_tokens"] == stages["cache_bytes"] // 65_536 // 16 * 16
    assert stages["cache_tokens"] == pytest.approx(ranks["cache_tokens"], rel=0.02)
    assert stages["largest_context"] == stages["cache_tokens"]


def test_slots_share_the_context_and_ollamas_do_not(command: Callable[..., Any]) -> None:
    def kept(engine: str, *how: str) -> int:
        line = ("plan", "qwen3-8b", "--on", "rtx-4090", "--engine", engine, "-c", "8k", "-fa", "-ub", "1024", "--json")
        found: int = json.loads(command(*line, *how).stdout)["kv_bytes"]
        return found

    assert kept("llama.cpp", "--parallel", "4") == kept("llama.cpp")
    assert kept("ollama", "--parallel", "4") == 4 * kept("ollama")
    twice = command("plan", "qwen3-8b", "--engine", "llama.cpp", "-np", "4", "--batch", "2")
    assert twice.returncode == 2
    assert "--parallel and --batch" in twice.stderr


def test_keys_and_values_in_formats_of_their_own(command: Callable[..., Any]) -> None:
    def kept(*how: str) -> int:
        line = ("plan", "llama-3.2-3b", "--on", "rtx-4090", "--engine", "llama.cpp", "-c", "4k", "--json")
        found: int = json.loads(command(*line, *how).stdout)["kv_bytes"]
        return found

    # 28 layers of 8 heads of 128 at 4,096 tokens: 224 MiB each in 16 bits, 119 in q8_0, 63 in q4_0 (a log of llama.cpp)
    mib = {name: kept(*how) / 2**20 for name, how in {
        "none": (), "keys": ("-ctk", "q8_0"), "values": ("-ctv", "q4_0"), "both": ("-ctk", "q8_0", "--cache-type-v", "q8_0"),
    }.items()}  # fmt: skip
    assert mib == {"none": 448, "keys": 343, "values": 287, "both": 238}
    for model, how, message in (
        ("llama-3.2-3b", ("--kv-dtype", "q8_0"), "said more than once"),
        ("deepseek-v3", (), "keeps latents, in one format"),
    ):
        wrong = command("plan", model, "--engine", "llama.cpp", "-ctk", "q8_0", *how)
        assert wrong.returncode == 2
        assert message in wrong.stderr


def test_flash_attention_is_said_or_the_versions(command: Callable[..., Any]) -> None:
    def buffer(engine: str, *how: str) -> int:
        line = (
            "plan",
            "llama-3-8b",
            "--on",
            "rtx-4090",
            "--engine",
            engine,
            "-c",
            "32k",
            "--quant",
            "q4_k_m",
            "--json",
        )
        found: int = json.loads(command(*line, *how).stdout)["engine"]["memory"]["activations"]
        return found

    assert buffer("llama.cpp@4000") == buffer("llama.cpp", "-fa", "off") > 4 * buffer("llama.cpp@4000", "-fa")
    assert buffer("llama.cpp", "-fa", "auto") == buffer("llama.cpp")


def test_formats_of_weights_in_the_words_of_libraries(command: Callable[..., Any]) -> None:
    def weights(name: str, *how: str) -> float:
        line = ("plan", name, "--on", "h100", "--max-model-length", "8192", "--batch-size", "1", "--json")
        return float(json.loads(command(*line, *how).stdout)["weight_bits"])

    assert weights("qwen3-8b", "--load-in-4bit") == weights("qwen3-8b", "--quant", "nf4")
    assert weights("qwen3-8b", "--load-in-8bit") == weights("qwen3-8b", "--quant", "int8")
    assert weights("qwen3-8b", "--dtype", "float32") == 2 * weights("qwen3-8b", "--dtype", "auto")
    assert weights("qwen3-8b-awq", "--dtype", "half") == weights("qwen3-8b-awq")
    twice = command("plan", "qwen3-8b", "--load-in-4bit", "--quant", "fp8")
    assert twice.returncode == 2
    assert "the format of the weights is said more than once: fp8, nf4" in twice.stderr


@pytest.mark.parametrize("machine", ["m4-pro", "M4 Max 36GB", "trainium2", "arc-pro-b60"])
def test_a_model_that_is_too_large_has_a_verdict_where_nothing_says_how_devices_are_linked(machine: str) -> None:
    made = plan("llama-3.1-70b", machine, context=8192)
    assert not made.fits
    assert made.fewest is None or made.fewest * made.planner.room >= made.planner.weights_bytes


def test_more_requests_than_pages_for_their_states() -> None:
    # Qwen3.8-27B-FP8 on an L40S, vLLM 0.26: "max_num_seqs (256) exceeds available Mamba cache blocks (184)" of 8.82 GiB
    how = EngineOptions("vllm@0.26", 0.9, pool=int(8.82 * GIB))
    made = plan("Qwen/Qwen3.8-27B-FP8", "l40s", context=131_072, mode="decode", engine=how)
    assert made.served is not None
    assert made.served.crowded == (256, pytest.approx(184, abs=1))
    assert any("256 requests of a step are more than the 18" in note for note in made.notes)
    few = EngineOptions("vllm@0.26", 0.9, max_requests=16, pool=int(8.82 * GIB))
    assert not any("--max-num-seqs" in n for n in plan("Qwen/Qwen3.8-27B-FP8", "l40s", context=8192, engine=few).notes)


def test_attention_on_replicas_keeps_latents_once() -> None:
    asked = {"context": 32768, "batch": 64, "mode": "decode", "engine": "sglang"}
    made = plan("deepseek-v3", "8x h200-sxm", placement={"tp": 8}, **asked)  # type: ignore[arg-type]
    assert not made.fits
    assert "attention on 8 replicas" in [lever.name for lever in made.levers if lever.fits]
    # Without a placement one is searched that the engine can hold.
    found = plan("deepseek-v3", "8x h200-sxm", **asked)  # type: ignore[arg-type]
    assert found.fits
    assert found.found is not None
    assert found.at is not None
    assert found.found.best[0].placement == found.at.placement
    assert found.at.placement.dp * found.at.placement.attention_dp == 8


def test_the_placement_of_an_engine_is_the_simplest_of_the_fastest() -> None:
    found = plan("llama-3.1-8b", "8x h100-sxm", mode="decode", context=8192, engine="vllm")
    assert found.at is not None
    assert str(found.at.placement) == "tp 8"


def test_replicas_that_divide_what_they_hold_take_the_devices() -> None:
    def place(**degrees: int) -> str:
        made = plan("gpt2", "8x h100-sxm", mode="train", context=512, batch=8, placement=degrees)
        assert made.at is not None
        return str(made.at.placement)

    assert place(zero=3) == "dp 8 zero 3"
    assert place(zero=1, tp=2) == "tp 2 dp 4 zero 1"
    assert place(pp=2, dp=1) == "tp 4 pp 2"


def test_a_prediction_has_an_interval_and_says_what_it_stands_on() -> None:
    made = plan("llama-3.1-8b", "h100-sxm", context=512, mode="decode", engine="vllm")
    assert made.predicted is not None
    assert made.seconds < made.predicted.seconds
    assert "90 %" in str(made.predicted)
    assert made.to_dict()["predicted"]["measured_for"].startswith("vllm")


def test_a_draft_that_proposes_tokens() -> None:
    asked = {"context": 4096, "mode": "decode"}
    alone = plan("qwen3-8b", "h100-sxm", **asked)
    made = plan("qwen3-8b", "h100-sxm", **asked, draft="qwen3-0.6b", draft_tokens=3, acceptance=0.7)
    assert made.speculation is not None
    # Leviathan et al. 2023: (1 - 0.7^4) / (1 - 0.7)
    assert made.speculation.per_check == pytest.approx(2.533)
    assert made.memory.total == alone.memory.total + made.speculation.bytes
    assert made.largest_context < alone.largest_context
    draft = plan("qwen3-0.6b", "h100-sxm", **asked).time.seconds
    assert made.speculation.seconds == pytest.approx(3 * draft + alone.time.seconds, rel=1e-3)
    assert made.speculation.speed == pytest.approx(2.533 * alone.time.seconds / made.speculation.seconds, rel=1e-3)
    # What a round takes for each token that it yields is the bound, and is what is predicted.
    assert made.seconds == pytest.approx(made.speculation.seconds / made.speculation.per_check)
    assert made.predicted is not None
    assert alone.predicted is not None
    assert made.seconds < made.predicted.seconds < alone.predicted.seconds
    assert sum(made.predicted.terms.values()) == pytest.approx(made.predicted.seconds)
    small = plan("qwen3-0.6b", "h100-sxm", **asked, engine="vllm").predicted
    assert small is not None
    drafting = made.predicted.terms["draft"] * made.speculation.per_check / 3
    assert drafting == pytest.approx(small.by("kernels"), rel=0.02)
    narrow = next(lever for lever in made.levers if lever.name == "weights in fp8")
    fp8 = plan("qwen3-8b", "h100-sxm", **asked, weights_dtype="fp8", draft="qwen3-0.6b", draft_tokens=3, acceptance=0.7)
    assert narrow.seconds_saved == pytest.approx(made.seconds - fp8.seconds)
    assert "A token with the draft takes" in made.headline
    # A batch so large that products bind: checking costs as many steps as tokens, and the draft brings nothing.
    full = plan("qwen3-8b", "h100-sxm", context=64, batch=4096, mode="decode", draft="qwen3-0.6b", acceptance=0.7)
    assert full.speculation is not None
    assert full.speculation.speed < 1
    for more, message in (
        ({"draft": "qwen3-0.6b"}, "a draft needs the acceptance of its tokens"),
        ({"acceptance": 0.5}, "draft_tokens and acceptance are a draft's: name it"),
        ({"draft": "qwen3-0.6b", "acceptance": 1.5}, "acceptance must be above 0 and below 1, got 1.5"),
        (
            {"draft": "qwen3-0.6b", "acceptance": 0.5, "mode": "prefill"},
            "speculation is modelled for decoding",
        ),
    ):
        with pytest.raises(AttometerError) as error:
            plan("qwen3-8b", "h100-sxm", **asked | more)  # type: ignore[arg-type]
        assert message in str(error.value)


def test_a_draft_under_an_engine_and_over_devices() -> None:
    asked = {"context": 4096, "mode": "decode", "engine": "vllm", "draft_tokens": 4, "acceptance": 0.8}
    alone = plan("llama-3.1-70b", "4x-h100-sxm", context=4096, mode="decode", engine="vllm")
    made = plan("llama-3.1-70b", "4x-h100-sxm", draft="llama-3.2-1b", **asked)
    assert alone.served is not None
    assert made.served is not None
    assert made.speculation is not None
    # two of the model's 8 heads of 128, and two of the draft's 8 of 64, on each rank: keys and values in 16 bits
    assert made.served.layout.per_token == 80 * 2 * 2 * 128 * 2 + 16 * 2 * 2 * 64 * 2
    assert made.served.tokens == made.served.left // (16 * made.served.layout.per_token) * 16
    assert made.speculation.at is not None
    assert made.served.weights - alone.served.weights == max(made.speculation.at.stage_weights)
    assert made.seconds == pytest.approx(made.speculation.seconds / made.speculation.per_check)
    assert made.predicted is not None
    assert alone.predicted is not None
    assert made.seconds < made.predicted.seconds < alone.predicted.seconds
    # 14 heads do not go over 4 ranks: one of them holds the whole draft, and works for all
    odd = plan("qwen2.5-72b", "4x-h100-sxm", draft="qwen2.5-0.5b", **asked).speculation
    assert odd is not None
    assert odd.at is not None
    assert odd.at.devices.count == 1
    assert odd.bytes == odd.draft.weights_bytes + odd.draft.memory(4096).kv
    searched = plan("llama-3.1-8b", "2x-rtx-3090", **asked | {"engine": None}, draft="llama-3.2-1b")
    assert searched.memory.draft > 0
    assert searched.largest_context < plan("llama-3.1-8b", "2x-rtx-3090", context=4096, mode="decode").largest_context


def test_the_placement_shown_is_one_that_fits_as_it_is_counted() -> None:
    made = plan("llama-3.1-8b", "2x-rtx-3090", context=131072)
    assert made.fits
    assert "(tp 2)" in made.headline
    # Whole weights on each device with half of the tokens (cp 2) are faster, and would hold 30.8 GB of 25.8.
    assert made.found is not None
    assert made.found.best[0].total == made.memory.total
