from __future__ import annotations

import threading
import time

from perception_nodes.ros.poses import KEPT_NS, PoseHistory, Stamped

STAMP = 10**18


def test_a_pose_that_is_on_its_way_is_waited_for() -> None:
    history: PoseHistory[str] = PoseHistory()
    history.put(STAMP - 10, "before")
    late = threading.Timer(0.002, history.put, (STAMP, "late"))
    late.start()
    before, after = history.around(STAMP, time.monotonic() + 30)
    late.join()
    assert (before, after) == (Stamped(STAMP, "late"), None)
    assert PoseHistory[str]().around(STAMP, 0.0) == (None, None)


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
    for number in range(3):
        assert history.around(STAMP, 0.0) == (Stamped(STAMP, "before"), None)
        history.put(STAMP - 10**15 + number, "set")
    assert history.around(STAMP, 0.0) == (Stamped(STAMP - 10**15 + 2, "set"), None)
    assert history.around(STAMP - 10**15, 0.0)[0] == Stamped(STAMP - 10**15, "set")
