"""Maps posed point clouds from messages: the part of the scene question node on zenoh that needs no questions."""

from __future__ import annotations

import time

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge

from perception.errors import InputError
from perception.geometry import SE3
from perception.scenes.sample import MEAN_COLOR
from perception_nodes.failure_log import FailureLog
from perception_nodes.operations.diagnostics import InputMonitor, Status
from perception_nodes.operations.inputs import Input
from perception_nodes.ros.messages import ODOMETRY, deserialize, stamp_ns_of
from perception_nodes.ros.odometry import transform_of
from perception_nodes.ros.point_cloud import SensedCloud, read_point_cloud
from perception_nodes.ros.transforms import NoTransform, TransformBuffer
from perception_nodes.scene_qa.plan import SceneQaPlan
from perception_nodes.scene_qa.scene_map import PosedCloud, SceneMap, SceneMapSettings


class _LeftOut(InputError):
    """A cloud is not added; the message says why."""


class CloudMapper:
    """Adds clouds to a map, each with the pose at its time.

    Args:
        plan: Names of topics and frame, and bounds.
        registry: Registry of its metrics.
        failures: Where clouds that could not be added are counted and logged.

    Attributes:
        map: The map.
    """

    def __init__(self, plan: SceneQaPlan, registry: CollectorRegistry, failures: FailureLog) -> None:
        self._failures = failures
        self.map = SceneMap(SceneMapSettings(voxel_m=plan.voxel_m))
        self._plan = plan
        self._clouds: Input[bytes] = Input("latest", size=4)
        self._frames = TransformBuffer()
        self._reason, self._newest_ns = "", 0
        self._rate = InputMonitor(f"scene question: {plan.clouds}", warn_rate_hz=1, error_rate_hz=0.2, timeout_s=5)
        name = "perception_scene_qa"
        self._arrived = Counter(f"{name}_clouds", "Clouds by what was done with them", ["arrival"], registry=registry)
        for gauge, text, value in (
            ("map_voxels", "Voxels in the map", lambda: len(self.map)),
            ("clouds_dropped", "Clouds that newer ones replaced", lambda: self._clouds.dropped),
        ):
            Gauge(f"{name}_{gauge}", text, registry=registry).set_function(value)

    def take_pose(self, cdr: bytes) -> None:
        """Takes an odometry, whose frame is taken for the map's; runs on zenoh's thread."""
        odometry = deserialize(cdr, ODOMETRY)
        stamp_ns, transform = stamp_ns_of(odometry.header), transform_of(odometry)
        self._frames.put(self._plan.frame, odometry.child_frame_id, stamp_ns, transform)

    def take_cloud(self, cdr: bytes) -> None:
        """Queues a cloud; runs on zenoh's thread."""
        self._clouds.put(cdr)

    def ready(self) -> str:
        """Returns why there is no scene to answer about; empty if there is one."""
        if not len(self.map):
            return f"no scene yet: {self._reason or f'nothing came on {self._plan.clouds}'}"
        age_s = (time.time_ns() - self._newest_ns) / 1e9
        return f"the scene is {age_s:.1f} s old" if age_s > self._plan.max_age_s else ""

    def status(self) -> Status:
        """Returns the state of the input."""
        return self._rate.status(time.monotonic())

    def close(self) -> None:
        """Refuses further clouds."""
        self._clouds.close()

    def map_next(self, timeout_s: float) -> None:
        """Adds the next cloud to the map, or waits in vain."""
        cdr = self._clouds.get(timeout_s)
        if cdr is None:
            return
        self._rate.observe(time.monotonic())
        try:
            reason = self._add(read_point_cloud(cdr))
        except Exception as error:  # the next cloud may be better; the log and /readyz say what was wrong with this one
            self._arrived.labels("malformed").inc()
            self._reason = f"{type(error).__name__}: {str(error)[:500]}"
            self._failures.add(self._plan.clouds, error)
            return
        if reason and reason != self._reason:  # once, not at 10 Hz
            self._failures.add(self._plan.clouds, _LeftOut(reason))
        self._reason = reason

    def _add(self, cloud: SensedCloud) -> str:
        """Adds a cloud to the map; returns why not if it cannot be added."""
        pose = self._pose_of(cloud)
        if pose is None:
            self._arrived.labels("no_pose").inc()
            return (
                f"its frame is {cloud.frame_id[:80]!r}; expected {self._plan.frame!r}, or the child frame of an "
                f"odometry on {self._plan.ego} within 0.1 s"
            )
        colors = cloud.colors
        if colors is None:  # the mean colour, which says nothing to the network
            colors = np.tile(np.rint(MEAN_COLOR).astype(np.uint8), (len(cloud.points), 1))
        arrival = self.map.add(PosedCloud(cloud.stamp_ns, pose, cloud.points, colors))
        self._arrived.labels(arrival.name.lower()).inc()
        if arrival.is_added:
            self._newest_ns = max(self._newest_ns, cloud.stamp_ns)
        return "" if arrival.is_added else arrival.value

    def _pose_of(self, cloud: SensedCloud) -> SE3 | None:
        """Returns the transform from the cloud's frame to the map's at the cloud's time; None if it is not known."""
        try:
            return self._frames.lookup(self._plan.frame, cloud.frame_id, cloud.stamp_ns)
        except NoTransform:
            return None
