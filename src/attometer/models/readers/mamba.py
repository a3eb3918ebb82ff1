"""State-space decoders: Mamba, Mamba 2, and RWKV, whose state does not grow with the context."""

from dataclasses import dataclass

from attometer.mechanisms import state_space
from attometer.models.blocks import activation, layernorm, linear, norm, residual
from attometer.models.layer import CacheSize, Layer, Model
from attometer.models.part import Part, part
from attometer.models.readers.decoder import decoder, depth, divides
from attometer.models.readers.ssm import convolution, gated_norm, mamba2_scan, mamba_scan
from attometer.models.reading import Reading


@dataclass(frozen=True)
class Selective:
    """Sizes of a Mamba mixer: width, inner channels, states per channel, rank of the step, kernel, biases."""

    width: int
    inner: int
    states: int
    rank: int
    kernel: int
    bias: bool
    conv_bias: bool

    @property
    def cache(self) -> CacheSize:
        """The state of the scan and the last inputs of the convolution."""
        conv = self.inner * (self.kernel - 1)
        return CacheSize(state=self.inner * self.states + conv, conv=conv)


def selective(a: Selective, norms: bool = False) -> tuple[Part, ...]:
    """Return a Mamba mixer; `norms` adds those of Jamba on the step and on B and C."""
    between = (
        (norm(a.rank, name="norm dt"), norm(a.states, name="norm B"), norm(a.states, name="norm C")) if norms else ()
    )
    return (
        linear("in", a.width, 2 * a.inner, a.bias),
        convolution(a.inner, a.kernel, a.conv_bias),
        linear("x", a.inner, a.rank + 2 * a.states),
        *between,
        linear("dt", a.rank, a.inner, True),
        mamba_scan(a.inner, a.states),
        activation("gate", a.inner, "silu", True),
        linear("out", a.inner, a.width, a.bias),
    )


def step_rank(c: Reading, key: str, width: int) -> int:
    """Read the rank of the step size: `auto` is width / 16, rounded up."""
    if c.values.get(key, "auto") == "auto":
        c.get((key,), "auto")
        return -(-width // 16)
    return c.integer(key)


def mamba(c: Reading) -> Model:
    """Mamba (Gu & Dao 2023, arXiv:2312.00752)."""
    width = c.integer("hidden_size", "d_model")
    a = Selective(
        width,
        _inner(c, width),
        c.integer("state_size", default=16),
        step_rank(c, "time_step_rank", width),
        c.integer("conv_kernel", default=4),
        c.flag("use_bias", default=False),
        c.flag("use_conv_bias", default=True),
    )
    c.must("hidden_act", "silu", "silu")
    _quiet(c)
    layer = Layer("ssm", (norm(width), *selective(a), residual(width, 1)), a.cache)
    return decoder(c, "mamba", width, [layer] * depth(c, "num_hidden_layers", "n_layer"), tied=True, vocabulary=50280)


def _inner(c: Reading, width: int) -> int:
    """Read the inner channels: `intermediate_size`, which transformers obeys where the file has it, else `expand`."""
    if c.has("intermediate_size"):
        c.ignore("expand")
        return c.integer("intermediate_size")
    return c.integer("expand", default=2) * width


def _quiet(c: Reading) -> None:
    c.ignore(
        "use_mambapy", "use_associative_scan", "mamba_ssm_cache_dtype", "mamba_ssm_dtype", "rms_norm", "fused_add_norm"
    )
    c.ignore(
        "pad_vocab_size_multiple",
        "ssm_cfg",
        "d_inner",
        "norm_before_gate",
        "use_mamba_kernels",
        "rms_norm_eps",
    )


@dataclass(frozen=True)
class Dual:
    """Sizes of a Mamba 2 mixer: width, heads, head dimension, groups of B and C, states, kernel, chunk, biases."""

    width: int
    heads: int
    d: int
    groups: int
    states: int
    kernel: int
    chunk: int
    bias: bool
    conv_bias: bool

    @property
    def channels(self) -> int:
        """Channels of the convolution: the inputs, B and C."""
        return self.heads * self.d + 2 * self.groups * self.states

    @property
    def cache(self) -> CacheSize:
        """The state of each head and the last inputs of the convolution."""
        conv = self.channels * (self.kernel - 1)
        return CacheSize(state=self.heads * self.d * self.states + conv, conv=conv)


def dual(a: Dual) -> tuple[Part, ...]:
    """Return a Mamba 2 mixer."""
    inner = a.heads * a.d
    return (
        linear("in", a.width, inner + a.channels + a.heads, a.bias),
        convolution(a.channels, a.kernel, a.conv_bias),
        mamba2_scan(a.heads, a.d, a.groups, a.states, a.chunk),
        gated_norm(1, inner),
        linear("out", inner, a.width, a.bias),
    )


def mamba2(c: Reading) -> Model:
    """Mamba 2 (Dao & Gu 2024, arXiv:2405.21060)."""
    width = c.integer("hidden_size", "d_model")
    heads, d = c.integer("num_heads", default=128), c.integer("head_dim", default=64)
    if heads * d != (inner := c.integer("expand", default=2) * width):
        raise c.error(
            "num_heads", f"× head_dim is {heads * d}, and {c.where}.expand × hidden_size is {inner}: they must be equal"
        )
    groups = c.integer("n_groups", default=8)
    divides(c, "num_heads", heads, "n_groups", groups)
    a = Dual(
        width, heads, d, groups, c.integer("state_size", default=128), c.integer("conv_kernel", default=4),
        c.integer("chunk_size", default=256), c.flag("use_bias", default=False), c.flag("use_conv_bias", default=True),
    )  # fmt: skip
    c.must("hidden_act", "silu", "silu")
    c.ignore("time_step_rank", "norm_before_gate", "rms_norm", "intermediate_size")
    _quiet(c)
    layer = Layer("ssm", (norm(width), *dual(a), residual(width, 1)), a.cache)
    return decoder(c, "mamba2", width, [layer] * depth(c, "num_hidden_layers", "n_layer"), tied=False, vocabulary=32768)


def rwkv(c: Reading) -> Model:
    """RWKV 4 (Peng et al. 2023, arXiv:2305.13048)."""
    width = c.integer("hidden_size")
    inner, hidden = c.optional("attention_hidden_size") or width, c.optional("intermediate_size") or 4 * width
    if inner != width:
        raise c.error("attention_hidden_size", f"is {inner}; only hidden_size = {width} can run")
    c.ignore("context_length", "rescale_every", "layer_norm_epsilon")
    state = CacheSize(state=3 * inner + 2 * width, conv=2 * width)
    parts = (*_time_mix(width, inner), *_channel_mix(width, hidden), residual(width))
    first = Layer("rwkv", (layernorm(width, name="pre norm"), *parts), state)
    made = [first, *[Layer("rwkv", parts, state)] * (depth(c) - 1)]
    return decoder(c, "rwkv", width, made, False, (layernorm(width, name="final norm"),), vocabulary=50277)


def _shift(name: str, width: int, streams: int) -> Part:
    """Mix each token with the one before it, once per stream."""
    return part(name, state_space.TOKEN_SHIFT, D=width, r=streams)


def _time_mix(width: int, inner: int) -> tuple[Part, ...]:
    return (
        layernorm(width),
        _shift("time shift", width, 3),
        linear("key", width, inner),
        linear("value", width, inner),
        linear("receptance", width, inner),
        part("wkv", state_space.WKV, D=inner),
        linear("out", inner, width),
    )


def _channel_mix(width: int, hidden: int) -> tuple[Part, ...]:
    return (
        layernorm(width, name="norm 2"),
        _shift("channel shift", width, 2),
        linear("up", width, hidden),
        activation("act", hidden, "relu2", False),
        linear("gate", width, width),
        linear("down", hidden, width),
        activation("gated", width, "sigmoid", True),
    )
