"""Shorter scenarios are as if they had been recorded so: nothing of the steps before is left in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.encoders.vectornet.vectorize import vectorize
from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.forecasting import open_forecasting
from perception_datasets.lengths import earlier, hide_history, shorten


@pytest.fixture
def scenario(argoverse1: Path) -> Scenario:
    return open_forecasting(argoverse1, "val")[0]


def assert_equal_tracks(left: Scenario, right: Scenario) -> None:
    for name in ("position", "heading", "velocity", "valid", "scored"):
        np.testing.assert_array_equal(getattr(left.agents, name), getattr(right.agents, name), err_msg=name)


def test_the_newest_of_the_past_and_the_first_of_the_future_stay(scenario: Scenario) -> None:
    short = shorten(scenario, 5, 10)
    assert short.shape == (5, 10)
    np.testing.assert_array_equal(short.agents.position, scenario.agents.position[:, 15:30])
    assert shorten(scenario, 20, 30) is scenario
    assert shorten(scenario, 5).shape == (5, 30)


@pytest.mark.parametrize("steps", [2, 5, 10])
def test_nothing_that_came_before_changes_a_short_past(scenario: Scenario, steps: int) -> None:
    """Argoverse 1's headings and velocities are estimated from positions, also from those that are cut."""
    before = np.arange(scenario.agents.valid.shape[1]) < scenario.history_steps - steps
    noise = np.random.default_rng(0).normal(0, 5, scenario.agents.position.shape)
    position = scenario.agents.position + np.where(before[:, None], noise, 0)
    other = replace(scenario, agents=replace(scenario.agents, position=position, heading=scenario.agents.heading + 1))
    assert_equal_tracks(shorten(scenario, steps), shorten(other, steps))
    assert_equal_tracks(hide_history(scenario, steps), hide_history(other, steps))


def test_headings_that_were_measured_stay(make_scenario) -> None:
    scenario = make_scenario(history_steps=8)
    np.testing.assert_array_equal(shorten(scenario, 3).agents.heading, scenario.agents.heading[:, 5:])


def test_a_hidden_past_is_a_short_one_with_steps_that_were_not_observed(scenario: Scenario) -> None:
    hidden, short = hide_history(scenario, 5), shorten(scenario, 5)
    assert hidden.shape == scenario.shape
    assert not hidden.agents.valid[:, :15].any()
    np.testing.assert_array_equal(hidden.agents.heading[:, 15:], short.agents.heading)
    long_vectors, short_vectors = vectorize(hidden), vectorize(short)
    assert not long_vectors.agent_vectors[:, :15].any()
    np.testing.assert_allclose(long_vectors.agent_vectors[:, 15:], short_vectors.agent_vectors, atol=1e-6)
    np.testing.assert_allclose(long_vectors.agent_velocities, short_vectors.agent_velocities, atol=1e-6)
    np.testing.assert_allclose(long_vectors.futures, short_vectors.futures, atol=1e-5)


def test_a_scenario_that_is_too_short_is_named(scenario: Scenario) -> None:
    for lengths in ((21, 30), (20, 31), (0, 30)):
        with pytest.raises(UnusableScenario, match=f"scenario {scenario.id}: expected at least {lengths[0]} observed"):
            shorten(scenario, *lengths)


def test_hiding_more_than_there_is_hides_nothing(scenario: Scenario) -> None:
    assert_equal_tracks(hide_history(scenario, 50), scenario)


def test_an_earlier_present_is_that_of_a_record_that_began_later(scenario: Scenario) -> None:
    """Its past are the steps that had been seen until then, its future begins with those that were past."""
    sooner, past = earlier(scenario, 6), shorten(scenario, 20)
    assert sooner.shape == scenario.shape
    assert not sooner.agents.valid[:, :6].any()
    np.testing.assert_array_equal(sooner.agents.position[:, 6:], scenario.agents.position[:, :44])
    np.testing.assert_array_equal(sooner.agents.valid[:, 6:], scenario.agents.valid[:, :44])
    assert_equal_tracks(earlier(scenario, 0), past)


def test_nothing_after_an_earlier_present_changes_what_was_known_then(scenario: Scenario) -> None:
    after = np.arange(scenario.agents.valid.shape[1]) > scenario.present - 6
    noise = np.random.default_rng(0).normal(0, 5, scenario.agents.position.shape)
    position = scenario.agents.position + np.where(after[:, None], noise, 0)
    other = replace(scenario, agents=replace(scenario.agents, position=position, heading=scenario.agents.heading + 1))
    here, there = earlier(scenario, 6), earlier(other, 6)
    for name in ("position", "heading", "velocity"):
        np.testing.assert_array_equal(
            getattr(here.agents, name)[:, :20], getattr(there.agents, name)[:, :20], err_msg=name
        )


def test_a_present_before_the_first_step_or_without_the_focal_agent_is_refused(scenario: Scenario) -> None:
    with pytest.raises(UnusableScenario, match="got one 20 steps earlier"):
        earlier(scenario, 20)
    valid = scenario.agents.valid.copy()
    valid[scenario.focal, :15] = False
    late = replace(scenario, agents=replace(scenario.agents, valid=valid))
    earlier(late, 4)
    with pytest.raises(UnusableScenario, match="focal agent that is observed at the present step 14"):
        earlier(late, 5)
