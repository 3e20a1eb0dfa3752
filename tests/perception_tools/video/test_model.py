from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from perception.errors import InputError
from perception_tools.training.recipes import BlockRecipe
from perception_tools.video.model import ActionTraining, build_recognizer, load_recognizer, save_recognizer
from perception_tools.video.recipes import ActionRecipe

TRAINING = ActionTraining("video/micro-llama", "squares", "motion", "", clips=8, steps=4)


def test_a_model_comes_back_from_its_file(tiny_recipe: ActionRecipe, tmp_path: Path) -> None:
    model = build_recognizer(tiny_recipe, 3).eval()
    assert model.block is not None
    assert model.block.rows_at_once == 5
    save_recognizer(tmp_path / "m.safetensors", model, tiny_recipe, ("a", "b", "c"), TRAINING)
    trained = load_recognizer(tmp_path / "m.safetensors")
    assert (trained.recipe, trained.classes, trained.training) == (tiny_recipe, ("a", "b", "c"), TRAINING)
    clips = torch.randn(2, 3, 4, 16, 16)
    assert torch.equal(trained.model(clips), model(clips))
    assert not trained.model.training


def test_models_of_a_seed_are_equal_whatever_was_drawn_before(tiny_recipe: ActionRecipe) -> None:
    first = build_recognizer(tiny_recipe, 3)
    torch.rand(5)
    again, other = build_recognizer(tiny_recipe, 3), build_recognizer(replace(tiny_recipe, seed=1), 3)
    name = "encoder.blocks.1.attn.qkv.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


@pytest.mark.parametrize(("kind", "extra"), [("none", 0), ("mlp", 2 * 128 * 32 + 64), ("language", 2 * 128 * 32)])
def test_a_block_adds_its_projections_and_nothing_else_that_is_trained(
    kind: Any, extra: int, tiny_recipe: ActionRecipe
) -> None:
    def trained(block: BlockRecipe) -> int:
        model = build_recognizer(replace(tiny_recipe, block=block), 3)
        return sum(p.numel() for p in model.parameters() if p.requires_grad)

    block = replace(tiny_recipe.block, kind=kind)
    assert trained(block) - trained(replace(block, kind="none")) == extra


@pytest.mark.parametrize("names", [None, [1, 2, 3], "abc"])
def test_a_file_without_names_of_classes_is_refused(names: Any, tiny_recipe: ActionRecipe, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_recognizer(path, build_recognizer(tiny_recipe, 3), tiny_recipe, names, TRAINING)
    with pytest.raises(InputError, match=r"m\.safetensors"):
        load_recognizer(path)
