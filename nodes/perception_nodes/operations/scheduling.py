"""Lets a thread with a deadline run before the others, where the system permits that."""

from __future__ import annotations

import os

PRIORITY = 1
"""The lowest of real time: above all threads without one, below those of drivers."""


def run_first() -> str:
    """Gives the calling thread a priority of real time; returns why it has none, empty if it has.

    On a machine with more threads than cores, a thread of normal priority waits for its turn, up to some 10 ms each
    time it was idle (measured). One of real time does not: it may run whenever it is not itself waiting. Linux permits
    that to who has the resource limit RTPRIO (systemd: `LimitRTPRIO=1`, containers: `ulimits: {rtprio: 1}`) or the
    capability SYS_NICE. Threads that it starts have normal priority.
    https://man7.org/linux/man-pages/man7/sched.7.html
    """
    if not hasattr(os, "SCHED_RESET_ON_FORK"):
        return "expected Linux's real-time scheduling, which this system lacks"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except OSError as error:
        return f"expected a limit RTPRIO of at least {PRIORITY} ({error}); raise it for this process"
    return ""
