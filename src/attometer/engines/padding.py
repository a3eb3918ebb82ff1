"""Bytes that an engine adds to the weights of a file: expert matrices padded to the tiles of its kernels."""

from attometer.count.weights import Formats
from attometer.engines.engine import Engine, Padding
from attometer.formats import stored_bytes
from attometer.models.layer import Model
from attometer.models.part import Part


def padding(engine: Engine, model: Model, formats: Formats) -> int:
    """Return the bytes that `engine` pads the experts of `model` with, all ranks together.

    >>> from attometer.engines import engine
    >>> from attometer.formats import uniform
    >>> from attometer.models import model
    >>> round(padding(engine("vllm"), model("gpt-oss-120b"), uniform("mxfp4")) / 2**30, 2)
    3.78
    """
    rules = {rule.format: rule for rule in engine.padding}
    extra = 0
    for stack in model.layers:
        for index in stack.indices:
            for part in stack.layer.parts:
                if part.routed is None:
                    continue
                form = formats.of(index, stack.kind, part.name)
                if form.name in rules:
                    extra += stored_bytes(_added(part, rules[form.name]), form)
    return extra


def _added(part: Part, rule: Padding) -> int:
    """Return the elements added to the matrices of all experts: rows and columns of the model's width and of the inner one."""
    down = part.name.endswith("down")
    total = 0
    for extents in (tensor.extents for tensor in part.program.weights if len(tensor.extents) == 3):
        experts, rows, columns = map(int, extents)
        by = (rule.inner, rule.width) if down else (rule.width, rule.inner)
        total += experts * (_up(rows, by[0]) * _up(columns, by[1]) - rows * columns)
    return part.copies * total


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
