"""Compares a node's forecasts with what then happened, while it runs; nobody has to label anything.

Autoware's `perception_online_evaluator` does the same for Autoware's nodes. A forecast waits until the stream has shown
the next 1, 2 and 3 s of its objects. The truth at a step is where the tracker then has the object, counted and bridged
as in `perception.traffic.resampling`, so that on a recorded log the scores are those of
`perception.metrics.forecasting`. An object without truth is counted and not scored.

Memory is bounded: the last three seconds of ticks, and running sums (`perception_nodes.forecasting.score_table`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from prometheus_client import CollectorRegistry

from perception.errors import InputError
from perception.metrics.consistency import forecast_consistency
from perception.metrics.forecasting import MISS_RADIUS_M
from perception.traffic.resampling import NS_PER_STEP, WHOLE_STEP
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.score_table import HORIZONS_S, SCORES, STEPS_PER_S, ScoreTable, group_of
from perception_nodes.forecasting.seen_positions import SeenPositions, interpolate, steps_since_first
from perception_nodes.operations.diagnostics import Status

HORIZON_STEPS = STEPS_PER_S * HORIZONS_S[-1]
LEAST_APART_NS = 40_000_000
"""Ticks that follow the last kept one sooner are not kept: beyond 25 Hz memory does not grow."""
MAX_TICKS = 1 + HORIZON_STEPS * NS_PER_STEP // LEAST_APART_NS + 1
"""Maximum number of ticks that are kept."""
CHANGE_STEPS = 5
"""Successive forecasts are at most this many steps apart."""


@dataclass(frozen=True)
class SelfScoreSettings:
    """Bounds of a self-score.

    Attributes:
        max_objects: Maximum number of a tick's objects that are scored: those nearest to the ego.
        longest_bridge_steps: Longest interval without an object, in steps of 0.1 s, over which its positions are
            interpolated: a lost tick of a 10 Hz stream costs no scores, nor does a tracker of 3 Hz. At a braking of
            5 m/s² the error is below 8 cm.
    """

    max_objects: int = 256
    longest_bridge_steps: float = 3.5

    def __post_init__(self) -> None:
        if self.max_objects < 1:
            raise InputError(f"max_objects: expected at least 1, got {self.max_objects}; give a positive number")
        if not 1 <= self.longest_bridge_steps < HORIZON_STEPS:
            raise InputError(
                f"longest_bridge_steps: expected 1 to below {HORIZON_STEPS}, got {self.longest_bridge_steps}; "
                "give steps of 0.1 s"
            )


@dataclass
class _Waiting:
    """A forecast that waits for the truth.

    Attributes:
        stamp_ns: Stamp of its tick.
        slots: Where the truth of each object is kept.
        position: Present position of each object, metres.
        futures: Positions of the modes, relative to the present one; x and y apart and steps first, since NumPy sums
            such arrays several times faster.
        probabilities: Probability of each mode.
        several: Which objects have more than one mode.
        groups: Row of each object in the score table.
        sums: Sum of the distances to the truth so far, for each mode.
        scored_s: Number of seconds that were compared.
    """

    stamp_ns: int
    slots: Int[np.ndarray, " objects"]
    position: Float[np.ndarray, "objects 2"]
    futures: Float32[np.ndarray, "2 steps objects modes"]
    probabilities: Float[np.ndarray, "objects modes"]
    several: Bool[np.ndarray, " objects"]
    groups: Int[np.ndarray, " objects"]
    sums: Float[np.ndarray, "objects modes"]
    scored_s: int = 0


class SelfScore:
    """Scores a stream of a node's answers.

    Args:
        settings: Bounds.
        name: Name of the node in the diagnostics.
        registry: Where the metrics are registered, if anywhere.
    """

    def __init__(
        self,
        settings: SelfScoreSettings = SelfScoreSettings(),
        name: str = "forecast",
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._settings = settings
        self.table = ScoreTable(name)
        self._waiting: deque[_Waiting] = deque()
        self._seen = SeenPositions(4 * settings.max_objects, MAX_TICKS + 1)
        if registry is not None:
            registry.register(self.table)

    def observe(self, result: ForecastResult) -> None:
        """Takes the next answer; one that is not valid tells nothing."""
        if not result.valid:
            return
        if self._waiting:
            interval_ns = result.stamp_ns - self._waiting[-1].stamp_ns
            if 0 <= interval_ns < LEAST_APART_NS:
                return
            if not 0 < interval_ns <= self._settings.longest_bridge_steps * NS_PER_STEP:
                self._drop()
        waiting = self._follow(result)
        self._waiting.append(waiting)
        for due, coordinates in self._due():
            self._score(due, coordinates)
        while len(self._waiting) > MAX_TICKS or self._waiting[0].scored_s == len(HORIZONS_S):
            self._finish(self._waiting.popleft())
        self._measure_change(waiting)
        self.table.observed(result.stamp_ns)

    def summary(self) -> dict:
        """Returns all scores so far, as JSON: over all objects, by source, and by kind."""
        return self.table.summary() | {"pending_ticks": len(self._waiting)}

    def statuses(self) -> list[Status]:
        """Returns the content of the diagnostics."""
        return self.table.statuses()

    def _drop(self) -> None:
        """Gives up all forecasts that wait: the clock was set, or the stream was interrupted."""
        self.table.interruptions += 1
        for waiting in self._waiting:
            self._finish(waiting)
        self._waiting.clear()
        self._seen.clear()

    def _finish(self, waiting: _Waiting) -> None:
        for second in range(waiting.scored_s, len(HORIZONS_S)):
            self.table.add_unscored(second, waiting.groups)

    def _follow(self, result: ForecastResult) -> _Waiting:
        """Returns the forecast of a tick, and keeps where its objects are."""
        ids = result.objects.ids
        rows = np.arange(len(ids))
        if len(set(ids)) < len(ids):
            rows = np.unique(list({ids[row]: row for row in rows[::-1].tolist()}.values()))
        if len(rows) > self._settings.max_objects:
            ego = np.nan_to_num([result.objects.city_SE2_ego.x_m, result.objects.city_SE2_ego.y_m])
            distance = np.abs(result.objects.position[rows] - ego).max(axis=1)
            rows = np.sort(rows[np.argsort(distance, kind="stable")[: self._settings.max_objects]])
        oldest_ns = self._waiting[0].stamp_ns if self._waiting else result.stamp_ns
        slots = self._seen.place(result.stamp_ns, oldest_ns, [ids[row] for row in rows.tolist()])
        rows, slots = rows[slots >= 0], slots[slots >= 0]
        self.table.not_followed += len(ids) - len(rows)
        position = result.objects.position[rows]
        self._seen.put(slots, position)
        chosen = slice(None) if len(rows) == len(ids) else rows  # a view costs nothing
        ahead = result.trajectories[chosen, :, :HORIZON_STEPS].transpose(3, 2, 0, 1)
        futures = np.empty(ahead.shape, np.float32)
        np.subtract(ahead, position.T[:, None, :, None], out=futures, casting="same_kind")
        return _Waiting(
            stamp_ns=result.stamp_ns,
            slots=slots,
            position=position,
            futures=futures,
            probabilities=result.probabilities[rows],
            several=result.mode_counts[rows] > 1,
            groups=group_of(result.sources[rows], result.objects.kinds[rows]),
            sums=np.zeros(futures.shape[2:]),
        )

    def _due(self) -> list[tuple[_Waiting, Float[np.ndarray, " ticks"]]]:
        """Returns the forecasts of which another second has passed, each with the steps of its tick and all later."""
        due, now_ns = [], self._waiting[-1].stamp_ns
        stamps_ns = np.array([waiting.stamp_ns for waiting in self._waiting])
        for row, waiting in enumerate(self._waiting):
            steps = STEPS_PER_S * (waiting.scored_s + 1)
            soon = now_ns - waiting.stamp_ns < (1 - WHOLE_STEP) * steps * NS_PER_STEP
            if soon or waiting.scored_s == len(HORIZONS_S):
                continue
            coordinates = steps_since_first(stamps_ns[row:])
            if coordinates[-1] >= steps:
                due.append((waiting, coordinates))
        return due

    def _score(self, waiting: _Waiting, coordinates: Float[np.ndarray, " ticks"]) -> None:
        """Compares the second that has passed with the truth, and adds the scores of its end."""
        begin, end = STEPS_PER_S * waiting.scored_s, STEPS_PER_S * (waiting.scored_s + 1)
        if end > waiting.futures.shape[1]:  # a model that looks less far ahead
            waiting.scored_s = len(HORIZONS_S)
            return
        truth = self._truth(waiting, coordinates, np.arange(begin + 1, end + 1)) - waiting.position
        east, north = waiting.futures[:, begin:end] - truth.astype(np.float32).transpose(2, 0, 1)[..., None]
        distance = np.sqrt(east * east + north * north)
        waiting.sums += distance.sum(axis=0)  # NaN from the first step without truth
        unknown = np.isnan(waiting.sums[:, 0])
        second, waiting.scored_s = waiting.scored_s, waiting.scored_s + 1
        known: slice | Int[np.ndarray, " known"] = slice(None)  # a view costs nothing
        if unknown.any():
            known = np.flatnonzero(~unknown)
            self.table.add_unscored(second, waiting.groups[unknown])
        errors = _Errors.of(waiting.sums[known] / end, distance[-1, known], waiting.probabilities[known])
        self.table.add_scores(second, waiting.groups[known], errors.columns)
        if second == len(HORIZONS_S) - 1:
            several = np.flatnonzero(waiting.several[known])
            groups, probabilities = waiting.groups[known][several], waiting.probabilities[known][several]
            self.table.add_probabilities(groups, probabilities, errors.nearest[several])

    def _truth(
        self, waiting: _Waiting, coordinates: Float[np.ndarray, " ticks"], steps: Int[np.ndarray, " steps"]
    ) -> Float[np.ndarray, "steps objects 2"]:
        """Returns where a forecast's objects were at some steps; NaN where it is not known."""
        at = np.searchsorted(coordinates, steps)
        truth = self._seen.last(len(coordinates), waiting.slots, at)
        missing = np.isnan(truth[..., 0]) | (coordinates[at] != steps)[:, None]
        if not missing.any():
            return truth
        objects = np.flatnonzero(missing.any(axis=0))
        seen = self._seen.last(len(coordinates), waiting.slots[objects], np.arange(len(coordinates)))
        truth[:, objects] = interpolate(coordinates, seen, steps, self._settings.longest_bridge_steps)
        return truth

    def _measure_change(self, now: _Waiting) -> None:
        """Adds how far the newest forecast is from the last one a whole number of steps before."""
        for before in list(self._waiting)[-2::-1]:
            steps = (now.stamp_ns - before.stamp_ns) / NS_PER_STEP
            whole = round(steps)
            if steps > CHANGE_STEPS + WHOLE_STEP:
                return
            if whole < 1 or abs(steps - whole) > WHOLE_STEP:
                continue
            if before.futures.shape[1] <= whole or before.futures.shape[1] != now.futures.shape[1]:
                return
            early, late = slice(None), np.arange(len(now.slots))
            if not np.array_equal(before.slots, now.slots):
                _, early, late = np.intersect1d(before.slots, now.slots, assume_unique=True, return_indices=True)
            moved = (now.position[late] - before.position[early]).astype(np.float32).T[:, None]
            likeliest = now.futures[:, :, late, now.probabilities[late].argmax(axis=1)] + moved  # of `now` it is enough
            change = forecast_consistency(
                before.futures[:, :, early].transpose(2, 3, 1, 0),
                before.probabilities[early],
                likeliest[..., None].transpose(2, 3, 1, 0),
                np.ones((len(late), 1)),
                whole,
            )
            self.table.add_changes(now.groups[late], np.stack([change.most_likely, change.best_matching], axis=1))
            return


@dataclass(frozen=True)
class _Errors:
    """Errors of each object.

    Attributes:
        columns: As `ScoreTable.add_scores` takes them.
        nearest: The mode whose end is nearest to the truth.
    """

    columns: Float[np.ndarray, "objects columns"]
    nearest: Int[np.ndarray, " objects"]

    @classmethod
    def of(
        cls,
        ade: Float[np.ndarray, "objects modes"],
        fde: Float[np.ndarray, "objects modes"],
        probabilities: Float[np.ndarray, "objects modes"],
    ) -> _Errors:
        rows, likeliest = np.arange(len(ade)), probabilities.argmax(axis=1)
        nearest = fde.argmin(axis=1)
        columns = np.empty((len(ade), len(SCORES)))
        columns[:, 0], columns[:, 1] = ade[rows, likeliest], fde[rows, likeliest]
        columns[:, 3], columns[:, 4] = ade.min(axis=1), fde[rows, nearest]
        columns[:, 2], columns[:, 5] = columns[:, 1] > MISS_RADIUS_M, columns[:, 4] > MISS_RADIUS_M
        return cls(columns, nearest)
