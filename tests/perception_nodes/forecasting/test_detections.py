from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.traffic.scenario import AgentKind
from perception_nodes.forecasting.detections import Detections, detections_of
from perception_nodes.forecasting.ids import uuids_of
from perception_nodes.forecasting.labels import LABEL_OF_CLASS, class_word
from perception_nodes.forecasting.messages import READERS
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import DETECTIONS, deserialize, make, serialize
from perception_nodes.ros.objects import Label, OrientationAvailability

MakeTick = Callable[..., Tick]


def detection(
    name: str,
    scores: dict[str, float],
    place: Sequence[float] = (1.0, 2.0, 0.5),
    turn: Sequence[float] = (0.0, 0.0, 0.0, 1.0),
    size: Sequence[float] = (4.5, 1.9, 1.6),
    covariances: Sequence[np.ndarray] | None = None,
) -> Any:
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", **dict(zip("xyz", place, strict=True))),
        orientation=make("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", turn, strict=True))),
    )
    results = [
        make(
            "vision_msgs/msg/ObjectHypothesisWithPose",
            hypothesis=make("vision_msgs/msg/ObjectHypothesis", class_id=class_id, score=score),
            pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance),
        )
        for (class_id, score), covariance in zip(
            scores.items(), covariances or [np.zeros(36)] * len(scores), strict=True
        )
    ]
    extent = make("geometry_msgs/msg/Vector3", **dict(zip("xyz", size, strict=True)))
    box = make("vision_msgs/msg/BoundingBox3D", center=pose, size=extent)
    return make("vision_msgs/msg/Detection3D", header=header(), results=results, bbox=box, id=name)


def header(stamp_ns: int = 3_000_000_007) -> Any:
    stamp = make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id="map")


def message(*detections: Any, stamp_ns: int = 3_000_000_007) -> Any:
    return make(DETECTIONS, header=header(stamp_ns), detections=list(detections))


def read(*found: Any) -> Detections:
    return detections_of(deserialize(serialize(message(*found), DETECTIONS), DETECTIONS))


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
    found = detections_of(deserialize(serialize(sent, DETECTIONS), DETECTIONS))
    assert (found.unknown_classes, found.complaint) == ((), "")
    assert (found.objects.stamp_ns, found.objects.frame_id, found.ids) == (tick.stamp_ns, "map", tick.ids)
    np.testing.assert_array_equal(found.kinds, tick.kinds)
    np.testing.assert_array_equal(found.objects.poses[:, :2], tick.position)
    np.testing.assert_allclose(found.objects.headings, tick.heading, atol=1e-15)
    np.testing.assert_array_equal(found.objects.dimensions, tick.size)


def random_detections(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    words = ["truck", "trailer", "Bus", "person", "traffic cone", "unicorn", "animal"]
    found = []
    for number in range(4):
        scores = dict(zip(rng.permutation(words)[: rng.integers(0, 5)].tolist(), rng.random(5).tolist(), strict=False))
        turn = rng.normal(size=4)
        covariances = [rng.normal(size=36) for _ in scores]
        place, size = rng.normal(0, 99, 3).tolist(), rng.random(3).tolist()
        found.append(detection(f"{number}", scores, place, (turn / np.linalg.norm(turn)).tolist(), size, covariances))
    return found


@given(seed=st.integers(0, 2**32 - 1))
def test_all_that_a_detection_says_is_in_its_object(seed: int) -> None:
    sent = random_detections(seed)
    objects = read(*sent).objects
    ends = np.cumsum(objects.class_counts)
    for row, one in enumerate(sent):
        at, q, size = one.bbox.center.position, one.bbox.center.orientation, one.bbox.size
        assert objects.poses[row].tolist() == [at.x, at.y, at.z, q.x, q.y, q.z, q.w]
        assert objects.dimensions[row].tolist() == [size.x, size.y, size.z]
        mine = slice(ends[row] - objects.class_counts[row], ends[row])
        labels = [LABEL_OF_CLASS.get(class_word(each.hypothesis.class_id), Label.UNKNOWN) for each in one.results]
        assert objects.class_labels[mine].tolist() == labels
        scores = np.array([each.hypothesis.score for each in one.results])
        np.testing.assert_array_equal(objects.class_probabilities[mine], scores.astype(np.float32))
        best = one.results[int(scores.argmax())].pose.covariance if len(scores) else np.zeros(36)
        np.testing.assert_array_equal(objects.pose_covariances[row], best)
    assert objects.existence.tolist() == [1.0] * 4
    assert set(objects.orientation_availability.tolist()) == {OrientationAvailability.AVAILABLE}


def test_a_detection_without_an_id_stays_and_is_counted() -> None:
    found = read(detection("", {"car": 1.0}), detection("7", {"bus": 1.0}), detection("", {"car": 1.0}))
    assert found.ids == ("", "7", "")
    assert found.complaint == "2 of 3 detections have no id; send what a tracker gives"
    assert len(np.unique(found.objects.ids, axis=0)) == 3
    np.testing.assert_array_equal(found.objects.ids[1:2], uuids_of(["7"]))


def test_a_detection_without_an_id_has_another_name_in_the_next_message_and_the_same_in_a_replay() -> None:
    nameless = [detection("", {"car": 1.0})]
    first, again, later = (detections_of(message(*nameless, stamp_ns=at)).objects.ids for at in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != later).any()


def test_the_highest_score_decides_the_class_and_an_unknown_word_is_named() -> None:
    found = read(
        detection("a", {"truck": 0.2, "Person": 0.7}),
        detection("b", {"Traffic-Cone": 0.7, "car": 0.7}),
        detection("c", {"unicorn": 0.9, "car": 0.1}),
        detection("d", {}),
        detection("e", {"car": np.nan, "bus": 0.1}),
    )
    kinds = [AgentKind.PEDESTRIAN, AgentKind.CONSTRUCTION, AgentKind.UNKNOWN, AgentKind.UNKNOWN, AgentKind.BUS]
    assert found.kinds.tolist() == kinds
    labels = [Label.PEDESTRIAN, Label.HAZARD, Label.UNKNOWN, Label.UNKNOWN, Label.BUS]
    assert found.objects.labels.tolist() == labels
    assert found.unknown_classes == ("", "unicorn")
    assert found.complaint == "classes that are not known, of objects that the model does not forecast: '', 'unicorn'"


def test_a_score_that_is_no_float32_breaks_nothing() -> None:
    found = read(detection("a", {"car": 1e300, "bus": 0.5}))
    assert found.objects.class_probabilities.tolist() == [np.inf, 0.5]


def test_an_empty_message_is_no_objects() -> None:
    found = read()
    assert (len(found.objects), found.ids, found.kinds.shape, found.complaint) == (0, (), (0,), "")


@pytest.mark.parametrize(
    "broken",
    [
        {"turn": (0.0, 0.0, 0.0, 0.0)},
        {"turn": (np.inf, np.nan, 1e300, 1.0)},
        {"place": (np.nan, 0.0, 0.0)},
        {"size": (1.0, -1.0, 1.0)},
    ],
)
def test_a_broken_detection_stays_as_it_came_but_for_the_model(broken: dict) -> None:
    sent = message(detection("bad", {"car": 1.0}, **broken), detection("good", {"car": 1.0}))
    tick = READERS[DETECTIONS](serialize(sent, DETECTIONS)).unposed
    assert tick.take(tick.screened(10).rows).ids == ("good",)
    assert tick.ids == ("bad", "good")
    assert len(tick.placed()) == (1 if "place" in broken else 2)


def test_a_truncated_message_is_malformed() -> None:
    data = serialize(message(detection("a", {"car": 1.0})), DETECTIONS)
    with pytest.raises(MalformedMessage, match="Detection3DArray"):
        deserialize(data[: len(data) // 2], DETECTIONS)
