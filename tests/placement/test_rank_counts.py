"""What each rank holds and sends, against published placements and closed forms."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count.model_cost import model_cost
from attometer.count.placement.part_cuts import kind_of, part_cut
from attometer.count.placement.rank_cost import shard
from attometer.count.placement.rank_layer import rank_layers
from attometer.count.traffic.communication import ring_communication, ulysses_communication
from attometer.count.traffic.sequence_split import sequence_split
from attometer.errors import AttometerError
from attometer.formats import uniform
from attometer.models import from_values, model, shipped
from attometer.models.part import part
from attometer.program import size
from attometer.schedule.placement import LayerDegrees, Placement, pipeline_stages

GIB = 2**30
R1_QWEN_14B = {
    "model_type": "qwen2", "hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40,
    "num_hidden_layers": 48, "num_key_value_heads": 8, "vocab_size": 152064, "tie_word_embeddings": False,
    "max_position_embeddings": 131072,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "form", "logged"),
    [
        # vLLM's logs: "model weights take ... GiB", which holds the rotary table too (0.03 GiB of bf16 at 131,072).
        ("llama-3.1-70b", "bf16", 32.89),
        ("llama-3.1-70b", "fp8", 16.96),
    ],
)
def test_logged_weights_of_a_rank_at_tp_4(name: str, form: str, logged: float) -> None:
    (weights,) = shard(model(name), Placement(tp=4)).weights(uniform(form))
    rotary = 131072 * 128 * 2
    assert (weights + rotary) / GIB == pytest.approx(logged, rel=0.001)


def test_two_ranks_of_a_qwen_14b() -> None:
    """vllm-project/vllm#13061: 98,304 bytes per token and rank; 13.9476 GiB logged, 1.4 % more than the weights alone."""
    ranks = shard(from_values(R1_QWEN_14B), Placement(tp=2))
    assert 2 * ranks.stages[0].kv == 98_304 * size("m")
    assert ranks.weights()[0] / GIB == pytest.approx(13.9476, rel=0.015)


def test_norms_over_split_heads_add_their_squares() -> None:
    """vLLM's MiniMaxText01RMSNormTP: a sum of squares per token goes round, not the queries; shared heads are gathered."""

    def sent(tp: int) -> list[tuple[str, str, int]]:
        parts = rank_layers(model_cost(model("minimax-m2.7")), LayerDegrees(tp, tp))[1].parts
        pairs = [(p, c) for p in parts if p.kind == "norm" for c in p.sharded.collectives]
        return [(p.name, c.kind, p.payload(c.tensor, 4, 1, 1)) for p, c in pairs]

    assert sent(8) == [("norm q", "all_reduce", 4), ("norm k", "all_reduce", 4)]
    assert sent(16) == [("norm q", "all_reduce", 4), ("norm k", "all_gather", 4 * 1024)]


@pytest.mark.parametrize(("layers", "width", "tp", "pp"), [(96, 12288, 8, 8), (40, 6144, 8, 1), (24, 2304, 2, 4)])
def test_megatrons_parameters_of_a_rank(layers: int, width: int, tp: int, pp: int) -> None:
    """Megatron-LM's GPT: matrices and their column biases over tp, norms and row biases on every rank, vocabulary padded.

    12 h^2 + 13 h per layer as in Narayanan et al. 2021 (arXiv:2104.04473), equation 2.
    """
    vocabulary, positions = 50257, 2048
    config = {"model_type": "gpt2", "n_embd": width, "n_layer": layers, "n_head": width // 96, "vocab_size": vocabulary}
    ranks = shard(from_values({**config, "n_positions": positions}), Placement(tp=tp, pp=pp))
    layer = (12 * width**2 + 7 * width) // tp + 6 * width
    table = -(-vocabulary // tp) * width
    ends = [0] * pp
    ends[0] += table + positions * width
    # The last stage holds the tied table again when it is not the first one.
    ends[-1] += 2 * width + (table if pp > 1 else 0)
    assert [stage.parameters for stage in ranks.stages] == [layers // pp * layer + end for end in ends]


def test_a_layer_sends_what_megatron_says() -> None:
    """Narayanan et al. 2021, section 3.2: 8 b s h (t - 1)/t elements per layer and rank, forward and backward."""
    ranks = shard(model("llama-3.1-70b"), Placement(tp=8))
    sizes = ranks.sizes(batch=4, new=2048)
    messages = ranks.stages[0].work(sizes, word=1).messages
    layers = sum(m.times * m.sent for m in messages if m.part in ("out", "down"))
    assert layers == pytest.approx(80 * 8 * 4 * 2048 * 8192 * 7 / 8 / 2)


def test_a_split_sequence_sends_the_same_and_keeps_less() -> None:
    plain, split = (shard(model("llama-3.1-70b"), Placement(tp=8, sp=sp)) for sp in (False, True))
    sent = []
    for ranks in (plain, split):
        messages = ranks.stages[0].work(ranks.sizes(1, 4096)).messages
        sent.append(sum(m.times * m.sent for m in messages if m.part in ("out", "down")))
    assert sent[0] == pytest.approx(sent[1])
    kept = [ranks.stages[0].saved(ranks.sizes(1, 4096)) for ranks in (plain, split)]
    assert kept[1] * 8 == pytest.approx(
        shard(model("llama-3.1-70b"), Placement()).stages[0].saved(plain.sizes(1, 4096))
    )


def test_deepseek_v3_as_its_report_places_it() -> None:
    """arXiv:2412.19437: training on PP 16 and EP 64 over 8 nodes with ZeRO-1 (section 3.2): 4 experts on each GPU, the
    shared one on all; 3 or 4 of 61 layers on a stage."""
    cost = model_cost(model("deepseek-v3"))
    place = Placement(pp=16, dp=128, ep=64, zero=1)
    ranks = shard(cost, place)
    assert place.devices == 2048
    assert place.expert_shards == 2
    assert {len(stage.layers) for stage in ranks.stages} == {3, 4}
    experts = next(
        p for p in rank_layers(cost, LayerDegrees(ep=64, dispatched=True))[2].parts if p.name == "experts up"
    )
    assert experts.sharded.program.size_of("x") == 4
    assert experts.parameters == 2 * 4 * 7168 * 2048
    # Two stages' worth of experts and attention: far below a tenth of the 671 billion.
    assert ranks.largest.parameters < cost.parameters / 100


def test_deepseek_v3_dispatches_each_token_to_eight_experts() -> None:
    ranks = shard(model("deepseek-v3"), Placement(dp=64, ep=64))
    messages = ranks.stages[0].work(ranks.sizes(batch=64 * 128, new=1, keys=4096), word=1).messages
    sent = sum(m.times * m.sent for m in messages if m.kind == "all_to_all")
    assert sent == 58 * 2 * 128 * 8 * 7168 * 63 / 64


def test_torchtitans_405b_on_512() -> None:
    """TP 8, PP 8, FSDP 8 (torchtitan's published table): weights, gradients and Adam's state in fp32 are 16 bytes each."""
    ranks = shard(model("llama-3.1-405b"), Placement(tp=8, pp=8, dp=8, zero=3))
    held = [16 * stage.sharded_parameters for stage in ranks.stages]
    assert sum(held) * 64 == pytest.approx(16 * ranks.cost.parameters, rel=0.001)
    assert max(held) / GIB < 82.5 - 60


def test_latents_and_few_heads_stand_on_every_rank() -> None:
    mla, mqa = (shard(model(name), Placement(tp=8)) for name in ("deepseek-v3", "qwen3.5-397b-a17b"))
    assert mla.stages[0].kv == model_cost(model("deepseek-v3")).cache.kv
    # Two key/value heads on eight ranks: each rank holds one.
    assert mqa.stages[0].kv * 2 == model_cost(model("qwen3.5-397b-a17b")).cache.kv
    assert "k: 2 heads on 8 ranks" in mqa.replicated


@pytest.mark.parametrize(
    "name", ["llama-3.1-8b", "deepseek-v3", "gpt-oss-120b", "jamba-v0.1", "bloom-176b", "gemma-2-2b"]
)
def test_cut_parts_share_their_operations(name: str) -> None:
    """Every rank does its share of what is cut, and all of what stands on every rank; nothing is done less often than once."""
    cost = model_cost(model(name))
    for layer, row in zip(rank_layers(cost, LayerDegrees(2, 2, 1, 2)), cost.rows, strict=True):
        for mine, whole in zip(layer.parts, row.parts, strict=True):
            if mine.where == "experts":
                continue
            share, all_of_it = (int(c.flops.subs({size(k): 8 for k in "bnms"})) for c in (mine.local, whole))
            assert share == (all_of_it // 2 if mine.sharded.cuts else all_of_it)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4, 8]), st.booleans())
def test_ranks_hold_every_weight(tp: int, pp: int, ep: int, spread: bool) -> None:
    place = Placement(tp=tp, pp=pp, ep=ep, dp=ep, expert_tp=tp if spread else None)
    cost = model_cost(model("mixtral-8x7b"))
    ranks = shard(cost, place)
    dense = sum(stage.dense_parameters for stage in ranks.stages) * place.tp
    experts = sum(stage.expert_parameters for stage in ranks.stages) * place.expert_ranks
    alike = sum(p.parameters for row in cost.rows for p in row.parts if p.kind in ("norm", "router")) * 32
    whole = cost.parameters
    assert experts == 32 * 3 * 8 * 4096 * 14336
    assert whole <= dense + experts <= whole + (tp - 1) * alike


@pytest.mark.parametrize(("method", "count"), [("ring", ring_communication), ("ulysses", ulysses_communication)])
@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_a_shared_context_sends_what_its_own_formulas_say(method: str, count: Any, ranks: int) -> None:
    """The law of ring and Ulysses attention on processes is that of these formulas; a placement must say the same."""
    spread = shard(model("llama-3.1-8b"), Placement(cp=ranks, cp_method=method))
    messages = spread.stages[0].work(spread.sizes(batch=3, new=4096), word=2).messages
    split = sequence_split(ranks=ranks, b=3, h=32, g=8, n=4096, d=128, element=2, accumulator=4)
    assert sum(m.times * m.sent for m in messages if m.part == "attention") == 32 * int(count(split, 0).forward)


def test_a_shared_context_expands_each_latent_once_and_sends_what_attention_reads() -> None:
    cost = model_cost(model("deepseek-v3"))
    spread = shard(cost, Placement(cp=4))
    sizes = spread.sizes(batch=1, new=4096)
    whole = int(cost.flops().subs({size("b"): 1, size("n"): 4096, size("m"): 4096, size("s"): 4096}))
    assert 4 * spread.stages[0].flops(sizes) == pytest.approx(whole, rel=1e-9)
    messages = spread.stages[0].work(sizes, word=1).messages
    sent = sum(m.times * m.sent for m in messages if m.part == "attention")
    # Keys of 128, values of 128 for 128 heads and one rotary key of 64, 1,024 tokens, three hops, 61 layers.
    assert sent == 61 * 3 * 1024 * (128 * (128 + 128) + 64)


def test_stages() -> None:
    """vLLM's rule (get_pp_indices): of what is left over, the stages before the last hold one more each."""
    assert [len(s) for s in pipeline_stages(80, 3)] == [27, 27, 26]
    assert [len(s) for s in pipeline_stages(61, 4)] == [15, 15, 16, 15]
    assert sorted(n for s in pipeline_stages(61, 4, 2) for n in s) == list(range(61))


@pytest.mark.parametrize(
    ("degrees", "message"),
    [
        ({"tp": 3}, 'part "embedding"|part "q": tp 3 does not divide axis "h" of size 32'),
        ({"pp": 33}, "pp 33 x interleave 1 needs at least 33 layers, the model has 32"),
        ({"tp": 0}, "tp must be a positive integer, got 0"),
        ({"zero": 4}, "zero must be one of 0, 1, 2, 3, got 4"),
        ({"tp": 4, "attention_dp": 3}, "attention_dp 3 does not divide tp 4; allowed: 1, 2, 4"),
        ({"ep": 8}, "ep x expert_tp 8 does not divide tp 1 x cp 1 x dp 1 = 1"),
        ({"dp": 4, "dp_replicate": 3}, "dp_replicate 3 does not divide dp 4; allowed: 1, 2, 4"),
        ({"sp": True}, "sp needs tp of at least 2, got tp 1"),
        ({"interleave": 2}, "interleave 2 needs pp of at least 2, got pp 1"),
        ({"cp": 2, "cp_method": "rings"}, 'cp_method must be one of ring, ulysses, got "rings"'),
    ],
)
def test_placements_that_do_not_divide(degrees: dict[str, object], message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        shard(model("llama-3.1-8b"), Placement(**degrees))  # type: ignore[arg-type]


def test_a_recurrence_has_no_shared_context() -> None:
    with pytest.raises(AttometerError, match='cp 2: part "conv" hands its state from position to position'):
        shard(model("jamba-v0.1"), Placement(cp=2))


def test_experts_that_do_not_divide() -> None:
    with pytest.raises(AttometerError, match='part "experts up": ep 3 does not divide axis "x" of size 8'):
        shard(model("mixtral-8x7b"), Placement(dp=3, ep=3))


def test_a_part_of_no_known_kind_stands_on_every_rank_and_is_said() -> None:
    strange = part("hologram", "axis i: n, c: 8\nweight W[c]\nY[b,i,c] = X[b,i,c] * W[c]")
    cut = part_cut(strange, LayerDegrees(2, 2))
    assert cut.cuts == ()
    assert cut.note == 'part "hologram" is of no known kind and stands on every rank'


def test_every_part_of_every_shipped_model_has_a_kind() -> None:
    names = {p.name for name in shipped() for row in model_cost(model(name)).rows for p in row.parts}
    assert {name for name in names if kind_of(name) == "unknown"} == set()


def test_one_key_head_of_all_queries_stands_whole_on_every_rank() -> None:
    """Multi-query attention: the one head of keys is not cut along its width."""
    config = {
        "model_type": "llama", "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 1,
        "num_hidden_layers": 1, "intermediate_size": 64, "vocab_size": 64,
    }  # fmt: skip
    (stage,) = shard(from_values(config), Placement(tp=4)).stages
    parts = {part.name: part.parameters for _, part in stage.parts()}
    assert (parts["q"], parts["k"], parts["v"]) == (64 * 64 // 4, 64 * 8, 64 * 8)
    assert stage.kv == 16 * size("m")


@pytest.mark.parametrize(
    "place",
    [
        Placement(tp=2, pp=2, cp=2, dp=2),
        Placement(tp=4, sp=True, pp=4, interleave=2),
        Placement(dp=4, ep=4),
        Placement(tp=2, dp=2, ep=4, sp=True),
        Placement(tp=2, dp=4, ep=4, expert_tp=2),
        Placement(tp=4, attention_dp=4, ep=4),
        Placement(tp=4, ep=2, expert_tp=2),
    ],
    ids=str,
)
def test_all_ranks_together_do_the_model_s_operations_once(place: Placement) -> None:
    """What is cut is done once in all; routers alone, which choose on every rank of tp that has the token, are done again."""
    cost = model_cost(model("mixtral-8x7b"))
    ranks = shard(cost, place)
    sizes = ranks.sizes(batch=8, new=1024)
    done = sum(stage.flops(sizes) for stage in ranks.stages) * place.tp * place.cp * place.dp
    whole = int(cost.flops().subs({size("b"): 8, size("n"): 1024, size("m"): 1024, size("s"): 1024}))
    router = 32 * 2 * 8 * 1024 * 4096 * 8
    assert whole <= done * (1 + 1e-12)
    assert done <= whole + (place.tp - 1) * router
