from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from perception.geometry import SE2
from perception.traffic.scenario import AgentKind
from perception_nodes.forecasting.detections import KIND_OF_CLASS, detections_of
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import DETECTIONS, deserialize, make, serialize

MakeTick = Callable[..., Tick]


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


def test_a_tick_is_the_same_after_a_message(make_tick: MakeTick) -> None:
    tick = make_tick(3)
    word = {AgentKind.VEHICLE: "car", AgentKind.CONSTRUCTION: "traffic_cone"}
    sent = message(
        *(
            detection(
                tick.ids[row],
                {word[AgentKind(tick.kinds[row])]: 0.9},
                (*tick.position[row], 0.0),
                (0.0, 0.0, np.sin(tick.heading[row] / 2), np.cos(tick.heading[row] / 2)),
                tick.size[row],
            )
            for row in range(len(tick))
        ),
        stamp_ns=tick.stamp_ns,
    )
    read = detections_of(deserialize(serialize(sent, DETECTIONS), DETECTIONS), tick.city_SE2_ego)
    assert (read.without_id, read.unknown_classes, read.complaint) == (0, (), "")
    assert (read.tick.stamp_ns, read.tick.ids) == (tick.stamp_ns, tick.ids)
    assert read.tick.city_SE2_ego == tick.city_SE2_ego
    np.testing.assert_array_equal(read.tick.kinds, tick.kinds)
    np.testing.assert_array_equal(read.tick.position, tick.position)
    np.testing.assert_allclose(read.tick.heading, tick.heading, atol=1e-15)
    np.testing.assert_array_equal(read.tick.size, tick.size)


def test_a_detection_without_an_id_is_left_out_and_counted() -> None:
    read = detections_of(message(detection("", {"car": 1.0}), detection("7", {"bus": 1.0})), HERE)
    assert (read.without_id, read.tick.ids, read.tick.kinds.tolist()) == (1, ("7",), [AgentKind.BUS])
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
    assert read.tick.kinds.tolist() == kinds
    assert read.unknown_classes == ("", "unicorn")
    assert read.complaint == "classes that are not known, of objects that are not forecast: '', 'unicorn'"


def test_every_word_is_written_as_it_is_looked_up() -> None:
    assert all(name == name.strip().lower().replace(" ", "_").replace("-", "_") for name in KIND_OF_CLASS)


def test_an_empty_message_is_an_empty_tick() -> None:
    read = detections_of(deserialize(serialize(message(), DETECTIONS), DETECTIONS), HERE)
    assert (len(read.tick), read.tick.position.shape, read.tick.size.shape) == (0, (0, 2), (0, 3))


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
    assert detections_of(sent, HERE).tick.screened(10).ids == ("good",)


def test_a_truncated_message_is_malformed() -> None:
    data = serialize(message(detection("a", {"car": 1.0})), DETECTIONS)
    with pytest.raises(MalformedMessage, match="Detection3DArray"):
        deserialize(data[: len(data) // 2], DETECTIONS)
