"""The forecasting node, without transport: tracked objects, ego pose and map in, futures of every object out.

For every tick it builds the scenario that a reader of the recorded log would build for the window that ends there, and
asks the same network, so that a stream's forecasts are those of `perception evaluate`. A stream has no labels, from
which two things follow. The scenario's frame is the ego's pose, in logs as in streams. And all road users of the newest
tick are forecast, of which an evaluation scores those whose future is complete.

An answer has three parts, so that whoever runs the node can set a deadline: `receive` takes a tick and says at once
what can be said without the model, `ask` asks the model, `finish` makes the answer of both. `step` does all three.
Nothing here imports PyTorch: a node extrapolates before its model is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from perception.errors import InputError
from perception.geometry import SE2
from perception.traffic.map_index import MapIndex, take
from perception.traffic.scenario import AgentKind, AgentTracks, Forecast, MapPolylines, Scenario
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.fallback import extrapolate
from perception_nodes.forecasting.history import Arrival, TrackHistory
from perception_nodes.forecasting.resampling import NS_PER_STEP
from perception_nodes.forecasting.tick import Reason, Tick, UnusableTick
from perception_nodes.operations.lifecycle import Lifecycle

if TYPE_CHECKING:
    from torch import Tensor

    from perception.models.forecaster import Forecaster

NO_MODEL = "the model is not loaded yet"


@dataclass(frozen=True)
class ForecastingSettings:
    """Bounds of a node.

    Attributes:
        max_objects: Maximum number of a tick's objects that the model sees: those nearest to the ego.
        max_forecasts: Maximum number of road users that the model forecasts: those nearest to the ego. The busiest of
            the recorded logs has 87 at once.
        min_history_steps: Number of steps, the present one included, that an object must have been seen for before the
            model forecasts it; constant velocity is better until then.
    """

    max_objects: int = 256
    max_forecasts: int = 128
    min_history_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("max_objects", "max_forecasts", "min_history_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}; give a positive number")


@dataclass(frozen=True)
class Question:
    """What the model is asked about a tick.

    Attributes:
        scenario: The tick's road users and their past, the ego first.
        agents: Agents of the scenario that are to be forecast.
        lanes: Rows of the map's polylines in the scenario.
        rows: The agents' rows in the tick.
    """

    scenario: Scenario
    agents: Int[np.ndarray, " forecast"]
    lanes: Int[np.ndarray, " near"]
    rows: Int[np.ndarray, " forecast"]


@dataclass(frozen=True)
class PendingTick:
    """A tick that was received, with what can be said of its objects without the model.

    Attributes:
        stamp_ns: Stamp of the tick.
        objects: Its objects that have a finite position, in the order of the message.
        left_out: Number of the others.
        velocity: Velocity of each object in the city frame, m/s.
        trajectories: One future of each object, without the model.
        sources: `Source` of those futures.
        reasons: `Reason` why the model is not asked about an object; NONE where it is.
        question: What to ask the model; None where there is nothing to ask.
        reason: Why there is no question; empty if there is one, or no road user to ask about.
        usable: Whether the futures may be published: the tick is the newest.
        begin_s: When it was received, on the monotonic clock.
    """

    stamp_ns: int
    objects: Tick
    left_out: int
    velocity: Float[np.ndarray, "objects 2"]
    trajectories: Float[np.ndarray, "objects steps 2"]
    sources: Int[np.ndarray, " objects"]
    reasons: Int[np.ndarray, " objects"]
    question: Question | None
    reason: str
    usable: bool
    begin_s: float


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
        self._horizon_steps = 1
        self._history = TrackHistory(steps=1)
        self._map: MapIndex | None = None
        self._city = ""
        self._lanes: Tensor | None = None
        self._last_valid_ns: int | None = None
        self._unanswered = 0

    def configure(
        self, model: Forecaster | None, *, history_steps: int, model_id: str, horizon_steps: int | None = None
    ) -> None:
        """Takes a model in evaluation mode, and runs it once for every size at which its first run takes longer.

        Args:
            model: Any forecaster; None if it comes later, by `set_model`.
            history_steps: Number of observed steps that it was trained with, the present included.
            model_id: Name of the model, which every result has.
            horizon_steps: Number of steps to forecast; needed where there is no model yet.
        """
        self.lifecycle.check("configure")
        if model is None and horizon_steps is None:
            raise InputError("configure: expected horizon_steps where the model comes later, got none; give the number")
        self._model_id, self._history = model_id, TrackHistory(history_steps)
        self._horizon_steps = horizon_steps or (0 if model is None else model.horizon_steps)
        self._last_valid_ns, self._unanswered = None, 0
        if model is not None:
            self.set_model(model)
        self.lifecycle.change("configure")

    @property
    def model_id(self) -> str:
        """Name of the model."""
        return self._model_id

    def set_model(self, model: Forecaster) -> None:
        """Takes the model, warmed up, in any state; may be called by another thread than `step`."""
        for agents in model.warm_up_agents(self.settings.max_forecasts + 1):  # the ego is one of them
            _warm_up(model, self._history.steps, agents - 1)
        lanes = self._map
        self._lanes = None if lanes is None else model.encode_map(lanes.polylines)
        self._model, self._horizon_steps = model, model.horizon_steps

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
        """Takes a map, in any state; until there is one, the model is not asked. If this fails, the former map stays.

        The encoder's features of a single lane do not depend on the tick, so they are computed here, once.
        """
        encoded = None if self._model is None else self._model.encode_map(lanes.polylines)
        self._map, self._city, self._lanes = lanes, city, encoded

    def step(self, tick: Tick) -> ForecastResult:
        """Answers a tick; its contents never make it raise.

        Raises:
            LifecycleError: The node is not active.
        """
        pending = self.receive(tick)
        if pending.question is None:
            return self.finish(pending)
        return self.finish(pending, self.ask(pending.question))

    def receive(self, tick: Tick) -> PendingTick:
        """Takes a tick into the history and extrapolates its objects; its contents never make it raise.

        Raises:
            LifecycleError: The node is not active.
        """
        self.lifecycle.require_active("receive")
        begin_s = time.perf_counter()
        try:
            objects = tick.placed()
        except UnusableTick as error:
            return _unusable(tick, str(error), begin_s)
        screening = objects.screened(self.settings.max_objects)
        if not objects.has_ego:
            pose = tick.city_SE2_ego
            reason = f"tick at {tick.stamp_ns} ns: expected a finite ego pose, got {pose}; wait for one"
        else:
            arrival = self._history.add(objects.take(screening.rows))
            if not arrival.is_present:
                return _unusable(tick, arrival.value, begin_s)
            reason = "no map yet" if self._map is None else NO_MODEL if self._model is None else ""
        velocity, turn_rate = _tracked_motion(objects)
        question, reasons = None, screening.reasons
        if objects.has_ego:
            tracks = self._history.tracks()
            velocity[screening.rows] = tracks.velocity[1:, -1]  # the ego is agent 0
            question, reasons = self._question(screening.rows, reasons, tracks, tick.stamp_ns)
        extrapolation = extrapolate(objects, velocity, turn_rate, self._horizon_steps)
        return PendingTick(
            stamp_ns=tick.stamp_ns,
            objects=objects,
            left_out=len(tick) - len(objects),
            velocity=velocity,
            trajectories=extrapolation.trajectories,
            sources=extrapolation.sources,
            reasons=reasons,
            question=None if reason else question,
            reason=reason,
            usable=True,
            begin_s=begin_s,
        )

    def ask(self, question: Question) -> Forecast:
        """Asks the model, which may raise or take its time; may be called by another thread than the others."""
        assert self._model is not None, "there is no question without a model"
        lanes = None if self._lanes is None else [self._lanes[question.lanes]]
        (forecast,) = self._model.forecast([question.scenario], [question.agents], lanes)
        return forecast

    def finish(self, pending: PendingTick, forecast: Forecast | None = None, reason: str = "") -> ForecastResult:
        """Returns the answer to a tick.

        Args:
            pending: The tick.
            forecast: The model's answer to its question, if there is one.
            reason: Why there is none although the model was asked.
        """
        reason = pending.reason or reason
        if forecast is not None and not np.isfinite(forecast.trajectories).all():
            forecast, reason = None, "the model's futures are not finite"
        count, steps = pending.trajectories.shape[:2]
        modes = 1 if forecast is None else forecast.trajectories.shape[1]
        trajectories = np.repeat(pending.trajectories[:, None], modes, axis=1)
        probabilities, mode_counts = np.zeros((count, modes)), np.ones(count, np.int64)
        probabilities[:, 0] = 1.0
        sources, reasons, velocity = pending.sources.copy(), pending.reasons.copy(), pending.velocity
        if pending.question is not None and forecast is not None:
            rows = pending.question.rows
            trajectories[rows], probabilities[rows] = forecast.trajectories[:, :, :steps], forecast.probabilities
            mode_counts[rows], sources[rows] = modes, Source.MODEL
        reasons[(sources != Source.MODEL) & (reasons == Reason.NONE)] = Reason.NO_MODEL_ANSWER
        repeated = not pending.usable and reason == Arrival.DUPLICATE.value
        dropped = self._count_dropped(pending.stamp_ns, valid=pending.usable, repeated=repeated)
        return ForecastResult(
            stamp_ns=pending.stamp_ns,
            objects=pending.objects,
            velocity=velocity,
            trajectories=trajectories,
            probabilities=probabilities,
            mode_counts=mode_counts,
            sources=sources,
            reasons=reasons,
            left_out=pending.left_out,
            model_id=self._model_id,
            valid=pending.usable,
            reason=reason,
            age_ms=(self._clock() - pending.stamp_ns) / 1e6,
            latency_ms=(time.perf_counter() - pending.begin_s) * 1e3,
            dropped_since_last=dropped,
        )

    def _question(
        self,
        usable: Int[np.ndarray, " usable"],
        reasons: Int[np.ndarray, " objects"],
        tracks: AgentTracks,
        stamp_ns: int,
    ) -> tuple[Question | None, Int[np.ndarray, " objects"]]:
        """Returns what to ask the model about the newest tick, and why not about each of the others.

        Args:
            usable: Rows of the tick that the history has, in its order.
            reasons: Why it does not have the others.
            tracks: The usable objects with their past, after the ego.
            stamp_ns: Stamp of the tick.
        """
        reasons, seen = reasons.copy(), tracks.valid.sum(axis=1)[1:]
        reasons[usable[~tracks.scored[1:]]] = Reason.KIND
        short = tracks.scored[1:] & (seen < self.settings.min_history_steps)
        reasons[usable[short]] = Reason.SHORT_HISTORY
        agents = 1 + np.flatnonzero(tracks.scored[1:] & ~short)
        nearest = self._nearest(tracks.position[agents, -1], tracks.position[0, -1])
        reasons[usable[np.delete(agents, nearest) - 1]] = Reason.LIMIT
        agents = agents[nearest]
        if self._map is None or len(agents) == 0:
            return None, reasons
        now = self._history.steps - 1
        near = self._map.rows_near(tracks.position, tracks.valid, focal=0, present=now)
        lanes = take(self._map.polylines, near)
        scenario = Scenario(str(stamp_ns), "stream", self._city, tracks, lanes, self._history.steps, focal=0, ego=0)
        return Question(scenario, agents, near, usable[agents - 1]), reasons

    def _nearest(
        self, position: Float[np.ndarray, "agents 2"], ego: Float[np.ndarray, " 2"]
    ) -> Int[np.ndarray, " chosen"]:
        """Returns the agents that are forecast, in order: those nearest to the ego where there are too many."""
        distance = np.abs(position - ego).max(axis=1)
        return np.sort(np.argsort(distance, kind="stable")[: self.settings.max_forecasts])

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


def _tracked_motion(objects: Tick) -> tuple[Float[np.ndarray, "objects 2"], Float[np.ndarray, " objects"]]:
    """Returns velocity and turn rate by the tracker's word; 0 where it says nothing."""
    if objects.motion is None:
        return np.zeros((len(objects), 2)), np.zeros(len(objects))
    return np.nan_to_num(objects.motion.velocity, nan=0.0), np.nan_to_num(objects.motion.turn_rate, nan=0.0)


def _unusable(tick: Tick, reason: str, begin_s: float) -> PendingTick:
    """A tick that gets no answer."""
    nothing, none = tick.take(np.zeros(0, np.int64)), np.zeros(0, np.int64)
    futures = np.zeros((0, 1, 2))
    return PendingTick(
        tick.stamp_ns, nothing, 0, np.zeros((0, 2)), futures, none, none, None, reason, usable=False, begin_s=begin_s
    )


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
