"""Attention over a sequence that is spread over ranks: arguments checked, ranks agreed, ring or Ulysses chosen."""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.distributed.device_mesh import DeviceMesh

from attometer.errors import AttometerError, unknown
from attometer.program import Mask
from attometer.run.biases import Bias, terms
from attometer.run.distributed.agreement import agree, digest
from attometer.run.distributed.block_plan import Split
from attometer.run.distributed.layout import Layout, layout_of
from attometer.run.distributed.local import Scores
from attometer.run.distributed.mesh import Ranks, ranks_of
from attometer.run.distributed.ring import Ring, RingAttention
from attometer.run.distributed.ulysses import Ulysses, UlyssesAttention
from attometer.run.validation import DTYPES, Call, check

METHODS = ("auto", "ring", "ulysses")

Result: TypeAlias = torch.Tensor | tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Request:
    """The arguments of one call on one rank."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    mesh: DeviceMesh
    mask: Mask | None
    bias: Any
    scale: float | None
    layout: str | Layout
    key_layout: str | Layout | None
    replicate_kv: bool


def distributed_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    mesh: DeviceMesh,
    mask: Mask | None = None,
    bias: "Bias | tuple[Bias, ...] | None" = None,
    scale: float | None = None,
    impl: str = "auto",
    return_lse: bool = False,
    layout: str | Layout = "zigzag",
    key_layout: str | Layout | None = None,
    replicate_kv: bool = False,
) -> Result:
    """Softmax attention of a sequence whose positions are spread over the ranks of a mesh; exact, forward and backward.

    Every rank calls it with its own shard, and if gradients are wanted every rank calls backward.

    Args:
        q: this rank's queries [b, h, n of the rank, d]; all ranks together hold n.
        k: this rank's keys [b, g, m of the rank, d], g divides h.
        v: this rank's values [b, g, m of the rank, e].
        mesh: a one-dimensional DeviceMesh, as from `sequence_mesh()`.
        mask: a mask over global positions; queries are the last n of m positions.
        bias: None or SoftCap; the others need positions or heads that do not lie on one rank.
        scale: factor of the scores, None for 1/sqrt(d).
        impl: "ring", "ulysses", or "auto": Ulysses if the heads divide over the ranks and it sends less, else ring.
        return_lse: whether to return the log-sum-exp too.
        layout: which positions each rank holds: "zigzag", "contiguous" or a Layout; see `shard_sequence`.
        key_layout: the same for keys and values, None for the scheme of `layout`.
        replicate_kv: allow Ulysses to send a key/value head to several ranks when there are fewer heads than ranks.

    Returns:
        Output [b, h, n of the rank, e] of q's dtype, with `return_lse` also the log-sum-exp [b, h, n of the rank].

    Raises:
        AttometerError: an argument is wrong on some rank or differs between ranks; raised on every rank.
        LostRank: a rank did not answer within the process group's timeout.

    Source: Liu et al. 2023, arXiv:2310.01889 (ring); Jacobs et al. 2023, arXiv:2309.14509 (Ulysses).
    """
    request = Request(q, k, v, mesh, mask, bias, scale, layout, key_layout, replicate_kv)
    ranks, split, scores = _agreed(request, impl)
    chosen = choose(q.shape[1], k.shape[1], ranks.count) if impl == "auto" else impl
    if chosen == "ring":
        output, lse = RingAttention.apply(q, k, v, Ring(ranks, split, scores))
    else:
        call = Ulysses(ranks, split, scores, q.shape[1], k.shape[1])
        output, lse = UlyssesAttention.apply(q, k, v, call, return_lse)
    return (output, lse) if return_lse else output


def ring_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, mesh: DeviceMesh, **options: Any) -> Result:
    """Ring attention of this rank's shards: `distributed_attention(..., impl="ring")`.

    Args, returns and raises as distributed_attention. Source: Liu et al. 2023, arXiv:2310.01889.
    """
    return distributed_attention(q, k, v, mesh=mesh, impl="ring", **options)


def ulysses_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, mesh: DeviceMesh, **options: Any) -> Result:
    """Ulysses attention of this rank's shards: `distributed_attention(..., impl="ulysses")`.

    Args, returns and raises as distributed_attention. Source: Jacobs et al. 2023, arXiv:2309.14509.
    """
    return distributed_attention(q, k, v, mesh=mesh, impl="ulysses", **options)


def choose(h: int, g: int, ranks: int) -> str:
    """Return the method that sends fewer bytes without a mask, for h query heads and g key/value heads.

    Per position and width a ring sends g heads (p - 1) times, Ulysses h + g heads (p - 1)/p times.

    >>> choose(8, 8, 2), choose(8, 8, 4), choose(32, 2, 4)
    ('ring', 'ulysses', 'ring')
    """
    return "ulysses" if h % ranks == 0 and g % ranks == 0 and h + g < g * ranks else "ring"


def _agreed(request: Request, impl: str) -> tuple[Ranks, Split, Scores]:
    ranks = ranks_of(request.mesh)
    device, problem, facts = request.mesh.device_type, None, None
    try:
        facts = _facts(request, impl, ranks.count)
    except AttometerError as error:
        problem = error
    found = agree(ranks, facts, device)
    if problem is not None:
        raise problem
    queries = _layout("q", request.layout, found.queries)
    keys = _layout("k", request.layout if request.key_layout is None else request.key_layout, found.keys)
    scale = 1.0 / math.sqrt(request.q.shape[3]) if request.scale is None else float(request.scale)
    return ranks, Split(request.mask, queries, keys), Scores(scale, terms(request.bias).cap)


def _facts(request: Request, impl: str, ranks: int) -> dict[str, int]:
    q, k, v = request.q, request.k, request.v
    if impl not in METHODS:
        raise unknown("impl", impl, METHODS)
    bias = terms(request.bias)
    check(Call(q, k, v, request.mask, bias, request.scale))
    if set(bias.names()) - {"softcap"}:
        raise AttometerError(f"bias: got {', '.join(bias.names())}, expected None or a soft cap on several processes")
    if q.device.type != request.mesh.device_type:
        raise AttometerError(f"q: got device {q.device.type}, expected the mesh's {request.mesh.device_type}")
    if impl == "ulysses":
        _check_heads(q.shape[1], k.shape[1], ranks, request.replicate_kv)
    options = (request.scale, bias.cap, impl, request.layout, request.key_layout, request.replicate_kv)
    return {
        "batch": q.shape[0],
        "query heads": q.shape[1],
        "key/value heads": k.shape[1],
        "width of queries and keys": k.shape[3],
        "width of values": v.shape[3],
        "dtype": DTYPES.index(q.dtype),
        "gradient wanted": int(torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))),
        "mask": digest(request.mask),
        "choice of scale, bias, impl or layout": digest(options),
        "query length": q.shape[2],
        "key length": k.shape[2],
    }


def _check_heads(h: int, g: int, ranks: int, replicate: bool) -> None:
    if h % ranks:
        raise AttometerError(
            f'q: got {h} heads, expected a multiple of the {ranks} ranks for impl="ulysses"; impl="ring" takes any number'
        )
    if g % ranks and not (replicate and ranks % g == 0):
        hint = (
            "pass replicate_kv=True to send each to several ranks" if ranks % g == 0 else 'impl="ring" takes any number'
        )
        raise AttometerError(
            f'k: got {g} key/value heads, expected a multiple of the {ranks} ranks for impl="ulysses"; {hint}'
        )


def _layout(argument: str, scheme: str | Layout, lengths: tuple[int, ...]) -> Layout:
    layout = layout_of(scheme, sum(lengths), len(lengths))
    if layout.lengths != lengths:
        name = f'layout "{scheme}"' if isinstance(scheme, str) else "the layout"
        raise AttometerError(
            f"{argument}: got lengths {lengths} on the ranks, expected {layout.lengths} of {name} for {layout.length} "
            "positions; cut the sequence with shard_sequence"
        )
    return layout
