from __future__ import annotations

import time

import pytest

from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.clock import StampLimits, StreamClock
from perception_nodes.ros.messages import CLOCK, make, serialize

LIMITS = StampLimits(max_ahead_s=0.5, max_age_s=1.0)
NOW_NS = 10**18


def test_a_simulated_time_is_that_of_the_last_message() -> None:
    clock = StreamClock(simulated=True)
    assert clock.now_ns() == 0
    clock.take(serialize(make(CLOCK, clock=make("builtin_interfaces/msg/Time", sec=12, nanosec=34)), CLOCK))
    assert clock.now_ns() == 12_000_000_034
    with pytest.raises(MalformedMessage):
        clock.take(b"rubbish")


def test_otherwise_it_is_the_systems() -> None:
    before = time.time_ns()
    assert before <= StreamClock().now_ns() <= time.time_ns()


@pytest.mark.parametrize(
    ("after_s", "refusal"),
    [
        (0.0, ""),
        (0.49, ""),
        (-0.99, ""),
        (0.51, "the stamp is 0.51 s ahead of the clock, at most 0.5 s is taken (max_ahead_s); compare the clocks"),
        (-1.01, "the stamp is 1.01 s old, at most 1 s is taken (max_age_s); compare the clocks"),
        (-1e8, "the stamp is 1e+08 s old, at most 1 s is taken (max_age_s); compare the clocks"),
    ],
)
def test_stamps_beyond_the_limits_are_refused_with_the_limit(after_s: float, refusal: str) -> None:
    assert LIMITS.refusal(NOW_NS + round(after_s * 1e9), NOW_NS) == refusal


def test_without_a_time_no_stamp_is_taken() -> None:
    assert LIMITS.refusal(NOW_NS, 0) == "no time on /clock yet, which use_sim_time asks for"
