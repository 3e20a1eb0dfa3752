from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from perception.encoders.vectornet.vectorize import mirror, vectorize
from perception.traffic.mirror import mirror_forecast, mirror_scenario
from perception.traffic.scenario import Forecast, Scenario, Turn


@pytest.fixture
def scenario(make_scenario: Callable[..., Scenario]) -> Scenario:
    scenario = make_scenario(agents=4)
    scenario.map.turns[:2] = Turn.LEFT, Turn.RIGHT
    return scenario


def test_every_element_sees_a_mirrored_scenario_as_training_shows_it(scenario: Scenario) -> None:
    found, expected = vectorize(mirror_scenario(scenario)), mirror(vectorize(scenario))
    for name in ("agent_vectors", "agent_velocities", "lane_vectors", "futures"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=2e-5, err_msg=name)


def test_a_mirror_image_is_another_scenario_and_its_mirror_image_the_first(scenario: Scenario) -> None:
    once = mirror_scenario(scenario)
    assert not np.array_equal(once.agents.position, scenario.agents.position)
    assert once.map.turns[:2].tolist() == [Turn.RIGHT, Turn.LEFT]
    twice = mirror_scenario(once)
    for part in ("agents", "map"):
        for name, value in vars(getattr(scenario, part)).items():
            np.testing.assert_array_equal(getattr(getattr(twice, part), name), value, err_msg=name)


def test_forecasts_are_mirrored_as_scenarios_are(scenario: Scenario) -> None:
    steps = slice(scenario.history_steps, None)
    futures = Forecast(np.arange(4), scenario.agents.position[:, None, steps], np.ones((4, 1)))
    np.testing.assert_array_equal(
        mirror_forecast(futures).trajectories[:, 0], mirror_scenario(scenario).agents.position[:, steps]
    )
