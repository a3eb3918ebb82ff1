"""Started by torchrun on every rank: tiny Hugging Face models on shards, against transformers in one process."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import transformers as hf
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

sys.path.insert(0, str(Path(__file__).parents[1] / "integrations"))
from tiny_models import DECODERS, SHAPE, VOCABULARY

from attometer.errors import AttometerError
from attometer.integrations.transformers import (
    SEQUENCE_PARALLEL,
    attach,
    sequence_parallel,
    shard_inputs,
    sum_gradients,
    with_mechanism,
)
from attometer.run.distributed import gather_sequence, sequence_mesh

LENGTH = 13  # odd, so that shards are uneven; longer than the windows
# name: model type, additions to the configuration, length, layout, impl
CASES: dict[str, tuple[str, dict[str, Any], int, str, str]] = {
    **{name: (name, {}, LENGTH, "zigzag", "auto") for name in SEQUENCE_PARALLEL},
    "llama, one head per query": ("llama", {"num_key_value_heads": 4}, LENGTH, "zigzag", "auto"),
    "llama, even length, contiguous": ("llama", {}, 16, "contiguous", "ring"),
    "mistral by ulysses": ("mistral", {}, 17, "zigzag", "ulysses"),
    "mistral, contiguous": ("mistral", {}, 17, "contiguous", "auto"),
}


def model_of(kind: str, more: dict[str, Any]) -> Any:
    torch.manual_seed(3)
    given = {**SHAPE, **DECODERS[kind], **more}
    if kind in ("gpt2", "gpt_neox", "phi"):
        del given["num_key_value_heads"]
    return hf.AutoModelForCausalLM.from_config(hf.AutoConfig.for_model(kind, **given), attn_implementation="eager")


def batch_of(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(length)
    ids = torch.randint(3, VOCABULARY, (2, length), generator=made)
    return ids, ids.masked_fill(torch.rand(2, length, generator=made) < 0.2, -100)


def alone(model: Any, ids: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return logits, loss and gradients by transformers' eager attention, and transformers' own loss."""
    model = copy.deepcopy(model).to(dtype)
    found = model(ids, labels=labels, use_cache=False)
    found.loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return {"logits": found.logits.detach(), "loss": found.loss.detach(), **gradients}


def spread(model: Any, ids: torch.Tensor, labels: torch.Tensor, mesh: Any, layout: str, impl: str) -> Any:
    model = copy.deepcopy(model)
    shard = shard_inputs(ids, mesh=mesh, labels=labels, layout=layout)
    with sequence_parallel(model, mesh, layout=layout, impl=impl):
        logits = model(**shard.inputs).logits
        loss = shard.loss(logits)
        loss.backward()
    assert model.config._attn_implementation == "eager"
    sum_gradients(model, mesh)
    total = loss.detach().clone()
    dist.all_reduce(total)
    whole = gather_sequence(logits, shard.length, mesh=mesh, layout=layout, dim=1)
    return {"logits": whole, "loss": total, **{name: p.grad for name, p in model.named_parameters()}}


def report(found: Any, exact: Any, peer: Any) -> dict[str, list[float]]:
    """Return, for logits, loss and the worst gradient, the relative error and that of eager attention in one process."""

    def error(one: Any, name: str) -> float:
        scale = torch.linalg.vector_norm(exact[name].double())
        return float(torch.linalg.vector_norm(one[name].double() - exact[name].double()) / scale)

    assert found.keys() == exact.keys()
    weights = [name for name in exact if name not in ("logits", "loss")]
    worst = max(weights, key=lambda name: error(found, name))
    return {
        "logits": [error(found, "logits"), error(peer, "logits")],
        "loss": [error(found, "loss"), error(peer, "loss")],
        "gradients": [error(found, worst), max(error(peer, name) for name in weights)],
    }


def said_by(call: Any) -> str:
    try:
        call()
    except AttometerError as error:
        return str(error)
    return "nothing"


def refusals(mesh: Any) -> dict[str, str]:
    """Return what this rank says to what is wrong on all ranks, or on the last one alone."""
    last = dist.get_rank() == mesh.size() - 1
    ids, labels = batch_of(LENGTH)
    good = shard_inputs(ids, mesh=mesh).inputs
    model = model_of("llama", {})
    own, where = good["input_ids"], good["position_ids"]
    calls: dict[str, dict[str, Any]] = {
        "positions missing": {"input_ids": own},
        "positions local": {**good, "position_ids": torch.arange(own.shape[1])[None]},
        "positions on one rank": {**good, "position_ids": where + int(last)},
        "padding": {**good, "attention_mask": torch.ones_like(own).index_fill(1, torch.tensor([0]), 0)},
        "padding on one rank": {**good, "attention_mask": torch.ones_like(own) * (1 - int(last))},
        "whole mask": {**good, "attention_mask": torch.ones_like(ids)},
        "cache": {**good, "use_cache": True},
        "labels": {**good, "labels": own},
        "labels on one rank": {**good, "labels": own if last else None},
        "logits_to_keep": {**good, "logits_to_keep": 1},
        "attentions": {**good, "output_attentions": True},
        "whole sequence": {"input_ids": ids, "position_ids": torch.arange(LENGTH)[None]},
    }
    said = {}
    with sequence_parallel(model, mesh):
        calls["one token"] = shard_inputs(ids[:, :1], mesh=mesh).inputs
        for name, given in calls.items():
            said[name] = said_by(lambda given=given: model(**given))
        layer, x = model.model.layers[0].self_attn, torch.zeros(1, 4, 3, 8)
        function = ALL_ATTENTION_FUNCTIONS[model.config._attn_implementation]
        said["sinks"] = said_by(lambda: function(layer, x, x, x, None, s_aux=torch.zeros(4)))
        said["bias"] = said_by(lambda: function(layer, x, x, x, None, position_bias=torch.zeros(1, 4, 3, 3)))
        said["no mask"] = said_by(lambda: function(layer, x, x, x, None))
        said["generate"] = said_by(lambda: model.generate(own, max_new_tokens=2))
        said["twice"] = said_by(lambda: sequence_parallel(model, mesh).__enter__())
        said["still right"] = str(list(model(**good, attention_mask=torch.ones_like(own)).logits.shape))

    def entered(kind: str, more: dict[str, Any], given: dict[str, Any] | None = None, options: Any = None) -> str:
        made = model_of(kind, more)

        def run() -> None:
            with sequence_parallel(made.train(), mesh, **(options or {})):
                made(**good, **(given or {}))

        return said_by(run)

    said["dropout"] = entered("llama", {"attention_dropout": 0.1})
    said["dropout on one rank"] = entered("llama", {"attention_dropout": 0.1 if last else 0.0})
    said["type"] = entered("gpt_oss", {})
    said["rope"] = entered("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}})
    said["impl"] = entered("llama", {}, options={"impl": "sdpa"})
    said["ended"] = said_by(lambda: function(layer, x, x, x, None))
    said["layout"] = entered("llama", {}, options={"layout": "zig-zag"})
    said["bidirectional"] = entered("gemma3_text", {"use_bidirectional_attention": True})
    said["ids"] = said_by(lambda: shard_inputs(ids[0], mesh=mesh))
    said["labels' shape"] = said_by(lambda: shard_inputs(ids, mesh=mesh, labels=labels[:, 1:]))
    said["loss"] = said_by(lambda: shard_inputs(ids, mesh=mesh).loss(torch.zeros(2, 7, VOCABULARY)))
    late = attach(model_of("llama", {})).train()
    late.activation_checkpointing_enable()
    with sequence_parallel(late, mesh):
        logits = late(**good).logits
    said["backward outside"] = said_by(lambda: logits.sum().backward())
    other = model_of("llama", {})
    if last:
        with torch.no_grad():
            other.lm_head.weight[0, 0] += 1
    said["weights"] = said_by(lambda: sequence_parallel(other, mesh).__enter__())
    classifier = hf.LlamaForSequenceClassification(model.config)
    said["head"] = said_by(lambda: sequence_parallel(classifier, mesh).__enter__())
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    encoder = hf.BertModel(hf.BertConfig(**tiny))
    said["encoder"] = said_by(lambda: sequence_parallel(encoder, mesh).__enter__())
    return said


def special(mesh: Any) -> dict[str, bool]:
    """Return whether a mechanism stays in force, and whether checkpointed layers give the same gradients."""
    ids, labels = batch_of(LENGTH)
    narrowed = with_mechanism(attach(model_of("llama", {})), "sliding_window", left=3)
    shard = shard_inputs(ids, mesh=mesh, labels=labels)
    with torch.no_grad():
        expected = narrowed(ids).logits
        with sequence_parallel(narrowed, mesh):
            found = gather_sequence(narrowed(**shard.inputs).logits, LENGTH, mesh=mesh, dim=1)
        plain = model_of("llama", {})(ids).logits
    gradients = []
    for checkpointed in (False, True):
        model = model_of("mistral", {}).train()
        if checkpointed:
            model.activation_checkpointing_enable()
        with sequence_parallel(model, mesh):
            shard.loss(model(**shard.inputs).logits).backward()
        sum_gradients(model, mesh)
        gradients.append([p.grad for p in model.parameters()])
    return {
        "mechanism stays": bool(torch.allclose(found, expected, atol=1e-5)),
        "mechanism changes logits": float((plain - expected).abs().max()) > 0.1,
        "checkpointed": all(torch.equal(a, b) for a, b in zip(*gradients, strict=True)),
    }


def main() -> None:
    mesh = sequence_mesh(timeout=60)
    results = {}
    for name, (kind, more, length, layout, impl) in CASES.items():
        model, (ids, labels) = model_of(kind, more), batch_of(length)
        found = spread(model, ids, labels, mesh, layout, impl)
        if dist.get_rank() == 0:
            exact, peer = (alone(model, ids, labels, dtype) for dtype in (torch.float64, torch.float32))
            results[name] = report(found, exact, peer)
    said: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(said, refusals(mesh))
    held: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(held, special(mesh))
    if dist.get_rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps({"cases": results, "refusals": said, "special": held}))


if __name__ == "__main__":
    main()
