from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception_tools.points.model import PointTraining, build_classifier, load_classifier, save_classifier
from perception_tools.points.recipes import PointRecipe


def test_a_model_is_a_function_of_its_recipe(tiny_point_recipe: PointRecipe) -> None:
    first, again, other = (build_classifier(replace(tiny_point_recipe, seed=seed), 3) for seed in (0, 0, 1))
    state, same, different = (dict(model.state_dict()) for model in (first, again, other))
    assert all(torch.equal(state[name], same[name]) for name in state)
    assert not torch.equal(state["encoder.cls_pos"], different["encoder.cls_pos"])
    assert (first.input.points, first.input.scaling) == (32, "unit-sphere")


def test_a_model_comes_back_from_its_file(tiny_point_recipe: PointRecipe, tmp_path: Path) -> None:
    model, path = build_classifier(tiny_point_recipe, 2), tmp_path / "model.safetensors"
    with torch.no_grad():
        model.encoder.encoder.first_conv[1].running_mean += 1  # pyright: ignore
    save_classifier(path, model, tiny_point_recipe, ("cat", "dog"), PointTraining("points/x", "made", 9, 4))
    trained = load_classifier(path)
    assert (trained.name, trained.classes, trained.training.clouds) == ("points/x", ("cat", "dog"), 9)
    points = torch.randn(2, 32, 3)
    with torch.no_grad():
        assert torch.equal(trained.model(points), model.eval()(points))
    assert not trained.model.training


def test_a_damaged_recipe_names_the_file(tiny_point_recipe: PointRecipe, tmp_path: Path) -> None:
    recipe, path = replace(tiny_point_recipe, points=10**6), tmp_path / "model.safetensors"
    model = build_classifier(tiny_point_recipe, 2)
    save_classifier(path, model, recipe, ("cat", "dog"), PointTraining("points/x", "made", 9, 4))
    with pytest.raises(InputError, match=r"model\.safetensors.*augmentation\.oversample"):
        load_classifier(path)
