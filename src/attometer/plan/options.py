"""What a plan is asked for, checked once."""

from dataclasses import dataclass

from attometer.errors import AttometerError, positive_int, unknown
from attometer.formats import CACHE_FORMATS, CACHE_ROWS, storage

PASSES = {"prefill": "prefill", "decode": "decode step", "train": "training step"}
"""What one pass of each mode is called."""
MODES = tuple(PASSES)
MEANT = {
    **dict.fromkeys(("generate", "generation", "decoding", "chat"), "decode"),
    **dict.fromkeys(("training", "finetune", "fine-tune", "finetuning", "fine-tuning", "sft", "pretrain"), "train"),
    **dict.fromkeys(("prompt", "prefilling", "encode"), "prefill"),
    **dict.fromkeys(("serving", "server", "inference"), "serve"),
}
"""What people call a mode."""
SCHEDULES = (
    "flash", "naive", "two_pass", "two_pass_rowmax", "two_pass_outer", "two_pass_outer_rowmax", "flash1",
    "flash2", "flash2_sliced", "two_pass_recompute", "split_kv",
)  # fmt: skip
"""One kernel that reads its inputs once (`flash`), or a forward schedule of the catalogue with its counted traffic.

`naive_rows` holds whole rows, which fit in no fast memory at the lengths that are planned."""

FROZEN = ("", "layers", "all")
"""Whose weights training leaves as they are: nobody's, those of layers, or all."""
OFFLOADS = ("experts", "layers")
"""What may stay in the host's memory."""


@dataclass(frozen=True)
class Options:
    """One question: how many tokens, how many sequences, which pass, stored how, attention run how.

    Attributes:
        context: tokens per sequence.
        batch: sequences at once.
        mode: prefill (all tokens at once), decode (one new token after `context` cached ones), or train.
        weights: format of the weights, or a GGUF mix; None is as the model's files say.
        kv: format of the key/value cache.
        activations: data type of everything between.
        state: data type of recurrent states.
        schedule: flash (one kernel, inputs read once), or a schedule of the catalogue: flash2, naive, two_pass, ...
        checkpoint: in training, keep only layer inputs and compute the rest again.
        chunk: in prefill, tokens computed at a time; None is all at once.
        offload: `experts` keeps routed experts in the host's memory, `experts=N` those of the first N layers; `layers=N` the first N
            layers whole, with their cache, and the head.
        host_gb_s: that memory's bandwidth in 10^9 bytes per second, that of the machine's kind of node where it is not given.
        frozen: in training, whose weights have no gradients: of `layers`, of `all`, or nobody's; adapters beside them are left out.
        reserve_gib: GiB of each device that are kept for what is not counted: the runtime, fragmentation.
        update: in training, bytes per parameter that a step moves beside the passes: gradients and states, read and written.
    """

    context: int
    batch: int = 1
    mode: str = "prefill"
    weights: str | None = None
    kv: str = "bf16"
    activations: str = "bf16"
    state: str = "bf16"
    schedule: str = "flash"
    checkpoint: bool = False
    chunk: int | None = None
    offload: str | None = None
    host_gb_s: float | None = None
    reserve_gib: float = 0.0
    update: int = 28
    frozen: str = ""

    def __post_init__(self) -> None:
        for name, most in (("context", MOST_TOKENS), ("batch", None), ("chunk", None)):
            value = getattr(self, name)
            if name != "chunk" or value is not None:
                object.__setattr__(self, name, positive_int(name, value, most))
        if self.mode not in MODES:
            raise unknown("mode", str(self.mode), (*MODES, "serve"), MEANT)
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", str(self.schedule), SCHEDULES)
        if self.frozen not in FROZEN:
            raise unknown("frozen", str(self.frozen), FROZEN)
        if self.offload is not None:
            name, equals, layers = str(self.offload).partition("=")
            if name not in OFFLOADS:
                raise unknown("offload", str(self.offload), OFFLOADS)
            if equals and not layers.isdecimal():
                raise AttometerError(f'offload takes a number of layers, as in experts=12, got "{self.offload}"')
        if self.host_gb_s is not None and not 0 < self.host_gb_s < 1e6:
            raise AttometerError(f"host bandwidth must be above 0 GB/s, got {self.host_gb_s:g}")
        if not 0 <= self.reserve_gib < 1e6:
            raise AttometerError(
                f"the memory kept for what is not counted must be 0 GiB or more, got {self.reserve_gib:g}"
            )
        object.__setattr__(self, "kv", cache_format(self.kv))
        for name in ("activations", "state"):
            object.__setattr__(self, name, storage(getattr(self, name)).name)

    @property
    def new_tokens(self) -> int:
        """Tokens computed in one pass: all of them, or one when decoding."""
        return 1 if self.mode == "decode" else self.context

    @property
    def host_layers(self) -> float:
        """The layers, from the first on, whose experts, or which as a whole, stay in the host's memory."""
        layers = (self.offload or "experts=0").partition("=")[2]
        return int(layers) if layers else float("inf")

    @property
    def host_whole(self) -> bool:
        """Whether layers stay in the host's memory as a whole, and the head after them."""
        return str(self.offload).startswith("layers")

    @property
    def at_once(self) -> int:
        """Tokens of one sequence that are on the chip's hands at the same time."""
        return min(self.new_tokens, self.chunk) if self.chunk and self.mode == "prefill" else self.new_tokens

    @property
    def chunks(self) -> int:
        """Passes that a prefill takes."""
        return -(-self.new_tokens // self.at_once)


def cache_format(name: str) -> str:
    """Return the name of a format that caches are kept in. Raises AttometerError for one that no engine keeps them in.

    >>> cache_format("fp8_e4m3"), cache_format("fp8_ds_mla")
    ('fp8', 'fp8_ds_mla')
    """
    if name in CACHE_ROWS:
        return name
    form = storage(name, CACHE_ROWS).name
    if not set(form.split("/")) <= set(CACHE_FORMATS):
        known = ", ".join((*CACHE_FORMATS, *CACHE_ROWS))
        raise AttometerError(f'data type "{name}" is none that caches are kept in; known: {known}')
    return form


MOST_TOKENS = 2**40
"""Beyond any context; the search for the largest one stops here."""
