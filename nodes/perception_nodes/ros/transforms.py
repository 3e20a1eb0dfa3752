"""Frames and the transforms between them at a time, as ROS's tf2 keeps them: bounded in frames and in time.

Between two poses the position is interpolated on a line and the rotation on the shortest way (Shoemake, "Animating
rotation with quaternion curves", 1985). Beyond the newest or oldest pose it goes on as before for `WITHIN_NS` at most.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from perception.errors import InputError
from perception.geometry import SE2, SE3, rotation_matrix, yaw
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.objects import FARTHEST_M
from perception_nodes.ros.poses import WAIT_S, WITHIN_NS, PoseHistory, Stamped

MAX_FRAMES = 256
"""Maximum number of frames that have a parent; a robot has some dozens."""
LONGEST_GAP_NS = 500_000_000
"""Between two poses that are further apart, only times within `WITHIN_NS` of one of them have a pose."""
_BASE_NS = 50_000_000
"""A velocity beyond the newest pose is taken over this time, over which the noise of a fast localisation cancels."""
_MAX_DEPTH = 32
_SHORTEST_QUATERNION = 1e-3
_UNIT = 1e-9
"""A quaternion whose length differs from one by less is taken as it is."""
IDENTITY = SE3(np.eye(3), np.zeros(3))


class NoTransform(InputError):
    """Two frames are not connected at a time; the message says where the chain ends."""


@dataclass(frozen=True)
class Transform:
    """A rigid transform as messages have it.

    Attributes:
        translation_m: Origin of the child frame in its parent.
        quaternion: Its rotation, x, y, z, w, of length one.
    """

    translation_m: Float64[np.ndarray, " 3"]
    quaternion: Float64[np.ndarray, " 4"]

    @classmethod
    def of(cls, translation: Float64[np.ndarray, " 3"], quaternion: Float64[np.ndarray, " 4"]) -> Transform:
        """Returns the transform of a message's numbers.

        Raises:
            MalformedMessage: They are not finite or out of range, or the quaternion has no direction.
        """
        length = float(np.sqrt(quaternion @ quaternion)) if np.isfinite(quaternion).all() else 0.0
        if not ((np.abs(translation) < FARTHEST_M).all() and _SHORTEST_QUATERNION < length < FARTHEST_M):
            raise MalformedMessage(
                f"transform: expected a finite position below {FARTHEST_M:g} m and a quaternion, got "
                f"{translation.tolist()}, {quaternion.tolist()}; wait for the localisation"
            )
        return cls(translation, quaternion if abs(length - 1) < _UNIT else quaternion / length)

    @property
    def se3(self) -> SE3:
        """The transform that maps points of the child frame to its parent."""
        return SE3(rotation_matrix(self.quaternion), self.translation_m)

    def toward(self, other: Transform, fraction: float) -> Transform:
        """Returns the transform on the way to another: 0 is this one, 1 the other; beyond these it goes on."""
        if fraction == 0:
            return self
        translation = self.translation_m + fraction * (other.translation_m - self.translation_m)
        cosine = float(self.quaternion @ other.quaternion)
        end = other.quaternion if cosine >= 0 else -other.quaternion
        angle = np.arctan2(np.linalg.norm(end - self.quaternion), np.linalg.norm(end + self.quaternion)) * 2
        if angle < 1e-9:
            return Transform(translation, self.quaternion)
        start, stop = np.sin((1 - fraction) * angle), np.sin(fraction * angle)
        return Transform(translation, (start * self.quaternion + stop * end) / np.sin(angle))


@dataclass
class _Edge:
    """How a frame moves in its parent.

    Attributes:
        parent: Name of the parent.
        preferred: Whether others that say something of the same frame are not believed.
        fixed: The transform, if it never changes.
        history: The last ones, if it does.
    """

    parent: str
    preferred: bool
    fixed: Transform | None = None
    history: PoseHistory[Transform] = field(default_factory=PoseHistory)

    def at(self, stamp_ns: int, until_s: float) -> Transform | str:
        """Returns the transform at a time, or why there is none."""
        if self.fixed is not None:
            return self.fixed
        before, after = self.history.around(stamp_ns, until_s)
        if before is not None and after is not None:
            gap_ns = after.stamp_ns - before.stamp_ns
            nearest_ns = min(stamp_ns - before.stamp_ns, after.stamp_ns - stamp_ns)
            if gap_ns <= LONGEST_GAP_NS or nearest_ns <= WITHIN_NS:
                return before.pose.toward(after.pose, (stamp_ns - before.stamp_ns) / gap_ns)
            return f"the nearest pose is {nearest_ns / 1e9:.2f} s away, in a gap of {gap_ns / 1e9:.2f} s"
        end = before or after
        if end is None:
            return "no pose has come yet"
        apart_ns = abs(stamp_ns - end.stamp_ns)
        if apart_ns > WITHIN_NS:
            name, how = ("newest", "older") if before else ("oldest", "newer")
            return f"the {name} pose is {apart_ns / 1e9:.2f} s {how}"
        return self._beyond(end, stamp_ns)

    def _beyond(self, end: Stamped[Transform], stamp_ns: int) -> Transform:
        """Returns the transform at a time outside the history, from its end and a pose inside."""
        inward_ns = end.stamp_ns + (_BASE_NS if stamp_ns < end.stamp_ns else -_BASE_NS)
        before, after = self.history.around(inward_ns, 0.0)
        inside = (before or after) if stamp_ns >= end.stamp_ns else (after or before)
        if inside is None or inside.stamp_ns == end.stamp_ns:
            return end.pose
        fraction = (stamp_ns - end.stamp_ns) / (inside.stamp_ns - end.stamp_ns)
        return end.pose.toward(inside.pose, fraction)


class TransformBuffer:
    """The tree of frames; several threads may add to it and ask it."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}
        self._lock = threading.Lock()

    def put(self, parent: str, child: str, stamp_ns: int, transform: Transform, *, preferred: bool = False) -> None:
        """Adds where a frame was at a time.

        Args:
            parent: Name of its parent.
            child: Name of the frame.
            stamp_ns: The time.
            transform: From the frame to its parent.
            preferred: Whether this source is believed, and what others say of the frame is left out.

        Raises:
            MalformedMessage: There are too many frames, or the names are not two.
        """
        edge = self._edge(parent, child, preferred=preferred, fixed=None)
        if edge is not None:
            edge.history.put(stamp_ns, transform)

    def put_static(self, parent: str, child: str, transform: Transform) -> None:
        """Says where a frame always is; raises what `put` raises."""
        self._edge(parent, child, preferred=False, fixed=transform)

    def lookup(self, target: str, source: str, stamp_ns: int, wait_s: float = WAIT_S) -> SE3:
        """Returns the transform that maps points of one frame to another at a time.

        Args:
            target: Name of the frame of the results.
            source: Name of the frame of the points.
            stamp_ns: The time.
            wait_s: Seconds to wait in all for poses that have not arrived yet.

        Raises:
            NoTransform: There is none.
        """
        if target == source:
            return IDENTITY
        until_s = time.monotonic() + wait_s
        rises, ends = self._to_root(source), self._to_root(target)
        common = next((name for name in rises if name in ends), None)
        if common is None:
            raise NoTransform(
                f"no transform from {source[:80]!r} to {target[:80]!r}: the first ends at {rises[-1][:80]!r}, the "
                f"other at {ends[-1][:80]!r}; publish what connects them on /tf or /tf_static"
            )
        below = self._compose(rises[: rises.index(common)], stamp_ns, until_s)
        above = self._compose(ends[: ends.index(common)], stamp_ns, until_s)
        return above.inverse() @ below

    def lookup_planar(self, target: str, source: str, stamp_ns: int, wait_s: float = WAIT_S) -> SE2:
        """Returns the planar pose of one frame in another at a time; raises what `lookup` raises.

        A pose that a message has is not changed by a bit.
        """
        edge = self._edges.get(source)
        if edge is None or edge.parent != target:
            return planar(self.lookup(target, source, stamp_ns, wait_s))
        transform = self._at(source, edge, stamp_ns, time.monotonic() + wait_s)
        x, y, _ = transform.translation_m.tolist()
        return SE2(x, y, float(yaw(transform.quaternion)))

    def _compose(self, names: list[str], stamp_ns: int, until_s: float) -> SE3:
        """Returns the transform from the first of some frames to the parent of the last."""
        composed = IDENTITY
        for name in names:
            composed = self._at(name, self._edges[name], stamp_ns, until_s).se3 @ composed
        return composed

    @staticmethod
    def _at(name: str, edge: _Edge, stamp_ns: int, until_s: float) -> Transform:
        found = edge.at(stamp_ns, until_s)
        if isinstance(found, str):
            what = f"no pose of {name[:80]!r} in {edge.parent[:80]!r}"
            raise NoTransform(f"{what} within {WITHIN_NS / 1e9:g} s of the stamp: {found}")
        return found

    def _to_root(self, name: str) -> list[str]:
        names = [name]
        while (edge := self._edges.get(names[-1])) is not None and len(names) < _MAX_DEPTH:
            names.append(edge.parent)
        return names

    def _edge(self, parent: str, child: str, *, preferred: bool, fixed: Transform | None) -> _Edge | None:
        """Returns the edge above a frame; None where another source of it is preferred."""
        if not (parent and child) or parent == child:
            raise MalformedMessage(f"transform: expected two frames, got {parent[:80]!r} and {child[:80]!r}; name both")
        with self._lock:
            edge = self._edges.get(child)
            if edge is not None and edge.preferred and not preferred:
                return None
            if edge is None and len(self._edges) >= MAX_FRAMES:
                raise MalformedMessage(
                    f"transform: expected at most {MAX_FRAMES} frames, got {child[:80]!r} beyond them; send fewer"
                )
            if edge is None or edge.parent != parent or edge.preferred != preferred or edge.fixed is not fixed:
                edge = self._edges[child] = _Edge(parent, preferred, fixed)
            return edge


def planar(transform: SE3) -> SE2:
    """Returns the part of a transform that lies in the plane: position, and direction of the x axis."""
    x, y, _ = transform.translation_m.tolist()
    return SE2(x, y, float(np.arctan2(transform.rotation[1, 0], transform.rotation[0, 0])))
