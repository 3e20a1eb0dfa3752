from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from perception_nodes.ros.poses import KEPT_NS, WITHIN_NS, PoseHistory, Stamped

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


def test_poses_are_kept_by_time_whatever_their_rate() -> None:
    history: PoseHistory[int] = PoseHistory()
    for number in range(2000):
        history.put(STAMP + number * 2_500_000, number)  # 400 Hz
    before, after = history.around(STAMP + 1999 * 2_500_000 - KEPT_NS + 1_000_000, 0.0)
    assert (before, after) == (Stamped(STAMP + 1199 * 2_500_000, 1199), Stamped(STAMP + 1200 * 2_500_000, 1200))
    assert history.around(STAMP, 0.0)[0] is None


def test_poses_are_found_between_those_before_and_after_them_in_any_order() -> None:
    history: PoseHistory[str] = PoseHistory()
    for stamp_ns, name in ((30, "c"), (10, "a"), (20, "b")):
        history.put(STAMP + stamp_ns, name)
    before, after = history.around(STAMP + 15, 0.0)
    assert before is not None
    assert after is not None
    assert (before.pose, after.pose) == ("a", "b")
    assert history.around(STAMP + 40, 0.0)[1] is None


def test_a_wild_stamp_costs_nothing_and_a_clock_that_was_set_three_poses() -> None:
    history: PoseHistory[str] = PoseHistory()
    history.put(STAMP, "before")
    history.put(STAMP + 10**15, "wild")
    assert history.near(STAMP) == "before"
    for number in range(3):
        assert history.near(STAMP) == "before"
        history.put(STAMP - 10**15 + number, "set")
    assert history.near(STAMP) is None
    assert history.near(STAMP - 10**15) == "set"
