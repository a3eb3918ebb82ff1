"""Towers beside a text model: their weights and the text's make the whole model that transformers builds."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from more_families import PIXELS, WHOLE

from attometer.count.model_cost import flops, parameters
from attometer.count.part_kinds import part_kind
from attometer.models import from_values

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")


def whole(values: dict[str, Any]) -> Any:
    """Build the whole model on the meta device."""
    from transformers.models.auto import modeling_auto as auto

    kind = values["model_type"]
    names = auto.MODEL_MAPPING_NAMES | auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    names |= auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES
    own = {k: v for k, v in copy.deepcopy(values).items() if k != "model_type"}
    config = transformers.AutoConfig.for_model(kind, **own)
    with torch.device("meta"):
        return getattr(transformers, names[kind])._from_config(config, attn_implementation="eager").eval()


@pytest.mark.parametrize("name", WHOLE)
def test_text_and_towers_make_the_whole(name: str) -> None:
    read = from_values(WHOLE[name])
    assert len(read.towers) == 1, read.check.notes
    built = whole(WHOLE[name])
    assert parameters(read) + sum(map(parameters, read.towers)) == sum(p.numel() for p in built.parameters())
    assert read.check.unread == ()


@pytest.mark.parametrize("name", PIXELS)
def test_a_tower_and_what_projects_from_it_cost_what_transformers_runs(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    (tower,) = from_values(WHOLE[name]).towers
    model = whole(WHOLE[name])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.model.get_image_features(pixel_values=torch.zeros(2, 3, 16, 16, device="meta"))
    counted = flops(tower, n=tower.tokens, b=2, causal="full", form="reference")
    assert counted == counter.get_total_flops()


def test_a_tower_that_is_not_modelled_is_said_and_the_text_is_read() -> None:
    odd = WHOLE["gemma3"] | {"vision_config": {"model_type": "a_new_tower", "hidden_size": 48}}
    read = from_values(odd)
    assert read.towers == ()
    assert any('$.vision_config.model_type is "a_new_tower"' in note for note in read.check.notes)


@pytest.mark.parametrize("name", WHOLE)
def test_every_part_of_a_tower_has_a_kind(name: str) -> None:
    for tower in from_values(WHOLE[name]).towers:
        layers = [part for stack in tower.layers for part in stack.layer.parts]
        assert all(part_kind(part.name) for part in (*tower.embedding, *layers, *tower.head))
