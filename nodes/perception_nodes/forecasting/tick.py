"""All tracked objects at one moment, and which of them a model can use: a broken object must not spoil the others."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.errors import InputError
from perception.geometry import SE2
from perception.traffic.scenario import AgentKind
from perception_nodes.ros.objects import FARTHEST_M, TrackedObjects

EGO_ID = "AV"
"""The ego's track id in both Argoverse data sets, hence in a stream's scenarios."""
LARGEST_HEADING_RAD = 1e4
"""Headings need not be wrapped, but a larger angle has lost its precision or is an error."""
LAST_STAMP_NS = 2**63 - 1


class UnusableTick(InputError):
    """A tick without a valid stamp: none of it can be used."""


class Reason(IntEnum):
    """Why an object's futures are not the model's; the constants of `forecast_msgs/ForecastStatus`."""

    NONE = 0
    KIND = 1
    """The model does not forecast objects of this kind."""
    SHORT_HISTORY = 2
    """It was seen for too few steps."""
    HOLE = 3
    """It was not seen for too many steps of its recent past."""
    BROKEN_FIELD = 4
    """Its heading, size or another field is not usable."""
    REPEATED_ID = 5
    """An earlier object of the message has the same id."""
    LIMIT = 6
    """There are more objects than the node's limits allow; those nearest to the ego come first."""
    NO_MODEL_ANSWER = 7
    """The model answered none of the tick's objects; the tick's reason says why."""
    AT_REST = 8
    """It is at rest, of which the model need not be asked."""
    NO_ID = 9
    """It has no id, so it has no past."""


@dataclass(frozen=True)
class TrackedMotion:
    """What a tracker says of its objects' motion.

    Attributes:
        velocity: Velocity in the city frame, m/s; NaN where it is not known.
        turn_rate: Counter-clockwise turn rate, rad/s; NaN where it is not known.
        front_known: Whether the heading is that of the object's front. If not, it may be off by π, and flips: whoever
            needs the front takes it from the motion, or holds it while the object is slow.
        stationary: Whether the tracker holds that the object stands.
        axis_known: Whether the heading is that of the object's axis at least. If not, it says nothing, and the motion
            alone does. None where all are known.
    """

    velocity: Float[np.ndarray, "objects 2"]
    turn_rate: Float[np.ndarray, " objects"]
    front_known: Bool[np.ndarray, " objects"]
    stationary: Bool[np.ndarray, " objects"]
    axis_known: Bool[np.ndarray, " objects"] | None = None

    def take(self, rows: Int[np.ndarray, " chosen"]) -> TrackedMotion:
        """Returns that of some objects, in the order of the rows."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value[rows] for name, value in known.items() if value is not None})


@dataclass(frozen=True)
class Tick:
    """All tracked objects at one moment.

    Attributes:
        stamp_ns: When it was sensed, nanoseconds on the stream's own clock.
        city_SE2_ego: Pose of the ego's rear axle in the city frame (the map's; ROS: `map` and `base_link`); NaN where
            it is not known.
        ids: Track ids, in the order of the message; empty for an object that belongs to no track.
        kinds: `AgentKind` values.
        position: Box centres in the city frame, metres.
        heading: Radians in the city frame, as sent; NaN where it is not usable.
        size: Length, width, height, metres.
        motion: What the sender says of their motion; None where it says nothing, as logs and detectors.
        sent: The objects as the sender wrote them, a row each; None where they came in no message.
    """

    stamp_ns: int
    city_SE2_ego: SE2
    ids: tuple[str, ...]
    kinds: Int[np.ndarray, " objects"]
    position: Float[np.ndarray, "objects 2"]
    heading: Float[np.ndarray, " objects"]
    size: Float[np.ndarray, "objects 3"]
    motion: TrackedMotion | None = None
    sent: TrackedObjects | None = None

    @classmethod
    def without_objects(cls, stamp_ns: int) -> Tick:
        """Returns a tick of no objects and an ego of unknown pose."""
        none, unknown = np.zeros(0, np.int64), float("nan")
        pose = SE2(unknown, unknown, unknown)
        return cls(stamp_ns, pose, (), none, np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3)))

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Int[np.ndarray, " chosen"]) -> Tick:
        """Returns some of the objects, in the order of the rows."""
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            kinds=self.kinds[rows],
            position=self.position[rows],
            heading=self.heading[rows],
            size=self.size[rows],
            motion=None if self.motion is None else self.motion.take(rows),
            sent=None if self.sent is None else self.sent.select(rows),
        )

    @property
    def has_ego(self) -> bool:
        """Whether the ego's pose is known."""
        pose = self.city_SE2_ego
        return bool(_is_place(np.array([[pose.x_m, pose.y_m]]), np.array([pose.heading_rad]))[0])

    @property
    def is_placed(self) -> Bool[np.ndarray, " objects"]:
        """Which objects have a position below `FARTHEST_M`."""
        return np.all(np.abs(self.position) < FARTHEST_M, axis=1)

    def placed(self) -> Tick:
        """Returns the objects with a position below `FARTHEST_M`, of which something can be said.

        Raises:
            UnusableTick: The stamp is not a positive time.
        """
        if not 0 < self.stamp_ns <= LAST_STAMP_NS:
            raise UnusableTick(f"tick: expected a positive stamp of 63 bits in ns, got {self.stamp_ns}; set the clock")
        rows = np.flatnonzero(self.is_placed)
        return self if len(rows) == len(self) else self.take(rows)

    def screened(self, max_objects: int) -> Screening:
        """Returns which objects a model can use, in the order of their ids, as the readers of logs order them.

        Left out are objects with numbers that are not finite or out of range, those without an id, later objects of a
        repeated id, those with the ego's id, whose pose the tick has, and those beyond the limit. Sorting makes
        forecasts independent of the order in which a tracker lists its objects.

        Args:
            max_objects: Maximum number of objects; those nearest to the ego are kept.
        """
        reasons = np.where(self._sound(), Reason.NONE, Reason.BROKEN_FIELD)
        reasons[[not name for name in self.ids]] = Reason.NO_ID
        first: dict[str, int] = {EGO_ID: -1}
        for row in np.flatnonzero(reasons == Reason.NONE).tolist():
            if first.setdefault(self.ids[row], row) != row:
                reasons[row] = Reason.REPEATED_ID
        del first[EGO_ID]
        rows = np.array([first[name] for name in sorted(first)], dtype=np.int64)
        if len(rows) > max_objects:
            distance = np.abs(self.position[rows] - [self.city_SE2_ego.x_m, self.city_SE2_ego.y_m]).max(axis=1)
            order = np.argsort(distance, kind="stable")
            reasons[rows[order[max_objects:]]] = Reason.LIMIT
            rows = rows[np.sort(order[:max_objects])]
        return Screening(rows, reasons)

    def _sound(self) -> Bool[np.ndarray, " objects"]:
        sized = (np.isfinite(self.size) & (self.size >= 0) & (self.size < FARTHEST_M)).all(axis=1)
        known = (self.kinds >= 0) & (self.kinds < len(AgentKind))
        return _is_place(self.position, self.heading) & sized & known


@dataclass(frozen=True)
class Screening:
    """Which of a tick's objects a model can use.

    Attributes:
        rows: Rows of those objects, in the order of their ids.
        reasons: `Reason` of every object; NONE for those.
    """

    rows: Int[np.ndarray, " usable"]
    reasons: Int[np.ndarray, " objects"]


def _is_place(
    position: Float[np.ndarray, "poses 2"], heading: Float[np.ndarray, " poses"]
) -> Bool[np.ndarray, " poses"]:
    """Returns where position and heading are within bounds; False for NaN, since comparisons with it are false."""
    return (np.abs(position) < FARTHEST_M).all(axis=1) & (np.abs(heading) < LARGEST_HEADING_RAD)
