from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.points.clustering import Clustering
from perception_nodes.points.plan import PointsPlan
from perception_nodes.ros.messages import ANSWER_STATUS, DETECTIONS, POINT_CLOUD

PLAN = PointsPlan(Path("run"))


def test_it_answers_clouds_or_boxes_and_then_reads_clouds_too() -> None:
    assert (PLAN.sensor.type, PLAN.sensor.qos.reliable, PLAN.companions) == (POINT_CLOUD, False, ())
    assert [topic.type for topic in PLAN.outputs] == [DETECTIONS, ANSWER_STATUS]
    given = replace(PLAN, boxes="/tracker/boxes", use_sim_time=True)
    assert (given.sensor.name, given.sensor.type) == ("/tracker/boxes", DETECTIONS)
    assert [topic.name for topic in given.inputs] == ["/tracker/boxes", PLAN.clouds, "/clock"]


def test_objects_are_what_its_keys_say() -> None:
    assert PLAN.clustering == Clustering()
    assert replace(PLAN, distance_m=1.0, max_objects=3).clustering == Clustering(distance_m=1.0, max_objects=3)


def test_limits_are_above_0_and_in_order() -> None:
    for key in ("max_apart_s", "top", "min_points", "max_objects", "distance_m", "max_size_m", "max_range_m"):
        with pytest.raises(InputError, match=f"node: expected {key} above 0, got 0"):
            replace(PLAN, **{key: 0})
    with pytest.raises(InputError, match="node: expected low_m below high_m, got 2 and 1"):
        replace(PLAN, low_m=2.0, high_m=1.0)
