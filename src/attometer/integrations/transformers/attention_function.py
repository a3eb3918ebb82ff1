"""The attention function of the AttentionInterface: arguments of a layer, into `attometer.run.attention`."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from attometer.errors import AttometerError
from attometer.integrations.transformers.mask_structure import MaskHandle, MaskStructure
from attometer.integrations.transformers.narrowing import Narrowing
from attometer.integrations.transformers.refusals import refuse_arguments
from attometer.program import Mask, causal
from attometer.run.attention import attention
from attometer.run.biases import Additive, Bias, Sinks, SoftCap


@dataclass(frozen=True)
class AttentionFunction:
    """What is registered under one name: which implementation of `attometer.run` runs, and a mechanism to narrow masks."""

    impl: str = "auto"
    narrowing: Narrowing | None = None

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        is_causal: bool | None = None,
        softcap: float | None = None,
        s_aux: torch.Tensor | None = None,
        position_bias: torch.Tensor | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Return attention [b, n, h, e] of query [b, h, n, d], key [b, g, m, d], value [b, g, m, e], and no weights.

        Args:
            module: the layer; `is_causal` is read from it when it is not given.
            query: queries.
            key: keys; g divides h.
            value: values.
            attention_mask: a `MaskHandle`, or a user's own 4-D mask, used as it is: boolean (True is seen), or added to
                the scores. None is causal or full attention as `is_causal` says.
            dropout: the probability with which a weight is dropped.
            scaling: factor of the scores; None is 1/sqrt(d).
            is_causal: only read without a mask.
            softcap: scores s become softcap · tanh(s / softcap) (Gemma 2).
            s_aux: a logit for each head that takes part in the softmax (gpt-oss).
            position_bias: added to the scores [1 or b, h, n, m] (T5).
            options: what else the layer hands over; a window there is also in the mask, which decides.

        Raises:
            AttometerError: attention weights, a mask over heads, or shapes that do not fit.
        """
        refuse_arguments(module, options)
        _CALLS[0] += 1
        cross = bool(getattr(module, "is_cross_attention", False))
        call = _Call(
            query, key, value, None if scaling is None else float(scaling), softcap, s_aux, position_bias,
            self.impl, None if cross else self.narrowing, float(dropout),
        )  # fmt: skip
        if isinstance(attention_mask, MaskHandle):
            output = _structured(call, attention_mask.structure)
        elif attention_mask is None:
            output = _plain(call, module, is_causal)
        else:
            output = _given(call, attention_mask)
        return output.transpose(1, 2).contiguous(), None


_CALLS = [0]


def calls() -> int:
    """Return how many layers have run since the process started."""
    return _CALLS[0]


@dataclass(frozen=True, eq=False)
class _Call:
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    scale: float | None
    cap: float | None
    sinks: torch.Tensor | None
    added: torch.Tensor | None
    impl: str
    narrowing: Narrowing | None
    dropout: float = 0.0

    def run(self, mask: Mask | None, **parts: Any) -> torch.Tensor:
        """Run attention under `mask`, on other operands or with another additive bias where `parts` says so."""
        q, k, v = (parts.get(name, getattr(self, name)) for name in ("q", "k", "v"))
        biases: list[Bias] = []
        if self.cap is not None:
            biases.append(SoftCap(float(self.cap)))
        if self.sinks is not None:
            biases.append(Sinks(self.sinks))
        added = parts.get("added", self.added)
        if added is not None:
            biases.append(Additive(added))
        masks = tuple(x for x in (mask, parts.get("seen")) if x is not None)
        return attention(
            q, k, v, mask=masks, bias=tuple(biases), scale=self.scale, impl=self.impl, dropout=self.dropout
        )

    def narrowed(self, mask: Mask | None) -> Mask | None:
        """Return `mask`, or what the mechanism makes of it where it is full or plain causal."""
        if self.narrowing is None or not (mask is None or mask == causal()):
            return mask
        return self.narrowing.of(mask, self.q.shape[2], self.k.shape[2])


def _plain(call: _Call, module: Any, is_causal: bool | None) -> torch.Tensor:
    """Run a layer whose model made no mask: the convention of transformers' sdpa function."""
    looks_back = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    n, m = call.q.shape[2], call.k.shape[2]
    if not looks_back or n == 1:
        return call.run(call.narrowed(None) if n == m else None)
    if n != m:
        raise AttometerError(
            f"{type(module).__name__}: causal attention of {n} queries and {m} keys without a mask is ambiguous; "
            "register both attention and mask function (attometer.integrations.transformers.register)"
        )
    return call.run(call.narrowed(causal()))


def _given(call: _Call, mask: torch.Tensor) -> torch.Tensor:
    """Run with a user's own 4-D mask, as it is."""
    if mask.dim() != 4:
        raise AttometerError(f"attention_mask: got {mask.dim()} axes, expected 4 [b or 1, h or 1, n, m]")
    if mask.dtype == torch.bool:
        return call.run(call.narrowed(None), seen=mask)
    return call.run(call.narrowed(None), added=mask if call.added is None else mask + call.added)


def _structured(call: _Call, mask: MaskStructure) -> torch.Tensor:
    if call.k.shape[2] != mask.cached:
        raise AttometerError(f"attention_mask: made for {mask.cached} keys, got {call.k.shape[2]} keys")
    call = _first_keys(call, mask.keys)
    # One query with padding is one call with hidden keys; but a mechanism counts positions from the first real key.
    apart = mask.spans is not None and (mask.queries > 1 or call.narrowing is not None)
    if len(mask.patterns) == 1 and not apart:
        return call.run(call.narrowed(mask.patterns[0]), seen=_shown(mask.padding))
    return torch.cat([_row(call, mask, row) for row in range(mask.batch)])


def _first_keys(call: _Call, keys: int) -> _Call:
    if call.k.shape[2] == keys:
        return call
    added = None if call.added is None else call.added[..., :keys]
    return replace(call, k=call.k[:, :, :keys], v=call.v[:, :, :keys], added=added)


def _shown(padding: torch.Tensor | None) -> torch.Tensor | None:
    """Return the real keys [b, m] as a mask tensor."""
    return None if padding is None else padding[:, None, None]


def _row(call: _Call, mask: MaskStructure, row: int) -> torch.Tensor:
    """Run one sequence on its real keys alone; queries that are padding give 0."""
    given = mask.patterns[row if len(mask.patterns) > 1 else 0]
    pattern = call.narrowed(given)
    one = slice(row, row + 1)
    n, m = mask.queries, mask.keys
    start, stop = (0, m) if mask.spans is None else mask.spans[row]
    # Where a mask knows positions, queries stand at keys, and those on padding drop out with them.
    first, last = (0, n) if pattern is None else (max(0, start - (m - n)), max(0, stop - (m - n)))
    seen = None if mask.spans is not None or mask.padding is None else _shown(mask.padding[one])
    added = call.added
    if added is not None:
        queries = slice(first, last) if added.shape[2] > 1 else slice(None)
        added = added[one if added.shape[0] > 1 else slice(None), :, queries, start:stop]
    output = call.run(
        pattern.from_key(start, stop - start) if pattern is given and pattern is not None else pattern,
        q=call.q[one, :, first:last],
        k=call.k[one, :, start:stop],
        v=call.v[one, :, start:stop],
        added=added,
        seen=None if seen is None else seen[..., start:stop],
    )
    return torch.nn.functional.pad(output, (0, 0, first, n - last))
