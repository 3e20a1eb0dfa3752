from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.clouds.cloud import Cloud
from perception.errors import InputError
from perception.models.point_classifier import PointClassifier
from perception_nodes.operations.lifecycle import LifecycleError
from perception_nodes.points.clustering import Clustering
from perception_nodes.points.node import Box, PointsNode
from perception_nodes.ros.classification import RankedClasses

CLASSES = ("car", "pedestrian", "pole")
STRAIGHT = np.array([0.0, 0.0, 0.0, 1.0])


def active(model: PointClassifier, **options: int) -> PointsNode:
    node = PointsNode(3, Clustering(**options))
    node.configure(model, CLASSES, model_id="tiny")
    node.activate()
    return node


def scores(classes: RankedClasses | None) -> list[float]:
    assert classes is not None
    of = dict(zip(classes.names, classes.scores, strict=True))
    return [of[name] for name in CLASSES]


def box(centre: object, size: object, quaternion: np.ndarray = STRAIGHT) -> Box:
    return Box(np.array(centre, np.float64), quaternion, np.array(size, np.float64))


def test_objects_that_it_finds_are_classified_as_their_points_are_offline(
    point_classifier: PointClassifier, street: np.ndarray
) -> None:
    found = active(point_classifier.folded()).find(street)
    assert len(found) == 3
    for one, rows in zip(found, Clustering().find(street), strict=True):
        own = street[rows].astype(np.float64)
        np.testing.assert_allclose(one.box.size, np.ptp(own, axis=0))
        crop = (own - one.box.centre).astype(np.float32)
        np.testing.assert_allclose(np.abs(crop).max(axis=0), one.box.size / 2, rtol=1e-6)
        (expected,) = point_classifier.classify([Cloud("offline", crop)])
        assert scores(one.classes) == pytest.approx(expected.tolist(), abs=1e-6)


def test_what_is_in_a_box_is_classified_in_the_frame_of_the_box(
    point_classifier: PointClassifier, street: np.ndarray
) -> None:
    node, straight = active(point_classifier), box((10, 2, 0.8), (4.2, 2.0, 1.6))
    cos, sin = np.cos(0.8), np.sin(0.8)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    turned = box(rotation @ straight.centre, straight.size, np.array([0, 0, np.sin(0.4), np.cos(0.4)]))
    finite = street[np.isfinite(street).all(axis=1)]
    inside = finite[(np.abs(finite - straight.centre) <= straight.size / 2).all(axis=1)]
    assert len(inside) == 200
    (expected,) = point_classifier.classify([Cloud("offline", (inside - straight.centre).astype(np.float32))])
    (first,) = node.classify(street, [straight])
    (second,) = node.classify(finite.astype(np.float64) @ rotation.T, [turned])
    assert scores(first) == pytest.approx(expected.tolist(), abs=1e-6)
    assert scores(second) == pytest.approx(scores(first), abs=1e-5)


def test_boxes_with_too_little_in_them_and_broken_ones_are_not_classified(
    point_classifier: PointClassifier, street: np.ndarray
) -> None:
    good = box((6, -3, 0.9), (1, 1, 2))
    boxes = [
        box((50, 50, 0), (1, 1, 1)),
        good,
        box((6, -3, 0.9), (1, 1, 0)),
        box((6, -3, np.nan), (1, 1, 2)),
        box((6, -3, 0.9), (1, 1, np.inf)),
        box((6, -3, 0.9), (1, 1, 2), np.zeros(4)),
        box((6, -3, 0.9), (1, 1, 2), np.array([0, 0, 0, 2.0])),
        good,
    ]
    found = active(point_classifier).classify(street, boxes)
    assert [one is not None for one in found] == [False, True, False, False, False, False, False, True]
    assert scores(found[1]) == pytest.approx(scores(found[7]), abs=1e-6)
    found = active(point_classifier, max_objects=1).classify(street, boxes)
    assert [one is not None for one in found] == [False, True, *[False] * 6]
    assert active(point_classifier).classify(street, []) == []
    assert active(point_classifier).find(street[:0]) == []


def test_it_answers_while_it_is_active_and_the_model_is_finite(
    point_classifier: PointClassifier, street: np.ndarray
) -> None:
    with pytest.raises(LifecycleError, match="find: expected an active node, it is unconfigured"):
        PointsNode().find(street)
    with pytest.raises(LifecycleError, match="classify: expected an active node"):
        PointsNode().classify(street, [])
    broken = deepcopy(point_classifier)
    for parameter in broken.head.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    with pytest.raises(ValueError, match="the probabilities are not finite"):
        active(broken).find(street)


def test_a_model_that_sees_metres_takes_objects_anywhere_and_refuses_those_that_cannot_be_in_metres(
    point_classifier: PointClassifier, street: np.ndarray
) -> None:
    model = deepcopy(point_classifier)
    model.input = replace(model.input, scaling="none")
    assert len(active(model).find(street + np.float32(80))) == 3
    with pytest.raises(InputError, match="expected an object in metres near the origin"):
        active(model).classify(street * np.float32(1000), [box((0, 0, 0), (1e6, 1e6, 1e6))])
