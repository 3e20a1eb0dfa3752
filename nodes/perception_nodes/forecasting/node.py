"""The forecasting node, without transport: tracked objects, ego pose and map in, K futures of every road user out.

For every tick it builds the scenario that a reader of the recorded log would build for the window that ends there, and
asks the same network, so that a stream's forecasts are those of `perception evaluate`. A stream has no labels, from
which two things follow. The scenario's frame is the ego's pose, in logs as in streams. And all road users of the newest
tick are forecast, of which an evaluation scores those whose future is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from perception.errors import InputError
from perception.geometry import SE2
from perception.models.forecaster import Forecaster
from perception.traffic.map_index import MapIndex, take
from perception.traffic.scenario import AgentKind, AgentTracks, MapPolylines, Scenario
from perception_nodes.forecasting.history import Arrival, TrackHistory
from perception_nodes.forecasting.resampling import NS_PER_STEP
from perception_nodes.forecasting.tick import Tick, UnusableTick
from perception_nodes.operations.lifecycle import Lifecycle


@dataclass(frozen=True)
class ForecastingSettings:
    """Bounds of a node.

    Attributes:
        max_objects: Maximum number of a tick's objects that are used: those nearest to the ego.
        max_forecasts: Maximum number of road users that are forecast: those nearest to the ego. The busiest of the
            recorded logs has 87 at once.
    """

    max_objects: int = 256
    max_forecasts: int = 128

    def __post_init__(self) -> None:
        for name in ("max_objects", "max_forecasts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}; give a positive number")


@dataclass(frozen=True)
class ForecastResult:
    """A node's answer to one tick.

    Attributes:
        stamp_ns: Stamp of the tick; the forecast's step 0 is one step after it.
        objects: The objects that are forecast, as they are now.
        velocity: Velocity of each object in the city frame, m/s.
        trajectories: Futures in the city frame, metres.
        probabilities: Probability of each mode.
        model_id: Name of the model.
        valid: Whether the tick was answered. An answer without objects is valid if there are no road users.
        reason: Why the tick was not answered; empty if it was.
        age_ms: Time from the stamp to the answer, on the stream's clock.
        latency_ms: Time from the tick's arrival to the answer, on a monotonic clock.
        dropped_since_last: Number of ticks since the last valid answer that were lost or not answered.
    """

    stamp_ns: int
    objects: Tick
    velocity: Float[np.ndarray, "objects 2"]
    trajectories: Float[np.ndarray, "objects modes steps 2"]
    probabilities: Float[np.ndarray, "objects modes"]
    model_id: str
    valid: bool
    reason: str
    age_ms: float
    latency_ms: float
    dropped_since_last: int


@dataclass(frozen=True)
class _Answer:
    objects: Tick
    velocity: Float[np.ndarray, "objects 2"]
    trajectories: Float[np.ndarray, "objects modes steps 2"]
    probabilities: Float[np.ndarray, "objects modes"]


class _Unanswerable(Exception):
    """A tick gets no forecast; the message says why."""


class ForecastingNode:
    """Forecasts a stream of tracked objects, one tick at a time.

    Args:
        settings: Bounds.
        clock: Returns the stream's time in ns; a replay gives its own.
    """

    def __init__(
        self, settings: ForecastingSettings = ForecastingSettings(), clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.settings = settings
        self.lifecycle = Lifecycle()
        self._clock = clock
        self._model: Forecaster | None = None
        self._model_id = ""
        self._history = TrackHistory(steps=1)
        self._map: MapIndex | None = None
        self._city = ""
        self._lanes: Tensor | None = None
        self._last_valid_ns: int | None = None
        self._unanswered = 0

    def configure(self, model: Forecaster, *, history_steps: int, model_id: str) -> None:
        """Takes a model in evaluation mode, and runs it once for every size at which its first run takes longer.

        Args:
            model: Any forecaster.
            history_steps: Number of observed steps that it was trained with, the present included.
            model_id: Name of the model, which every result has.
        """
        self.lifecycle.check("configure")
        self._model, self._model_id, self._history = model, model_id, TrackHistory(history_steps)
        self._last_valid_ns, self._unanswered = None, 0
        self._lanes = None if self._map is None else model.encode_map(self._map.polylines)
        for agents in model.warm_up_agents(self.settings.max_forecasts + 1):  # the ego is one of them
            _warm_up(model, history_steps, agents - 1)
        self.lifecycle.change("configure")

    def activate(self) -> None:
        """Starts answering."""
        self.lifecycle.change("activate")

    def deactivate(self) -> None:
        """Stops answering, and forgets the history, which would have a gap."""
        self.lifecycle.change("deactivate")
        self._history.clear()

    def cleanup(self) -> None:
        """Releases the model."""
        self.lifecycle.change("cleanup")
        self._model, self._lanes = None, None

    def shutdown(self) -> None:
        """Ends for good."""
        self.lifecycle.change("shutdown")
        self._model, self._lanes, self._map = None, None, None
        self._history.clear()

    def set_map(self, lanes: MapIndex, city: str = "") -> None:
        """Takes a map, in any state; until there is one, no tick is answered. If this fails, the former map stays.

        The encoder's features of a single lane do not depend on the tick, so they are computed here, once.
        """
        encoded = None if self._model is None else self._model.encode_map(lanes.polylines)
        self._map, self._city, self._lanes = lanes, city, encoded

    def step(self, tick: Tick) -> ForecastResult:
        """Answers a tick; its contents never make it raise.

        Raises:
            LifecycleError: The node is not active.
        """
        self.lifecycle.require_active("step")
        begin_s, reason = time.perf_counter(), ""
        try:
            answer = self._answer(tick)
        except (_Unanswerable, UnusableTick) as error:
            answer, reason = _empty(tick), str(error)
        dropped = self._count_dropped(tick.stamp_ns, valid=not reason, repeated=reason == Arrival.DUPLICATE.value)
        return ForecastResult(
            stamp_ns=tick.stamp_ns,
            objects=answer.objects,
            velocity=answer.velocity,
            trajectories=answer.trajectories,
            probabilities=answer.probabilities,
            model_id=self._model_id,
            valid=not reason,
            reason=reason,
            age_ms=(self._clock() - tick.stamp_ns) / 1e6,
            latency_ms=(time.perf_counter() - begin_s) * 1e3,
            dropped_since_last=dropped,
        )

    def _answer(self, tick: Tick) -> _Answer:
        assert self._model is not None, "an active node has a model"
        arrival = self._history.add(tick.screened(self.settings.max_objects))
        if not arrival.is_present:
            raise _Unanswerable(arrival.value)
        if self._map is None:
            raise _Unanswerable("no map yet")
        tracks = self._history.tracks()
        agents = self._agents_to_forecast(tracks)
        if len(agents) == 0:
            return _empty(tick)
        now = self._history.steps - 1
        rows = self._map.rows_near(tracks.position, tracks.valid, focal=0, present=now)
        near = take(self._map.polylines, rows)
        scenario = Scenario(str(tick.stamp_ns), "stream", self._city, tracks, near, self._history.steps, focal=0, ego=0)
        lanes = None if self._lanes is None else [self._lanes[torch.from_numpy(rows)]]
        (forecast,) = self._model.forecast([scenario], [agents], lanes)
        if not np.isfinite(forecast.trajectories).all():
            raise _Unanswerable("the model's futures are not finite")
        objects = self._history.present.take(agents - 1)  # the ego is agent 0
        return _Answer(objects, tracks.velocity[agents, now], forecast.trajectories, forecast.probabilities)

    def _agents_to_forecast(self, tracks: AgentTracks) -> Int[np.ndarray, " agents"]:
        """Returns the road users without the ego; if there are more than `max_forecasts`, those nearest to it."""
        road_users = np.flatnonzero(tracks.scored)[1:]
        if len(road_users) <= self.settings.max_forecasts:
            return road_users
        distance = np.abs(tracks.position[road_users, -1] - tracks.position[0, -1]).max(axis=1)
        return np.sort(road_users[np.argsort(distance, kind="stable")[: self.settings.max_forecasts]])

    def _count_dropped(self, stamp_ns: int, *, valid: bool, repeated: bool) -> int:
        """Returns the number of missed ticks of the 10 Hz stream: by the stamps, or as counted here if that is more."""
        missed = self._unanswered
        if self._last_valid_ns is not None and valid:
            missed = max(missed, round((stamp_ns - self._last_valid_ns) / NS_PER_STEP) - 1)
        if valid:
            self._last_valid_ns, self._unanswered = stamp_ns, 0
        elif not repeated:
            self._unanswered += 1
        return missed


def _empty(tick: Tick) -> _Answer:
    no_rows = np.zeros(0, dtype=np.int64)
    return _Answer(tick.take(no_rows), np.zeros((0, 2)), np.zeros((0, 0, 0, 2)), np.zeros((0, 0)))


def _warm_up(model: Forecaster, history_steps: int, count: int) -> None:
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
