"""The model of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from perception.traffic.scenario import Scenario
from perception_tools.forecasting.model import build_forecaster
from perception_tools.forecasting.recipes import ForecastRecipe


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
    assert (model.frame, model.max_tokens, len(model.encoder.global_graph)) == ("scene", 2, 2)
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}
    (forecast,) = model.forecast([make_scenario()], [np.array([0, 1])])
    assert forecast.trajectories.shape == (2, 4, 10, 2)
