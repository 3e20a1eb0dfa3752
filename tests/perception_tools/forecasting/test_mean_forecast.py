"""Means of forecasts: which modes belong together, and what the mean is of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perception.errors import InputError
from perception.models.forecaster import Forecaster
from perception.traffic.mirror import mirror_forecast, mirror_scenario
from perception.traffic.scenario import Forecast, Scenario
from perception_tools.forecasting.mean_forecast import MeanForecaster, mean_forecast
from perception_tools.forecasting.model import build_forecaster
from perception_tools.forecasting.recipes import RECIPES


def forecast_of(rng: np.random.Generator, agents: int = 3, modes: int = 4, steps: int = 5) -> Forecast:
    weights = rng.uniform(0.1, 1, (agents, modes))
    trajectories = 10 * rng.normal(size=(agents, modes, steps, 2))
    return Forecast(np.arange(agents), trajectories, weights / weights.sum(1, keepdims=True))


def spread_modes(model: Forecaster, std: float) -> None:
    """Moves the futures of an untrained model apart."""
    for name, parameter in model.head.named_parameters():
        if name == "mode":
            torch.nn.init.normal_(parameter, std=std)


@given(st.integers(0, 1000), st.integers(2, 4))
def test_the_order_of_modes_means_nothing(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    first = forecast_of(rng)
    shuffled = []
    for _ in range(count - 1):
        order = np.argsort(rng.random(first.probabilities.shape), axis=1)
        trajectories = np.take_along_axis(first.trajectories, order[:, :, None, None], axis=1)
        shuffled.append(Forecast(first.agents, trajectories, np.take_along_axis(first.probabilities, order, axis=1)))
    mean = mean_forecast([first, *shuffled])
    np.testing.assert_allclose(mean.trajectories, first.trajectories)
    np.testing.assert_allclose(mean.probabilities, first.probabilities)


def test_modes_are_paired_by_the_least_squared_distance_in_all_and_averaged_equally() -> None:
    first = Forecast(np.array([7]), np.array([0.0, 3.0]).reshape(1, 2, 1, 1) * np.ones(2), np.array([[0.8, 0.2]]))
    second = Forecast(np.array([7]), np.array([2.0, -9.0]).reshape(1, 2, 1, 1) * np.ones(2), np.array([[0.6, 0.4]]))
    third = Forecast(np.array([7]), np.array([2.5, 0.0]).reshape(1, 2, 1, 1) * np.ones(2), np.array([[0.5, 0.5]]))
    mean = mean_forecast([first, second, third])
    np.testing.assert_allclose(mean.trajectories[0, :, 0, 0], [(0 - 9 + 0) / 3, (3 + 2 + 2.5) / 3])
    np.testing.assert_allclose(mean.probabilities, [[(0.8 + 0.4 + 0.5) / 3, (0.2 + 0.6 + 0.5) / 3]])
    assert mean.agents.tolist() == [7]


@pytest.mark.parametrize("other", [{"agents": 2}, {"modes": 3}, {"steps": 6}])
def test_forecasts_of_other_shapes_have_no_mean(other: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="expected the same agents, modes and steps"):
        mean_forecast([forecast_of(rng), forecast_of(rng, **other)])


def test_forecasts_of_other_agents_have_no_mean() -> None:
    first = forecast_of(np.random.default_rng(0))
    with pytest.raises(InputError, match="expected the same agents"):
        mean_forecast([first, Forecast(first.agents + 1, first.trajectories, first.probabilities)])


def test_models_and_mirror_images_have_equal_parts_in_the_mean(make_scenario: Callable[..., Scenario]) -> None:
    scenarios, agents = [make_scenario(agents=3), make_scenario(agents=5)], [np.array([0, 2]), np.array([4])]
    recipe = RECIPES["forecast/query-centric-micro"]
    models = tuple(build_forecaster(recipe, 30).eval() for _ in range(2))
    for number, model in enumerate(models):
        spread_modes(model, 0.3 + number)
    found = MeanForecaster(models, mirrored=True).forecast(scenarios, agents)
    reflections = [mirror_scenario(scenario) for scenario in scenarios]
    for number, mean in enumerate(found):
        parts = [model.forecast(scenarios, agents)[number] for model in models]
        parts += [mirror_forecast(model.forecast(reflections, agents)[number]) for model in models]
        expected = mean_forecast(parts)
        np.testing.assert_allclose(mean.trajectories, expected.trajectories, atol=1e-6)
        np.testing.assert_allclose(mean.probabilities, expected.probabilities, atol=1e-6)


def test_a_mirrored_mean_turns_with_the_mirror(make_scenario: Callable[..., Scenario]) -> None:
    scenario = make_scenario(agents=3)
    model = build_forecaster(RECIPES["forecast/query-centric-micro"], 30).eval()
    spread_modes(model, 1.0)
    forecaster = MeanForecaster((model,), mirrored=True)
    (plain,), (other,) = (forecaster.forecast([s], [np.array([0, 1])]) for s in (scenario, mirror_scenario(scenario)))
    back = mirror_forecast(other)
    np.testing.assert_allclose(mean_forecast([plain, back]).trajectories, plain.trajectories, atol=1e-4)
