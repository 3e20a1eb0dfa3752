"""The last seconds of a stream of tracked objects, as the tracks that a log's reader would give for them.

Frames are kept by their stamps, so it does not matter that some were late, out of order or sent twice. A track is no
more than its objects in the frames that are kept: what vanishes is forgotten by itself, and nothing grows.
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
from perception_nodes.forecasting.frames import EGO_ID, TrackedFrame
from perception_nodes.forecasting.resampling import NS_PER_STEP, cut_jumps, grid_coordinates, resample

CLOCK_STEP_FRAMES = 3
"""So many frames in a row that do not continue the stream, but each other, are a clock that was set, not stray
frames: a burst of two late frames is common, and one wild stamp must not cost five seconds of history."""
FRAMES_PER_STEP = 4
"""At most so many frames are kept for each step: beyond 40 Hz the history becomes shorter instead of larger."""


class Arrival(Enum):
    """What became of a frame."""

    PRESENT = "newest frame"
    RESTARTED = "the clock was set: the history starts anew from the last frames"
    LATE = "older than the newest frame: kept for the history"
    DUPLICATE = "sent before"
    HELD_BACK = "its time is beyond the history: the clock was set, or it is a stray"

    @property
    def is_present(self) -> bool:
        """Whether the frame is the newest, so that there is something to forecast."""
        return self in (Arrival.PRESENT, Arrival.RESTARTED)


@dataclass(frozen=True, order=True)
class _KeptFrame:
    """A frame with the ego in row 0."""

    stamp_ns: int
    frame: TrackedFrame = field(compare=False)
    poses: Float[np.ndarray, "agents 3"] = field(compare=False)
    row_of: dict[str, int] = field(compare=False)

    @classmethod
    def of(cls, frame: TrackedFrame) -> _KeptFrame:
        ego = frame.city_SE2_ego
        objects = np.column_stack([frame.position, frame.heading])
        poses = np.concatenate([[[ego.x_m, ego.y_m, ego.heading_rad]], objects])
        return cls(frame.stamp_ns, frame, poses, {name: row for row, name in enumerate((EGO_ID, *frame.ids))})

    def repeats(self, other: _KeptFrame) -> bool:
        return self.row_of == other.row_of and np.array_equal(self.poses, other.poses)


class TrackHistory:
    """Bounded memory of a stream.

    A frame continues the stream when it is newer than the newest by at most the length of the history. An older one
    within the history is put in its place. Three in a row that do neither the first nor repeat a frame, each a little
    newer than the one before, mean that the clock was set (a restarted log, a time server): only they are kept.

    Args:
        steps: Observed steps of a track, the present one included.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._frames: list[_KeptFrame] = []
        self._aside: list[_KeptFrame] = []

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def present(self) -> TrackedFrame:
        """The newest frame."""
        return self._frames[-1].frame

    def clear(self) -> None:
        """Forgets everything."""
        self._frames, self._aside = [], []

    def add(self, frame: TrackedFrame) -> Arrival:
        """Puts a screened frame (`TrackedFrame.screened`) in its place in time."""
        kept = _KeptFrame.of(frame)
        if not self._frames or self._follows(kept, self._frames[-1]):
            self._frames.append(kept)
            self._aside.clear()
            self._forget()
            return Arrival.PRESENT
        same_time = [other for other in self._frames if other.stamp_ns == kept.stamp_ns]
        if same_time and kept.repeats(same_time[0]):
            return Arrival.DUPLICATE
        self._aside = [*self._aside, kept] if self._aside and self._follows(kept, self._aside[-1]) else [kept]
        if len(self._aside) == CLOCK_STEP_FRAMES:
            self._frames, self._aside = self._aside, []
            return Arrival.RESTARTED
        newest_ns = self._frames[-1].stamp_ns
        if not same_time and newest_ns - self._length_ns <= kept.stamp_ns < newest_ns:
            insort(self._frames, kept)
            self._forget()
            return Arrival.LATE
        return Arrival.HELD_BACK

    def tracks(self) -> AgentTracks:
        """The agents of the newest frame with their past, the ego first; nothing after the present.

        These are the tracks that `SensorLog.scenario(..., future_steps=0)` gives for the same frames, without those
        that are not seen at the present, who take no part in a forecast either way. All road users are `scored`.
        """
        present, ids = self._frames[-1].frame, (EGO_ID, *self._frames[-1].frame.ids)
        rows = np.array([list(map(kept.row_of.get, ids, repeat(-1))) for kept in self._frames]).T
        poses = np.stack([kept.poses[rows[:, i]] for i, kept in enumerate(self._frames)], axis=1)
        stamps_ns = np.array([kept.stamp_ns for kept in self._frames])
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
        """One step more than the grid needs, for interpolation and for a clock that wanders."""
        return (self.steps + 1) * NS_PER_STEP

    def _follows(self, frame: _KeptFrame, other: _KeptFrame) -> bool:
        return 0 < frame.stamp_ns - other.stamp_ns <= self._length_ns

    def _forget(self) -> None:
        oldest_ns = self._frames[-1].stamp_ns - self._length_ns
        recent = [kept for kept in self._frames if kept.stamp_ns >= oldest_ns]
        self._frames = recent[-FRAMES_PER_STEP * self.steps :]
