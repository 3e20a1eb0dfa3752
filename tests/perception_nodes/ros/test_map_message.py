from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from perception.traffic.map_index import MapIndex, take
from perception.traffic.scenario import Scenario
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.map_message import MAX_POLYLINES, map_message, map_of
from perception_nodes.ros.messages import POLYLINE_MAP, deserialize, serialize


@pytest.fixture
def lanes(make_scenario: Callable[..., Scenario]) -> MapIndex:
    return MapIndex(make_scenario().map)


def sent(message: Any) -> Any:
    return deserialize(serialize(message, POLYLINE_MAP), POLYLINE_MAP)


@pytest.mark.parametrize("rows", [[0, 1, 2], []])
def test_a_map_is_the_same_after_a_message(lanes: MapIndex, rows: list[int]) -> None:
    some = take(lanes.polylines, np.array(rows, dtype=np.int64))
    back, city = map_of(sent(map_message(MapIndex(some), "PIT")))
    assert city == "PIT"
    for field in fields(some):
        if rows or field.name != "points":
            np.testing.assert_array_equal(getattr(back.polylines, field.name), getattr(some, field.name))
    assert len(back.polylines) == len(rows)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ({"kinds": np.zeros(2, np.uint8)}, "expected 3 kinds, one a polyline, got 2"),
        ({"point_counts": np.array([10, 9, 11], np.uint32)}, "equally many points, 2 to 32, got 9, 10, 11"),
        ({"point_counts": np.ones(3, np.uint32)}, "2 to 32, got 1"),
        ({"points": np.zeros(58)}, "expected 60 coordinates, got 58"),
        ({"points": np.full(60, np.nan)}, "expected finite coordinates"),
        ({"kinds": np.full(3, 4, np.uint8)}, "expected kinds below 4, got 4"),
        ({"turns": np.full(3, 200, np.uint8)}, "expected turns below 3, got 200"),
        ({"ids": np.zeros(MAX_POLYLINES + 1, np.int64)}, "at most 100000 polylines, got 100001; send the part"),
        ({"point_counts": np.full(3, 2**32 - 1, np.uint32)}, "2 to 32, got 4294967295"),
    ],
)
def test_a_map_that_contradicts_itself_is_refused(lanes: MapIndex, spoil: dict, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        map_of(sent(replace(map_message(lanes, "PIT"), **spoil)))
