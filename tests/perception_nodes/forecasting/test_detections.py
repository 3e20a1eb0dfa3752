from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from perception.geometry import SE2
from perception.traffic.scenario import AgentKind
from perception_nodes.forecasting.detections import KIND_OF_CLASS, detections_of
from perception_nodes.forecasting.frames import TrackedFrame
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import DETECTIONS, deserialize, make, serialize

MakeFrame = Callable[..., TrackedFrame]


def detection(
    name: str,
    scores: dict[str, float],
    place: Sequence[float] = (1.0, 2.0, 0.5),
    turn: Sequence[float] = (0.0, 0.0, 0.0, 1.0),
    size: Sequence[float] = (4.5, 1.9, 1.6),
) -> Any:
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", **dict(zip("xyz", place, strict=True))),
        orientation=make("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", turn, strict=True))),
    )
    uncertain = make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
    results = [
        make(
            "vision_msgs/msg/ObjectHypothesisWithPose",
            hypothesis=make("vision_msgs/msg/ObjectHypothesis", class_id=class_id, score=score),
            pose=uncertain,
        )
        for class_id, score in scores.items()
    ]
    extent = make("geometry_msgs/msg/Vector3", **dict(zip("xyz", size, strict=True)))
    box = make("vision_msgs/msg/BoundingBox3D", center=pose, size=extent)
    return make("vision_msgs/msg/Detection3D", header=header(), results=results, bbox=box, id=name)


def header(stamp_ns: int = 3_000_000_007) -> Any:
    stamp = make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id="map")


def message(*detections: Any, stamp_ns: int = 3_000_000_007) -> Any:
    return make(DETECTIONS, header=header(stamp_ns), detections=list(detections))


HERE = SE2(5.0, 6.0, 0.1)


def test_a_frame_is_the_same_after_a_message(make_frame: MakeFrame) -> None:
    frame = make_frame(3)
    word = {AgentKind.VEHICLE: "car", AgentKind.CONSTRUCTION: "traffic_cone"}
    sent = message(
        *(
            detection(
                frame.ids[row],
                {word[AgentKind(frame.kinds[row])]: 0.9},
                (*frame.position[row], 0.0),
                (0.0, 0.0, np.sin(frame.heading[row] / 2), np.cos(frame.heading[row] / 2)),
                frame.size[row],
            )
            for row in range(len(frame))
        ),
        stamp_ns=frame.stamp_ns,
    )
    read = detections_of(deserialize(serialize(sent, DETECTIONS), DETECTIONS), frame.city_SE2_ego)
    assert (read.without_id, read.unknown_classes, read.complaint) == (0, (), "")
    assert (read.frame.stamp_ns, read.frame.ids) == (frame.stamp_ns, frame.ids)
    assert read.frame.city_SE2_ego == frame.city_SE2_ego
    np.testing.assert_array_equal(read.frame.kinds, frame.kinds)
    np.testing.assert_array_equal(read.frame.position, frame.position)
    np.testing.assert_allclose(read.frame.heading, frame.heading, atol=1e-15)
    np.testing.assert_array_equal(read.frame.size, frame.size)


def test_a_detection_without_an_id_is_left_out_and_counted() -> None:
    read = detections_of(message(detection("", {"car": 1.0}), detection("7", {"bus": 1.0})), HERE)
    assert (read.without_id, read.frame.ids, read.frame.kinds.tolist()) == (1, ("7",), [AgentKind.BUS])
    assert read.complaint == "1 of 2 detections have no id; send what a tracker gives"


def test_the_highest_score_decides_the_class_and_an_unknown_word_is_named() -> None:
    read = detections_of(
        message(
            detection("a", {"truck": 0.2, "Person": 0.7}),
            detection("b", {"Traffic-Cone": 0.7, "car": 0.7}),
            detection("c", {"unicorn": 0.9, "car": 0.1}),
            detection("d", {}),
        ),
        HERE,
    )
    kinds = [AgentKind.PEDESTRIAN, AgentKind.CONSTRUCTION, AgentKind.UNKNOWN, AgentKind.UNKNOWN]
    assert read.frame.kinds.tolist() == kinds
    assert read.unknown_classes == ("", "unicorn")
    assert read.complaint == "classes that are not known, of objects that are not forecast: '', 'unicorn'"


def test_every_word_is_written_as_it_is_looked_up() -> None:
    assert all(name == name.strip().lower().replace(" ", "_").replace("-", "_") for name in KIND_OF_CLASS)


def test_an_empty_message_is_an_empty_frame() -> None:
    read = detections_of(deserialize(serialize(message(), DETECTIONS), DETECTIONS), HERE)
    assert (len(read.frame), read.frame.position.shape, read.frame.size.shape) == (0, (0, 2), (0, 3))


@pytest.mark.parametrize(
    "broken",
    [
        {"turn": (0.0, 0.0, 0.0, 0.0)},
        {"turn": (np.inf, np.nan, 1e300, 1.0)},
        {"place": (np.nan, 0.0, 0.0)},
        {"size": (1.0, -1.0, 1.0)},
    ],
)
def test_a_broken_detection_does_not_pass_the_screening_and_costs_no_other(broken: dict) -> None:
    sent = message(detection("bad", {"car": 1.0}, **broken), detection("good", {"car": 1.0}))
    assert detections_of(sent, HERE).frame.screened(10).ids == ("good",)


def test_a_truncated_message_is_malformed() -> None:
    data = serialize(message(detection("a", {"car": 1.0})), DETECTIONS)
    with pytest.raises(MalformedMessage, match="Detection3DArray"):
        deserialize(data[: len(data) // 2], DETECTIONS)
