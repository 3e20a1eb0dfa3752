"""The clock that stamps are compared with: the system's, or in a simulation or replay that of `/clock`."""

from __future__ import annotations

import time
from dataclasses import dataclass

from perception_nodes.ros.messages import CLOCK, deserialize

CLOCK_TOPIC = "/clock"
"""ROS's own topic."""


class StreamClock:
    """Tells the time of a stream.

    Args:
        simulated: Whether it is that of the last message on `/clock`, as ROS's `use_sim_time` says; otherwise the
            system's.
    """

    def __init__(self, *, simulated: bool = False) -> None:
        self.simulated = simulated
        self._simulated_ns = 0

    def take(self, cdr: bytes) -> None:
        """Takes a message of `/clock`; thread-safe."""
        now = deserialize(cdr, CLOCK).clock
        self._simulated_ns = now.sec * 10**9 + now.nanosec

    def now_ns(self) -> int:
        """Returns the time, nanoseconds; 0 before the first message of a simulation."""
        return self._simulated_ns if self.simulated else time.time_ns()


@dataclass(frozen=True)
class StampLimits:
    """How far a stamp may be from the clock.

    Attributes:
        max_ahead_s: Maximum time that it may be ahead, seconds.
        max_age_s: Maximum time that it may be behind, seconds.
    """

    max_ahead_s: float
    max_age_s: float

    def refusal(self, stamp_ns: int, now_ns: int) -> str:
        """Returns why a stamp is refused at a time; empty if it is not."""
        if now_ns <= 0:
            return f"no time on {CLOCK_TOPIC} yet, which use_sim_time asks for"
        age_s = (now_ns - stamp_ns) / 1e9
        if age_s > self.max_age_s:
            return (
                f"the stamp is {age_s:.3g} s old, at most {self.max_age_s:g} s is taken (max_age_s); compare the clocks"
            )
        if -age_s > self.max_ahead_s:
            return (
                f"the stamp is {-age_s:.3g} s ahead of the clock, at most {self.max_ahead_s:g} s is taken "
                "(max_ahead_s); compare the clocks"
            )
        return ""
