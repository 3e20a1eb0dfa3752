from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.geometry import SE2
from perception.metrics.manoeuvre import MANOEUVRES, manoeuvre, manoeuvre_of

HISTORY, FUTURE = 20, 30


def drive(speed_mps: np.ndarray, heading_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The path of an agent with these speeds and headings at each step, cut at the present."""
    step = 0.1 * speed_mps[:, None] * np.stack([np.cos(heading_rad), np.sin(heading_rad)], axis=-1)
    path = np.cumsum(step, axis=0)
    return path[:HISTORY], path[HISTORY:]


def ramp(start: float, end: float) -> np.ndarray:
    """A quantity that is `start` until the present and changes evenly to `end` over the future."""
    return np.concatenate([np.full(HISTORY, start), np.linspace(start, end, FUTURE)])


DRIVES = {
    "stationary": (ramp(0, 0), ramp(0, 0)),
    "straight": (ramp(10, 10), ramp(0, 0)),
    "left turn": (ramp(6, 6), ramp(0, np.pi / 2)),
    "right turn": (ramp(6, 6), ramp(0, -np.pi / 2)),
    "accelerating": (ramp(5, 9), ramp(0, 0)),
    "braking": (ramp(9, 1), ramp(0, 0)),
}


@pytest.mark.parametrize("label", MANOEUVRES)
@given(x=st.floats(-5e3, 5e3), y=st.floats(-5e3, 5e3), heading=st.floats(-np.pi, np.pi), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_a_manoeuvre_is_named_in_any_frame_and_under_tracking_noise(label, x, y, heading, seed):
    city_SE2_local = SE2(x, y, heading)
    noise = np.random.default_rng(seed).normal(scale=0.05, size=(HISTORY + FUTURE, 2))
    history, future = drive(*DRIVES[label])
    moved = city_SE2_local.apply(np.concatenate([history, future]) + noise)
    assert manoeuvre(moved[:HISTORY], moved[HISTORY:]) == label


def test_mirroring_swaps_left_and_right():
    mirror = np.array([1.0, -1.0])
    history, future = drive(*DRIVES["left turn"])
    assert manoeuvre(history * mirror, future * mirror) == "right turn"


def test_a_gentle_bend_is_straight():
    history, future = drive(ramp(10, 10), ramp(0, np.deg2rad(15)))
    assert manoeuvre(history, future) == "straight"


def test_an_agent_that_starts_from_rest_and_turns_is_turning():
    history, future = drive(ramp(0, 6), ramp(0, np.pi / 2))
    assert manoeuvre(history, future) == "left turn"


def test_an_agent_that_starts_from_rest_is_accelerating():
    history, future = drive(ramp(0, 6), ramp(0.3, 0.3))
    assert manoeuvre(history, future) == "accelerating"


def test_an_agent_seen_only_at_the_present_is_judged_by_its_future():
    history, future = drive(*DRIVES["right turn"])
    assert manoeuvre(history[-1:], future) == "right turn"


def test_the_heading_of_a_creeping_agent_is_not_taken_from_its_last_centimetres():
    """Half a second before the present it stood half a metre to the side, two metres before it straight behind."""
    history, future = drive(ramp(6, 6), ramp(0, 0))
    history[-6:-1] = history[-1] + np.array([[-0.1, 0.4]])
    assert manoeuvre(history, future) == "straight"


def test_a_turn_is_judged_by_the_direction_at_the_end_not_by_where_the_end_lies():
    """Heading changes by 30°; the end lies 15° to the side."""
    history, future = drive(ramp(10, 10), ramp(0, np.deg2rad(30)))
    assert manoeuvre(history, future) == "left turn"


def test_a_turn_in_the_last_half_second_is_one():
    heading = np.zeros(HISTORY + FUTURE)
    heading[-5:] = np.deg2rad(25)
    assert manoeuvre(*drive(ramp(10, 10), heading)) == "left turn"


@pytest.mark.parametrize(
    ("end", "label"), [(7.9, "accelerating"), (2.1, "braking"), (6.5, "straight"), (3.5, "straight")]
)
def test_speed_changes_from_four_fifths_of_a_metre_per_second_squared_on(end: float, label: str):
    """The mean speed of the last second is a little nearer to the first speed than the last speed is."""
    assert manoeuvre(*drive(ramp(5, end), ramp(0, 0))) == label


def test_an_agent_of_a_scenario_without_a_past_is_judged_by_its_future(make_scenario):
    _, future = drive(*DRIVES["right turn"])
    scenario = make_scenario(position=np.concatenate([future[:1], future])[None], history_steps=1)
    assert manoeuvre_of(scenario, 0) == "right turn"


def test_a_future_of_one_step_has_a_manoeuvre():
    assert manoeuvre(np.zeros((1, 2)), np.array([[3.0, 0.0]])) in MANOEUVRES


@pytest.mark.parametrize("gap", [10, HISTORY - 1])
def test_history_before_a_gap_is_not_judged(make_scenario, gap: int):
    history, future = drive(*DRIVES["straight"])
    position = np.concatenate([history, future])[None]
    position[0, :gap] = 0.0
    scenario = make_scenario(position=position, history_steps=HISTORY)
    valid = scenario.agents.valid.copy()
    valid[0, :gap] = False
    gappy = replace(scenario, agents=replace(scenario.agents, valid=valid))
    assert manoeuvre_of(gappy, 0) == "straight"
