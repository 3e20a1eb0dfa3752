from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception.models.point_classifier import PointClassifier
from perception_nodes.points.messages import answer_to_boxes, answer_to_cloud
from perception_nodes.points.node import PointsNode
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import DETECTIONS, deserialize, serialize, stamp_ns_of

CLASSES = ("car", "pedestrian", "pole")
STAMP_NS = 1_700_000_000_123_456_789
BOXES = np.array(
    [
        [10, 2, 0.8, 0, 0, 0, 1, 4.2, 2.0, 1.6],
        [50, 50, 0, 0, 0, 0, 1, 1, 1, 1],
        [6, -3, 0.9, 0, 0, np.sin(1), np.cos(1), 1, 1, 2],
    ]
)
Make = Callable[..., bytes]


@pytest.fixture(scope="module")
def node(point_classifier: PointClassifier) -> PointsNode:
    node = PointsNode(2)
    node.configure(point_classifier, CLASSES, model_id="tiny")
    node.activate()
    return node


def test_the_objects_of_a_cloud_have_its_header_boxes_and_classes(
    node: PointsNode, street: np.ndarray, cloud_message: Make
) -> None:
    cdr = cloud_message(street, stamp_ns=STAMP_NS, frame_id="top/lidar")
    answer, found = deserialize(answer_to_cloud(cdr, node), DETECTIONS), node.find(street)
    assert len(answer.detections) == 3
    for detection, expected in zip(answer.detections, found, strict=True):
        for header in (answer.header, detection.header):
            assert (stamp_ns_of(header), header.frame_id) == (STAMP_NS, "top/lidar")
        place, size = detection.bbox.center.position, detection.bbox.size
        assert [place.x, place.y, place.z] == expected.box.centre.tolist()
        assert [size.x, size.y, size.z] == expected.box.size.tolist()
        assert detection.bbox.center.orientation.w == 1
        assert tuple(result.hypothesis.class_id for result in detection.results) == expected.classes.names
        assert tuple(result.hypothesis.score for result in detection.results) == expected.classes.scores
        assert all(result.pose.pose == detection.bbox.center for result in detection.results)
        assert detection.id == ""


def test_a_cloud_without_objects_is_answered_too(node: PointsNode, cloud_message: Make) -> None:
    assert deserialize(answer_to_cloud(cloud_message(np.zeros((0, 3))), node), DETECTIONS).detections == []


def test_what_was_said_of_boxes_goes_out_as_it_came_with_hypotheses_behind(
    node: PointsNode, street: np.ndarray, cloud_message: Make, boxes_message: Make
) -> None:
    cdr = boxes_message(BOXES, stamp_ns=STAMP_NS)
    answer = deserialize(answer_to_boxes(cdr, cloud_message(street), node), DETECTIONS)
    added = [detection.results[1:] for detection in answer.detections]
    assert [len(results) for results in added] == [2, 0, 2]
    for results in added:
        assert {result.hypothesis.class_id for result in results} <= set(CLASSES)
        assert all(result.pose.covariance.tolist() == [0] * 36 for result in results)
    for detection in answer.detections:
        detection.results = detection.results[:1]
    assert serialize(answer, DETECTIONS) == cdr


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_bits_boxes_have_they_go_out_as_they_came(
    node: PointsNode, street: np.ndarray, cloud_message: Make, boxes_message: Make, seed: int
) -> None:
    rows = np.random.default_rng(seed).integers(0, 2**64, (3, 10), np.uint64).view(np.float64)
    cdr = boxes_message(rows)
    answer = deserialize(answer_to_boxes(cdr, cloud_message(street), node), DETECTIONS)
    for detection in answer.detections:
        detection.results = detection.results[:1]
    assert serialize(answer, DETECTIONS) == cdr


def test_boxes_and_their_cloud_must_be_in_one_frame(
    node: PointsNode, street: np.ndarray, cloud_message: Make, boxes_message: Make
) -> None:
    with pytest.raises(InputError, match="boxes in the frame 'map' for a cloud in 'lidar'; expected one frame"):
        answer_to_boxes(boxes_message(BOXES, frame_id="map"), cloud_message(street), node)


def test_malformed_messages_are_refused(
    node: PointsNode, street: np.ndarray, cloud_message: Make, boxes_message: Make
) -> None:
    cloud, boxes = cloud_message(street), boxes_message(BOXES)
    for answer in (
        lambda: answer_to_cloud(cloud[:-100], node),
        lambda: answer_to_cloud(cloud_message(street, point_step=10), node),
        lambda: answer_to_boxes(boxes[:-40], cloud, node),
        lambda: answer_to_boxes(boxes, cloud[:50], node),
    ):
        with pytest.raises(MalformedMessage):
            answer()
