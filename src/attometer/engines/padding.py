"""Bytes by which what an engine keeps on its devices is more than the file: padded experts, less what the host or a group shares."""

from attometer.count.weights import Formats, part_weights, stored_weights
from attometer.engines.engine import Engine, Padding
from attometer.formats import Storage, WeightFormats, stored_bytes, uniform
from attometer.models.layer import Model
from attometer.models.part import Part
from attometer.models.stored import stored_type
from attometer.schedule.placement import Placement

ALONE = Placement()


def padding(engine: Engine, model: Model, formats: Formats, place: Placement = ALONE) -> int:
    """Return the bytes that `engine` adds to a file whose towers stand whole on each rank, all ranks together.

    It pads experts, leaves an embedding with the host, or shares towers.

    >>> from attometer.engines import engine
    >>> from attometer.formats import uniform
    >>> from attometer.models import model
    >>> round(padding(engine("vllm"), model("gpt-oss-120b"), uniform("mxfp4")) / 2**30, 2)
    3.78
    """
    rules = {rule.format: rule for rule in engine.padding}
    extra = 0
    if engine.version.lookup == "host" and not any(part.tied for part in model.head):
        extra -= sum(part_weights(part, "embedding", (None,), formats).bytes for part in model.embedding)
    if isinstance(formats, WeightFormats):
        plain = uniform(stored_type(model))
        shared = [tower for tower in model.towers if tower.family.startswith(engine.version.towers)]
        extra -= (place.tp - 1) * sum(stored_weights(tower, plain).total for tower in shared)
    for stack in model.layers if rules else ():
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
