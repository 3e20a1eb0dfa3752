"""The model file: small, whole, and never loaded around another block."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from perception.errors import InputError
from perception.traffic.scenario import Scenario
from perception_tools.forecasting.model import Training, build_forecaster, load_model, save_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.model_files import MODEL_FILE

TRAINING = Training("forecast/vectornet-llama", "argoverse1", 8, history_steps=5, future_steps=10, steps=12)


@pytest.fixture
def saved(tmp_path: Path, tiny_recipe: ForecastRecipe) -> Path:
    """A model file in a folder of its own."""
    save_model(tmp_path / MODEL_FILE, build_forecaster(tiny_recipe, 10), tiny_recipe, TRAINING)
    return tmp_path / MODEL_FILE


def rewrite(path: Path, **metadata: str) -> None:
    """Changes what the file says about itself."""
    with safe_open(path, "pt") as opened:
        before = opened.metadata()
    save_file(load_file(path), path, {**before, **metadata})


@pytest.mark.parametrize("kind", ["language", "random", "mlp", "none"])
def test_a_model_comes_back_from_its_file(
    kind, tmp_path: Path, tiny_recipe: ForecastRecipe, make_scenario: Callable[..., Scenario]
) -> None:
    recipe = replace(tiny_recipe, block=replace(tiny_recipe.block, kind=kind), seed=4)
    model = build_forecaster(recipe, 10)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)
    save_model(tmp_path / MODEL_FILE, model, recipe, TRAINING)
    loaded = load_model(tmp_path / MODEL_FILE)
    assert (loaded.recipe, loaded.training) == (recipe, TRAINING)
    question = [make_scenario()], [np.array([0, 1])]
    (ours,), (theirs,) = model.eval().forecast(*question), loaded.model.forecast(*question)
    np.testing.assert_array_equal(ours.trajectories, theirs.trajectories)
    np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)


def test_the_file_holds_no_frozen_block(saved: Path) -> None:
    names = load_file(saved).keys()
    assert any(name.startswith("block.project_in") for name in names)
    assert not any(name.startswith("block.blocks") for name in names)


def test_a_block_that_is_not_the_one_it_was_trained_around_is_refused(saved: Path) -> None:
    with safe_open(saved, "pt") as opened:
        blocks = json.loads(opened.metadata()["blocks"])
    blocks["block."]["fingerprint"] = "0" * 64
    rewrite(saved, blocks=json.dumps(blocks))
    with pytest.raises(InputError, match=rf"it was trained around the block .*fingerprint {'0' * 64}"):
        load_model(saved)


def test_a_recipe_of_another_version_is_refused(saved: Path, tiny_recipe: ForecastRecipe) -> None:
    rewrite(saved, recipe=json.dumps({**tiny_recipe.to_json(), "unheard_of": 1}))
    with pytest.raises(InputError, match="unheard_of"):
        load_model(saved)
