"""Arguments as people have them: masks as text or tensors, other libraries' names, packed sequences, layouts, broadcasting.

What means exactly one thing here is taken; what does not is refused with the words that say it here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias

import torch

from attometer.errors import AttometerError, unknown
from attometer.program import Mask, band, causal, document, parse_mask, window
from attometer.run.biases import Additive, Alibi, Bias, Biases, Sinks, SoftCap, Terms, terms

LAYOUTS = ("bhnd", "bnhd")
MaskLike: TypeAlias = Mask | str | torch.Tensor | tuple[Mask | str | torch.Tensor, ...] | None


@dataclass(eq=False)
class Asked:
    """One call in attometer's own words: q [b, h, n, d], k [b, g, m, d], v [b, g, m, e]."""

    q: Any
    k: Any
    v: Any
    layout: str
    scale: Any = None
    dropout: float = 0.0
    seed: int | None = None
    packed: bool = False  # q came as [tokens, h, d]
    ends: list[int] | None = None  # of packed sequences
    masks: list[Any] = field(default_factory=list)
    biases: list[Bias] = field(default_factory=list)

    @property
    def lengths(self) -> tuple[int, int]:
        """Return the numbers of queries and keys."""
        axis = 0 if self.q.dim() == 3 else self.layout.index("n")
        return self.q.shape[axis], self.k.shape[axis]

    def returned(self, x: torch.Tensor) -> torch.Tensor:
        """Return an output [b, h, n, e] or log-sum-exp [b, h, n] in the layout of the operands."""
        if x.dim() == 4 and self.layout == "bnhd":
            x = x.transpose(1, 2)
        return x[0] if self.packed else x


Reader = Callable[[Asked, Any], None]


def _is_causal(asked: Asked, value: Any) -> None:
    n, m = asked.lengths
    if value and n != m:
        raise AttometerError(
            f'is_causal: torch lines {n} queries up with the first of {m} keys; say mask="causal" for queries at the last '
            "positions"
        )
    _mask_if(causal())(asked, value)


def _mask_if(mask: Mask) -> Reader:
    return lambda asked, value: asked.masks.append(mask) if value else None


def _window_size(asked: Asked, value: Any) -> None:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise AttometerError(
            f'window_size: got {value!r}, expected (left, right); a window of w keys is mask="window(w)"'
        )
    left, right = (None if x is None or x < 0 else int(x) for x in value)
    if left is not None or right is not None:
        asked.masks.append(band(left, right))


def _softcap(asked: Asked, value: Any) -> None:
    if value:
        asked.biases.append(SoftCap(float(value)))


def _alibi_slopes(asked: Asked, value: Any) -> None:
    held = value.tolist() if isinstance(value, torch.Tensor) else list(value)
    if any(isinstance(x, list) for x in held):
        raise AttometerError("alibi_slopes: slopes by sequence are not run; say bias=Alibi(slopes), one for each head")
    asked.biases.append(Alibi(tuple(float(x) for x in held)))


def _cu_seqlens(asked: Asked, value: Any) -> None:
    ends = [int(x) for x in value]
    n, m = asked.lengths
    if len(ends) < 2 or ends[0] != 0 or ends != sorted(ends) or not ends[-1] == n == m:
        raise AttometerError(
            f"cu_seqlens: got {ends}, expected 0 and the ends of sequences up to {n} queries, {m} keys"
        )
    if asked.ends is None:
        asked.ends = ends
        asked.masks.append(document([b - a for a, b in pairwise(ends) if b > a]))
    elif ends != asked.ends:
        raise AttometerError(f"cu_seqlens: got {asked.ends} and {ends}, expected equal ends of queries and of keys")


def _set(name: str) -> Reader:
    return lambda asked, value: setattr(asked, name, value)


def _nothing(asked: Asked, value: Any) -> None:
    """Take an argument that says what is so anyway."""


def _refusal(instead: str) -> Reader:
    def read(asked: Asked, value: Any) -> None:
        raise AttometerError(instead)

    return read


FOREIGN: Mapping[str, Reader] = {
    "is_causal": _is_causal,
    "causal": _mask_if(causal()),
    "attn_mask": lambda asked, value: asked.masks.append(value),
    "window_size": _window_size,
    "sliding_window": lambda asked, value: asked.masks.append(window(int(value))),
    "softcap": _softcap,
    "logits_soft_cap": _softcap,
    "alibi_slopes": _alibi_slopes,
    "s_aux": lambda asked, value: asked.biases.append(Sinks(value)),
    "sinks": lambda asked, value: asked.biases.append(Sinks(value)),
    "cu_seqlens": _cu_seqlens,
    "cu_seqlens_q": _cu_seqlens,
    "cu_seqlens_k": _cu_seqlens,
    "softmax_scale": _set("scale"),
    "sm_scale": _set("scale"),
    "dropout_p": _set("dropout"),
    "enable_gqa": _nothing,  # heads are shared wherever g divides h
    "deterministic": _nothing,
    "max_seqlen_q": _nothing,
    "max_seqlen_k": _nothing,
    "key_padding_mask": _refusal(
        "key_padding_mask: True is padding to torch.nn and a key to others; say mask=~padding[:, None, None, :] or "
        "mask=keys[:, None, None, :]"
    ),
    "attention_mask": _refusal(
        "attention_mask: say mask=attention_mask.bool()[:, None, None, :] for 0 and 1 by key [b, m], or mask=tensor for "
        "booleans or numbers that broadcast to [b, h, n, m]"
    ),
    "block_mask": _refusal(
        'block_mask: say it in the algebra, as in mask="causal & window(256)", or hand its boolean tensor over as mask='
    ),
    "score_mod": _refusal(
        "score_mod: say bias=Alibi(slopes), SoftCap(cap), Sinks(logits) or a tensor added to the scores"
    ),
    "need_weights": _refusal("need_weights: weights are not formed; return_lse=True gives what merges partial results"),
}
"""Other libraries' names (torch, flash-attn, Hugging Face, FlexAttention): how each is read."""


def asked(
    q: Any, k: Any, v: Any, mask: Any, bias: Biases, scale: Any, dropout: float, seed: int | None, layout: str,
    foreign: Mapping[str, Any],
) -> tuple[Asked, Mask | str | None, Terms]:  # fmt: skip
    """Return the call in attometer's own words, its mask and its biases.

    Raises AttometerError for an unknown name, or a value that means something else here.
    """
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    made = Asked(q, k, v, layout, scale, dropout, seed)
    tensors = all(isinstance(x, torch.Tensor) for x in (q, k, v))
    made.masks += [x for x in (mask if isinstance(mask, tuple) else (mask,)) if x is not None]
    made.biases += [x if not isinstance(x, torch.Tensor) else Additive(x) for x in _each(bias)]
    for name, value in foreign.items():
        if name not in FOREIGN:
            raise unknown("argument", name, FOREIGN)
        if value is not None and tensors:
            FOREIGN[name](made, value)
    if tensors:
        _shapes(made, any(name.startswith("cu_seqlens") for name in foreign))
    structure, seen, added = _masks(made.masks)
    held = terms(tuple(made.biases))
    if added is not None:
        held = replace(held, additive=added if held.additive is None else held.additive + added)
    _check_dropout(made)
    number = 0 if not made.dropout else int(torch.randint(2**62, ())) if made.seed is None else int(made.seed)
    return made, structure, replace(held, seen=seen, dropout=float(made.dropout), seed=number)


def _each(bias: Biases) -> Sequence[Any]:
    return () if bias is None else bias if isinstance(bias, tuple) else (bias,)


def _check_dropout(made: Asked) -> None:
    if isinstance(made.dropout, bool) or not isinstance(made.dropout, int | float) or not 0 <= made.dropout < 1:
        raise AttometerError(f"dropout: got {made.dropout!r}, expected a probability of at least 0 and below 1")


def _shapes(made: Asked, sequences: bool) -> None:
    """Bring the operands to [b, heads, length, width]; a batch of 1 is that of the others; autocast and scale apply."""
    if sequences and made.q.dim() == made.k.dim() == made.v.dim() == 3:
        made.packed, made.layout = True, "bnhd"
        made.q, made.k, made.v = (x[None] for x in (made.q, made.k, made.v))
    operands = [made.q, made.k, made.v]
    if made.layout == "bnhd":
        operands = [x.transpose(1, 2) if x.dim() == 4 else x for x in operands]
    if all(x.dim() == 4 for x in operands):
        most = max(x.shape[0] for x in operands)
        operands = [x.expand(most, -1, -1, -1) if x.shape[0] == 1 else x for x in operands]
    device = operands[0].device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        low = torch.get_autocast_dtype(device)
        operands = [x.to(low) if x.dtype == torch.float32 else x for x in operands]
    if isinstance(made.scale, torch.Tensor):
        operands[0] = _scaled(operands[0], made.scale)
        made.scale = 1.0
    made.q, made.k, made.v = operands


def _scaled(q: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Multiply queries by a scale that may be learned: a number, or one for each head [h]."""
    if scale.dim() > 1 or (scale.dim() == 1 and scale.shape[0] not in (1, q.shape[1])):
        raise AttometerError(f"scale: got a tensor of shape {list(scale.shape)}, expected a number or [{q.shape[1]}]")
    factor = scale if scale.dim() == 0 else scale[:, None, None]
    return (q * factor).to(q.dtype)


def _masks(given: Sequence[Any]) -> tuple[Any, torch.Tensor | None, torch.Tensor | None]:
    """Return the mask of the algebra, booleans [., ., ., .] and an additive tensor that all must hold together."""
    structure: Any = None
    seen: torch.Tensor | None = None
    added: torch.Tensor | None = None
    for one in given:
        if isinstance(one, torch.Tensor):
            if one.dim() > 4:
                raise AttometerError(f"mask: got a tensor of {one.dim()} axes, expected at most 4 [b, h, n, m]")
            wide = one[(None,) * (4 - one.dim())]
            if one.dtype == torch.bool:
                seen = wide if seen is None else seen & wide
            elif one.is_floating_point():
                added = wide if added is None else added + wide
            else:
                raise AttometerError(
                    f"mask: got a tensor of {one.dtype}, expected booleans (True is seen) or numbers to add"
                )
        else:
            structure = one if structure is None else _both(structure, one)
    return structure, seen, added


def _both(a: Any, b: Any) -> Any:
    # One text alone stays text, which a graph can hold.
    held = [parse_mask(x) if isinstance(x, str) else x for x in (a, b)]
    return held[0] & held[1] if all(isinstance(x, Mask) for x in held) else a if isinstance(held[1], Mask) else b
