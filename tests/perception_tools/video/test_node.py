"""A video node with the model of its plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.video.open_videos import open_videos
from perception_nodes.operations.deployment import read_deployment
from perception_nodes.video.plan import VideoPlan
from perception_tools.main import main
from perception_tools.video.model import load_recognizer, save_recognizer
from perception_tools.video.prediction import Views, predict


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_a_configured_node_says_of_videos_what_predict_says_offline(
    backend: str, trained_recognizer: Path, clips: Path, node_of: Callable[..., Any]
) -> None:
    trained, videos = load_recognizer(trained_recognizer), open_videos(clips, "val")
    offline = predict(trained.recognizer, videos, views=Views(1, 1), shorter_side=trained.recipe.shorter_side)
    node = node_of("video", trained_recognizer, f"stride_s: 0.2, backend: {backend}")
    assert node.model_id.startswith("video/micro-llama@")
    node.activate()
    begin_ns = 0
    for record, expected in zip(videos, offline.probabilities, strict=True):
        begin_ns += 100 * 10**9
        images = videos.decode(record, lambda length: np.arange(1, length, 2)).images  # the middles of 4 segments of 8
        for number, image in enumerate(images):
            node.see(begin_ns + number * 200_000_000, image)
        found = node.classify()
        scores = dict(zip(found.names, found.scores, strict=True))
        assert [scores[name] for name in trained.classes] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_narrower_block_is_served_where_the_plan_says_so(
    trained_recognizer: Path, node_of: Callable[..., Any]
) -> None:
    assert node_of("video", trained_recognizer, "precision: int8_dynamic").model_id.endswith(":int8_dynamic")


def test_models_that_recognise_nothing_or_see_another_order_are_refused(
    trained_recognizer: Path, pretrained: Path, trained_run: Path, node_of: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="expected a file of format 'frozen-perception action recognizer 1'"):
        node_of("video", trained_run)
    with pytest.raises(InputError, match="expected a model that recognises actions, found one of pre-training"):
        node_of("video", pretrained)
    trained = load_recognizer(trained_recognizer)
    recipe = replace(trained.recipe, order="reversed")
    save_recognizer(tmp_path / "control.safetensors", trained.model, recipe, trained.classes, trained.training)
    with pytest.raises(InputError, match="found a control that sees them reversed; give another"):
        node_of("video", tmp_path / "control.safetensors")


def test_init_robot_finds_the_camera(trained_recognizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "robot.yaml"
    words = ["init", "robot", str(out), "--checkpoint", str(trained_recognizer)]
    assert main([*words, "--topics", "/left/compressed:sensor_msgs/msg/CompressedImage"]) == 0
    (plan,) = read_deployment(out).nodes_of("video").values()
    assert isinstance(plan, VideoPlan)
    assert (plan.images, plan.images_type) == ("/left/compressed", "sensor_msgs/msg/CompressedImage")
    assert main(["up", str(out), "--check"]) == 0
