"""A LiDAR node with the model of its plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.clouds.open_clouds import open_clouds
from perception_nodes.operations.deployment import read_deployment
from perception_nodes.points.node import Box
from perception_nodes.points.plan import PointsPlan
from perception_tools.main import main
from perception_tools.points.model import load_classifier
from perception_tools.points.prediction import predict


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_a_configured_node_says_of_clouds_in_boxes_what_predict_says_offline(
    backend: str, trained_points: Path, clouds: Path, node_of: Callable[..., Any]
) -> None:
    trained, test = load_classifier(trained_points), open_clouds(clouds, "test")
    offline = predict(trained.model, test)
    node = node_of("points", trained_points, f"backend: {backend}")
    assert node.model_id.startswith("points/micro-llama@")
    node.activate()
    straight = np.array([0.0, 0.0, 0.0, 1.0])
    for record, expected in zip(test, offline.probabilities, strict=True):
        box = Box(np.zeros(3), straight, np.full(3, 10.0))
        (found,) = node.classify(test.decode(record).points, [box])
        scores = dict(zip(found.names, found.scores, strict=True))
        assert [scores[name] for name in trained.classes] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_narrower_block_is_served_where_the_plan_says_so(trained_points: Path, node_of: Callable[..., Any]) -> None:
    assert node_of("points", trained_points, "precision: int8_dynamic").model_id.endswith(":int8_dynamic")


def test_a_model_of_another_task_is_refused(trained_run: Path, node_of: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="expected a file of format 'frozen-perception point classifier 1'"):
        node_of("points", trained_run)


def test_without_scipy_clouds_are_not_taken_apart_and_boxes_are_classified_all_the_same(
    trained_points: Path, node_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception_tools.extras.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"scipy is not installed; pip install 'frozen-perception\[lidar\]'"):
        node_of("points", trained_points)
    assert node_of("points", trained_points, "boxes: /boxes").model_id


def test_init_robot_finds_the_lidar(trained_points: Path, tmp_path: Path) -> None:
    out = tmp_path / "robot.yaml"
    words = ["init", "robot", str(out), "--checkpoint", str(trained_points)]
    assert main([*words, "--topics", "/top/points:sensor_msgs/msg/PointCloud2"]) == 0
    (plan,) = read_deployment(out).nodes_of("points").values()
    assert isinstance(plan, PointsPlan)
    assert (plan.clouds, plan.boxes, plan.low_m) == ("/top/points", None, -np.inf)
    assert main(["up", str(out), "--check"]) == 0
