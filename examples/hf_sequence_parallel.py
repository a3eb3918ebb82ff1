"""Train a Hugging Face model on a sequence that is spread over processes, and compare with one process.

    torchrun --nproc-per-node 2 examples/hf_sequence_parallel.py

A tiny random Llama, no download. Every process holds the model and its own part of the tokens; attention sees all of them.
"""

import argparse
from typing import Any

try:
    import torch
except ModuleNotFoundError:
    raise SystemExit('this example needs torch; install it with: pip install "attometer[torch]"') from None
import torch.distributed as dist
from transformers import AutoModelForCausalLM, LlamaConfig

from attometer.errors import AttometerError
from attometer.integrations.transformers import sequence_parallel, shard_inputs, sum_gradients
from attometer.run.distributed import gather_sequence, sequence_mesh


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=1001, help="tokens of the whole sequence")
    parser.add_argument("--steps", type=int, default=3)
    return parser.parse_args()


def tiny_llama() -> Any:
    torch.manual_seed(0)  # every process makes the same weights
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=2,
        intermediate_size=128,
        initializer_range=0.1,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


def alone(ids: torch.Tensor, steps: int) -> tuple[torch.Tensor, list[float]]:
    """Return the first logits and the loss of each step in one process, by transformers alone."""
    model, losses = tiny_llama(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    first = model(ids).logits.detach()
    for _ in range(steps):
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return first, losses


def spread(ids: torch.Tensor, steps: int, mesh: dist.DeviceMesh) -> tuple[torch.Tensor, list[float]]:
    """Return the same from shards."""
    model, losses = tiny_llama(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    shard = shard_inputs(ids, labels=ids, mesh=mesh)
    with sequence_parallel(model, mesh):
        with torch.no_grad():
            first = gather_sequence(model(**shard.inputs).logits, shard.length, mesh=mesh, dim=1)
        for _ in range(steps):
            loss = shard.loss(model(**shard.inputs).logits)
            optimizer.zero_grad()
            loss.backward()
            sum_gradients(model, mesh)  # a process has the gradients of its own tokens' loss
            optimizer.step()
            whole = loss.detach().clone()
            dist.all_reduce(whole)
            losses.append(float(whole))
    if mesh.get_local_rank() == 0:
        print(f"each of {mesh.size()} processes: about {shard.input_ids.shape[1]} of {shard.length} tokens")
    return first, losses


def main() -> None:
    options = arguments()
    try:
        mesh = sequence_mesh()
    except AttometerError as problem:  # not under torchrun
        raise SystemExit(str(problem)) from None
    ids = torch.randint(512, (1, options.length), generator=torch.Generator().manual_seed(1))
    logits, losses = spread(ids, options.steps, mesh)
    dist.barrier()
    if mesh.get_local_rank():
        return
    expected, wanted = alone(ids, options.steps)
    difference = float((logits - expected).abs().max() / expected.abs().max())
    print(f"logits differ by {difference:.1e} of the largest")
    for step, (found, one) in enumerate(zip(losses, wanted, strict=True)):
        print(f"step {step}: loss {found:.6f}, in one process {one:.6f}")
    if difference > 1e-5 or any(abs(a - b) > 1e-4 for a, b in zip(losses, wanted, strict=True)):
        raise SystemExit("the results differ")
    print(f"the same logits and the same losses, on 1 process and on {mesh.size()}")


if __name__ == "__main__":
    main()
