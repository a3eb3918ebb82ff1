"""Attention and mask function of a model whose sequence is spread over ranks."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers.masking_utils import causal_mask_function

from attometer.errors import AttometerError
from attometer.integrations.transformers.closures import Function, Place, read
from attometer.integrations.transformers.mask_structure import MaskHandle, MaskStructure
from attometer.integrations.transformers.narrowing import Narrowing
from attometer.integrations.transformers.refusals import refuse_arguments
from attometer.masks import Band
from attometer.program import Mask, causal
from attometer.run.biases import SoftCap
from attometer.run.distributed import distributed_attention
from attometer.run.distributed.agreement import agree
from attometer.run.distributed.layout import Layout
from attometer.run.distributed.mesh import Ranks


@dataclass(frozen=True, eq=False)
class SpreadStructure(MaskStructure):
    """A mask over global positions, and who holds them; `keys` and `cached` count all ranks, `queries` this one.

    It stays with the layer's arguments, so a layer that a checkpoint runs again knows its own forward's layout. Any other
    attention function finds fewer keys than it was made for, and refuses.
    """

    layout: Layout


@dataclass(eq=False)
class SpreadAttention:
    """What is registered while a model runs sequence-parallel; without ranks once that has ended."""

    ranks: Ranks | None
    impl: str
    narrowing: Narrowing | None
    layout: Layout | None = None

    def mask(
        self,
        batch_size: int,
        q_length: int,
        kv_length: int,
        q_offset: Any = 0,
        kv_offset: int = 0,
        mask_function: Function = causal_mask_function,
        attention_mask: torch.Tensor | None = None,
        config: Any = None,
        device: torch.device | str = "cpu",
        **_: Any,
    ) -> MaskHandle:
        """Return the structure of a mask over all ranks' positions, as transformers asks for a rank's own.

        Raises AttometerError for anything but causal attention, with or without a window.
        """
        layout, model_type = self.layout, str(getattr(config, "model_type", "unknown"))
        if layout is None or int(q_offset) or kv_offset or kv_length != q_length:
            raise AttometerError(f'model type "{model_type}": a cache is not supported sequence-parallel')
        (pattern, *more) = read(_whole(mask_function), Place(batch_size, 0, q_length, model_type))
        if more or not (isinstance(pattern, Band) and pattern.right == 0):
            raise AttometerError(
                f'model type "{model_type}": got mask {pattern}, expected causal() or a window sequence-parallel; other '
                "masks depend on tokens that lie on other ranks"
            )
        n = layout.length
        patterns = (self._narrowed(_tight(pattern, n), n),)
        structure = SpreadStructure(batch_size, q_length, n, n, patterns, None, None, model_type, layout)
        return MaskHandle.of(structure, torch.device(device))

    def _narrowed(self, mask: Mask, n: int) -> Mask | None:
        return self.narrowing.of(mask, n, n) if self.narrowing is not None and mask == causal() else mask

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        softcap: float | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Return attention [b, n of the rank, h, e] of this rank's queries over all ranks' keys, and no weights.

        Raises AttometerError on every rank, for what one of them does not support.
        """
        name = type(module).__name__
        if self.ranks is None:
            raise AttometerError(f"{name}: sequence_parallel has ended; call forward and backward inside its block")
        try:
            structure = _refuse(module, attention_mask, dropout, options)
        except AttometerError:
            agree(self.ranks, None, self.ranks.mesh.device_type)
            raise
        output = distributed_attention(
            query, key, value, mesh=self.ranks.mesh, mask=structure.patterns[0],
            bias=None if softcap is None else SoftCap(float(softcap)), scale=None if scaling is None else float(scaling),
            impl=self.impl, layout=structure.layout,
        )  # fmt: skip
        assert isinstance(output, torch.Tensor)
        return output.transpose(1, 2).contiguous(), None


def _refuse(module: Any, mask: Any, dropout: float, options: dict[str, Any]) -> SpreadStructure:
    if dropout:
        raise AttometerError(
            f"{type(module).__name__}: dropout {dropout} on attention weights of a spread sequence is not supported; "
            "set the config's attention dropout to 0, or call model.eval()"
        )
    refuse_arguments(module, options)
    name = type(module).__name__
    for argument, meaning in (("s_aux", "attention sinks"), ("position_bias", "an additive bias")):
        if options.get(argument) is not None:
            raise AttometerError(f"{name}: {argument}= ({meaning}) is not supported sequence-parallel")
    structure = mask.structure if isinstance(mask, MaskHandle) else None
    if not isinstance(structure, SpreadStructure):
        raise AttometerError(
            f"{name}: got attention_mask {type(mask).__name__}, expected the model's own sequence-parallel; call the model "
            "that sequence_parallel was given, without a 4-D attention_mask"
        )
    return structure


def _whole(function: Function) -> Function:
    """Return the mask of one sequence: transformers takes the jumps in a zig-zag shard's positions for packed sequences."""
    cells = dict(zip(function.__code__.co_freevars, getattr(function, "__closure__", None) or (), strict=True))
    if function.__qualname__ == "and_masks.<locals>.and_mask":
        parts = cells["mask_functions"].cell_contents
        if parts[0].__qualname__ == "packed_sequence_mask_function.<locals>.inner_mask":
            return _whole(parts[1])
    if function.__qualname__ == "remap_positions_for_packed_sequence.<locals>.inner_mask":
        inner: Function = cells["mask_function"].cell_contents
        return inner
    return function


def _tight(mask: Band, n: int) -> Band:
    """Return plain causal attention for a window that no query can fill."""
    return Band(None, 0) if mask.left is None or int(mask.left) >= n - 1 else mask
