"""What a rank sends in a forward pass: the collectives of its parts, of the split sequence, of experts and stages."""

from attometer.count.placement.collectives import Message
from attometer.count.placement.rank_layer import RankPart
from attometer.count.placement.rank_sizes import RankSizes
from attometer.program.operations import Tensor
from attometer.schedule.placement import Placement
from attometer.schedule.sharding import Collective


def stream_bytes(sizes: RankSizes, word: float) -> float:
    """Return the bytes of the replica's whole residual stream at the rank's positions."""
    return sizes.b * sizes.n * sizes.width * word


def part_messages(part: RankPart, sizes: RankSizes, word: float) -> tuple[Message, ...]:
    """Return what a rank sends for one part in one forward pass; `word` are bytes per element."""
    place = sizes.placement
    found = [m for c in part.sharded.collectives for m in _collective(part, c, sizes, word)]
    if part.kind == "experts" and place.dispatched:
        found += _dispatch(part, sizes, word)
    if part.where == "attention" and part.kind == "attention" and place.cp > 1:
        found += _context(part, sizes, word)
    if part.name == "head" and place.tp > 1:
        logits = part.payload(part.sharded.whole.outputs[0].name, sizes.b, 1, sizes.keys) * place.tp * word
        found.append(Message("all_gather", part.name, place.tp, place.tp, logits))
    return tuple(found)


def _collective(part: RankPart, found: Collective, sizes: RankSizes, word: float) -> list[Message]:
    place = sizes.placement
    b, n, m = sizes.of(part)
    payload = part.payload(found.tensor, b, n, m) * word
    if part.kind == "experts":
        # Either every rank of tp adds its experts' share, or the ranks of an expert add its hidden features'.
        ranks = (place.ep if "ep" in found.over else 1) * (int(place.expert_tp or 1) if "tp" in found.over else 1)
        return _block(part, Message(found.kind, part.name, ranks, ranks, payload), sizes, word)
    ranks = place.attention_tp if part.where == "attention" or part.cut.rule == "gathered" else place.tp
    payload *= ranks if found.kind == "all_gather" else 1
    return _block(part, Message(found.kind, part.name, ranks, ranks, payload), sizes, word)


def _block(part: RankPart, message: Message, sizes: RankSizes, word: float) -> list[Message]:
    """With sequence parallelism a block begins with a gather and ends with a scatter, which together send what one
    all-reduce sends (Korthikanti et al. 2022); so do tensor-parallel blocks between data-parallel attention."""
    place = sizes.placement
    between = place.attention_dp > 1 and part.where != "attention"
    if message.kind != "all_reduce" or message.ranks != place.tp or not (place.sp or between):
        return [message]
    scattered = Message("reduce_scatter", message.part, message.ranks, message.reach, message.payload)
    if part.kind == "embedding":
        return [scattered]
    return [Message("all_gather", message.part, message.ranks, message.reach, message.payload), scattered]


def _dispatch(part: RankPart, sizes: RankSizes, word: float) -> list[Message]:
    """Return the way of tokens to their experts' ranks, before the first of the experts' parts, and back, after the last."""
    place = sizes.placement
    top_k = int(dict(part.whole.program.axes)["k"])
    rows = sizes.own_tokens * top_k * sizes.width * word
    inputs = {t.name for t in part.whole.program.inputs if t.role == "input"}
    first, last = "X" in inputs, part.where != "experts"
    found = []
    if first or last:
        found.append(Message("all_to_all", part.name, place.ep, place.expert_ranks, rows))
        gathered = int(place.expert_tp or 1)
        if gathered > 1:
            kind = "all_gather" if first else "reduce_scatter"
            found.append(Message(kind, part.name, gathered, gathered, rows * gathered))
    if last and place.tp > 1 and not place.sp and place.attention_dp == 1:
        found.append(Message("all_gather", part.name, place.tp, place.tp, stream_bytes(sizes, word)))
    return found


def _context(part: RankPart, sizes: RankSizes, word: float) -> list[Message]:
    """Return the keys and values that go round the ring, or what Ulysses exchanges."""
    place, program = sizes.placement, part.sharded.program
    reach = place.tp * place.cp
    keys = -(-sizes.keys // place.cp)
    ends = [t for t in (*program.inputs, *program.outputs) if t.role in ("input", "cache", "output")]
    if place.cp_method == "ring":
        moving = sum(part.payload(t.name, sizes.attention_b, sizes.n, keys) for t in ends if _of_keys(t)) * word
        return [Message("send", part.name, 2, reach, moving, place.cp - 1)]
    exchanged = sum(part.payload(t.name, sizes.attention_b, sizes.n, keys) for t in ends)
    return [Message("all_to_all", part.name, place.cp, reach, exchanged * word)]


def _of_keys(tensor: Tensor) -> bool:
    return "j" in tensor.indices and "i" not in tensor.indices


def pass_messages(place: Placement, stage: int, sizes: RankSizes, word: float) -> tuple[Message, ...]:
    """Return what a stage sends to the next one: the residual stream, once for each of its pieces of layers."""
    if place.pp == 1:
        return ()
    last = stage == place.pp - 1
    times = place.interleave - last
    payload = sizes.stream_tokens * sizes.width * word
    return (Message("send", "stage", 2, place.tp * place.cp * place.dp * 2, payload, times),) if times else ()
