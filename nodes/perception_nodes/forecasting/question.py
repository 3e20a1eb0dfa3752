"""What a forecasting model is asked about a tick, and why not about each of the other objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.errors import InputError
from perception.geometry import SE2
from perception.traffic.map_index import MapIndex, take
from perception.traffic.scenario import AgentKind, AgentTracks, MapPolylines, Scenario
from perception_nodes.forecasting.fallback import PresentMotion
from perception_nodes.forecasting.history import TrackHistory
from perception_nodes.forecasting.tick import Reason, Tick

if TYPE_CHECKING:
    from torch import Tensor

    from perception.models.forecaster import Forecaster

_PARKING = (AgentKind.VEHICLE, AgentKind.BUS, AgentKind.MOTORCYCLIST)
"""Kinds of which the model is not asked while they are at rest: it takes their trembling for motion."""


@dataclass(frozen=True)
class ForecastingSettings:
    """Bounds of a node.

    Attributes:
        max_objects: Maximum number of a tick's objects that the model sees: those nearest to the ego.
        max_forecasts: Maximum number of road users that the model forecasts: those nearest to the ego. The busiest of
            the recorded logs has 87 at once.
        min_history_steps: Number of steps, the present one included, that an object must have been seen for without a
            hole before the model forecasts it; constant velocity is better until then.
    """

    max_objects: int = 256
    max_forecasts: int = 128
    min_history_steps: int = 6

    def __post_init__(self) -> None:
        for name in ("max_objects", "max_forecasts", "min_history_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}; give a positive number")


@dataclass(frozen=True)
class Equipment:
    """What a node forecasts with; exchanged as a whole, so that a question keeps what it was made for.

    Attributes:
        model: The model; None until it is loaded.
        map: The map; None until there is one.
        city: Name of its city.
        lanes: What the model's encoder makes of each of the map's polylines; None where it makes nothing.
    """

    model: Forecaster | None = None
    map: MapIndex | None = None
    city: str = ""
    lanes: Tensor | None = None


@dataclass(frozen=True)
class Question:
    """What a model is asked about a tick.

    Attributes:
        scenario: The tick's road users and their past, the ego first.
        agents: Agents of the scenario that are to be forecast.
        rows: Their rows in the tick.
        model: Who is asked.
        lanes: The encoder's features of the scenario's polylines; None where there are none.
    """

    scenario: Scenario
    agents: Int[np.ndarray, " forecast"]
    rows: Int[np.ndarray, " forecast"]
    model: Forecaster
    lanes: Tensor | None


def why_not(
    tracks: AgentTracks,
    rows: Int[np.ndarray, " tracked"],
    reasons: Int[np.ndarray, " objects"],
    motion: PresentMotion,
    settings: ForecastingSettings,
) -> Int[np.ndarray, " objects"]:
    """Returns why the model is not asked about each object of a tick; NONE where it is.

    Args:
        tracks: The objects that have a history, after the ego.
        rows: Their rows in the tick.
        reasons: Why a model cannot use some of the objects.
        motion: How the objects move.
        settings: Bounds.
    """
    reasons = reasons.copy()
    usable = reasons[rows] == Reason.NONE
    distance = np.abs(tracks.position[1:, -1] - tracks.position[0, -1]).max(axis=1)
    seen, near = _unbroken(tracks.valid[1:]), _nearest(distance, usable, settings.max_objects)
    short = seen < min(settings.min_history_steps, tracks.valid.shape[1])
    broken = short & _has_hole(tracks.valid[1:])
    parked = motion.at_rest[rows] & np.isin(tracks.kinds[1:], _PARKING)
    found = np.select(
        [~usable, ~near, ~tracks.scored[1:], broken, short, parked],
        [reasons[rows], Reason.LIMIT, Reason.KIND, Reason.HOLE, Reason.SHORT_HISTORY, Reason.AT_REST],
        Reason.NONE,
    )
    found[(found == Reason.NONE) & ~_nearest(distance, found == Reason.NONE, settings.max_forecasts)] = Reason.LIMIT
    reasons[rows] = found
    return reasons


def question_of(
    tracks: AgentTracks,
    rows: Int[np.ndarray, " tracked"],
    reasons: Int[np.ndarray, " objects"],
    equipment: Equipment,
    stamp_ns: int,
    settings: ForecastingSettings,
) -> Question | None:
    """Returns what to ask the model about a tick; None where there is nothing to ask, or nobody.

    Args:
        tracks: The objects that have a history, after the ego.
        rows: Their rows in the tick.
        reasons: Why it is not asked about each object of the tick (`why_not`).
        equipment: Model and map.
        stamp_ns: Stamp of the tick.
        settings: Bounds.
    """
    asked = reasons[rows] == Reason.NONE
    if equipment.model is None or equipment.map is None or not asked.any() or not tracks.valid[0, -1]:
        return None
    distance = np.abs(tracks.position[1:, -1] - tracks.position[0, -1]).max(axis=1)
    sound = ~np.isin(reasons[rows], [Reason.BROKEN_FIELD, Reason.REPEATED_ID])
    shown = np.flatnonzero(_nearest(distance, sound, settings.max_objects))
    tracks = _take(tracks, np.concatenate([[0], 1 + shown]))
    steps = tracks.valid.shape[1]
    near = equipment.map.rows_near(tracks.position, tracks.valid, focal=0, present=steps - 1)
    lanes = take(equipment.map.polylines, near)
    scenario = Scenario(str(stamp_ns), "stream", equipment.city, tracks, lanes, steps, focal=0, ego=0)
    return Question(
        scenario=scenario,
        agents=1 + np.flatnonzero(asked[shown]),
        rows=rows[shown[asked[shown]]],
        model=equipment.model,
        lanes=None if equipment.lanes is None else equipment.lanes[near],
    )


def warm_up(model: Forecaster, history_steps: int, count: int) -> None:
    """Forecasts an ego and other cars that have just appeared, without a map.

    Args:
        model: The model to run.
        history_steps: Number of observed steps.
        count: Number of cars.
    """
    history = TrackHistory(history_steps)
    cars, places = np.full(count, AgentKind.VEHICLE), 5.0 * np.arange(1, 2 * count + 1).reshape(-1, 2)
    ids = tuple(str(number) for number in range(count))
    history.add(Tick(1, SE2(0.0, 0.0, 0.0), ids, cars, places, np.zeros(count), np.ones((count, 3))))
    none, no = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    no_lanes = MapPolylines(none, np.zeros((0, 2, 2)), none, none, no, no)
    scenario = Scenario("warm-up", "stream", "", history.tracks(), no_lanes, history_steps, focal=0, ego=0)
    model.forecast([scenario], [np.arange(count + 1)])


def _unbroken(valid: Bool[np.ndarray, "agents steps"]) -> Int[np.ndarray, " agents"]:
    """Returns for how many steps, up to the present, each agent was seen without a hole."""
    return np.where(valid.all(axis=1), valid.shape[1], (~valid[:, ::-1]).argmax(axis=1))


def _has_hole(valid: Bool[np.ndarray, "agents steps"]) -> Bool[np.ndarray, " agents"]:
    """Returns which agents were not seen for some steps, and seen before those."""
    return valid.any(axis=1) & (valid.sum(axis=1) < valid.shape[1] - valid.argmax(axis=1))


def _nearest(
    distance: Float[np.ndarray, " agents"], among: Bool[np.ndarray, " agents"], most: int
) -> Bool[np.ndarray, " agents"]:
    """Returns the agents among some that are nearest, at most so many."""
    rows = np.flatnonzero(among)
    chosen = np.zeros(len(among), dtype=bool)
    chosen[rows[np.argsort(distance[rows], kind="stable")[:most]]] = True
    return chosen


def _take(tracks: AgentTracks, agents: Int[np.ndarray, " chosen"]) -> AgentTracks:
    if len(agents) == len(tracks):
        return tracks
    return AgentTracks(
        ids=tuple(tracks.ids[agent] for agent in agents),
        kinds=tracks.kinds[agents],
        position=tracks.position[agents],
        heading=tracks.heading[agents],
        velocity=tracks.velocity[agents],
        valid=tracks.valid[agents],
        scored=tracks.scored[agents],
    )
