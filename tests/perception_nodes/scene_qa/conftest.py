"""Messages of a robot's sensors, and a robot's other nodes, which ask."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    import zenoh

    from perception.geometry import SE3
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.scene_qa.plan import SceneQaPlan

PATIENCE_S = 60


@pytest.fixture(scope="session")
def cloud() -> Callable[..., bytes]:
    """Makes the CDR of a cloud of points, of now unless a stamp is given."""
    from perception_nodes.ros.messages import POINT_CLOUD, header, make, serialize

    def make_cloud(
        points: np.ndarray, colors: np.ndarray | None, frame: str = "map", stamp_ns: int | None = None
    ) -> bytes:
        layout = {"x": (0, 7), "y": (4, 7), "z": (8, 7), "rgb": (12, 6)}
        data = np.zeros((len(points), 4), np.uint32)
        data[:, :3] = points.astype(np.float32).view(np.uint32)
        if colors is None:
            layout.pop("rgb")
        else:
            data[:, 3] = (colors.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=1)
        fields = [
            make("sensor_msgs/msg/PointField", name=name, offset=offset, datatype=kind, count=1)
            for name, (offset, kind) in layout.items()
        ]
        message = make(
            POINT_CLOUD,
            header=header(time.time_ns() if stamp_ns is None else stamp_ns, frame),
            height=1,
            width=len(points),
            fields=fields,
            is_bigendian=False,
            point_step=16,
            row_step=16 * len(points),
            data=data.view(np.uint8).reshape(-1),
            is_dense=True,
        )
        return serialize(message, POINT_CLOUD)

    return make_cloud


@pytest.fixture(scope="session")
def odometry() -> Callable[[SE3, str, int], bytes]:
    """Makes the CDR of an odometry; the pose is turned by a quarter about z."""
    from perception_nodes.ros.messages import ODOMETRY, header, make, serialize

    def make_odometry(pose: SE3, child: str, stamp_ns: int) -> bytes:
        x, y, z = pose.translation_m
        quarter = np.sqrt(0.5)  # a quarter turn about z
        zero = make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
        placed = make(
            "geometry_msgs/msg/Pose",
            position=make("geometry_msgs/msg/Point", x=x, y=y, z=z),
            orientation=make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=quarter, w=quarter),
        )
        twist = make("geometry_msgs/msg/Twist", linear=zero, angular=zero)
        message = make(
            ODOMETRY,
            header=header(stamp_ns, "map"),
            child_frame_id=child,
            pose=make("geometry_msgs/msg/PoseWithCovariance", pose=placed, covariance=np.zeros(36)),
            twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
        )
        return serialize(message, ODOMETRY)

    return make_odometry


class Asker:
    """Sends what a robot's other nodes send, and receives what they receive."""

    def __init__(self, session: zenoh.Session, ros: RosNode, plan: SceneQaPlan) -> None:
        from perception_nodes.operations.diagnostics import DIAGNOSTICS
        from perception_nodes.ros.messages import (
            ASK_SCENE,
            POINT_CLOUD,
            SCENE_ANSWER,
            SCENE_QUESTION,
            service_of,
            topic_of,
        )
        from perception_nodes.ros.wire import SENSOR_DATA, RmwZenoh

        self.answers: queue.Queue[bytes] = queue.Queue()
        self.diagnoses: queue.Queue[bytes] = queue.Queue()
        self.questions = ros.publisher(topic_of(plan.questions, SCENE_QUESTION))
        self.clouds = ros.publisher(topic_of(plan.clouds, POINT_CLOUD, SENSOR_DATA))
        self.ego = ros.publisher(topic_of(plan.ego, "nav_msgs/msg/Odometry"))
        ros.subscribe(topic_of(plan.answers, SCENE_ANSWER), lambda received: self.answers.put(received.cdr))
        ros.subscribe(topic_of("/diagnostics", DIAGNOSTICS), lambda received: self.diagnoses.put(received.cdr))
        self._session, self._service = session, RmwZenoh().key(service_of(plan.service, ASK_SCENE))

    def ask(self, cdr: bytes, attachment: bytes | None = None) -> Any:
        """Calls the service, again until the two know of each other."""
        return _answer_in(self.call(cdr, attachment).payload.to_bytes())

    def call(self, cdr: bytes, attachment: bytes | None = None) -> zenoh.Sample:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for reply in self._session.get(self._service, payload=cdr, attachment=attachment, timeout=PATIENCE_S):
                assert reply.ok is not None
                return reply.ok
            time.sleep(0.05)
        raise AssertionError("nobody answers the service")

    def ask_on_topic(self, cdr: bytes) -> Any:
        """Puts a question until an answer comes."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.questions.put(cdr)
            try:
                return _answer_in(self.answers.get(timeout=1))
            except queue.Empty:
                continue
        raise AssertionError("no answer came")


def _answer_in(cdr: bytes) -> Any:
    from perception_nodes.ros.messages import SCENE_ANSWER, deserialize

    return deserialize(cdr, SCENE_ANSWER)


@pytest.fixture(scope="session")
def make_asker() -> Callable[[zenoh.Session, RosNode, SceneQaPlan], Asker]:
    """Puts questions and clouds on a plan's topics, and calls its service."""
    return Asker
