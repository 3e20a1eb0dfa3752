"""A forecaster from its recipe, with anybody's encoder; and its file: small, whole, never around another block."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from perception.encoders.vectornet.input import VectorizedInput
from perception.encoders.vectornet.network import VectorNet
from perception.errors import InputError
from perception.traffic.scenario import Scenario
from perception_tools.forecasting.model import Training, build_encoder, build_forecaster, load_model, save_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.model_metadata import MODEL_FILE

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


def test_the_seed_alone_decides_the_first_weights(tiny_recipe: ForecastRecipe) -> None:
    torch.manual_seed(1)
    first = build_forecaster(tiny_recipe, 5).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn), "building leaves the global generator alone"
    second = build_forecaster(tiny_recipe, 5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = build_forecaster(replace(tiny_recipe, seed=1), 5).state_dict()
    assert not torch.equal(first["head.mode"], other["head.mode"])


def test_a_recipes_numbers_reach_the_model(tiny_recipe: ForecastRecipe, make_scenario: Callable[..., Scenario]) -> None:
    recipe = replace(tiny_recipe, modes=4, max_tokens=2, view="scene", global_layers=2, dropout=0.25)
    model = build_forecaster(recipe, 10).eval()
    encoder = model.encoder
    assert isinstance(encoder, VectorNet)
    assert isinstance(model.input, VectorizedInput)
    assert (model.input.view, model.input.max_tokens, len(encoder.global_graph)) == ("scene", 2, 2)
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}
    (forecast,) = model.forecast([make_scenario()], [np.array([0, 1])])
    assert forecast.trajectories.shape == (2, 4, 10, 2)


def own_module(folder: Path, source: str) -> None:
    (folder / "track_encoders.py").write_text(f"from torch import nn\n\n{source}\n")


def test_an_encoder_may_be_anybodys_and_gets_the_recipes_numbers_that_it_names(
    own_encoder: str, tiny_recipe: ForecastRecipe, make_scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe, encoder=own_encoder)
    model = build_forecaster(recipe, 10)
    assert type(model.encoder).__name__ == "TrackEncoder"
    assert model.input is model.encoder.input, "it brings its own input"
    assert model.encode_map(make_scenario().map) is None
    save_model(tmp_path / MODEL_FILE, model, recipe, TRAINING)
    question = [make_scenario()], [np.array([1, 0])]
    (ours,), (theirs,) = (m.forecast(*question) for m in (model.eval(), load_model(tmp_path).model))
    np.testing.assert_array_equal(ours.trajectories, theirs.trajectories)


def test_an_encoder_without_an_input_reads_vectornets_as_the_recipe_says(
    own_encoder: str, tiny_recipe: ForecastRecipe, make_scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    own_module(tmp_path, MEANS)
    recipe = replace(tiny_recipe, encoder=own_encoder, view="scene", max_tokens=3)
    model = build_forecaster(recipe, 10).eval()
    assert isinstance(model.input, VectorizedInput)
    assert (model.input.view, model.input.max_tokens) == ("scene", 3)
    (forecast,) = model.forecast([make_scenario()], [np.array([0, 1])])
    assert forecast.trajectories.shape == (2, recipe.modes, 10, 2)


MEANS = """
import torch
from perception.tokens import Tokens

class TrackEncoder(nn.Module):
    def __init__(self, dim, heads=0, **others):
        super().__init__()
        assert heads == 2, "of the recipe, though there is a default"
        assert not others
        self.agent, self.lane = nn.LazyLinear(dim), nn.LazyLinear(dim)

    def forward(self, batch):
        polylines = torch.cat([self.agent(batch.agent_vectors.mean(1)), self.lane(batch.lane_vectors.mean(1))])
        return Tokens(polylines[batch.token_index], batch.token_valid)
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "the module track_encoders has no 'TrackEncoder'; correct the name"),
        ("TrackEncoder = 3", "expected a class of torch.nn.Module, got 3; name the class"),
        ("class TrackEncoder: pass", "expected a class of torch.nn.Module, got <class"),
        (
            "class TrackEncoder(nn.Module):\n    def __init__(self, dim, width, depth): ...",
            "its constructor asks for width, depth, which no recipe has; give it a default, or take one of passes, ",
        ),
    ],
)
def test_what_is_no_encoder_is_refused_with_the_cure(
    own_encoder: str, tiny_recipe: ForecastRecipe, tmp_path: Path, source: str, message: str
) -> None:
    own_module(tmp_path, source)
    with pytest.raises(InputError, match=f"encoder {own_encoder}: {re.escape(message)}"):
        build_encoder(replace(tiny_recipe, encoder=own_encoder))


def test_an_encoder_that_is_not_there_when_a_model_is_loaded_is_named(
    own_encoder: str, saved: Path, tiny_recipe: ForecastRecipe, tmp_path: Path
) -> None:
    rewrite(saved, recipe=json.dumps({**tiny_recipe.to_json(), "encoder": own_encoder}))
    (tmp_path / "track_encoders.py").unlink()
    with pytest.raises(InputError, match="there is no module 'track_encoders'; put its folder on PYTHONPATH"):
        load_model(saved)


def test_a_given_model_takes_the_weights_in_place_of_the_recipes(saved: Path, tiny_recipe: ForecastRecipe) -> None:
    given = build_forecaster(replace(tiny_recipe, seed=9), 10)
    loaded = load_model(saved, given)
    assert loaded.model is given
    assert not given.training
    assert torch.equal(given.head.get_parameter("mode"), load_file(saved)["head.mode"])
    with pytest.raises(InputError, match="expected the weights of this version's Forecaster, got others"):
        load_model(saved, build_forecaster(replace(tiny_recipe, modes=3), 10))


def test_a_file_from_before_the_view_had_its_name_loads(
    saved: Path, tiny_recipe: ForecastRecipe, make_scenario: Callable[..., Scenario]
) -> None:
    recipe = replace(tiny_recipe, view="scene", max_tokens=3)
    save_model(saved, build_forecaster(recipe, 10), recipe, TRAINING)
    question = [make_scenario()], [np.array([0, 1])]
    (now,) = load_model(saved).model.forecast(*question)
    values = recipe.to_json()
    former = {name: value for name, value in values.items() if name not in ("view", "encoder")}
    rewrite(saved, recipe=json.dumps({**former, "frame": "scene"}))
    loaded = load_model(saved)
    assert loaded.recipe == recipe
    np.testing.assert_array_equal(loaded.model.forecast(*question)[0].trajectories, now.trajectories)


def test_a_trained_model_has_the_name_of_its_recipe(saved: Path) -> None:
    assert load_model(saved).name == "forecast/vectornet-llama"


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
