from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from perception_nodes.ros.poses import WITHIN_NS, PoseHistory

STAMP = 10**18


@given(st.lists(st.integers(-3 * WITHIN_NS, 3 * WITHIN_NS), max_size=8))
def test_the_nearest_pose_is_given_and_none_that_is_far(offsets: list[int]) -> None:
    history: PoseHistory[int] = PoseHistory()
    for offset in [*offsets, 3 * WITHIN_NS]:  # the last ends the wait
        history.put(STAMP + offset, offset)
    found, near = history.near(STAMP), [abs(offset) for offset in offsets if abs(offset) <= WITHIN_NS]
    assert (found is None) == (not near)
    if found is not None:
        assert abs(found) == min(near)


def test_a_nearer_pose_that_does_not_suit_is_passed_over() -> None:
    history: PoseHistory[str] = PoseHistory()
    history.put(STAMP - 2, "lidar")
    history.put(STAMP, "base_link")
    assert history.near(STAMP, lambda pose: pose == "lidar") == "lidar"
    assert history.near(STAMP, lambda pose: pose == "camera") is None


def test_a_pose_that_is_on_its_way_is_waited_for() -> None:
    history: PoseHistory[str] = PoseHistory()
    history.put(STAMP - WITHIN_NS // 2, "before")
    late = threading.Timer(0.002, history.put, (STAMP, "late"))
    late.start()
    found = history.near(STAMP)
    late.join()
    assert found in ("late", "before"), "a busy machine may be later than the wait lasts"
    assert history.near(STAMP) == "late"
    assert PoseHistory[str]().near(STAMP) is None
