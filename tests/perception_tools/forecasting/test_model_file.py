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
from perception.forecasting.scenario import Scenario
from perception.forecasting.vectorize import vectorize
from perception_tools.forecasting.model_file import FORMAT, MODEL_FILE, Training, load_model, save_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.forecasting.task import build_forecaster
from perception_tools.recipes import BlockRecipe

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
    question = [vectorize(make_scenario())], [np.array([0, 1])]
    (ours,), (theirs,) = model.eval().forecast(*question), loaded.model.forecast(*question)
    np.testing.assert_array_equal(ours.trajectories, theirs.trajectories)
    np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)


def test_the_file_is_found_in_its_runs_folder(saved: Path) -> None:
    assert load_model(saved.parent).training == TRAINING


def test_the_file_holds_no_frozen_block(saved: Path) -> None:
    names = load_file(saved).keys()
    assert any(name.startswith("block.project_in") for name in names)
    assert not any(name.startswith("block.blocks") for name in names)


def test_a_missing_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a run's folder or its model\.safetensors, found none"):
        load_model(tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_named(saved: Path, part: float) -> None:
    saved.write_bytes(saved.read_bytes()[: int(saved.stat().st_size * part)])
    with pytest.raises(InputError, match=rf"{MODEL_FILE}: expected a whole safetensors file"):
        load_model(saved)


@pytest.mark.parametrize("metadata", [None, {"format": "frozen-perception forecaster 0"}])
def test_another_programs_file_is_refused(tmp_path: Path, metadata: dict | None) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", metadata)
    with pytest.raises(InputError, match=f"expected a file of format '{FORMAT}'"):
        load_model(tmp_path / "other.safetensors")


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


def test_a_failed_write_leaves_the_former_file(
    saved: Path, tiny_recipe: ForecastRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full_disk(path: Path, data: bytes) -> None:
        path.write_text(str(data[: len(data) // 2]))
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    recipe = replace(tiny_recipe, block=BlockRecipe(kind="none"))
    with pytest.raises(OSError, match="No space"):
        save_model(saved, build_forecaster(recipe, 10), recipe, TRAINING)
    assert saved.read_bytes() == before
