"""A camera node with the model of its plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception.errors import InputError
from perception_datasets.images.open_pictures import open_pictures
from perception_nodes.image.plan import ImagePlan
from perception_nodes.operations.deployment import read_deployment
from perception_tools.image.model import load_classifier
from perception_tools.image.prediction import predict
from perception_tools.main import main


def test_a_configured_node_says_of_pictures_what_predict_says_offline(
    trained_classifier: Path, pictures: Path, node_of: Callable[..., Any]
) -> None:
    trained, val = load_classifier(trained_classifier), open_pictures(pictures, "val")
    offline = predict(trained.model, val)
    node = node_of("image", trained_classifier)
    assert node.model_id.startswith("image/vit-micro-llama@")
    assert node.model_id.endswith(":float32")
    node.activate()
    for record, expected in zip(val, offline.probabilities, strict=True):
        found = node.classify(val.decode(record).pixels)
        scores = dict(zip(found.names, found.scores, strict=True))
        assert [scores[name] for name in trained.classes] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_narrower_block_is_served_where_the_plan_says_so(
    trained_classifier: Path, node_of: Callable[..., Any]
) -> None:
    assert node_of("image", trained_classifier, "precision: int8_dynamic").model_id.endswith(":int8_dynamic")


def test_a_model_of_another_task_is_refused(trained_run: Path, node_of: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="expected a file of format 'frozen-perception image classifier 1'"):
        node_of("image", trained_run)


def test_without_pillow_the_extra_is_named(
    trained_classifier: Path, node_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception_tools.extras.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"PIL is not installed; pip install 'frozen-perception\[nodes\]'"):
        node_of("image", trained_classifier)


def test_init_robot_finds_the_camera_of_either_type(trained_classifier: Path, tmp_path: Path) -> None:
    out = tmp_path / "robot.yaml"
    words = ["init", "robot", str(out), "--checkpoint", str(trained_classifier)]
    for topic, kind in (("/left/compressed", "CompressedImage"), ("/left/raw", "Image")):
        assert main([*words, "--force", "--topics", f"{topic}:sensor_msgs/msg/{kind}"]) == 0
        (plan,) = read_deployment(out).nodes_of("image").values()
        assert isinstance(plan, ImagePlan)
        assert (plan.images, plan.images_type) == (topic, f"sensor_msgs/msg/{kind}")
    assert main(["up", str(out), "--check"]) == 0
