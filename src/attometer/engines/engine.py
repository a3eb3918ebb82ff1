"""Serving engines as data: what each version reserves, rounds and profiles, every figure with its source or its fit."""

import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from attometer.errors import AttometerError, unknown

GIB = 2**30
NAMES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "mlx", "transformers", "gpt-fast", "torch")
"""The engines, as people write them."""

Term = Literal["weights", "runtime", "communication", "activations", "graphs"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fit(_Frozen):
    """How many logs a value was fitted on and what they leave (GiB, median); the file says on which day, and what scores it."""

    rows: int = Field(ge=1)
    residual: float = Field(ge=0)


class Stated(_Frozen):
    """A number with its source, or with the logs that it was fitted on."""

    value: float = Field(ge=0)
    source: str | None = None
    fit: Fit | None = None

    @model_validator(mode="after")
    def _known(self) -> "Stated":
        if (self.source is None) == (self.fit is None):
            raise ValueError("a figure has either a source or a fit")
        return self

    @property
    def provenance(self) -> str:
        """The source, or what it was fitted on."""
        if self.fit is None:
            return str(self.source)
        return f"fitted on {self.fit.rows} logs, median residual {self.fit.residual:g} GiB"


class Degree(Stated):
    """A number for groups of up to `degree` devices."""

    degree: int = Field(ge=2)


class Scale(_Frozen):
    """Defaults that go by the size of the device: from `gib` GiB seen, `tokens` per batch and `requests` at once (`wide` where
    four devices or more share a layer); not for devices whose names hold one of `but`."""

    gib: float
    tokens: int
    requests: int
    wide: int | None = None
    but: tuple[str, ...] = ()

    def at_once(self, tp: int) -> int:
        """Return the requests of one step for a tensor-parallel degree."""
        return self.wide if self.wide is not None and tp >= 4 else self.requests


class Reserve(_Frozen):
    """What an engine sets aside where no fraction is given, in MiB: a fixed part, parts per batched token (at least
    `tokens` of them), per request, per rank and per replica of attention and request, and on devices above `large` GiB at least `least`."""

    fixed: float
    token: float
    tokens: int
    request: float
    rank: float
    replica: float
    large: float
    least: float
    source: str

    def fraction(self, mib: float, tokens: int, requests: int, ranks: int, replicas: int) -> float:
        """Return the fraction that is left of a device of so many MiB."""
        held = self.fixed + self.token * max(tokens, self.tokens) + self.request * requests + self.rank * ranks
        held += self.replica * requests * replicas if replicas > 1 else 0
        return round(1 - max(held, self.least if mib > self.large * 1024 else 0) / mib, 3)


class Padding(_Frozen):
    """From version `since` on expert matrices in `format` are padded: their model width to multiples of `width`, their inner
    width to multiples of `inner`; and rows of a multiple of `stride` bytes by `tail` bytes, so that they meet in no bank."""

    format: str
    since: str = "0"
    width: int = 1
    inner: int = 1
    stride: int = 0
    tail: int = 0
    source: str


class Version(_Frozen):
    """What versions from `since` on do, until the next one listed.

    Attributes:
        since: the first version.
        before: what is taken from the memory seen before the fraction applies.
        inside: what is taken from the fraction; the pool is what is left. Terms in neither live in what the fraction leaves.
        fraction: the share of memory (utilisation, static fraction) when none is given, unless `reserve` says it.
        fractions: that share by tensor-parallel degree, where it goes by it.
        block: tokens of one page of the cache.
        unwindowed: families whose windows the engine does not know: their layers keep every token.
        window_extra: whether layers with a window keep the batch of a step beside it.
        state_pages: whether recurrent states and keys share pages of one size, by groups of layers.
        state_copies: pages of states that a request takes in each group of layers: a prefix that can be met again keeps one more.
        tables: whether each rank keeps cosines and sines of every position beside its weights.
        states: format of recurrent states where the model's file asks for none; the model's own when absent.
        tokens_by: whether the tokens of hybrid models are counted by `groups` of layers or by whole `requests`.
        step: how the memory of a step is found: by a `profile` run, or as a `graph` that is allocated once (llama.cpp), with
            attention scores in it where there is no `flash` attention.
        lookup: where an embedding that is no head as well is kept: its rows are looked up by the host.
        towers: beginnings of the families of towers that a tensor-parallel group shares; others stand whole on each of its devices.
        driver: what the runtime sees less than the driver reports: a fixed part in GiB and a share.
        runtime, communication: GiB of one process, and of the links of a tensor-parallel group by its degree.
        pcie: GiB of the links of a group whose devices no NVLink joins; as `communication` says when absent.
        streams: copies of the residual stream alive beside the largest part's tensors of a step.
        sampler: fp32 copies of requests × vocabulary alive at once when the sampler is warmed up.
        expert_work: GiB more that models with experts need.
        tower_work: GiB more that models with a tower for images of any size need, which the warm-up encodes at their largest.
        graphs: GiB of captured graphs: a fixed part, and what 1,024 requests at once add.
        scales: batched tokens and requests by device size, largest first.
        whole: a step is one whole prompt, of at least the tokens of its scale, for prompts of up to so many tokens.
        cut: tokens of a step of longer prompts than that.
        items: by the beginnings of families whose images see both ways, the tokens of their largest item: a step holds one whole.
    """

    since: str
    before: tuple[Term, ...] = ()
    inside: tuple[Term, ...]
    fraction: Stated
    fractions: tuple[Degree, ...] = ()
    reserve: Reserve | None = None
    block: Stated
    unwindowed: tuple[str, ...] = ()
    window_extra: bool = False
    state_pages: bool = False
    state_copies: int = Field(default=1, ge=1)
    tables: bool = False
    states: str | None = None
    tokens_by: Literal["groups", "requests"] = "requests"
    step: Literal["profile", "graph"] = "profile"
    flash: bool = True
    lookup: Literal["device", "host"] = "device"
    towers: tuple[str, ...] = ()
    driver: tuple[Stated, Stated]
    runtime: Stated
    communication: tuple[Degree, ...] = ()
    pcie: Stated | None = None
    streams: Stated = Stated(value=2, source="the stream and what a part reads of it")
    sampler: Stated
    expert_work: Stated
    tower_work: Stated | None = None
    graphs: tuple[Stated, Stated]
    scales: tuple[Scale, ...]
    scales_source: str
    whole: int = 0
    cut: int = 0
    items: tuple[tuple[str, int], ...] = ()

    def graph_gib(self, requests: int) -> float:
        """Return the GiB of graphs that are captured for up to `requests` requests at once."""
        fixed, more = self.graphs
        return fixed.value + more.value * requests / 1024

    def scale(self, seen: int, device: str = "") -> Scale:
        """Return the defaults for a device of which `seen` bytes are seen, by its name where that counts."""
        return next(s for s in self.scales if seen >= s.gib * GIB and not any(name in device for name in s.but))

    def ignores_windows(self, family: str) -> bool:
        """Say whether layers with a window keep every token of models of a family."""
        return bool(self.unwindowed) and family.startswith(self.unwindowed)

    def item(self, family: str) -> int:
        """Return the tokens that a step of a family of models has at least."""
        return max((tokens for start, tokens in self.items if family.startswith(start)), default=0)

    def step_tokens(self, scale: Scale, length: int, family: str = "") -> int:
        """Return the tokens of one step where sequences have up to `length` tokens, of a family of models.

        >>> found = engine("vllm@0.6.3").version
        >>> [found.step_tokens(found.scales[-1], length) for length in (1000, 20_000, 120_000)]
        [2048, 20000, 512]
        """
        if not self.whole:
            return max(scale.tokens, self.item(family))
        return max(scale.tokens, length) if length <= self.whole else self.cut


class Engine(_Frozen):
    """A serving engine at one version; `fitted` says when its fits were made and what scores them.

    >>> found = engine("vllm@0.14")
    >>> found.name, found.version.since, found.version.fraction.value
    ('vllm', '0.11', 0.9)
    """

    name: str
    version: Version
    fitted: str
    padding: tuple[Padding, ...] = ()

    @property
    def title(self) -> str:
        """The name, and the first version that it stands for where versions differ."""
        return self.name if self.version.since == "0" else f"{self.name} {self.version.since} or later"

    def __str__(self) -> str:
        return self.title


class _File(_Frozen):
    fitted: str
    superseded: tuple[str, ...] = ()
    padding: tuple[Padding, ...] = ()
    versions: tuple[Version, ...] = Field(min_length=1)


_SPELLED = {
    "trtllm": "tensorrt-llm", "trt-llm": "tensorrt-llm", "tensorrt_llm": "tensorrt-llm", "llamacpp": "llama.cpp",
    "llama-cpp": "llama.cpp", "ollama": "llama.cpp", "hf": "transformers", "mlx-lm": "mlx", "gptfast": "gpt-fast",
    "pytorch": "torch",
}  # fmt: skip


def canonical(text: str) -> tuple[str, str | None]:
    """Return an engine's name in the words of `NAMES`, where it is one, and the version that stands behind it.

    >>> canonical("llamacpp b6325"), canonical("ollama"), canonical("axolotl")
    (('llama.cpp', '6325'), ('llama.cpp', None), ('axolotl', None))
    """
    match = re.fullmatch(r"\s*([a-z][a-z._-]*?)[\s@=:]*[vb]?(\d[\w.+-]*)?\s*", str(text).lower())
    return (str(text), None) if match is None else (_SPELLED.get(match[1], match[1]), match[2])


@lru_cache(maxsize=64)
def engine(text: str, platform: str = "cuda") -> Engine:
    """Return the engine that `text` names, as in `vllm`, `vllm@0.19` or `"vLLM 0.11.2"`; the newest version without one.

    Args:
        text: name and version.
        platform: `cuda`, or `rocm` where the engine has figures of its own for it.

    Raises AttometerError for an unknown name, or a version that is no number.
    """
    name, version_said = canonical(text)
    if name not in NAMES:
        raise unknown("engine", text, NAMES)
    read = _read(name, platform)
    wanted = None if version_said is None else _numbers(version_said)
    found = read.versions[0]
    for version in read.versions:
        if wanted is None or _numbers(version.since) <= wanted:
            found = version
    padding = tuple(rule for rule in read.padding if wanted is None or _numbers(rule.since) <= wanted)
    return Engine(name=name, version=found, fitted=read.fitted, padding=padding)


@lru_cache(maxsize=1)
def superseded() -> frozenset[str]:
    """Return the engines of measurements, by their names there, that have changed too much since to stand for what runs now.

    >>> superseded()
    frozenset({'vllm (2023, splitwise paper)'})
    """
    return frozenset(name for one in NAMES for name in _read(one, "cuda").superseded)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: those of a build (`+cu128`, `rc1`) do not count."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _in_full(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a file with each version in full: it says what differs from the one before it."""
    versions: list[dict[str, Any]] = []
    for own in values.get("versions", ()):
        versions.append({**(versions[-1] if versions else {}), **own})
    return {**values, "versions": versions}


def _read(name: str, platform: str) -> _File:
    folder = files("attometer") / "data" / "engines"
    own = folder / f"{name}-{platform}.toml"
    path = own if own.is_file() else folder / f"{name}.toml"
    try:
        return _File.model_validate(_in_full(tomllib.loads(path.read_text(encoding="utf-8"))))
    except ValidationError as error:
        raise AttometerError(f'engine "{name}": {error.errors()[0]["loc"]}: {error.errors()[0]["msg"]}') from None
