from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perception.errors import InputError
from perception_nodes.ros.wire import SENSOR_DATA
from perception_nodes.scene_qa.plan import SceneQaPlan


def test_clouds_and_poses_are_read_only_where_there_is_no_scan() -> None:
    plan = SceneQaPlan(Path("run"), clouds="/a", ego="/b", questions="/c", answers="/d", service="/e")
    assert [topic.name for topic in (*plan.topics, *plan.services)] == ["/c", "/a", "/b", "/d", "/e"]
    assert [topic.name for topic in plan.topics if topic.qos == SENSOR_DATA] == ["/a"]
    scanned = SceneQaPlan(Path("run"), scan=Path("room.ply"), questions="/c", answers="/d")
    assert [topic.name for topic in scanned.topics] == ["/c", "/d"]


@pytest.mark.parametrize("key", ["voxel_m", "max_age_s"])
def test_bounds_must_be_positive(key: str) -> None:
    zero: dict[str, Any] = {key: 0.0}
    with pytest.raises(InputError, match=f"node: expected {key} above 0, got 0"):
        SceneQaPlan(Path("run"), **zero)
