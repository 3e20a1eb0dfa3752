"""All tracked objects at one moment, and the screening that keeps a broken object from spoiling the others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.errors import InputError
from perception.geometry import SE2
from perception.traffic.scenario import AgentKind
from perception_nodes.ros.objects import FARTHEST_M

EGO_ID = "AV"
"""The ego's track id in both Argoverse data sets, hence in a stream's scenarios."""
LARGEST_HEADING_RAD = 1e4
"""Headings need not be wrapped, but a larger angle has lost its precision or is an error."""
LAST_STAMP_NS = 2**63 - 1


class UnusableTick(InputError):
    """A tick without a valid stamp or ego pose: none of it can be used."""


@dataclass(frozen=True)
class Tick:
    """All tracked objects at one moment.

    Attributes:
        stamp_ns: When it was sensed, nanoseconds on the stream's own clock.
        city_SE2_ego: Pose of the ego's rear axle in the city frame (the map's; ROS: `map` and `base_link`).
        ids: Track ids, in any order.
        kinds: `AgentKind` values.
        position: Box centres in the city frame, metres.
        heading: Radians in the city frame.
        size: Length, width, height, metres.
    """

    stamp_ns: int
    city_SE2_ego: SE2
    ids: tuple[str, ...]
    kinds: Int[np.ndarray, " objects"]
    position: Float[np.ndarray, "objects 2"]
    heading: Float[np.ndarray, " objects"]
    size: Float[np.ndarray, "objects 3"]

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
        )

    def screened(self, max_objects: int) -> Tick:
        """Returns the usable objects in the order of their ids, which the readers of `perception_datasets` use too.

        Left out are objects with numbers that are not finite or beyond `FARTHEST_M`, objects of unknown kind, later
        objects of a repeated id, and the ego, whose pose the tick has. Sorting makes forecasts independent of the
        order in which a tracker lists its objects.

        Args:
            max_objects: Maximum number of objects; those nearest to the ego are kept.

        Raises:
            UnusableTick: The stamp is not a positive time, or the ego's pose is not finite.
        """
        pose = self.city_SE2_ego
        if not 0 < self.stamp_ns <= LAST_STAMP_NS:
            raise UnusableTick(f"tick: expected a positive stamp of 63 bits in ns, got {self.stamp_ns}; set the clock")
        if not _is_place(np.array([[pose.x_m, pose.y_m]]), np.array([pose.heading_rad]))[0]:
            raise UnusableTick(f"tick at {self.stamp_ns} ns: expected a finite ego pose, got {pose}; wait for one")
        first: dict[str, int] = {EGO_ID: -1}
        for row in np.flatnonzero(self._sound()).tolist():
            first.setdefault(self.ids[row], row)
        del first[EGO_ID]
        rows = np.array([first[name] for name in sorted(first)], dtype=np.int64)
        if len(rows) > max_objects:
            distance = np.abs(self.position[rows] - [pose.x_m, pose.y_m]).max(axis=1)
            rows = rows[np.sort(np.argsort(distance, kind="stable")[:max_objects])]
        return self.take(rows)

    def _sound(self) -> Bool[np.ndarray, " objects"]:
        sized = (np.isfinite(self.size) & (self.size >= 0) & (self.size < FARTHEST_M)).all(axis=1)
        known = (self.kinds >= 0) & (self.kinds < len(AgentKind))
        return _is_place(self.position, self.heading) & sized & known


def _is_place(
    position: Float[np.ndarray, "poses 2"], heading: Float[np.ndarray, " poses"]
) -> Bool[np.ndarray, " poses"]:
    """Returns where position and heading are within bounds; False for NaN, since comparisons with it are false."""
    return (np.abs(position) < FARTHEST_M).all(axis=1) & (np.abs(heading) < LARGEST_HEADING_RAD)
