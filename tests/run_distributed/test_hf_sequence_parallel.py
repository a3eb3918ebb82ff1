"""Hugging Face models on shards of a sequence give the logits, the loss and the gradients of one process, or refuse."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from distributed_launch import HERE, torchrun

from attometer.integrations.transformers import SEQUENCE_PARALLEL

# Two processes that import transformers take a third of a minute.
pytestmark = pytest.mark.slow

EXAMPLE = HERE.parents[1] / "examples" / "hf_sequence_parallel.py"
SPECIAL = (
    "llama, one head per query",
    "llama, even length, contiguous",
    "mistral by ulysses",
    "mistral, contiguous",
)
OTHER = "rank 1 refused its arguments; its own error says why, and no rank computes"


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Any:
    target: Path = tmp_path_factory.mktemp("models") / "results.json"
    torchrun(2, HERE / "hf_worker.py", str(target))
    return json.loads(target.read_text())


@pytest.mark.parametrize("name", [*SEQUENCE_PARALLEL, *SPECIAL])
def test_two_processes_give_what_transformers_gives_on_one(name: str, on_two: Any) -> None:
    """Errors against float64 are those of transformers' own eager attention in float32, give or take a rounding."""
    found = on_two["cases"][name]
    assert found.keys() == {"logits", "loss", "gradients"}
    for result, (error, eager) in found.items():
        assert error <= max(2 * eager, 1e-6), result


@pytest.mark.parametrize("rank", [0, 1])
def test_mechanisms_and_checkpoints(rank: int, on_two: Any) -> None:
    said = on_two["special"][rank]
    assert said == {"mechanism stays": True, "mechanism changes logits": True, "checkpointed": True}


WORDS = {
    "positions missing": "position_ids: missing, expected the global positions of this rank's tokens",
    "positions local": "position_ids: those of rank 0 are not the global positions of its shard",
    "positions on one rank": "position_ids: those of rank 1 are not the global positions of its shard",
    "padding": "padding and 4-D masks are not supported sequence-parallel",
    "whole mask": "attention_mask: got shape (2, 13), expected none",
    "cache": "use_cache: a cache, and with it generate(), is not supported sequence-parallel",
    "generate": "use_cache: a cache, and with it generate(), is not supported sequence-parallel",
    "labels": "labels: the model would shift them inside the shard",
    "logits_to_keep": "logits_to_keep: the last tokens of a shard are not those of the sequence",
    "attentions": "output_attentions: weights are never formed",
    "whole sequence": "position_ids: those of rank 0 are not the global positions",
    "twice": "model: it already runs sequence-parallel",
    "dropout": "LlamaAttention: dropout 0.1 on attention weights of a spread sequence is not supported",
    "type": 'model type "gpt_oss" is not verified to run sequence-parallel',
    "encoder": 'model type "bert" is not verified to run sequence-parallel',
    "head": "model: LlamaForSequenceClassification may read single positions of the whole sequence",
    "rope": 'model: rotary positions of type "dynamic" depend on the length of the whole sequence',
    "impl": 'unknown impl "sdpa"; known: auto, ring, ulysses',
    "layout": 'unknown layout "zig-zag"; did you mean "zigzag"?',
    "bidirectional": 'model type "gemma3_text" masks with the function',
    "weights": "model: got other weights on rank 1 than on rank 0",
    "sinks": "LlamaAttention: s_aux= (attention sinks) is not supported sequence-parallel",
    "bias": "LlamaAttention: position_bias= (an additive bias) is not supported sequence-parallel",
    "no mask": "LlamaAttention: got attention_mask NoneType, expected the model's own",
    "ended": "LlamaAttention: sequence_parallel has ended",
    "one token": "input_ids: got lengths (1, 0) on the ranks, expected at least 1 on each",
    "ids": "input_ids: got shape (13,), expected [b, n]",
    "labels' shape": "labels: got shape (2, 12), expected that of input_ids (2, 13)",
    "loss": "labels: none were given to shard_inputs",
    "backward outside": "attention_mask: made for 13 keys, got ",
}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("name", WORDS)
def test_refused_on_every_rank(name: str, rank: int, on_two: Any) -> None:
    assert WORDS[name] in on_two["refusals"][rank][name]


@pytest.mark.parametrize("name", ["padding on one rank", "labels on one rank", "dropout on one rank"])
def test_what_one_rank_refuses_no_rank_computes(name: str, on_two: Any) -> None:
    first, last = (said[name] for said in on_two["refusals"])
    assert first == OTHER
    assert last != OTHER
    assert name.split()[0] in last


def test_it_works_after_refusals(on_two: Any) -> None:
    """A mask of ones is no padding."""
    assert [said["still right"] for said in on_two["refusals"]] == ["[2, 7, 97]", "[2, 6, 97]"]


@pytest.mark.slow
def test_the_example() -> None:
    said = torchrun(2, EXAMPLE, "--length", "203", "--steps", "2")
    assert said.strip().endswith("the same logits and the same losses, on 1 process and on 2")
