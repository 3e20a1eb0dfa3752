from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.image.plan import ImagePlan
from perception_nodes.operations.camera_plan import CameraPlan
from perception_nodes.ros.messages import CLASSIFICATION, COMPRESSED_IMAGE, IMAGE
from perception_nodes.video.plan import VideoPlan


@pytest.mark.parametrize("kind", [ImagePlan, VideoPlan])
def test_pictures_come_best_effort_in_the_type_that_the_plan_names_and_classes_go_out(kind: type[CameraPlan]) -> None:
    plan = kind(Path("run"))
    assert (plan.sensor.name, plan.sensor.type, plan.sensor.qos.reliable) == ("/camera/image_raw", IMAGE, False)
    compressed = replace(plan, images="/left/compressed", images_type=COMPRESSED_IMAGE)
    assert (compressed.sensor.name, compressed.sensor.type) == ("/left/compressed", COMPRESSED_IMAGE)
    assert plan.answers.type == CLASSIFICATION
    assert plan.status_name == f"{plan.answers.name}/status"
    with pytest.raises(InputError, match="node: expected top above 0, got 0"):
        replace(plan, top=0)
