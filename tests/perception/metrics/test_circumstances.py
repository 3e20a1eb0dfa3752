"""Labels of distance and history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perception.metrics.circumstances import DISTANCES, HISTORIES, distance_of, history_of


def test_the_labels_are_in_order() -> None:
    assert DISTANCES == ("below 10 m", "10 to 25 m", "25 to 50 m", "50 m or more")
    assert HISTORIES == ("below 0.5 s", "0.5 to 1 s", "1 to 2 s", "2 s or more")


@pytest.mark.parametrize(("away", "label"), [(0.0, 0), (9.9, 0), (10.0, 1), (30.0, 2), (50.0, 3)])
def test_a_distance_is_that_from_the_ego_or_else_from_the_focal_agent(make_scenario, away: float, label: int) -> None:
    position = np.zeros((3, 15, 2))
    position[1] += 1000.0
    position[2, :, 0] = away
    scenario = make_scenario(position=position)
    assert distance_of(scenario, 2) == DISTANCES[label]
    assert distance_of(replace(scenario, ego=1), 2) == DISTANCES[3]


@pytest.mark.parametrize(("steps", "label"), [(1, 0), (4, 0), (5, 1), (9, 1), (10, 2), (20, 3)])
def test_a_history_is_what_was_observed_up_to_the_present(make_scenario, steps: int, label: int) -> None:
    scenario = make_scenario(history_steps=20, steps=30)
    valid = scenario.agents.valid.copy()
    valid[1, : 20 - steps] = False
    scenario = replace(scenario, agents=replace(scenario.agents, valid=valid))
    assert history_of(scenario, 1) == HISTORIES[label]
