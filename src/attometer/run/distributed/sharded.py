"""A Program cut over processes: each interprets its slices in float64, and the collectives of the cut are real messages."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy
import torch
from numpy.typing import ArrayLike, NDArray
from torch.distributed.device_mesh import DeviceMesh

from attometer.program import Program
from attometer.run.distributed.collectives import all_gather, all_reduce, reduce_scatter
from attometer.run.distributed.exchange import all_to_all
from attometer.run.distributed.mesh import Ranks, ranks_of
from attometer.schedule.sharding import Collective, Sharded
from attometer.simulate import interpret
from attometer.sizes import size

Arrays = dict[str, NDArray[Any]]


def place_in(mesh: DeviceMesh) -> dict[str, int]:
    """Return this process's number in each dimension of a mesh."""
    return {name: int(mesh.get_local_rank(name)) for name in mesh.mesh_dim_names or ()}


def slices(
    sharded: Sharded,
    arrays: Mapping[str, ArrayLike],
    place: Mapping[str, int],
    degrees: Mapping[str, int] | None = None,
) -> Arrays:
    """Return the slices of whole arrays that the rank at `place` holds, padded with zeros; inputs, weights or results.

    What is gathered first or scattered in the end is cut over the `degrees` of its mesh dimension.

    >>> from attometer.program import parse
    >>> from attometer.schedule.sharding import Cut, shard_program
    >>> row = parse("axis i: n, c: 4, o: 1" + chr(10) + "Y[i,o] = X[i,c] * W[c,o]")
    >>> slices(shard_program(row, [Cut("c", 2)]), {"X": [[1, 2, 3, 4]]}, {"tp": 1})["X"]
    array([[3, 4]])
    """
    found = {}
    for name, value in arrays.items():
        array = np.asarray(value)
        for position, axis in sharded.cut_axes(sharded.whole.tensors[name]).items():
            start, end, length = sharded.slice_of(axis, place)
            array = np.take(array, range(start, end), axis=position)
            padding = [(0, length - (end - start) if k == position else 0) for k in range(array.ndim)]
            array = np.pad(array, padding)
        found[name] = array
    for collective in sharded.collectives:
        if collective.axis is not None and collective.tensor in found:
            position, over = sharded.whole.tensors[collective.tensor].indices.index(collective.axis), collective.over[0]
            split = np.array_split(found[collective.tensor], (degrees or {}).get(over, 1), axis=position)
            found[collective.tensor] = split[place.get(over, 0)]
    return found


def run_sharded(sharded: Sharded, arrays: Mapping[str, ArrayLike], mesh: DeviceMesh, **sizes: int) -> Arrays:
    """Interpret this process's share of a cut program in float64, with its collectives as messages over `mesh`.

    Args:
        sharded: the program, cut.
        arrays: this process's slices of the inputs (`slices` makes them).
        mesh: named dimensions, those that the program is cut over among them.
        sizes: sizes that the arrays' shapes do not tell.

    Returns:
        Every tensor that it computes, by name: its slices, or sums that the program leaves.

    Raises:
        LostRank: another process is gone.
    """
    place = place_in(mesh)
    held = {name: np.asarray(value) for name, value in arrays.items()}
    waiting: dict[int, list[Collective]] = {c.at: [] for c in sharded.collectives}
    for collective in sharded.collectives:
        if collective.kind == "all_gather":
            held[collective.tensor] = _performed(sharded, collective, held[collective.tensor], mesh, sizes)
        else:
            waiting[collective.at].append(collective)

    def between(at: int, now: Arrays) -> None:
        for collective in waiting.get(at, ()):
            now[collective.tensor] = _performed(sharded, collective, now[collective.tensor], mesh, sizes)

    return interpret(sharded.local(place), held, sizes, between)


def _performed(
    sharded: Sharded, collective: Collective, array: NDArray[Any], mesh: DeviceMesh, sizes: Mapping[str, int]
) -> NDArray[Any]:
    ranks, x = group(mesh, collective.over), torch.from_numpy(np.ascontiguousarray(array))
    purpose = f"{collective.kind} {collective.tensor}"
    if collective.kind in ("all_reduce", "all_max"):
        return _array(all_reduce(ranks, purpose, x, collective.kind == "all_max"))
    tensor = sharded.whole.tensors[collective.tensor]
    at = tensor.indices.index(collective.axis or "")
    if collective.kind == "reduce_scatter":
        return _array(reduce_scatter(ranks, purpose, x, at))
    length = int(tensor.extents[at].xreplace({size(k): sympy.Integer(v) for k, v in sizes.items()}))
    return _array(all_gather(ranks, purpose, x, length, at))


def _array(x: torch.Tensor) -> NDArray[Any]:
    return np.asarray(x.numpy())


def group(mesh: DeviceMesh, over: tuple[str, ...]) -> Ranks:
    """Return the ranks of one dimension of a mesh, or of several taken as one."""
    names = tuple(name for name in mesh.mesh_dim_names or () if name in over)
    if len(names) == 1:
        return ranks_of(mesh[names[0]])
    return ranks_of(mesh[names]._flatten("_".join(names)))


def run_experts(program: Program, cut: Sharded, arrays: Mapping[str, ArrayLike], mesh: DeviceMesh) -> Arrays:
    """Run routed experts whose tokens stand on the ranks of "ep": each token's row travels to its experts' ranks and back.

    Args:
        program: the experts' parts as one Program, from `X[b,i,c]` and positions `T[b,i,k]` to `V[b,i,k,c]`.
        cut: the same with its experts cut over "ep", for one expert a row.
        arrays: this process's tokens `X` and `T`, and its experts' weights.
        mesh: with the dimension "ep".

    Returns:
        `V` of this process's tokens.
    """
    ranks = ranks_of(mesh["ep"])
    x, experts = np.asarray(arrays["X"], dtype=np.float64), np.asarray(arrays["T"])
    number = int(program.size_of("x"))
    owner = (experts * ranks.count // number).reshape(-1)
    token = np.repeat(np.arange(x.shape[0] * x.shape[1]), experts.shape[2])
    order = np.argsort(owner, kind="stable")
    rows, chosen = x.reshape(-1, x.shape[2])[token[order]], experts.reshape(-1)[order]
    leaving = np.bincount(owner, minlength=ranks.count)
    coming = _counts(ranks, leaving)
    ends = np.cumsum(leaving)[:-1]
    arrived = _exchange(ranks, "all_to_all X", np.split(rows, ends), coming, x.shape[2])
    wanted = _exchange(ranks, "experts", np.split(chosen.astype(np.float64), ends), coming, 1).reshape(-1)
    mine = {t.name: arrays[t.name] for t in program.weights}
    made = np.zeros((0, x.shape[2]))
    if len(arrived):
        inputs = {**mine, "X": arrived[None], "T": wanted.astype(np.int64).reshape(1, -1, 1)}
        made = interpret(cut.local(place_in(mesh)), inputs)["V"].reshape(len(arrived), -1)
    parts = np.split(made, np.cumsum(coming)[:-1])
    back = _exchange(ranks, "all_to_all V", parts, list(leaving), made.shape[1])
    result = np.empty_like(back)
    result[order] = back
    return {"V": result.reshape(*experts.shape, -1)}


def _counts(ranks: Ranks, leaving: NDArray[Any]) -> list[int]:
    """Return how many rows each rank sends here."""
    ones = [torch.tensor([int(count)]) for count in leaving]
    return [int(count) for count in torch.cat(all_to_all(ranks, "agreement", ones, [1] * ranks.count))]


def _exchange(ranks: Ranks, purpose: str, parts: list[NDArray[Any]], coming: list[int], width: int) -> NDArray[Any]:
    outgoing = [torch.from_numpy(np.ascontiguousarray(part)) for part in parts]
    received = all_to_all(ranks, purpose, outgoing, [int(count) * width for count in coming])
    return _array(torch.cat(received)).reshape(-1, width)
