from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_nodes.points import recent_clouds
from perception_nodes.points.recent_clouds import MAX_CLOUDS, RecentClouds


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 50), st.integers(0, 10))
def test_the_nearest_of_the_last_ones_is_found_if_it_is_near_enough(stamps: list[int], at: int, within: int) -> None:
    kept = RecentClouds()
    for stamp in stamps:
        kept.put(stamp, bytes([stamp]))
    near = [stamp for stamp in stamps[-MAX_CLOUDS:] if abs(stamp - at) <= within]
    expected = bytes([min(near, key=lambda stamp: (abs(stamp - at), -stamp))]) if near else None
    assert kept.nearest(at, within) == expected


def test_they_take_bounded_memory_and_the_last_one_is_always_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_clouds, "MAX_BYTES", 100)
    kept = RecentClouds()
    for stamp in range(5):
        kept.put(stamp, bytes([stamp]) * 40)
    assert [kept.nearest(stamp, 0) is not None for stamp in range(5)] == [False, False, False, True, True]
    kept.put(9, bytes(1000))
    assert kept.nearest(4, 0) is None
    assert kept.nearest(9, 0) == bytes(1000)


def test_one_that_comes_while_it_is_awaited_is_found_and_nothing_is_awaited_forever() -> None:
    kept, found = RecentClouds(), []
    waiter = threading.Thread(target=lambda: found.append(kept.nearest(5, 1, wait_s=60)))
    waiter.start()
    kept.put(9, b"far")
    kept.put(6, b"near")
    waiter.join(60)
    assert found == [b"near"]
    begin_s = time.monotonic()
    assert kept.nearest(50, 1, wait_s=0.05) is None
    assert time.monotonic() - begin_s >= 0.05
