from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.ros.messages import CLASSIFICATION, COMPRESSED_IMAGE
from perception_nodes.video.plan import VideoPlan

PLAN = VideoPlan(Path("run"))


def test_it_reads_a_camera_and_writes_actions_of_every_so_many_pictures() -> None:
    assert (PLAN.sensor.name, PLAN.sensor.qos.reliable) == ("/camera/image_raw", False)
    assert (PLAN.answers.name, PLAN.answers.type) == ("/perception/camera/actions", CLASSIFICATION)
    assert replace(PLAN, images_type=COMPRESSED_IMAGE).sensor.type == COMPRESSED_IMAGE
    assert replace(PLAN, every=3).messages_per_answer == 3


def test_numbers_are_above_0() -> None:
    for key in ("every", "stride_s", "max_gap_s", "top"):
        with pytest.raises(InputError, match=f"node: expected {key} above 0, got 0"):
            replace(PLAN, **{key: 0})
