"""The LiDAR node between topics; what all nodes of one sensor do is tested with `operations/sensor_process.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zenoh

from perception.clouds.cloud import Cloud
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import fold
from perception.models.point_classifier import PointClassifier
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost
from perception_nodes.block.over_zenoh import ZenohBlocks, ZenohBlockWorker
from perception_nodes.operations.lifecycle import State
from perception_nodes.points.clustering import Clustering
from perception_nodes.points.node import PointsNode
from perception_nodes.points.plan import PointsPlan
from perception_nodes.points.process import PointsProcess

CLASSES = ("car", "pedestrian", "pole")
PATIENCE_S = 60
PLAN = PointsPlan(Path("unused"), max_age_s=PATIENCE_S, max_silence_s=PATIENCE_S)
"""A busy machine keeps its limits."""
BOXES = np.array([[10, 2, 0.8, 0, 0, 0, 1, 4, 2, 1.6], [50, 50, 0, 0, 0, 0, 1, 1, 1, 1]])


def configured(model: PointClassifier) -> PointsNode:
    node = PointsNode(3, PLAN.clustering)
    node.configure(model, CLASSES, model_id="tiny")
    return node


def scores(detection: Any) -> list[float]:
    of = {result.hypothesis.class_id: result.hypothesis.score for result in detection.results}
    return [of[name] for name in CLASSES]


def offline(model: PointClassifier, street: np.ndarray) -> list[list[float]]:
    """Scores of the objects of a street."""
    found = []
    for rows in Clustering().find(street):
        own = street[rows].astype(np.float64)
        crop = (own - (own.min(axis=0) + own.max(axis=0)) / 2).astype(np.float32)
        found.append(model.classify([Cloud("offline", crop)])[0].tolist())
    return found


def test_objects_of_clouds_are_answered_as_offline(
    start_robot: Callable[..., Any],
    point_classifier: PointClassifier,
    street: np.ndarray,
    cloud_message: Callable[..., bytes],
) -> None:
    node = configured(point_classifier.folded())
    robot = start_robot(PointsProcess, node, PLAN)
    for shift in (0, 1, 2):
        robot.inputs[0].put(cloud_message(street + np.float32(shift), stamp_ns=time.time_ns(), frame_id="top"))
        answer = robot.answer()
        assert answer.header.frame_id == "top"
        expected = offline(point_classifier, street + np.float32(shift))
        for detection, of in zip(answer.detections, expected, strict=True):
            assert scores(detection) == pytest.approx(of, abs=1e-6)
    assert (robot.process.ready(), robot.process.live()) == ("", "")
    robot.process.close()
    assert node.lifecycle.state is State.FINALISED


def test_clouds_that_cannot_be_used_never_end_it(
    start_robot: Callable[..., Any],
    point_classifier: PointClassifier,
    street: np.ndarray,
    cloud_message: Callable[..., bytes],
) -> None:
    robot = start_robot(PointsProcess, configured(point_classifier), PLAN)
    for changes, reason in (
        ({"width": 2**31, "height": 2**31}, "expected at most 4000000"),
        ({"fields": []}, "it has no fields"),
        ({"row_step": 2**32 - 1, "height": 2}, "expected as many as they take"),
        ({"point_step": 4}, "a cloud of 1 rows of 315 points of 4 bytes, a row every"),
    ):
        robot.inputs[0].put(cloud_message(street, stamp_ns=time.time_ns(), **changes))
        status = robot.status()
        assert status.reason.startswith("message: MalformedMessage: ")
        if "point_step" not in changes:
            assert reason in status.reason
    robot.inputs[0].put(cloud_message(street, stamp_ns=time.time_ns()))
    assert len(robot.answer().detections) == 3
    assert robot.metric("perception_ticks_without_model_total", reason="content") == 4
    assert robot.process.failures.counts[PLAN.clouds] == 4


def test_given_boxes_are_answered_from_the_cloud_of_their_time_and_missed_without_one(
    start_robot: Callable[..., Any],
    point_classifier: PointClassifier,
    street: np.ndarray,
    cloud_message: Callable[..., bytes],
    boxes_message: Callable[..., bytes],
) -> None:
    plan = replace(PLAN, boxes="/boxes")
    robot = start_robot(PointsProcess, configured(point_classifier), plan)
    boxes, clouds = robot.inputs
    now_ns = time.time_ns()
    boxes.put(boxes_message(BOXES, stamp_ns=now_ns))
    assert robot.status().reason == f"missing: no cloud on {PLAN.clouds} within 0.05 s of the boxes"
    assert robot.metric("perception_ticks_without_model_total", reason="missing_input") == 1
    assert "/boxes" not in robot.process.failures.counts  # no fault of theirs
    clouds.put(b"rubbish")
    clouds.put(cloud_message(street, stamp_ns=now_ns + 10**9))
    clouds.put(cloud_message(street + np.float32(5), stamp_ns=now_ns + 2 * 10**9))

    def ask() -> None:
        boxes.put(boxes_message(BOXES, stamp_ns=now_ns + 10**9 + 4 * 10**7))

    answer = robot.answers_again(ask)  # the cloud may need a moment
    first, second = answer.detections
    assert [result.hypothesis.class_id for result in second.results] == ["thing"]
    assert (first.id, first.results[0].hypothesis.score) == ("track0", 0.25)
    inside = street[(np.abs(street - BOXES[0, :3]) <= BOXES[0, 7:] / 2).all(axis=1)]
    (expected,) = point_classifier.classify([Cloud("offline", (inside - BOXES[0, :3]).astype(np.float32))])
    assert scores(first) == pytest.approx(expected.tolist(), abs=1e-6)
    end_s = time.monotonic() + PATIENCE_S
    while not robot.process.failures.counts[PLAN.clouds]:
        assert time.monotonic() < end_s


def test_the_shared_block_gives_the_same_answers_and_is_missed_while_it_is_gone(
    start_robot: Callable[..., Any],
    point_classifier: PointClassifier,
    street: np.ndarray,
    cloud_message: Callable[..., bytes],
    sessions: tuple[zenoh.Session, zenoh.Session],
) -> None:
    with ExitStack() as open_:
        blocks = ZenohBlocks(sessions[0], patient=False)
        open_.callback(blocks.close)
        model = deepcopy(point_classifier)
        node = configured(model)
        model.block = RemoteBlock(blocks, "points", timeout_s=PATIENCE_S)
        robot = start_robot(PointsProcess, node, PLAN)

        def show() -> None:
            robot.inputs[0].put(cloud_message(street, stamp_ns=time.time_ns()))

        assert isinstance(point_classifier.block, FrozenBlockAdapter)
        host = BlockHost({"points": fold(point_classifier.block)})
        with host, ZenohBlockWorker(sessions[1], host):
            answer = robot.answers_again(show)
            expected = offline(point_classifier, street)
            for detection, of in zip(answer.detections, expected, strict=True):
                assert scores(detection) == pytest.approx(of, abs=1e-6)
        show()
        assert robot.status().reason.startswith("block service: NoWorker: ")
