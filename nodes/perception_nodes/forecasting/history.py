"""The last seconds of a stream of tracked objects, as the tracks that a log's reader would give for them.

Ticks are kept by their stamps, so late, reordered and repeated ones do no harm. A track consists of its objects in the
ticks that are kept: an object that vanishes is forgotten with them, and memory is bounded.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from enum import Enum
from itertools import repeat

import numpy as np
from jaxtyping import Float

from perception.traffic.motion import causal_velocity
from perception.traffic.scenario import ROAD_USERS, AgentKind, AgentTracks
from perception_nodes.forecasting.resampling import NS_PER_STEP, cut_jumps, grid_coordinates, resample
from perception_nodes.forecasting.tick import EGO_ID, Tick

CLOCK_STEP_TICKS = 3
"""Number of ticks in a row that continue each other, but not the stream, after which the clock counts as set. Two are
a common burst of late ticks, and one wild stamp must not cost five seconds of history."""
TICKS_PER_STEP = 4
"""Maximum number of ticks kept for each step: beyond 40 Hz the history becomes shorter instead of larger."""


class Arrival(Enum):
    """What was done with a tick."""

    PRESENT = "newest tick"
    RESTARTED = "the clock was set: the history starts anew from the last ticks"
    LATE = "older than the newest tick: kept for the history"
    DUPLICATE = "sent before"
    HELD_BACK = "its time is beyond the history: the clock was set, or it is a stray"

    @property
    def is_present(self) -> bool:
        """Whether the tick is the newest, so that there is something to forecast."""
        return self in (Arrival.PRESENT, Arrival.RESTARTED)


@dataclass(frozen=True, order=True)
class _KeptTick:
    """A tick with the ego in row 0."""

    stamp_ns: int
    tick: Tick = field(compare=False)
    poses: Float[np.ndarray, "agents 3"] = field(compare=False)
    row_of: dict[str, int] = field(compare=False)

    @classmethod
    def of(cls, tick: Tick) -> _KeptTick:
        ego = tick.city_SE2_ego
        objects = np.column_stack([tick.position, tick.heading])
        poses = np.concatenate([[[ego.x_m, ego.y_m, ego.heading_rad]], objects])
        return cls(tick.stamp_ns, tick, poses, {name: row for row, name in enumerate((EGO_ID, *tick.ids))})

    def repeats(self, other: _KeptTick) -> bool:
        return self.row_of == other.row_of and np.array_equal(self.poses, other.poses)


class TrackHistory:
    """Bounded memory of a stream.

    A tick continues the stream if it is newer than the newest one by at most the length of the history. An older tick
    within the history is put in its place. If `CLOCK_STEP_TICKS` in a row neither continue the stream nor repeat a
    tick, and each is a little newer than the one before, the clock was set (a restarted log, a time server), and only
    they are kept.

    Args:
        steps: Number of observed steps of a track, the present one included.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._ticks: list[_KeptTick] = []
        self._strays: list[_KeptTick] = []

    def __len__(self) -> int:
        return len(self._ticks)

    @property
    def present(self) -> Tick:
        """The newest tick."""
        return self._ticks[-1].tick

    def clear(self) -> None:
        """Forgets everything."""
        self._ticks, self._strays = [], []

    def add(self, tick: Tick) -> Arrival:
        """Puts a screened tick (`Tick.screened`) in its place in time."""
        kept = _KeptTick.of(tick)
        if not self._ticks or self._follows(kept, self._ticks[-1]):
            self._ticks.append(kept)
            self._strays.clear()
            self._forget()
            return Arrival.PRESENT
        same_time = [other for other in self._ticks if other.stamp_ns == kept.stamp_ns]
        if same_time and kept.repeats(same_time[0]):
            return Arrival.DUPLICATE
        self._strays = [*self._strays, kept] if self._strays and self._follows(kept, self._strays[-1]) else [kept]
        if len(self._strays) == CLOCK_STEP_TICKS:
            self._ticks, self._strays = self._strays, []
            return Arrival.RESTARTED
        newest_ns = self._ticks[-1].stamp_ns
        if not same_time and newest_ns - self._length_ns <= kept.stamp_ns < newest_ns:
            insort(self._ticks, kept)
            self._forget()
            return Arrival.LATE
        return Arrival.HELD_BACK

    def tracks(self) -> AgentTracks:
        """Returns the agents of the newest tick with their past, the ego first.

        These are the tracks that `SensorLog.scenario(..., future_steps=0)` gives for the same ticks, without those
        that are not seen at the present, which take no part in a forecast either way. All road users are `scored`.
        """
        present, ids = self.present, (EGO_ID, *self.present.ids)
        rows = np.array([list(map(kept.row_of.get, ids, repeat(-1))) for kept in self._ticks]).T
        poses = np.stack([kept.poses[rows[:, i]] for i, kept in enumerate(self._ticks)], axis=1)
        stamps_ns = np.array([kept.stamp_ns for kept in self._ticks])
        seen = cut_jumps(stamps_ns, poses[..., :2], rows >= 0)
        grid, valid = resample(grid_coordinates(stamps_ns), poses, seen, self.steps)
        kinds = np.concatenate([[AgentKind.VEHICLE], present.kinds])
        return AgentTracks(
            ids=ids,
            kinds=kinds,
            position=grid[..., :2],
            heading=grid[..., 2],
            velocity=causal_velocity(grid[..., :2], valid, self.steps - 1, over_steps=1),
            valid=valid,
            scored=np.isin(kinds, ROAD_USERS),
        )

    @property
    def _length_ns(self) -> int:
        """One step more than the grid needs, for interpolation and for a clock that drifts."""
        return (self.steps + 1) * NS_PER_STEP

    def _follows(self, tick: _KeptTick, other: _KeptTick) -> bool:
        return 0 < tick.stamp_ns - other.stamp_ns <= self._length_ns

    def _forget(self) -> None:
        oldest_ns = self._ticks[-1].stamp_ns - self._length_ns
        recent = [kept for kept in self._ticks if kept.stamp_ns >= oldest_ns]
        self._ticks = recent[-TICKS_PER_STEP * self.steps :]
