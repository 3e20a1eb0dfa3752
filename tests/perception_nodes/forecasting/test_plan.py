from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

from perception_nodes.forecasting.messages import READERS
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.ros.wire import LATCHED


def test_objects_come_in_the_types_that_are_read() -> None:
    assert get_args(get_type_hints(ForecastPlan)["objects_type"]) == tuple(READERS)


def test_the_topics_are_those_of_the_plan_and_the_map_is_latched() -> None:
    plan = ForecastPlan(Path("run"), objects="/a", ego="/b", map="/c", forecasts="/d", status="/e")
    assert [topic.name for topic in plan.topics] == ["/a", "/b", "/c", "/tf", "/tf_static", "/e", "/d"]
    assert [topic.name for topic in plan.topics if topic.qos == LATCHED] == ["/c"]
    objects, *_ = ForecastPlan(Path("run"), objects_type="vision_msgs/msg/Detection3DArray").inputs
    assert objects.type == "vision_msgs/msg/Detection3DArray"
