"""One layer of each kind cut over processes: results against one process, and bytes sent against the count.

    torchrun --nproc-per-node 2 examples/sharded_layer.py
    torchrun --nproc-per-node 4 examples/sharded_layer.py --tokens 16

Every process interprets its slices of each part's Program in float64; the collectives that the cut needs are real messages.
"""

import argparse
from typing import Any

import numpy as np

try:
    import torch
except ModuleNotFoundError:
    raise SystemExit('this example needs torch; install it with: pip install "attometer[torch]"') from None
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from attometer.count.model_cost import model_cost
from attometer.count.placement.collectives import sharded_bytes
from attometer.count.placement.rank_layer import RankPart, rank_layers
from attometer.models import from_values
from attometer.run.distributed import count_sent
from attometer.run.distributed.sharded import place_in, run_sharded, slices
from attometer.schedule.placement import LayerDegrees
from attometer.simulate import interpret

DENSE = {
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_hidden_layers": 1,
    "intermediate_size": 160,
    "vocab_size": 1001,
}
LAYERS: dict[str, dict[str, Any]] = {
    "grouped heads": {"model_type": "llama", **DENSE, "num_key_value_heads": 2, "tie_word_embeddings": False},
    "latent heads": {
        "model_type": "deepseek_v3", **DENSE, "num_key_value_heads": 8, "q_lora_rank": 24, "kv_lora_rank": 16,
        "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "first_k_dense_replace": 1,
        "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_group": 1, "topk_group": 1,
    },
    "state space": {
        "model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 1, "state_size": 8, "vocab_size": 1001,
        "time_step_rank": 4, "expand": 2, "conv_kernel": 4, "intermediate_size": 128,
    },
}  # fmt: skip


def inputs(part: RankPart, sizes: dict[str, int], draw: np.random.Generator) -> dict[str, Any]:
    """Random inputs; a table is looked up at random places."""
    program = part.whole.program
    arrays: dict[str, Any] = {}
    for tensor in program.inputs:
        shape = tuple(int(e.subs({s: sizes[str(s)] for s in e.free_symbols})) for e in tensor.extents)
        arrays[tensor.name] = draw.normal(size=shape)
    if part.whole.table_rows is not None:
        arrays["T"] = draw.integers(0, part.whole.table_rows, size=arrays["T"].shape)
    return arrays


def check(
    part: RankPart, mesh: dist.DeviceMesh, tokens: int, seed: int
) -> tuple[float, dict[str, int], dict[str, int]]:
    """Return the largest difference from one process, and the bytes sent and counted by collective."""
    place, degrees, sharded = place_in(mesh), {"tp": mesh.size()}, part.sharded
    every = {"b": 1, "n": tokens, "m": tokens, "s": tokens}
    arrays = inputs(part, every, np.random.default_rng(seed))
    sizes = {str(s): every[str(s)] for s in sharded.whole.symbols}
    whole = interpret(sharded.whole, arrays, sizes)
    with count_sent() as sent:
        found = run_sharded(sharded, slices(sharded, arrays, place, degrees), mesh, **sizes)
    names = [tensor.name for tensor in sharded.whole.outputs]
    expected = slices(sharded, {name: whole[name] for name in names}, place, degrees)
    apart = max(float(np.max(np.abs(found[name] - expected[name]), initial=0)) for name in names)
    return apart, dict(sent.bytes), sharded_bytes(sharded, degrees, place, 8, **sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=8)
    options = parser.parse_args()
    if not dist.is_torchelastic_launched():
        raise SystemExit("start it with: torchrun --nproc-per-node 2 examples/sharded_layer.py")
    dist.init_process_group("gloo")
    ranks, first = dist.get_world_size(), dist.get_rank() == 0
    mesh = init_device_mesh("cpu", (ranks,), mesh_dim_names=("tp",))
    held = True
    for kind, values in LAYERS.items():
        worst = 0.0
        if first:
            print(f"\n{kind}, {options.tokens} tokens on {ranks} processes; bytes of rank 0, float64")
        for row in rank_layers(model_cost(from_values(values)), LayerDegrees(ranks, ranks, 1, ranks)):
            for number, part in enumerate(row.running):
                apart, sent, counted = check(part, mesh, options.tokens, number)
                worst, held = max(worst, apart), held and apart < 1e-9 and sent == counted
                for name, size in counted.items() if first else ():
                    print(f"  {part.name:<16}{name:<24} sent {sent.get(name, 0):>9,}  counted {size:>9,}")
        if first:
            print(f"  largest difference from one process: {worst:.1e}")
    agreed = torch.tensor([int(held)])
    dist.all_reduce(agreed, op=dist.ReduceOp.MIN)
    dist.destroy_process_group()
    if not agreed.item():
        raise SystemExit("results or bytes differ")
    if first:
        print("\nresults equal, and every byte sent was counted, on every rank")


if __name__ == "__main__":
    main()
