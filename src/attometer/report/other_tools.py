"""Why another tool prints another number: from Attometer's exact count, step by step, to what that tool would print.

Each step is one convention or omission of the tool, with its amount for the model asked for. The tools were run, or their
source read, at the versions named here; what was not checked is refused.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attometer.count.conventions import Convention
from attometer.count.evaluate import evaluate
from attometer.count.model_cost import ModelCost, model_cost
from attometer.errors import AttometerError, positive_int, unknown
from attometer.models import Model, model
from attometer.view.report import Block, Report
from attometer.view.table import Table

BYTES = 2  # bf16, as every tool here takes it
OVERHEAD = 12  # per cent
PLAIN = {"embedding", "head", "projection", "attention", "norm", "rotary", "feed-forward", "residual"}
MIXED = PLAIN | {"router", "experts"}
SCORES = Convention("scores", "one per attention score", {"softmax.exp": 1})
FORWARD, STEP, CACHE = "forward pass, all logits", "one decoded token", "KV cache, bf16"


@dataclass(frozen=True)
class Figure:
    """One quantity: Attometer's exact value, the steps (why, change), and so what the tool prints."""

    quantity: str
    unit: str
    ours: int
    steps: tuple[tuple[str, int], ...] = ()

    @property
    def theirs(self) -> int:
        """What the tool prints."""
        return self.ours + sum(change for _, change in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        steps = [{"why": why, "change": change} for why, change in self.steps if change]
        return {"quantity": self.quantity, "unit": self.unit, "ours": self.ours, "steps": steps, "theirs": self.theirs}

    def rows(self, tool: str) -> Iterable[tuple[str, str, str]]:
        """Yield the lines from our value to the tool's."""
        yield f"{self.quantity}: exact", "", self._text(self.ours)
        at = self.ours
        for why, change in self.steps:
            if change:
                at += change
                yield why, ("+" if change > 0 else "-") + self._text(abs(change)), self._text(at)
        times = self.theirs / self.ours
        said = f"{times:.1f} times" if times > 2 else f"{100 * (times - 1):+.1f} %"
        yield f"{tool} prints", said, self._text(self.theirs)

    def _text(self, value: int) -> str:
        scale = {"FLOP": " GFLOP", "bytes": " GB"}.get(self.unit)
        return f"{value:,}" if scale is None else f"{value / 1e9:,.3f}{scale}"


@dataclass(frozen=True)
class Subject:
    """A model at a context of n tokens, with what the tools' arithmetic needs of it."""

    model: Model
    n: int

    def cost(self, causal: str = "full", phase: str = "prefill", form: str = "program") -> ModelCost:
        """Return the model's cost."""
        return model_cost(self.model, "flash", phase, causal, form)

    def flops(
        self,
        kinds: Iterable[str] = (),
        *,
        causal: str = "full",
        form: str = "program",
        keys: int | None = None,
        by: str | Convention = "flop",
    ) -> int:
        """Return the operations of a forward pass, of the parts of some kinds or of all; of a decoded token at `keys` keys."""
        phase, tokens = ("prefill", self.n) if keys is None else ("decode", 1)
        sizes = {"n": tokens, "m": keys or self.n, "b": 1, "s": tokens}
        wanted = set(kinds)
        spent = (
            times * int(evaluate(part.operations(by), sizes))
            for times, part in self.cost(causal, phase, form).parts()
            if part.runs and (not wanted or part.kind in wanted)
        )
        return sum(spent)

    @property
    def kinds(self) -> set[str]:
        """The kinds of the parts."""
        return {part.kind for _, part in self.cost().parts()}

    def value(self, key: str, default: int | None = None) -> int:
        """Return a key of the configuration; raises AttometerError where the file has none."""
        found = self.model.values.get(key) or default
        if not isinstance(found, int):
            raise AttometerError(f'the tool reads "{key}", which the configuration of {self.model.name} does not have')
        return found

    @cached_property
    def head(self) -> int:
        """Width of a head as most tools take it: `head_dim`, else hidden size over heads."""
        return self.value("head_dim", self.value("hidden_size") // self.value("num_attention_heads"))

    @cached_property
    def kv_heads(self) -> int:
        """Key/value heads as most tools take them."""
        return self.value("num_key_value_heads", self.value("num_attention_heads"))

    @property
    def layers(self) -> int:
        """Number of layers."""
        return self.model.depth

    @cached_property
    def cache(self) -> int:
        """Bytes of the cache."""
        return BYTES * self.cost().cache.at(self.n)

    def parameters(self, *kinds: str) -> int:
        """Return the parameters of the parts of some kinds."""
        return sum(times * part.parameters for times, part in self.cost().parts() if part.kind in kinds)


def _masked(s: Subject) -> tuple[str, int]:
    return "masked pairs counted as if computed", s.flops() - s.flops(causal="exact")


def _needs(s: Subject, tool: str, kinds: set[str], layers: set[str] | None = None) -> None:
    strange = sorted(s.kinds - kinds) + sorted(set(s.model.kinds()) - (layers or set(s.model.kinds())))
    strange += ["sinks or biases of scores"] if s.parameters("attention") else []
    strange += ["towers"] if s.model.towers else []
    if strange:
        what = ", ".join(strange)
        raise AttometerError(f"what {tool} does with {what} was not checked; it is explained for plain decoders")


def _traced(tool: str, sdpa: bool, experts: bool, macs: bool = False) -> Callable[[Subject], list[Figure]]:
    """Return the figures of a counter that runs the transformers model: its square, less what it cannot see."""

    def figures(s: Subject) -> list[Figure]:
        _needs(s, tool, MIXED if experts else PLAIN)
        whole = s.flops(form="reference")
        steps = [_masked(s), ("the form that transformers executes", whole - s.flops())]
        if not sdpa:
            steps.append(
                (
                    "scaled_dot_product_attention not seen (eager attention is)",
                    -s.flops({"attention"}, form="reference"),
                )
            )
        if experts:
            steps.append(("grouped products of experts not seen", -s.flops({"experts"}, form="reference")))
        left = s.flops(causal="exact") + sum(change for _, change in steps)
        if macs:
            steps.append(("a multiply-accumulate counted once", left // 2 - left))
        return [Figure(FORWARD, "FLOP", s.flops(causal="exact"), tuple(steps))]

    return figures


def _llama(s: Subject, tool: str) -> None:
    _needs(s, tool, PLAIN, {"full"})
    if s.head * s.value("num_attention_heads") != s.model.width:
        raise AttometerError(f"{tool} takes heads of hidden size over heads; {s.model.name} has others: not checked")


def _llm_analysis(s: Subject) -> list[Figure]:
    _llama(s, "llm-analysis")
    if 2 * s.value("intermediate_size") != 7 * s.model.width:
        raise AttometerError("llm-analysis stops here: it knows a gated feed-forward layer only at 3.5 times the width")
    blind = s.flops({"attention"}, keys=1) - s.flops({"attention"}, keys=s.n)
    tied = 0 if s.model.values.get("tie_word_embeddings") else -s.parameters("embedding")
    return [
        Figure(FORWARD, "FLOP", s.flops(causal="exact"), (_masked(s),)),
        Figure(STEP, "FLOP", s.flops(keys=s.n), (("attention over the context left out", blind),)),
        Figure("parameters", "", s.cost().parameters, (("embedding and head taken as one table", tied),)),
        Figure(CACHE, "bytes", s.cache),
    ]


def _head_once(s: Subject, keys: int | None) -> tuple[str, int]:
    tokens = s.n if keys is None else 1
    head = s.flops({"head"}, keys=keys)
    return "logits of the last token, a multiply-accumulate counted once", head // tokens // 2 - head


def _llm_viewer(s: Subject) -> list[Figure]:
    _llama(s, "LLM-Viewer")

    def steps(keys: int | None) -> tuple[tuple[str, int], ...]:
        entries = (s.n if keys is None else 1) * s.model.width * s.layers
        return (
            *([_masked(s)] if keys is None else []),
            _head_once(s, keys),
            ("softmax at 5 operations per score", 5 * s.flops(by=SCORES, keys=keys)),
            ("norms at 7 operations per entry, two a layer, and residual sums", (7 * 2 + 2) * entries),
        )

    missing = -BYTES * s.parameters("embedding", "head")
    return [
        Figure(FORWARD, "FLOP", s.flops(causal="exact"), steps(None)),
        Figure(STEP, "FLOP", s.flops(keys=s.n), steps(s.n)),
        Figure("weights, bf16", "bytes", BYTES * s.cost().parameters, (("embedding and head left out", missing),)),
        Figure(CACHE, "bytes", s.cache),
    ]


def _llm_flops(s: Subject) -> list[Figure]:
    _llama(s, "llm-flops")
    rotated = s.head * (s.value("num_attention_heads") + s.kv_heads)
    entries = 4 * (2 * s.layers + 1) * s.model.width
    steps = (
        _masked(s),
        ("softmax at 5 operations per score", 5 * s.flops(by=SCORES)),
        ("rotary at 6, activation at 8, norms at 4 per entry",
         s.n * (6 * rotated * s.layers + 8 * s.value("intermediate_size") * s.layers + entries)),
    )  # fmt: skip
    return [Figure(FORWARD, "FLOP", s.flops(causal="exact"), steps), Figure(CACHE, "bytes", s.cache)]


def _genz(s: Subject) -> list[Figure]:
    _needs(s, "GenZ", PLAIN, {"full"})
    gemm = ("the embedding's look-up counted as a product", 2 * s.n * s.model.width * s.value("vocab_size"))
    return [
        Figure(FORWARD, "FLOP", s.flops(causal="exact"), (_masked(s), gemm)),
        Figure(STEP, "FLOP", s.flops(keys=s.n)),
        Figure(CACHE, "bytes", s.cache),
    ]


def _every_layer_full(s: Subject) -> tuple[str, int]:
    """The common formula of caches: 2 × layers × key/value heads × width × tokens."""
    full = 2 * s.layers * s.kv_heads * s.head * s.n * BYTES
    latent = any(stack.layer.cache.latent for stack in s.model.layers)
    why = "keys and values of every head instead of the latent" if latent else "every layer keeps keys of every token"
    return why, full - s.cache


def _hf_mem(s: Subject) -> list[Figure]:
    return [Figure(CACHE, "bytes", s.cache, (_every_layer_full(s),))]


def _flat(s: Subject) -> list[Figure]:
    ours = BYTES * s.cost().parameters + s.cache
    cache = _every_layer_full(s)
    more = (ours + cache[1]) * OVERHEAD // 100
    return [Figure("weights and cache, bf16", "bytes", ours, (cache, (f"{OVERHEAD} % for everything else", more)))]


def _gpu_poor(s: Subject) -> list[Figure]:
    _needs(s, "gpu_poor", PLAIN)
    width, inner, heads = s.model.width, s.value("intermediate_size"), s.value("num_attention_heads")
    assumed = 2 * s.value("vocab_size") * width + s.layers * (4 * width**2 + 3 * inner * width)
    weights = (
        "four square matrices of attention and three of the feed-forward layer, no norms",
        BYTES * (assumed - s.cost().parameters),
    )
    whole = 2 * s.layers * width * s.n * BYTES
    cache = (("keys and values of every query head", whole - s.cache), ("and all of that twice", whole))
    more = (
        ("five hidden states and the scores of one layer, not causal", BYTES * (5 * s.n * width + heads * s.n**2)),
        ("a flat 650 MiB for CUDA and the rest", 650 * 2**20),
    )
    ours = BYTES * s.cost().parameters
    return [
        Figure("weights, fp16", "bytes", ours, (weights,)),
        Figure(CACHE, "bytes", s.cache, cache),
        Figure("weights and cache at inference", "bytes", ours + s.cache, (weights, *cache, *more)),
    ]


def _accelerate(s: Subject) -> list[Figure]:
    count = s.cost().parameters
    head = 0 if s.model.values.get("tie_word_embeddings") else s.parameters("head")

    def figure(name: str, exact: int, printed: int) -> Figure:
        headless = ("AutoModel builds the model without its head", -exact * head)
        largest = ("of weights, gradients and optimizer the largest alone is shown", (printed - exact) * (count - head))
        return Figure(name, "bytes", exact * count, (headless, largest))

    return [
        figure("weights, float16", BYTES, BYTES),
        figure("training with Adam, float32", 16, 16),
        figure("training with Adam, mixed precision", 16, 8),
    ]


@dataclass(frozen=True)
class Tool:
    """A tool: the version that was looked at, how its numbers were checked, and its figures for a subject."""

    name: str
    version: str
    checked: str
    figures: Callable[[Subject], list[Figure]]


_ELEMENTWISE = "run on Llama-3-8B; norms and activations that it adds are under 0.1 % and left out here"
TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("flopcounter", "torch 2.13.0, on the CPU", "run on Llama-3-8B and Mixtral; pytorch/pytorch#195460 for attention",
             _traced("FlopCounterMode", sdpa=False, experts=True)),
        Tool("calflops", "0.3.2", _ELEMENTWISE + "; MrYxJ/calculate-flops.pytorch issues 26, 36, 46, 48",
             _traced("calflops", sdpa=False, experts=False)),
        Tool("fvcore", "0.1.5", _ELEMENTWISE + "; facebookresearch/fvcore#69 for the unit",
             _traced("fvcore", sdpa=False, experts=False, macs=True)),
        Tool("deepspeed", "0.19.8", _ELEMENTWISE + "; kernels of flash-attn are not seen", _traced("DeepSpeed", sdpa=True, experts=False)),
        Tool("llm-analysis", "commit d841e40", "run on Llama-3-8B", _llm_analysis),
        Tool("llm-viewer", "commit 472f71f", "run on Llama-3-8B; its source says which operations count what", _llm_viewer),
        Tool("llm-flops", "0.0.1", "run on Llama-3-8B; its source says which operations count what", _llm_flops),
        Tool("genz", "0.0.16", "run on Llama-3-8B", _genz),
        Tool("hf-mem", "0.5.6", "its formula of the cache, from its source; weights are the bytes of the files' headers", _hf_mem),
        Tool("apxml", "web calculators that add a flat share", "the usual formula and 12 %, as several pages use; apxml's own "
             "factors are not published, so that this is its kind and not its number", _flat),
        Tool("gpu-poor", "RahulSChand/gpu_poor, commit 05d18ab", "its source, src/App.js: inference by transformers or vLLM without "
             "quantisation; it prints MiB", _gpu_poor),
        Tool("accelerate", "estimate-memory, commit 00e4d26", "its source, src/accelerate/commands/estimate.py; it prints multiples "
             "of 1,024 as GB, buffers of some hundred bytes left out", _accelerate),
    )
}  # fmt: skip
"""The tools, by name."""

_SPELLED = {
    "flopcountermode": "flopcounter",
    "torch": "flopcounter",
    "llmviewer": "llm-viewer",
    "hfmem": "hf-mem",
    "gpupoor": "gpu-poor",
    "estimatememory": "accelerate",
}


@dataclass(frozen=True)
class Explained(Report):
    """What a tool prints for a model, and why."""

    tool: Tool
    name: str
    context: int
    figures: tuple[Figure, ...]

    def page(self) -> Iterable[Block]:
        """Return a table for each figure."""
        yield f"{self.tool.name} ({self.tool.version}) on {self.name}, {self.context:,} tokens, batch 1"
        for each in self.figures:
            yield Table(each.quantity, ("why", "change", "value"), tuple(each.rows(self.tool.name)))
        yield f"checked: {self.tool.checked}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        found = [figure.to_dict() for figure in self.figures]
        about = {"tool": self.tool.name, "version": self.tool.version, "checked": self.tool.checked}
        return {**about, "model": self.name, "context": self.context, "figures": found}


def explain_tool(tool: str, subject: str | Model, context: int | None = None) -> Explained:
    """Return what another tool would print for a model at a context, from our exact count step by step, with each reason.

    Args:
        tool: one of `TOOLS`.
        subject: a Model, or what `model` reads.
        context: tokens of one sequence; the configuration's own maximum when not given.

    Raises AttometerError for an unknown tool, and for a model on which what the tool does was not checked.

    >>> found = explain_tool("hf-mem", "gemma-2-9b", 8192)
    >>> found.figures[0].ours, found.figures[0].theirs
    (2113929216, 2818572288)
    """
    wanted = tool.strip().lower().replace("_", "-")
    wanted = _SPELLED.get(wanted.replace("-", ""), wanted)
    if wanted not in TOOLS:
        raise unknown("tool", tool, TOOLS)
    read = subject if isinstance(subject, Model) else model(subject)
    tokens = read.context if context is None else context
    if tokens is None:
        raise AttometerError(f"{read.name} does not say how many tokens it takes; give context=")
    positive_int("context", tokens)
    found = TOOLS[wanted]
    return Explained(found, read.name, tokens, tuple(found.figures(Subject(read, tokens))))
