"""Every key of every family: changed, deleted, set to null or added, the reader follows transformers or refuses."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from typing import Any

import pytest
import sympy
from family_configs import FAMILIES, WALKED
from one_key_changed import changes
from test_model_families import build, count_flops, sizes

from attometer.count.model_cost import flops, parameters
from attometer.errors import AttometerError
from attometer.models import Model, from_values
from attometer.models.no_cost import NO_COST
from attometer.models.readers.families import AROUND

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

# GPT-Neo's local layers have a window, and transformers' cache keeps all keys of it; encoders keep none.
KEEP_ALL = {"gpt_neo", "modernbert"}
RIGHT = ("equal", "refused", "transformers refuses")
# More tokens than any kernel of a convolution in the walk.
TOKENS = 11


def windows(model: Model) -> list[int]:
    """Return the windows of the cache, one per sliding layer, sorted."""
    return sorted(
        int(next(x for x in least.args if x.is_Integer))
        for stack in model.layers
        for least in stack.layer.cache.kv.atoms(sympy.Min)
        for _ in stack.indices
    )


def windows_of(config: Any) -> list[int] | None:
    """Return those of transformers' own cache, None where it makes none for this family."""
    try:
        cache = transformers.DynamicCache(config=config)
    except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError):
        return None
    return sorted(layer.sliding_window for layer in cache.layers if getattr(layer, "is_sliding", False))


@dataclasses.dataclass(frozen=True)
class Reference:
    """What transformers builds from a configuration."""

    model: Any
    parameters: int
    windows: list[int] | None


def reference(values: dict[str, Any]) -> Reference | None:
    """Return what transformers builds, None where its class or its weights refuse the values."""
    try:
        model = build(values, "meta", experts="batched_mm")
    except Exception:  # whatever it says of values that cannot be
        return None
    return Reference(model, sum(p.numel() for p in model.parameters()), windows_of(model.config))


def compare(values: dict[str, Any], base: Model | None = None, key: str = "") -> str:
    """Return `equal`, `refused`, `transformers refuses`, or in words what differs; `base` is what `key` changed."""
    try:
        read = from_values(copy.deepcopy(values))
        ours = parameters(read)
    except AttometerError:
        return "refused"
    theirs = reference(copy.deepcopy(values))
    if theirs is None:
        return "transformers refuses"
    if ours != theirs.parameters:
        return f"parameters {ours}, transformers {theirs.parameters}"
    if values["model_type"] not in KEEP_ALL and (theirs.windows or []) != (
        windows(read) if theirs.windows is not None else []
    ):
        return f"windows {windows(read)}, transformers {theirs.windows}"
    # Where the weights are the same, the key may still choose what is computed with them, here or in transformers.
    if base is not None and ours == parameters(base) and (_parts(read) != _parts(base) or _left(read, key)):
        return _operations(read, theirs.model, values)
    return "equal"


def _left(read: Model, key: str) -> bool:
    """Whether the reader of this family leaves out a key that is not known to cost nothing anywhere."""
    return key not in NO_COST and f"$.{key}" in (*read.check.ignored, *read.check.unread)


def _parts(read: Model) -> Any:
    return read.embedding, read.layers, read.head


def _operations(read: Model, model: Any, values: dict[str, Any]) -> str:
    try:
        theirs = count_flops(model, TOKENS, "meta")
    except Exception:  # data-dependent code does not run without data; sizes that cannot run say so here
        return "equal"
    ours = flops(read, **sizes(values, read, TOKENS), causal="full", form="reference")
    return "equal" if ours == theirs else f"FLOPs {ours}, transformers {theirs}"


@pytest.mark.parametrize("name", [*FAMILIES, *WALKED])
def test_one_key_changed_is_followed_or_refused(name: str) -> None:
    values = (FAMILIES | WALKED)[name]
    torch.set_num_threads(1)
    start, base = reference(values), from_values(values)
    assert start is not None
    counts: Counter[str] = Counter()
    wrong = []
    for label, changed in changes(values, start.model.config.to_dict()):
        outcome = compare(changed, base, label.split()[0])
        counts[outcome] += 1
        if outcome not in RIGHT:
            wrong.append(f"{label}: {outcome}")
    print(
        f"{name}: {counts['equal']} equal, {counts['refused']} refused, {counts['transformers refuses']} that transformers refuses"
    )
    assert not wrong


HEADS = (
    "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice",
    "ForNextSentencePrediction", "ForPreTraining", "LMHeadModel", "EncoderModel", "Model", "ForImageClassification",
    "ModelWithProjection",
)  # fmt: skip
OTHERS = ("Encoder", "VisionTransformer", "ForCTC")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_class_of_a_family_is_followed_or_refused(name: str) -> None:
    values = FAMILIES[name]
    stem = next(
        values["architectures"][0].removesuffix(end)
        for end in ("ForCausalLM", "ForMaskedLM", "ForConditionalGeneration", *HEADS, *OTHERS)
        if values["architectures"][0].endswith(end)
    )
    wrong = {}
    for head in HEADS:
        if not hasattr(transformers, stem + head):
            continue
        outcome = compare({**values, "architectures": [stem + head], "id2label": {str(i): f"L{i}" for i in range(5)}})
        if outcome not in RIGHT:
            wrong[stem + head] = outcome
    assert not wrong


# Families of which transformers has no whole model or names no head, and sizes of a tower where its class has none that can be built.
UNBUILT = {"kimi_k3", "kimi_vl", "nemotron_h_omni"}
TOWER = {"aya_vision": {"vision_config": {"model_type": "siglip_vision_model", "num_hidden_layers": 1}}}


def whole(kind: str, values: dict[str, Any]) -> Any:
    """Build the whole model of a wrapping family on the meta device."""
    from transformers.models.auto import modeling_auto as auto

    names = auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES | auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    names |= auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES
    config = transformers.AutoConfig.for_model(kind, **{k: v for k, v in values.items() if k != "model_type"})
    with torch.device("meta"):
        return getattr(transformers, names[kind])._from_config(config)


@pytest.mark.parametrize("kind", sorted(set(AROUND) - UNBUILT))
def test_the_head_of_a_wrapping_family_is_tied_as_in_transformers(kind: str) -> None:
    inner = next(v for v in FAMILIES.values() if v["model_type"] == AROUND[kind])
    text = {k: v for k, v in inner.items() if k not in ("architectures", "tie_word_embeddings")}
    for outer_says in ({}, {"tie_word_embeddings": True}, {"tie_word_embeddings": False}):
        for inner_says in ({}, {"tie_word_embeddings": True}, {"tie_word_embeddings": False}):
            values = {"model_type": kind, "text_config": text | inner_says, **TOWER.get(kind, {}), **outer_says}
            model = whole(kind, copy.deepcopy(values))
            own = model.get_output_embeddings().weight is not model.get_input_embeddings().weight
            assert own != any(part.tied for part in from_values(values).head), (outer_says, inner_says)
