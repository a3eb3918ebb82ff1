"""What one rank's cache holds: bytes per token and request, page by page, as an engine lays it out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil

import sympy

from attometer.count.placement.rank_cost import RankStage, shard
from attometer.count.placement.rank_layer import RankLayer
from attometer.engines.engine import Engine
from attometer.errors import AttometerError
from attometer.formats import CACHE_ROWS, storage
from attometer.models.layer import CacheSize, Model, Stack
from attometer.program import size
from attometer.schedule.placement import Placement

# Keys kept apart by windows, chunks or recurrent states reach their full size well before this many tokens.
FAR = 1 << 24
ALONE = Placement()
# The widths of a latent and its rotated key that the layouts of latents are made for.
LATENT = (512, 64)


@dataclass(frozen=True)
class LayerCache:
    """`layers` like layers of one rank: `growing` bytes per token while it grows, up to `window` tokens, and fixed `state` bytes.

    `elements` is the symbolic count in m that a compressed cache keeps; its bytes are `elements` × `element_bytes`.
    """

    kind: str
    layers: int
    elements: sympy.Expr
    element_bytes: Fraction
    growing: Fraction
    window: int | None
    state: int

    def bytes_at(self, tokens: int) -> int:
        """Return the bytes of one layer for one sequence of `tokens` tokens, without pages."""
        return ceil(int(_at(self.elements, tokens)) * self.element_bytes) + self.state


@dataclass(frozen=True)
class CacheLayout:
    """The cache of one rank under one engine, whose figures say how pages are made.

    >>> from attometer.engines import engine
    >>> from attometer.models import model
    >>> layout = cache_layout(model("llama-3.1-8b"), engine("vllm"))
    >>> layout.per_token, layout.request(1000)
    (131072, 132120576)
    """

    layers: tuple[LayerCache, ...]
    engine: Engine
    step: int
    drafts: int = 0

    @property
    def per_token(self) -> int:
        """Bytes that one more token takes in a long sequence."""
        return sum(each.layers * (each.bytes_at(2 * FAR) - each.bytes_at(FAR)) // FAR for each in self.layers)

    @property
    def block(self) -> int:
        """Tokens of one page: the engine's, or as many as make a page of keys as large as a page of states."""
        block = int(self.engine.version.block.value)
        state = max((each.state for each in self.layers), default=0)
        keys = max((each.growing for each in self.layers), default=Fraction(0))
        if not self.engine.version.state_pages or not state or not keys:
            return block
        return max(block, block * ceil(state / keys / block))

    def request(self, tokens: int) -> int:
        """Return the bytes that one sequence of `tokens` tokens takes, whole pages each."""
        return sum(each.layers * self._held(each, tokens) for each in self.layers)

    def _held(self, each: LayerCache, tokens: int) -> int:
        if not each.growing:
            # A state takes a page, which is as large as one of keys.
            keys = max((other.growing for other in self.layers), default=Fraction(0))
            paged = self.engine.version.state_pages and each.state and keys
            # Each draft token that may be refused keeps the state before it.
            return (self.engine.version.state_copies + self.drafts) * (
                ceil(keys * self.block) if paged else each.bytes_at(tokens)
            )
        block = self.block
        kept = tokens
        if each.window is not None:
            # A step writes its batch before the window moves on; the window may begin inside a page.
            extra = self.step if self.engine.version.window_extra else 0
            kept = min(tokens, each.window + extra)
        pages = block * -(-kept // block)
        return each.bytes_at(pages) if each.window is None else ceil(each.growing * pages) + each.state

    @property
    def pages(self) -> tuple[int, int]:
        """Bytes of one page of a whole group of layers, and how many groups share the pool.

        Layers of unlike kinds are grouped so that each group has as many layers as the smallest kind, and every group
        takes a page of the same size. States are among them where they share pages with keys; else a pool of their own.
        """
        counts: dict[tuple[bool, int | None], int] = {}
        for each in self.layers:
            if each.growing or (each.state and self.engine.version.state_pages):
                key = (bool(each.growing), each.window)
                counts[key] = counts.get(key, 0) + each.layers
        if not counts:
            return 0, 0
        if len(counts) == 1:  # one kind: each layer's page is as large as its own keys (a draft's beside the model's)
            return sum(each.layers * ceil(each.growing * self.block) for each in self.layers), 1
        least, most = min(counts.values()), max(counts.values())
        # Groups that are nearly alike are padded to the largest (at most a quarter of the layers idle).
        together = most if most < least * 1.25 else least
        page = max(ceil(each.growing * self.block) for each in self.layers)
        return page * together, sum(-(-count // together) for count in counts.values())


@lru_cache(maxsize=512)
def cache_layout(
    model: Model,
    engine: Engine,
    place: Placement = ALONE,
    kv_format: str = "bf16",
    state_format: str | None = None,
    step: int = 8192,
    drafts: int = 0,
    above: int = 0,
) -> CacheLayout:
    """Return how the rank with the largest cache keeps it, page by page.

    Args:
        model: the model.
        engine: whose pages they are.
        place: how the model is spread over devices.
        kv_format: format of keys, values and latents, or a layout of latents (`fp8_ds_mla`).
        state_format: format of recurrent states; what the model's file asks for, else the engine's, when not given.
        step: tokens that a step may add, which layers with a window keep beside it.
        drafts: tokens of speculation in a step, for each of which recurrent layers keep another state.
        above: layers, from the first on, whose cache lies elsewhere.

    Raises AttometerError for an unknown format, or a layout of latents on a model without.
    """
    bits = Fraction(0) if kv_format in CACHE_ROWS else storage(kv_format).bits
    states = storage(state_format or _state_format(model) or engine.version.states or "bf16").bits / 8
    stages = [
        tuple(
            _layer_cache(
                _kept(row, engine, model), times, stack.layer.cache, place, (kv_format, bits, states), model.name
            )
            for row, times, stack in _held(stage, model, above)
        )
        for stage in shard(model, place).stages
    ]
    return max((CacheLayout(layers, engine, step, drafts) for layers in stages), key=lambda layout: layout.request(FAR))


def _held(stage: RankStage, model: Model, above: int) -> Iterator[tuple[RankLayer, int, Stack]]:
    """Yield the rows of a stage's layers from number `above` on, how many it has of each, and the stack that they are of."""
    inside = set(stage.layers)
    stacks = [stack for stack in model.layers if inside.intersection(stack.indices)]
    rows = [(row, times) for row, times in stage.held if row.kind not in ("embedding", "head")]
    for (row, times), stack in zip(rows, stacks, strict=True):
        left = times - len([k for k in stack.indices if k in inside and k < above])
        if left:
            yield row, left, stack


def _kept(row: RankLayer, engine: Engine, model: Model) -> RankLayer:
    """Return a layer of a rank as the engine keeps it: with every token, where it does not know the layer's window."""
    whole = engine.version.ignores_windows(model.family) and window_of(row.kv) is not None
    return replace(row, kv=_at(row.kv, 1) * size("m")) if whole else row


def _layer_cache(
    row: RankLayer, times: int, kept: CacheSize, place: Placement, form: tuple[str, Fraction, Fraction], name: str
) -> LayerCache:
    """Return the cache of one layer on one rank; `kept` is what the whole layer keeps."""
    kv_format, bits, states = form
    element = bits / 8 / place.cp
    if kv_format in CACHE_ROWS and row.kv != 0:
        if kept.latent != LATENT:
            held = "keys and values" if kept.latent is None else f"latents of {kept.latent[0]} + {kept.latent[1]}"
            raise AttometerError(f'cache format "{kv_format}" holds latents of 512 + 64; {name} keeps {held}')
        # An index beside the latents keeps 8 bits an element, and a scale per 128.
        row_bytes = CACHE_ROWS[kv_format][0] + kept.index * Fraction(33, 32)
        element = Fraction(row_bytes, place.cp) / int(_at(row.kv, 1))
    window = window_of(row.kv)
    at = FAR if window is None else window
    # The inputs that a convolution still needs stay in 16 bits; the recurrence keeps its own format.
    tail = -(-kept.conv // place.attention_tp)
    state = tail * 2 + ceil((row.state - tail) * states)
    return LayerCache(row.kind, times, row.kv, element, element * int(_at(row.kv, at)) / at, window, state)


def _at(elements: sympy.Expr, tokens: int) -> sympy.Expr:
    """Return a count at so many keys, and as many source tokens where there is an encoder."""
    return elements.xreplace({size("m"): sympy.Integer(tokens), size("s"): sympy.Integer(tokens)})


def _state_format(model: Model) -> str | None:
    """Return the format of recurrent states that the file asks for, if it does."""
    for place in (model.text_values, model.values):
        for key in ("mamba_ssm_cache_dtype", "mamba_ssm_dtype"):
            if place.get(key):
                return str(place[key])
    return None


def window_of(kept: sympy.Expr) -> int | None:
    """Return the tokens after which a layer's cache no longer grows; None where it goes on growing."""
    if kept == 0 or _at(kept, 2 * FAR) != _at(kept, FAR):
        return None
    return max(int(bound) for found in kept.atoms(sympy.Min) for bound in found.args if bound.is_Integer)


def tokens(pool: int, layout: CacheLayout, length: int | None = None) -> int:
    """Return the tokens that a pool holds, as the engine's log prints it.

    Args:
        pool: bytes of one rank.
        layout: of the cache.
        length: the longest sequence, by which newer versions count a hybrid model.

    >>> from attometer.engines import engine
    >>> from attometer.models import model
    >>> tokens(10 * 2**30, cache_layout(model("llama-3.1-8b"), engine("vllm")))
    81920
    """
    if pool <= 0:
        return 0
    page, groups = layout.pages
    if not page:
        # Nothing grows: states alone say how many sequences there are, however long.
        return requests(pool, layout, length or FAR) * (length or FAR)
    if groups <= 1 or layout.engine.version.tokens_by == "groups":
        return pool // page // groups * layout.block
    longest = length or FAR
    return int(Fraction(pool // page * page, layout.request(longest)) * longest)


def requests(pool: int, layout: CacheLayout, length: int) -> int:
    """Return how many sequences of `length` tokens a pool holds at once.

    >>> from attometer.engines import engine
    >>> from attometer.models import model
    >>> requests(10 * 2**30, cache_layout(model("llama-3.1-8b"), engine("vllm")), 8192)
    10
    """
    return max(pool, 0) // layout.request(length) if layout.request(length) else 0


def largest_context(pool: int, layout: CacheLayout, most: int = FAR) -> int:
    """Return the longest sequence, up to `most` tokens, whose cache the pool holds; 0 when not even one page fits.

    >>> from attometer.engines import engine
    >>> from attometer.models import model
    >>> largest_context(10 * 2**30, cache_layout(model("llama-3.1-8b"), engine("vllm")))
    81920
    """
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if layout.request(middle) <= pool else (low, middle - 1)
    return low
