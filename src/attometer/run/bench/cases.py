"""What can be measured: for each name, fresh inputs, and the call of `attometer.run` that is timed on them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from attometer.program import Mask, band, causal, fixed, global_, random, strided, window
from attometer.run.attention import attention, explain_choice
from attometer.run.bench.own import work_of_own
from attometer.run.decoding.cache import ContiguousCache
from attometer.run.decoding.step import decode_attention
from attometer.run.linear.attention import linear_attention
from attometer.run.linear.hyper import hyper_attention
from attometer.run.linear.linformer import linformer_attention
from attometer.run.linear.performer import favor_features, performer_attention


@dataclass(frozen=True)
class Setting:
    """Sizes and type of a measurement: b batch, h heads, d head width, and whether the backward pass is included."""

    b: int = 1
    h: int = 8
    d: int = 64
    dtype: torch.dtype = torch.float32
    backward: bool = False
    impl: str = "auto"
    device: str = "cpu"


Call = Callable[[], torch.Tensor]
Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """How a mechanism is run: `prepare` draws what the inputs lack and returns the call; `takes` names what it runs with.

    `chooses` is True where `Setting.impl` has a say.
    """

    prepare: Callable[[Tensors, Setting], Call]
    takes: Callable[[Tensors, Setting], str]
    chooses: bool = False


def _taken(x: Tensors, s: Setting, mask: Mask | None) -> str:
    return explain_choice(*x, mask=mask).impl if s.impl == "auto" else s.impl


def _masked(mask: Mask | None) -> Case:
    return Case(
        lambda x, s: lambda: torch.as_tensor(attention(*x, mask=mask, impl=s.impl)),
        lambda x, s: _taken(x, s, mask),
        chooses=True,
    )


def _own(prepare: Callable[[Tensors, Setting], Call], takes: str = "torch") -> Case:
    return Case(prepare, lambda x, s: takes)


def _naive(x: Tensors, s: Setting) -> Call:
    q, k, v = x
    return lambda: torch.softmax(q @ k.mT * s.d**-0.5, -1) @ v


def _performer(is_causal: bool) -> Case:
    def prepare(x: Tensors, s: Setting) -> Call:
        features = favor_features(256, s.d).to(s.device)
        return lambda: performer_attention(*x, features=features, causal=is_causal)

    return _own(prepare, "chunked" if is_causal else "torch")


def _linformer(x: Tensors, s: Setting) -> Call:
    e, f = (torch.randn(256, x[1].shape[2], device=s.device).to(s.dtype) / 16 for _ in range(2))
    return lambda: linformer_attention(*x, key_mix=e, value_mix=f, impl=s.impl)


def _takes_linformer(x: Tensors, s: Setting) -> str:
    mixtures = (y[:, :, :1].expand(-1, -1, 256, -1) for y in x[1:])
    return _taken((x[0], *mixtures), s, None)


def _decode(x: Tensors, s: Setting) -> Call:
    cache = ContiguousCache()
    cache.append(x[1], x[2])
    return lambda: torch.as_tensor(decode_attention(x[0][:, :, -1:], cache))


CASES: dict[str, Case] = {
    "softmax": _masked(None),
    "softmax_causal": _masked(causal()),
    "softmax_naive": _own(_naive, "torch, n × n"),
    "sliding_window": _masked(window(256)),
    "longformer": _masked(band(256, 256) | global_(1)),
    "bigbird": _masked(band(96, 96) | global_(128) | random(192, 0)),
    "sparse_transformer_strided": _masked(causal() & (window(128) | strided(128))),
    "sparse_transformer_fixed": _masked(causal() & fixed(128, 8)),
    "linear": _own(lambda x, s: lambda: torch.as_tensor(linear_attention(*x))),
    "linear_causal": _own(lambda x, s: lambda: torch.as_tensor(linear_attention(*x, causal=True)), "chunked"),
    "performer": _performer(False),
    "performer_causal": _performer(True),
    "linformer": Case(_linformer, _takes_linformer, chooses=True),
    "hyperattention": _own(lambda x, s: lambda: hyper_attention(*x)),
    "hyperattention_causal": _own(lambda x, s: lambda: hyper_attention(*x, causal=True)),
    "decode": _own(_decode),
}
"""By name; sizes other than n, h and d are the catalogue's defaults. `softmax_naive` writes its n × n scores to memory."""


def draw(n: int, s: Setting) -> Tensors:
    """Return random queries, keys and values [b, h, n, d]; never zeros, which some machines multiply faster."""
    shape = (s.b, s.h, n, s.d)
    q, k, v = (torch.randn(shape, device=s.device).to(s.dtype).requires_grad_(s.backward) for _ in range(3))
    return q, k, v


def work_of(name: str, n: int, setting: Setting) -> tuple[Callable[[], object], str]:
    """Return the work to time on fresh inputs, with its backward pass if the setting has one, and what it runs with."""
    if name not in CASES:
        s = setting
        return work_of_own(name, s.b, s.h, n, s.d, s.dtype, s.backward, s.device)
    case, x = CASES[name], draw(n, setting)
    call, takes = case.prepare(x, setting), case.takes(x, setting)
    if not setting.backward or name == "decode":
        return torch.no_grad()(call), takes
    upstream = torch.randn_like(x[2])
    return lambda: torch.autograd.backward(call(), upstream), takes
