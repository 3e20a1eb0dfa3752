from __future__ import annotations

import time

import numpy as np
import pytest

from perception_tools.forecasting.bench.wakeups import BEAT_S, Metronome, Wakeups


def test_a_thread_that_does_nothing_is_never_early_and_its_delays_are_found_by_time() -> None:
    with Metronome() as metronome:
        begin_s = time.monotonic()
        time.sleep(5 * BEAT_S)
        end_s = time.monotonic()
        wakeups = metronome.stop()
    assert len(wakeups.due_s) == len(wakeups.late_ms) >= 1
    assert (wakeups.late_ms >= 0).all()
    assert (np.diff(wakeups.due_s) >= 0.99 * BEAT_S).all()
    assert begin_s - 60 < wakeups.due_s[0] < end_s


@pytest.mark.parametrize(("begin_s", "end_s", "worst_ms"), [(0.0, 9.0, 7.0), (1.5, 2.5, 0.5), (2.5, 2.9, 0.0)])
def test_the_worst_delay_is_that_of_the_beats_between_two_times(begin_s: float, end_s: float, worst_ms: float) -> None:
    wakeups = Wakeups(np.array([1.0, 2.0, 3.0]), np.array([7.0, 0.5, 0.1]), real_time=False)
    assert wakeups.worst_ms(begin_s, end_s) == worst_ms
