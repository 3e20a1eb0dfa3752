from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.image.plan import ImagePlan
from perception_nodes.ros.messages import CLASSIFICATION, COMPRESSED_IMAGE, IMAGE

PLAN = ImagePlan(Path("run"))


def test_pictures_come_best_effort_in_the_type_that_the_plan_names() -> None:
    assert (PLAN.sensor.name, PLAN.sensor.type, PLAN.sensor.qos.reliable) == ("/camera/image_raw", IMAGE, False)
    compressed = replace(PLAN, images="/left/compressed", images_type=COMPRESSED_IMAGE)
    assert (compressed.sensor.name, compressed.sensor.type) == ("/left/compressed", COMPRESSED_IMAGE)
    assert PLAN.answers.type == CLASSIFICATION


def test_at_least_one_class_is_named() -> None:
    with pytest.raises(InputError, match="node: expected top above 0, got 0"):
        replace(PLAN, top=0)
