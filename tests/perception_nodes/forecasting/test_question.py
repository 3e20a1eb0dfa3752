from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from perception.errors import InputError
from perception.models.forecaster import Forecaster
from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import AgentKind, AgentTracks, Scenario
from perception_nodes.forecasting.fallback import PresentMotion
from perception_nodes.forecasting.question import Equipment, ForecastingSettings, question_of, why_not
from perception_nodes.forecasting.tick import Reason

STEPS = 10
ROWS = np.array([4, 0, 3, 1])
"""Rows of the agents that have a history in a tick of six objects."""
SOMEBODY = cast(Forecaster, object())
SETTINGS = ForecastingSettings(min_history_steps=4)


@pytest.fixture
def tracks(make_scenario: Callable[..., Scenario]) -> AgentTracks:
    return make_scenario(agents=5, history_steps=STEPS, steps=STEPS).agents


def motion(*, at_rest: tuple[int, ...] = ()) -> PresentMotion:
    return PresentMotion(np.zeros(6, int), np.zeros((6, 2)), np.zeros(6), np.isin(np.arange(6), at_rest))


def reasons_for(tracks: AgentTracks, settings: ForecastingSettings = SETTINGS, at_rest: tuple[int, ...] = ()) -> list:
    first = np.array([Reason.NONE, Reason.NONE, Reason.REPEATED_ID, Reason.NONE, Reason.NONE, Reason.REPEATED_ID])
    return why_not(tracks, ROWS, first, motion(at_rest=at_rest), settings)[ROWS].tolist()


def test_all_road_users_with_a_history_are_asked_about(tracks: AgentTracks) -> None:
    assert reasons_for(tracks) == [Reason.NONE] * 4
    scored = np.array([True, True, False, True, True])
    assert reasons_for(replace(tracks, scored=scored)) == [Reason.NONE, Reason.KIND, Reason.NONE, Reason.NONE]


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ("1111111111", Reason.NONE),
        ("0000001111", Reason.NONE),
        ("0000000111", Reason.SHORT_HISTORY),
        ("0000000001", Reason.SHORT_HISTORY),
        ("1111110111", Reason.HOLE),
        ("1100000001", Reason.HOLE),
        ("1101101111", Reason.NONE),
    ],
)
def test_an_object_must_have_been_seen_lately_without_a_hole(tracks: AgentTracks, seen: str, reason: Reason) -> None:
    valid = tracks.valid.copy()
    valid[2] = [letter == "1" for letter in seen]
    assert reasons_for(replace(tracks, valid=valid)) == [Reason.NONE, reason, Reason.NONE, Reason.NONE]


@pytest.mark.parametrize(("kind", "reason"), [(AgentKind.VEHICLE, Reason.AT_REST), (AgentKind.PEDESTRIAN, Reason.NONE)])
def test_a_vehicle_at_rest_is_not_asked_about_and_a_person_is(
    tracks: AgentTracks, kind: AgentKind, reason: Reason
) -> None:
    tracks = replace(tracks, kinds=np.full(5, kind))
    assert reasons_for(tracks, at_rest=(0,)) == [Reason.NONE, reason, Reason.NONE, Reason.NONE]


def test_the_nearest_are_asked_about_and_shown(tracks: AgentTracks, make_scenario: Callable[..., Scenario]) -> None:
    """The agents lie 4, 8, 12 and 16 m from the ego."""
    few = replace(SETTINGS, max_forecasts=2, max_objects=3)
    assert reasons_for(tracks, few) == [Reason.NONE, Reason.NONE, Reason.LIMIT, Reason.LIMIT]
    reasons = np.full(6, Reason.REPEATED_ID)
    reasons[ROWS] = reasons_for(tracks, few)
    equipment = Equipment(model=SOMEBODY, map=MapIndex(make_scenario().map), city="PIT")
    question = question_of(tracks, ROWS, reasons, equipment, 7, few)
    assert question is not None
    assert question.scenario.agents.ids == tracks.ids[:4]
    assert (question.agents.tolist(), question.rows.tolist()) == ([1, 2], [4, 0])
    assert (question.scenario.id, question.scenario.city, question.scenario.history_steps) == ("7", "PIT", STEPS)


def test_a_broken_object_is_not_shown(tracks: AgentTracks, make_scenario: Callable[..., Scenario]) -> None:
    reasons = np.full(6, Reason.NONE)
    reasons[ROWS[1]] = Reason.BROKEN_FIELD
    equipment = Equipment(model=SOMEBODY, map=MapIndex(make_scenario().map))
    question = question_of(tracks, ROWS, reasons, equipment, 7, SETTINGS)
    assert question is not None
    assert question.scenario.agents.ids == (tracks.ids[0], tracks.ids[1], *tracks.ids[3:])
    assert question.rows.tolist() == [4, 3, 1]


def test_there_is_no_question_without_model_map_ego_or_road_user(
    tracks: AgentTracks, make_scenario: Callable[..., Scenario]
) -> None:
    lanes, none = MapIndex(make_scenario().map), np.full(6, Reason.NONE)
    whole = Equipment(model=SOMEBODY, map=lanes)
    assert question_of(tracks, ROWS, none, whole, 7, SETTINGS) is not None
    for equipment in (replace(whole, model=None), replace(whole, map=None)):
        assert question_of(tracks, ROWS, none, equipment, 7, SETTINGS) is None
    assert question_of(tracks, ROWS, np.full(6, Reason.KIND), whole, 7, SETTINGS) is None
    valid = tracks.valid.copy()
    valid[0, -1] = False
    assert question_of(replace(tracks, valid=valid), ROWS, none, whole, 7, SETTINGS) is None


def test_bounds_must_be_positive() -> None:
    with pytest.raises(InputError, match="min_history_steps: expected at least 1, got 0"):
        ForecastingSettings(min_history_steps=0)
