"""Certificates; two sessions; a robot around a node; random objects, as our arrays and as messages of rosbags."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    import zenoh

    from perception_nodes.operations.sensor_plan import SensorPlan
    from perception_nodes.ros.objects import Objects, PredictedObjects, TrackedObjects


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates for a router, a talker, a listener, a worker, a client and a stranger."""
    from perception_nodes.security.authority import make_certificates

    folder = tmp_path_factory.mktemp("certificates")
    names = ["router", "talker", "listener", "worker", "client", "stranger"]
    make_certificates(folder, names, server="router")
    return folder


@pytest.fixture(scope="session")
def forged_certificates(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates for the same names by another authority, whose ca.pem trusts the first one too."""
    from perception_nodes.security.authority import make_certificates

    folder = tmp_path_factory.mktemp("forged")
    make_certificates(folder, ["router", "talker", "client"], server="router")
    (folder / "ca.pem").write_bytes((folder / "ca.pem").read_bytes() + (certificates / "ca.pem").read_bytes())
    return folder


@pytest.fixture(scope="module")
def sessions(free_place: Callable[[str], str]) -> Iterator[tuple[zenoh.Session, zenoh.Session]]:
    """Two peers on loopback, connected to each other."""
    from perception_nodes.ros.topics import open_session

    place = free_place("tcp")
    with open_session(connect=[], listen=[place]) as one, open_session(connect=[place], listen=[]) as other:
        yield one, other


class Robot:
    """Sends a node's inputs and hears its answers.

    Attributes:
        process: The node's process.
        inputs: Publishers of the plan's inputs, in their order.
    """

    patience_s = 60

    def __init__(self, open_: ExitStack, process_type: Any, node: Any, plan: SensorPlan, sessions: Any) -> None:
        from perception_nodes.ros.topics import RosNode
        from perception_nodes.ros.wire import RmwZenoh

        self.ros = open_.enter_context(RosNode(sessions[1], RmwZenoh(node="robot")))
        self._answers, self._statuses = queue.Queue[bytes](), queue.Queue[bytes]()
        for topic, heard in zip(plan.outputs, (self._answers, self._statuses), strict=True):
            self.ros.subscribe(topic, lambda received, heard=heard: heard.put(received.cdr))
        self.inputs = [self.ros.publisher(topic) for topic in plan.inputs]
        own = open_.enter_context(RosNode(sessions[0], RmwZenoh(node="own")))
        self.process = open_.enter_context(process_type(node, own, plan))
        self._kind = plan.answers.type
        self._statuses.get(timeout=self.patience_s)  # they have met

    def status(self) -> Any:
        """The next status that is not of silence."""
        from perception_nodes.ros.messages import ANSWER_STATUS, deserialize

        while True:
            status = deserialize(self._statuses.get(timeout=self.patience_s), ANSWER_STATUS)
            if not status.reason.startswith("no messages"):
                return status

    def answer(self) -> Any:
        """The next answer; it has the header of its status."""
        from perception_nodes.ros.messages import deserialize

        status = self.status()
        assert status.valid, status.reason
        answer = deserialize(self._answers.get(timeout=self.patience_s), self._kind)
        assert answer.header == status.header
        return answer

    def answers_again(self, send: Callable[[], None]) -> Any:
        """Sends until there is an answer, and returns it; what is refused meanwhile is left out."""
        from perception_nodes.ros.messages import deserialize

        end_s = time.monotonic() + self.patience_s
        while True:
            send()
            if self.status().valid:
                return deserialize(self._answers.get(timeout=self.patience_s), self._kind)
            assert time.monotonic() < end_s, self.process.ready()

    def metric(self, name: str, **labels: str) -> float | None:
        """A number of the node's."""
        return self.process.registry.get_sample_value(name, labels)


@pytest.fixture
def start_robot(sessions: tuple[zenoh.Session, zenoh.Session]) -> Iterator[Callable[..., Robot]]:
    """Starts a node's process, by its type, node and plan, and a robot that it has met."""
    with ExitStack() as open_:
        yield lambda process_type, node, plan: Robot(open_, process_type, node, plan, sessions)


@pytest.fixture(scope="session")
def make_tracked() -> Callable[..., TrackedObjects]:
    """Makes random tracked objects with lists of the given lengths."""
    from perception_nodes.ros.objects import TrackedObjects

    def make_tracked(
        seed: int = 0, classes: tuple[int, ...] = (1, 0, 2), corners: tuple[int, ...] = (0, 3, 4), frame_id: str = "map"
    ) -> TrackedObjects:
        rng = np.random.default_rng(seed)
        return TrackedObjects(
            **_random_objects(rng, classes, corners, frame_id),
            orientation_availability=rng.integers(0, 3, len(classes), np.uint8),
            is_stationary=rng.random(len(classes)) < 0.5,
        )

    return make_tracked


@pytest.fixture(scope="session")
def make_predicted() -> Callable[..., PredictedObjects]:
    """Makes random predicted objects; `poses` has a tuple an object, which has a number of poses a path."""
    from perception_nodes.ros.objects import PredictedObjects

    def make_predicted(
        seed: int = 0,
        classes: tuple[int, ...] = (1, 0, 2),
        corners: tuple[int, ...] = (0, 3, 4),
        poses: tuple[tuple[int, ...], ...] = ((2, 0), (), (3,)),
        frame_id: str = "map",
    ) -> PredictedObjects:
        rng = np.random.default_rng(seed)
        pose_counts = np.array([count for paths in poses for count in paths], np.int64)
        return PredictedObjects(
            **_random_objects(rng, classes, corners, frame_id),
            path_counts=np.array([len(paths) for paths in poses], np.int64),
            path_time_steps_ns=rng.integers(-(10**10), 10**10, len(pose_counts)),
            path_confidences=rng.random(len(pose_counts), np.float32),
            pose_counts=pose_counts,
            path_poses=_random_poses(rng, int(pose_counts.sum())),
        )

    return make_predicted


def _random_objects(
    rng: np.random.Generator, classes: tuple[int, ...], corners: tuple[int, ...], frame_id: str
) -> dict[str, Any]:
    count = len(classes)
    return {
        "stamp_ns": int(rng.integers(0, 2**31 * 10**9)),
        "frame_id": frame_id,
        "ids": rng.integers(0, 256, (count, 16), np.uint8),
        "existence": rng.random(count, np.float32),
        "class_counts": np.array(classes, np.int64),
        "class_labels": rng.integers(0, 12, sum(classes), np.uint8),
        "class_probabilities": rng.random(sum(classes), np.float32),
        "poses": _random_poses(rng, count),
        "pose_covariances": rng.normal(size=(count, 36)),
        "twists": rng.normal(size=(count, 6)),
        "twist_covariances": rng.normal(size=(count, 36)),
        "accelerations": rng.normal(size=(count, 6)),
        "acceleration_covariances": rng.normal(size=(count, 36)),
        "shape_types": rng.integers(0, 3, count, np.uint8),
        "footprint_counts": np.array(corners, np.int64),
        "footprints": rng.random((sum(corners), 3), np.float32),
        "dimensions": rng.random((count, 3)),
    }


def _random_poses(rng: np.random.Generator, count: int) -> np.ndarray:
    poses = rng.normal(0, 100, (count, 7))
    poses[:, 3:] /= np.linalg.norm(poses[:, 3:], axis=1, keepdims=True)
    return poses


@pytest.fixture(scope="session")
def as_rosbags() -> Callable[[Objects], Any]:
    """Converts objects to message objects of rosbags."""
    from perception_nodes.ros.messages import make
    from perception_nodes.ros.objects import TrackedObjects

    def as_rosbags(objects: Objects) -> Any:
        kind = "TrackedObject" if isinstance(objects, TrackedObjects) else "PredictedObject"
        header = make(
            "std_msgs/msg/Header",
            stamp=make("builtin_interfaces/msg/Time", sec=objects.stamp_ns // 10**9, nanosec=objects.stamp_ns % 10**9),
            frame_id=objects.frame_id,
        )
        messages = [_object(make, kind, objects, i) for i in range(len(objects))]
        return make(f"autoware_perception_msgs/msg/{kind}s", header=header, objects=messages)

    return as_rosbags


def _object(make: Callable[..., Any], kind: str, objects: Any, i: int) -> Any:
    autoware = "autoware_perception_msgs/msg/"
    of = _slices(objects.class_counts)[i]
    classes = zip(objects.class_labels[of], objects.class_probabilities[of], strict=True)
    corners = objects.footprints[_slices(objects.footprint_counts)[i]]
    points = [make("geometry_msgs/msg/Point32", x=x, y=y, z=z) for x, y, z in corners]
    shape = {
        "type": objects.shape_types[i],
        "footprint": make("geometry_msgs/msg/Polygon", points=points),
        "dimensions": _vector(make, objects.dimensions[i]),
    }
    return make(
        autoware + kind,
        object_id=make("unique_identifier_msgs/msg/UUID", uuid=objects.ids[i]),
        existence_probability=objects.existence[i],
        classification=[make(autoware + "ObjectClassification", label=label, probability=p) for label, p in classes],
        kinematics=(_tracked if kind == "TrackedObject" else _predicted)(make, objects, i),
        shape=make(autoware + "Shape", **shape),
    )


def _tracked(make: Callable[..., Any], objects: Any, i: int) -> Any:
    pose, twist, acceleration = _moments(make, objects, i)
    return make(
        "autoware_perception_msgs/msg/TrackedObjectKinematics",
        pose_with_covariance=pose,
        twist_with_covariance=twist,
        acceleration_with_covariance=acceleration,
        orientation_availability=objects.orientation_availability[i],
        is_stationary=bool(objects.is_stationary[i]),
    )


def _predicted(make: Callable[..., Any], objects: Any, i: int) -> Any:
    pose, twist, acceleration = _moments(make, objects, i)
    paths = []
    for path in range(len(objects.pose_counts))[_slices(objects.path_counts)[i]]:
        seconds, nanoseconds = divmod(int(objects.path_time_steps_ns[path]), 10**9)
        poses = objects.path_poses[_slices(objects.pose_counts)[path]]
        fields = {
            "path": [_pose(make, numbers) for numbers in poses],
            "time_step": make("builtin_interfaces/msg/Duration", sec=seconds, nanosec=nanoseconds),
            "confidence": objects.path_confidences[path],
        }
        paths.append(make("autoware_perception_msgs/msg/PredictedPath", **fields))
    return make(
        "autoware_perception_msgs/msg/PredictedObjectKinematics",
        initial_pose_with_covariance=pose,
        initial_twist_with_covariance=twist,
        initial_acceleration_with_covariance=acceleration,
        predicted_paths=paths,
    )


def _moments(make: Callable[..., Any], objects: Any, i: int) -> list[Any]:
    """Pose, twist and acceleration, with covariance."""

    def screw(kind: str, numbers: np.ndarray) -> Any:
        return make(f"geometry_msgs/msg/{kind}", linear=_vector(make, numbers[:3]), angular=_vector(make, numbers[3:]))

    pose = {"pose": _pose(make, objects.poses[i]), "covariance": objects.pose_covariances[i]}
    twist = {"twist": screw("Twist", objects.twists[i]), "covariance": objects.twist_covariances[i]}
    accel = {"accel": screw("Accel", objects.accelerations[i]), "covariance": objects.acceleration_covariances[i]}
    named = {"PoseWithCovariance": pose, "TwistWithCovariance": twist, "AccelWithCovariance": accel}
    return [make(f"geometry_msgs/msg/{kind}", **fields) for kind, fields in named.items()]


def _pose(make: Callable[..., Any], numbers: np.ndarray) -> Any:
    x, y, z, *rotation = numbers
    return make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", x=x, y=y, z=z),
        orientation=make("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", rotation, strict=True))),
    )


def _vector(make: Callable[..., Any], numbers: np.ndarray) -> Any:
    return make("geometry_msgs/msg/Vector3", **dict(zip("xyz", numbers, strict=True)))


def _slices(counts: np.ndarray) -> list[slice]:
    ends = np.cumsum(counts)
    return [slice(int(end - count), int(end)) for end, count in zip(ends, counts, strict=True)]
