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

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int
from typing_extensions import override

from perception.errors import InputError
from perception.traffic.map_index import MapIndex
from perception.traffic.resampling import NS_PER_STEP
from perception.traffic.scenario import AgentKind, AgentTracks, Forecast
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.fallback import carried_on, extrapolate, present_motion
from perception_nodes.forecasting.history import Arrival, TrackHistory
from perception_nodes.forecasting.pending_tick import PendingTick
from perception_nodes.forecasting.question import (
    Equipment,
    ForecastingSettings,
    Question,
    question_of,
    warm_up,
    why_not,
)
from perception_nodes.forecasting.tick import LARGEST_HEADING_RAD, Reason, Tick, UnusableTick
from perception_nodes.operations.lifecycle import LifecycleNode

if TYPE_CHECKING:
    from perception.models.forecaster import Forecaster

NO_MODEL, NO_MAP = "the model is not loaded yet", "no map yet"
_UNANSWERED = (Arrival.LATE, Arrival.DUPLICATE)
_LONGEST_REASON = 500


class ForecastingNode(LifecycleNode):
    """Forecasts a stream of tracked objects, one tick at a time.

    Args:
        settings: Bounds.
        clock: Returns the stream's time in ns; a replay gives its own.
    """

    def __init__(self, settings: ForecastingSettings | None = None, clock: Callable[[], int] = time.time_ns) -> None:
        super().__init__()
        self.settings = settings or ForecastingSettings()
        self._clock = clock
        self._model_id = ""
        self._horizon_steps = 1
        self._history = TrackHistory(steps=1)
        self._equipment, self._exchange = Equipment(), threading.Lock()
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
            warm_up(model, self._history.steps, agents - 1)
        with self._exchange:
            lanes = self._equipment.map
            encoded = None if lanes is None else model.encode_map(lanes.polylines)
            self._equipment = replace(self._equipment, model=model, lanes=encoded)
            self._horizon_steps = model.horizon_steps

    @override
    def shutdown(self) -> None:
        """Ends for good."""
        super().shutdown()
        with self._exchange:
            self._equipment = Equipment()

    @override
    def _forget_model(self) -> None:
        with self._exchange:
            self._equipment = replace(self._equipment, model=None, lanes=None)

    @override
    def _forget_stream(self) -> None:
        self._history.clear()

    def set_map(self, lanes: MapIndex, city: str = "") -> None:
        """Takes a map, in any state and thread; until there is one, the model is not asked.

        If this fails, the former map stays. The encoder's features of a single lane do not depend on the tick, so they
        are computed here, once.
        """
        with self._exchange:
            model = self._equipment.model
            encoded = None if model is None else model.encode_map(lanes.polylines)
            self._equipment = replace(self._equipment, map=lanes, city=city, lanes=encoded)

    def step(self, tick: Tick) -> ForecastResult:
        """Answers a tick; its contents never make it raise.

        Raises:
            LifecycleError: The node is not active.
        """
        pending = self.receive(tick)
        if pending.question is None:
            return self.finish(pending)
        try:
            forecast = self.ask(pending.question)
        except Exception as error:  # whatever goes wrong in a model, its objects are extrapolated
            return self.finish(pending, reason=f"{type(error).__name__}: {str(error)[:_LONGEST_REASON]}")
        return self.finish(pending, forecast)

    def receive(self, tick: Tick) -> PendingTick:
        """Takes a tick into the history and extrapolates its objects; its contents never make it raise.

        Raises:
            LifecycleError: The node is not active.
        """
        self.lifecycle.require_active("receive")
        begin_s, equipment = time.perf_counter(), self._equipment
        try:
            objects = tick.placed()
        except UnusableTick as error:
            return PendingTick.unusable(tick, str(error), begin_s)
        screening = objects.screened(max(len(objects), 1))
        rows, reasons, tracked = screening.rows, screening.reasons, objects
        if (reasons == Reason.BROKEN_FIELD).any():
            tracked = _mended(objects)
            rows = tracked.screened(len(objects)).rows
        arrival = self._history.add(tracked.take(rows))
        if arrival in _UNANSWERED:
            return PendingTick.unusable(tick, arrival.value, begin_s)
        if arrival is Arrival.HELD_BACK:
            reason = arrival.value
            tracks, before = self._history.held_back()
            motion = carried_on(present_motion(objects, rows, tracks), rows, tracks, before)
        else:
            reason, tracks = _why_no_question(tick, equipment), self._history.tracks()
            motion = present_motion(objects, rows, tracks)
        reasons = why_not(tracks, rows, reasons, motion, self.settings)
        question = None
        if not reason:
            question = question_of(tracks, rows, reasons, equipment, tick.stamp_ns, self.settings)
        if arrival is Arrival.RESTARTED:
            self._last_valid_ns = None
        extrapolation = extrapolate(objects, motion, self._horizon_steps)
        return PendingTick(
            stamp_ns=tick.stamp_ns,
            objects=_facing(objects, rows, tracks),
            left_out=len(tick) - len(objects),
            velocity=motion.velocity,
            trajectories=extrapolation.trajectories,
            sources=extrapolation.sources,
            reasons=reasons,
            question=question,
            reason=reason,
            usable=True,
            in_time=arrival is not Arrival.HELD_BACK,
            begin_s=begin_s,
        )

    def ask(self, question: Question) -> Forecast:
        """Asks the model, which may raise or take its time; may be called by another thread than the others."""
        lanes = None if question.lanes is None else [question.lanes]
        (forecast,) = question.model.forecast([question.scenario], [question.agents], lanes)
        return forecast

    def finish(self, pending: PendingTick, forecast: Forecast | None = None, reason: str = "") -> ForecastResult:
        """Returns the answer to a tick.

        Args:
            pending: The tick.
            forecast: The model's answer to its question, if there is one.
            reason: Why there is none although the model was asked.
        """
        return self._result(pending, forecast, reason, dropped=self._count_dropped(pending))

    def no_answer(self, stamp_ns: int, reason: str) -> ForecastResult:
        """Returns an answer without objects that is not valid, as to a tick that is refused, or while none come.

        Args:
            stamp_ns: Stamp of the objects, or the present time where there are none; 0 where it is not known.
            reason: Why there is no answer.
        """
        nothing = PendingTick.unusable(Tick.without_objects(stamp_ns), reason, time.perf_counter())
        return self._result(nothing, None, "", dropped=0)

    def _result(self, pending: PendingTick, forecast: Forecast | None, reason: str, *, dropped: int) -> ForecastResult:
        reason = pending.reason or reason
        if forecast is not None and (fault := _fault_of(forecast, pending)):
            forecast, reason = None, fault
        count = len(pending.trajectories)
        modes = 1 if forecast is None else forecast.trajectories.shape[1]
        trajectories = np.repeat(pending.trajectories[:, None], modes, axis=1)
        probabilities, mode_counts = np.zeros((count, modes)), np.ones(count, np.int64)
        probabilities[:, 0] = 1.0
        sources, reasons = pending.sources.copy(), pending.reasons.copy()
        if pending.question is not None and forecast is not None:
            rows = pending.question.rows
            trajectories[rows], probabilities[rows] = forecast.trajectories, forecast.probabilities
            mode_counts[rows], sources[rows] = modes, Source.MODEL
        reasons[(sources != Source.MODEL) & (reasons == Reason.NONE)] = Reason.NO_MODEL_ANSWER
        return ForecastResult(
            stamp_ns=pending.stamp_ns,
            objects=pending.objects,
            velocity=pending.velocity,
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

    def _count_dropped(self, pending: PendingTick) -> int:
        """Returns the number of missed ticks of the 10 Hz stream: by the stamps, or as counted here if that is more."""
        missed = self._unanswered
        if not pending.usable:
            self._unanswered += pending.reason != Arrival.DUPLICATE.value
        elif pending.in_time:
            if self._last_valid_ns is not None:
                missed = max(missed, round((pending.stamp_ns - self._last_valid_ns) / NS_PER_STEP) - 1)
            self._last_valid_ns, self._unanswered = pending.stamp_ns, 0
        return missed


def _why_no_question(tick: Tick, equipment: Equipment) -> str:
    """Returns why the model cannot be asked about a tick; empty if it can."""
    if not tick.has_ego:
        pose = tick.city_SE2_ego
        return f"tick at {tick.stamp_ns} ns: expected a finite ego pose, got {pose}; wait for one"
    return NO_MAP if equipment.map is None else NO_MODEL if equipment.model is None else ""


def _mended(objects: Tick) -> Tick:
    """Returns objects whose positions are finite so that all of them can have a history, whatever else is broken."""
    known = (objects.kinds >= 0) & (objects.kinds < len(AgentKind))
    return replace(
        objects,
        kinds=np.where(known, objects.kinds, AgentKind.UNKNOWN),
        heading=np.where(np.abs(objects.heading) < LARGEST_HEADING_RAD, objects.heading, 0.0),
        size=np.zeros((len(objects), 3)),
    )


def _facing(objects: Tick, rows: Int[np.ndarray, " tracked"], tracks: AgentTracks) -> Tick:
    """Returns objects with the headings that the history holds where the tracker does not know their fronts."""
    if objects.motion is None:
        return objects
    unsure = ~objects.motion.front_known[rows] & np.isfinite(objects.heading[rows])
    heading = objects.heading.copy()
    heading[rows[unsure]] = tracks.heading[1:, -1][unsure]
    return replace(objects, heading=heading)


def _fault_of(forecast: Forecast, pending: PendingTick) -> str:
    """Returns why a model's answer cannot be used; empty if it can."""
    if not (np.isfinite(forecast.trajectories).all() and np.isfinite(forecast.probabilities).all()):
        return "the model's futures are not finite"
    steps, wanted = forecast.trajectories.shape[2], pending.trajectories.shape[1]
    return "" if steps == wanted else f"the model's futures have {steps} steps, expected {wanted}"
