"""Every part of small models of every kind, cut over processes: results, and the bytes of each collective, per rank."""

import random
import sys
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from small_models import KINDS, small_model
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from attometer.count.model_cost import model_cost
from attometer.count.placement.collectives import dispatched_bytes, sharded_bytes
from attometer.count.placement.part_cuts import kind_of
from attometer.count.placement.rank_layer import RankPart, rank_layers
from attometer.program import Program
from attometer.run.distributed import count_sent
from attometer.run.distributed.sharded import place_in, run_experts, run_sharded, slices
from attometer.schedule.placement import LayerDegrees
from attometer.schedule.sharding import Cut, Sharded, shard_program
from attometer.simulate import interpret

linked: list[str] = []
SIZES = {"b": 2, "n": 5, "m": 5, "s": 5}
WORD = 8


def inputs(program: Program, draw: np.random.Generator) -> dict[str, Any]:
    """Return random inputs of a program; a tensor that says where to look holds places."""
    looked = {
        "W": {"T": "v"}, "G": {"T": "x"}, "R": {"T": "p"},
    }  # fmt: skip
    arrays: dict[str, Any] = {}
    for tensor in program.inputs:
        shape = tuple(int(e.subs({s: SIZES[str(s)] for s in e.free_symbols})) for e in tensor.extents)
        arrays[tensor.name] = draw.normal(size=shape)
    axes = dict(program.axes)
    for names in looked.values():
        for name, axis in names.items():
            if name in arrays and axis in axes and "[T[" in str(program):
                arrays[name] = draw.integers(0, int(axes[axis]), size=arrays[name].shape)
    return arrays


def sizes_of(program: Program) -> dict[str, int]:
    return {str(s): SIZES[str(s)] for s in program.symbols if str(s) in SIZES}


def compare(sharded: Sharded, whole: dict[str, Any], found: dict[str, Any], mesh: DeviceMesh) -> None:
    """Every result is this rank's slice of the whole one; what is left as a sum over ranks adds up to it."""
    place, left = place_in(mesh), {name for name, state in sharded.left if state}
    degrees = dict(zip(mesh.mesh_dim_names or (), mesh.shape, strict=True))
    for tensor in sharded.whole.outputs:
        mine, expected = (
            found[tensor.name],
            slices(sharded, {tensor.name: whole[tensor.name]}, place, degrees)[tensor.name],
        )
        if tensor.name in left:
            total = torch.from_numpy(np.ascontiguousarray(mine)).clone()
            dist.all_reduce(total)
            # Ranks of a dimension over which it is no sum hold the same, each once.
            dims = next(dict(state) for name, state in sharded.left if name == tensor.name)
            alike = [d for d in degrees if d not in dims]
            mine = total.numpy() / np.prod([degrees[d] for d in alike if not sharded_over(sharded, tensor, d)] or [1])
            if any(sharded_over(sharded, tensor, d) for d in alike):
                continue
        np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=1e-9)


def sharded_over(sharded: Sharded, tensor: Any, over: str) -> bool:
    return any(c.over == over and c.axis in tensor.indices for c in sharded.cuts)


def check(
    name: str, sharded: Sharded, arrays: dict[str, Any], mesh: DeviceMesh, given: dict[str, Any]
) -> dict[str, Any]:
    """Run one cut program and compare results and bytes; `given` are results of parts before it that are left as sums."""
    whole_program, place = sharded.whole, place_in(mesh)
    degrees = dict(zip(mesh.mesh_dim_names or (), mesh.shape, strict=True))
    sizes = sizes_of(whole_program)
    whole = interpret(whole_program, arrays, sizes)
    mine = slices(sharded, arrays, place, degrees) | given
    with count_sent() as sent:
        found = run_sharded(sharded, mine, mesh, **sizes)
    predicted = {k: v for k, v in sharded_bytes(sharded, degrees, place, WORD, **sizes).items() if v}
    assert dict(sent.bytes) == predicted, (name, dict(sent.bytes), predicted)
    compare(sharded, whole, found, mesh)
    return whole | {f"local {k}": v for k, v in found.items()}


def check_layer(parts: tuple[RankPart, ...], mesh: DeviceMesh, draw: np.random.Generator) -> int:
    """Check every part; the experts' parts pass their results on, as sums over ranks."""
    known: dict[str, Any] = {}
    degrees = dict(zip(mesh.mesh_dim_names or (), mesh.shape, strict=True))
    made: dict[str, tuple[Any, Any]] = {}
    for part in parts:
        program = part.whole.program
        arrays = inputs(program, draw)
        chained = kind_of(part.name) == "experts"
        given: dict[str, Any] = {}
        if chained:
            arrays |= {k: known[k] for k in arrays if k in known}
            given = {k: known[f"local {k}"] for k in arrays if f"local {k}" in known}
        read = {"A": "O"} if part.name == "out" else {}
        for name in [] if chained else list(arrays):
            whole, local = made.get(read.get(name, name), (None, None))
            if whole is not None and whole.shape == np.shape(arrays[name]) and name not in ("X", "T"):
                # What one part leaves on a rank is what the next one reads there.
                arrays[name] = whole
                mine = slices(part.sharded, {name: whole}, place_in(mesh), degrees)[name]
                np.testing.assert_allclose(local, mine, rtol=1e-9, atol=1e-9)
                linked.append(name)
        found = check(part.name, part.sharded, arrays, mesh, given)
        if not chained and not part.sharded.left:
            made |= {k: (v, found[f"local {k}"]) for k, v in found.items() if f"local {k}" in found}
        if chained:
            known |= found | {"T": arrays["T"]} if "T" in arrays else found
    return len(parts)


def composed(parts: tuple[RankPart, ...]) -> Program:
    """Return the routed experts' parts as one program, up to each expert's own result."""
    routed = [p.whole.program for p in parts if p.where == "experts"]
    program = routed[0]
    for more in routed[1:]:
        program = program + more
    return program


def check_dispatch(parts: tuple[RankPart, ...], mesh: DeviceMesh, draw: np.random.Generator) -> int:
    """Tokens stand on the ranks; rows travel to their experts and back."""
    program = composed(parts)
    number, width, place = int(program.size_of("x")), int(program.size_of("c")), place_in(mesh)
    ranks = mesh.size()
    one = Program(
        program.statements, tuple((a, e * 0 + 1 if a == "k" else e) for a, e in program.axes), program.declarations
    )
    cut = shard_program(one, [Cut("x", ranks, "ep")], leave=["V"])
    arrays = inputs(program, draw)
    whole = interpret(program, arrays, sizes_of(program))["V"]
    mine = {**slices(cut, {t.name: arrays[t.name] for t in program.weights}, place)}
    mine |= {k: np.array_split(arrays[k], ranks, axis=1)[place["ep"]] for k in ("X", "T")}
    with count_sent() as sent:
        found = run_experts(program, cut, mine, mesh)["V"]
    np.testing.assert_allclose(found, np.array_split(whole, ranks, axis=1)[place["ep"]], rtol=1e-9, atol=1e-9)
    rows = mine["T"].reshape(-1).tolist()
    assert sent.bytes["all_to_all X"] == dispatched_bytes(rows, number, ranks, place["ep"], width, WORD)
    # Back go the rows of others that this rank's experts made.
    others = [t for r, t in enumerate(np.array_split(arrays["T"], ranks, axis=1)) if r != place["ep"]]
    made = sum(int(np.sum(t * ranks // number == place["ep"])) for t in others)
    assert sent.bytes["all_to_all V"] == made * width * WORD
    return 1


def check_sequence(mesh: DeviceMesh, draw: np.random.Generator) -> int:
    """A block between a gather and a scatter along the sequence."""
    from attometer.program import parse

    text = "axis i: n, c: 6, f: 8\nweight U[c,f], W[f,c]\nH[b,i,f] = X[b,i,c] * U[c,f]\nM[b,i,f] = silu(H[b,i,f])\n"
    program = parse("input X[b,i,c]\n" + text + "Y[b,i,c] = M[b,i,f] * W[f,c]")
    sharded = shard_program(program, [Cut("f", mesh.size())], sequence={"tp": "i"})
    assert [c.kind for c in sharded.collectives] == ["all_gather", "reduce_scatter"]
    check("split sequence", sharded, inputs(program, draw), mesh, {})
    return 1


def main() -> None:
    seed, rounds = int(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group("gloo")
    world = dist.get_world_size()
    meshes = {
        "tp": init_device_mesh("cpu", (world,), mesh_dim_names=("tp",)),
        "ep": init_device_mesh("cpu", (world,), mesh_dim_names=("ep",)),
    }
    if world == 4:
        meshes["both"] = init_device_mesh("cpu", (2, 2), mesh_dim_names=("ep", "tp"))
    checked = 0
    for number in range(rounds):
        choose, draw = random.Random(seed + number), np.random.default_rng(seed + number)
        for kind in KINDS:
            cost = model_cost(small_model(kind, world, choose))
            routed = any(p.part.routed for row in cost.rows for p in row.parts)
            ways = [("tp", LayerDegrees(world, world, 1, world))]
            if routed:
                ways.append(("ep", LayerDegrees(1, 1, world, 1)))
                ways += [("both", LayerDegrees(2, 2, 2, 2))] if world == 4 else []
            for name, degrees in ways:
                for row in rank_layers(cost, degrees):
                    parts = row.running
                    if name != "tp":
                        parts = tuple(p for p in parts if kind_of(p.name) == "experts")
                    checked += check_layer(parts, meshes[name], draw) if parts else 0
                    if name == "ep" and any(p.where == "experts" for p in parts):
                        checked += check_dispatch(parts, meshes["ep"], draw)
        checked += check_sequence(meshes["tp"], draw)
    if dist.get_rank() == 0:
        print(f"checked {checked}")
        assert {"Q", "K", "V", "A", "L", "H", "M"} <= set(linked), set(linked)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
