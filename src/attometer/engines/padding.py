"""Bytes that an engine adds to the weights of a file: expert matrices padded to the tiles of its kernels."""

from attometer.count.weights import Formats
from attometer.engines.engine import Engine, Padding
from attometer.formats import Storage, stored_bytes
from attometer.models.layer import Model
from attometer.models.part import Part
from attometer.schedule.placement import Placement

ALONE = Placement()


def padding(engine: Engine, model: Model, formats: Formats, place: Placement = ALONE) -> int:
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
                    extra += stored_bytes(_added(part, rules[form.name], form, int(place.expert_tp or 1)), form)
    return extra


def _added(part: Part, rule: Padding, form: Storage, ranks: int) -> int:
    """Return the elements added to the matrices of all experts, whose inner width `ranks` share."""
    down = part.name.endswith("down")
    total = 0
    for extents in (tensor.extents for tensor in part.program.weights if len(tensor.extents) == 3):
        experts, rows, columns = map(int, extents)
        by = (rule.inner, rule.width) if down else (rule.width, rule.inner)
        total += experts * (_up(rows, by[0]) * _up(columns, by[1]) - rows * columns)
        # What a product sums over is stored side by side; of the second matrix each rank has its part.
        pieces = ranks if down else 1
        if rule.stride and rows // pieces * form.bits / 8 % rule.stride == 0:
            total += experts * columns * pieces * int(rule.tail * 8 / form.bits)
    return part.copies * total


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
