"""The last seconds of a stream of tracked objects, as the tracks that a log's reader would give for them.

Ticks are kept by their stamps, so late, reordered and repeated ones do no harm. A track consists of its objects in the
ticks that are kept: an object that vanishes is forgotten with them, and memory is bounded.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from jaxtyping import Float, Int

from perception.traffic.motion import causal_velocity
from perception.traffic.resampling import NS_PER_STEP, resample, window_ns
from perception.traffic.scenario import ROAD_USERS, AgentKind, AgentTracks
from perception_nodes.forecasting.tick import EGO_ID, Tick

CLOCK_STEP_TICKS = 3
"""Number of ticks in a row that continue each other, but not the stream, after which the clock counts as set. Two are
a common burst of late ticks, and one wild stamp must not cost five seconds of history."""
TICKS_PER_STEP = 2
"""Maximum number of ticks kept for each step: of a stream beyond 20 Hz some are dropped, evenly over the history."""
SLOWEST_HEADING_M_S = 1.0
"""Below this speed the direction of travel does not say where an object's front is."""
_HEADING_NS = 3 * NS_PER_STEP
"""Time over which that direction is measured where the tracker does not report a velocity."""


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
    """A tick with the ego in row 0, and the number of each row's track; -1 for an ego without a pose."""

    stamp_ns: int
    tick: Tick = field(compare=False)
    poses: Float[np.ndarray, "agents 3"] = field(compare=False)
    kinds: Int[np.ndarray, " agents"] = field(compare=False)
    slots: Int[np.ndarray, " agents"] = field(compare=False)

    @classmethod
    def of(cls, tick: Tick, slots: Int[np.ndarray, " agents"]) -> _KeptTick:
        ego = tick.city_SE2_ego
        objects = np.column_stack([tick.position, tick.heading])
        own = [ego.x_m, ego.y_m, ego.heading_rad] if tick.has_ego else [0.0, 0.0, 0.0]
        kinds = np.concatenate([[AgentKind.VEHICLE], tick.kinds]).astype(np.int64)
        return cls(tick.stamp_ns, tick, np.concatenate([[own], objects]), kinds, slots)

    def repeats(self, other: _KeptTick) -> bool:
        same_objects = self.tick.ids == other.tick.ids and np.array_equal(self.slots, other.slots)
        return same_objects and np.array_equal(self.tick.position, other.tick.position)


class TrackHistory:
    """Bounded memory of a stream.

    A tick continues the stream if it is newer than the newest one by at most the length of the history. An older tick
    within the history is put in its place. If `CLOCK_STEP_TICKS` in a row neither continue the stream nor repeat a
    tick, and each is a little newer than the one before, the clock was set (a restarted log, a time server), and only
    they are kept.

    Where a tracker does not know an object's front, its heading is one of two; it is taken to point in the direction of
    travel, and kept so while the object stands. Where it knows nothing of the heading, that is the direction of travel.

    Args:
        steps: Number of observed steps of a track, the present one included.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._ticks: list[_KeptTick] = []
        self._strays: list[_KeptTick] = []
        self._slots: dict[str, int] = {EGO_ID: 0}

    def __len__(self) -> int:
        return len(self._ticks)

    @property
    def present(self) -> Tick:
        """The newest tick."""
        return self._ticks[-1].tick

    def clear(self) -> None:
        """Forgets everything."""
        self._ticks, self._strays, self._slots = [], [], {EGO_ID: 0}

    def add(self, tick: Tick) -> Arrival:
        """Puts a tick in its place in time.

        Args:
            tick: Its positions, headings and sizes are finite, its ids differ from each other and from the ego's
                (`Tick.screened`). The ego's pose may be unknown.
        """
        kept = self._kept(replace(tick, sent=None))  # a message is a kilobyte an object
        if not self._ticks or self._follows(kept, self._ticks[-1]):
            self._ticks.append(self._with_fronts(kept, self._ticks))
            self._strays.clear()
            self._forget()
            return Arrival.PRESENT
        same_time = [other for other in self._ticks if other.stamp_ns == kept.stamp_ns]
        if same_time and kept.repeats(same_time[0]):
            return Arrival.DUPLICATE
        continued = self._strays if self._strays and self._follows(kept, self._strays[-1]) else []
        self._strays = [*continued, self._with_fronts(kept, continued or self._ticks)]
        if len(self._strays) == CLOCK_STEP_TICKS:
            self._ticks, self._strays = self._strays, []
            return Arrival.RESTARTED
        newest_ns = self._ticks[-1].stamp_ns
        if not same_time and newest_ns - window_ns(self.steps) <= kept.stamp_ns < newest_ns:
            insort(self._ticks, self._with_fronts(kept, [t for t in self._ticks if t.stamp_ns < kept.stamp_ns]))
            self._forget()
            return Arrival.LATE
        return Arrival.HELD_BACK

    def tracks(self) -> AgentTracks:
        """Returns the agents of the newest tick with their past, the ego first.

        These are the tracks that `SensorLog.scenario(..., future_steps=0)` gives for the same ticks, without those
        that are not seen at the present, which take no part in a forecast either way. All road users are `scored`. The
        kind of an object that the tracker does not recognise is the last one that it was recognised as.
        """
        return self._tracks_of(self._ticks)

    def held_back(self) -> tuple[AgentTracks, AgentTracks]:
        """Returns the agents of the tick that was last held back, and those of the newest tick before the clock step.

        The former have the past of the one or two ticks that were held back in a row.
        """
        return self._tracks_of(self._strays), self.tracks()

    def _tracks_of(self, ticks: list[_KeptTick]) -> AgentTracks:
        newest = ticks[-1]
        rows = [self._rows_of(newest.slots, kept) for kept in ticks]
        seen = np.stack(rows, axis=1) >= 0
        poses = np.empty((*seen.shape, 3))
        for number, (kept, there) in enumerate(zip(ticks, rows, strict=True)):
            poses[:, number] = kept.poses[there]
        stamps_ns = np.array([kept.stamp_ns for kept in ticks])
        grid, valid = resample(stamps_ns, poses, seen, self.steps)
        kinds = _last_known(ticks, rows)
        return AgentTracks(
            ids=(EGO_ID, *newest.tick.ids),
            kinds=kinds,
            position=grid[..., :2],
            heading=grid[..., 2],
            velocity=causal_velocity(grid[..., :2], valid, self.steps - 1, over_steps=1),
            valid=valid,
            scored=np.isin(kinds, ROAD_USERS),
        )

    def _kept(self, tick: Tick) -> _KeptTick:
        """Numbers a tick's tracks; numbers of forgotten tracks are given again."""
        if len(self._slots) > 2 * (len(tick) + sum(len(kept.slots) for kept in self._ticks)) + 1000:
            self._renumber()
        numbers = [self._slots.setdefault(name, len(self._slots)) for name in tick.ids]
        return _KeptTick.of(tick, np.array([0 if tick.has_ego else -1, *numbers], dtype=np.int64))

    def _renumber(self) -> None:
        self._slots, old = {EGO_ID: 0}, (self._ticks, self._strays)
        self._ticks, self._strays = (
            [replace(kept, slots=self._kept(kept.tick).slots) for kept in part] for part in old
        )

    def _rows_of(self, slots: Int[np.ndarray, " agents"], kept: _KeptTick) -> Int[np.ndarray, " agents"]:
        """Returns the rows of some tracks in a tick; -1 where it lacks them."""
        row_of = np.full(len(self._slots) + 1, -1)  # the last is that of an ego without a pose
        row_of[kept.slots] = np.arange(len(kept.slots))
        row_of[-1] = -1
        return row_of[slots]

    def _with_fronts(self, kept: _KeptTick, before: list[_KeptTick]) -> _KeptTick:
        """Returns a tick with the headings turned by half a turn where that is the object's front.

        Headings of which not even the axis is known are replaced by the direction of travel or the one that is held.

        Args:
            kept: The tick.
            before: Ticks before it, ascending.
        """
        motion = kept.tick.motion
        if motion is None or motion.front_known.all():
            return kept
        heading = kept.poses[1:, 2]
        reference = heading.copy()
        velocity = motion.velocity
        if before:
            rows = self._rows_of(kept.slots, before[-1])[1:]
            reference = np.where(rows >= 0, before[-1].poses[rows, 2], reference)
            earlier = next((b for b in before[::-1] if kept.stamp_ns - b.stamp_ns >= _HEADING_NS), before[0])
            rows = self._rows_of(kept.slots, earlier)[1:]
            elapsed_s = (kept.stamp_ns - earlier.stamp_ns) / 1e9
            moved = (kept.poses[1:, :2] - earlier.poses[rows, :2]) / elapsed_s
            seen = (rows >= 0) & (elapsed_s > 0)
            velocity = np.where((seen & ~np.isfinite(velocity).all(axis=1))[:, None], moved, velocity)
        fast = np.hypot(velocity[:, 0], velocity[:, 1]) >= SLOWEST_HEADING_M_S
        reference = np.where(fast, np.arctan2(velocity[:, 1], velocity[:, 0]), reference)
        backwards = ~motion.front_known & (np.cos(heading - reference) < 0)
        poses = kept.poses.copy()
        poses[1:, 2] += np.pi * backwards
        if motion.axis_known is not None:
            poses[1:, 2] = np.where(motion.axis_known, poses[1:, 2], reference)
        return replace(kept, poses=poses)

    def _follows(self, tick: _KeptTick, other: _KeptTick) -> bool:
        return 0 < tick.stamp_ns - other.stamp_ns <= window_ns(self.steps)

    def _forget(self) -> None:
        """Drops ticks before the history, and those that stand closest between two others where there are too many."""
        oldest_ns = self._ticks[-1].stamp_ns - window_ns(self.steps)
        self._ticks = [kept for kept in self._ticks if kept.stamp_ns >= oldest_ns]
        while len(self._ticks) > TICKS_PER_STEP * (self.steps + 1):
            stamps_ns = np.array([kept.stamp_ns for kept in self._ticks])
            del self._ticks[1 + int((stamps_ns[2:] - stamps_ns[:-2]).argmin())]


def _last_known(ticks: list[_KeptTick], rows: list[Int[np.ndarray, " agents"]]) -> Int[np.ndarray, " agents"]:
    """Returns the kind of each agent in the newest tick, or the last one before it that was known.

    Args:
        ticks: Ticks, ascending.
        rows: Rows of the newest tick's agents in each of them; -1 where it lacks them.
    """
    kinds = ticks[-1].kinds[rows[-1]]
    for kept, there in zip(ticks[-2::-1], rows[-2::-1], strict=True):
        unknown = np.flatnonzero(kinds == AgentKind.UNKNOWN)
        if not len(unknown):
            break
        kinds[unknown] = np.where(there[unknown] >= 0, kept.kinds[there[unknown]], AgentKind.UNKNOWN)
    kinds[0] = AgentKind.VEHICLE  # the ego, with a pose or without
    return kinds
