from __future__ import annotations

import numpy as np
import pytest

from perception_tools.forecasting.bench.tick_fates import TickFate, outage, summary
from perception_tools.forecasting.bench.wakeups import Wakeups

FATES = {
    1: TickFate(10.0, [10.03], [("model", "ego")]),
    2: TickFate(10.1, [10.182, 10.19], [("fallback", "ego"), ("model", "spare")], late_ms=81.5),
    3: TickFate(10.2, refusals=["ego: the stamp is 2 s old"]),
    4: TickFate(10.3),
    5: TickFate(10.4, sources=[("model", "ego")]),
}


def test_the_account_counts_ticks_without_output_and_says_why() -> None:
    found = summary(FATES, 80.0)
    assert (found["ticks"], found["without_output"], found["answered_twice"]) == (5, 3, 1)
    assert found["by_source"] == {"model": 2}
    lost = "ego: its model was lost on the way"
    assert found["refusals"] == {"ego: the stamp is 2 s old": 1, "no status": 1, lost: 1}
    assert found["overrun_ms"]["count"] == 1
    assert found["overrun_ms"]["p99"] == pytest.approx(1.5)
    assert found["output_ms"]["max"] == pytest.approx(82.0)


def test_each_tick_without_output_is_told_with_the_faults_before_it() -> None:
    struck = [(9.0, "node killed"), (10.25, "standby killed"), (12.0, "node killed")]
    first, second, third = summary(FATES, 80.0, struck)["unanswered"]
    assert first == {
        "faults": ["standby killed -0.05 s before", "node killed 1.20 s before"],
        "reasons": ["ego: the stamp is 2 s old"],
    }
    assert second["faults"] == ["standby killed 0.05 s before", "node killed 1.30 s before"]
    assert third["reasons"] == ["ego: its model was lost on the way"]


def test_an_outage_lasts_until_the_next_output() -> None:
    found = outage(FATES, 10.05)
    assert (found["ticks_without_output"], found["ticks_without_model"]) == (3, 2)
    assert found["longest_silence_s"] == pytest.approx(0.132)
    assert outage({}, 0.0)["longest_silence_s"] is None


def test_answers_after_the_deadline_are_told_by_the_fault_before_them() -> None:
    fates = {number: TickFate(10.0 * number, [0.0], late_ms=80.0 + number) for number in range(1, 5)}
    struck = [(8.0, "node killed"), (9.5, "all block workers killed"), (20.0, "node killed"), (30.9, "standby killed")]
    by_fault = summary(fates, 80.0, struck)["overrun_ms_by_fault"]
    assert {kind: (over["count"], over["max"]) for kind, over in by_fault.items()} == {
        "all block workers killed": (1, pytest.approx(1.0)),
        "node killed": (1, pytest.approx(2.0)),
        "standby killed": (1, pytest.approx(3.0)),  # while the tick was waited for
        "none": (1, pytest.approx(4.0)),
    }


def test_the_machines_part_of_a_delay_is_an_idle_threads_at_that_time() -> None:
    fates = {1: TickFate(1.0, [1.1], late_ms=100.0), 2: TickFate(2.0, [2.1], late_ms=90.0)}
    wakeups = Wakeups(np.array([1.07, 1.5, 2.08, 2.2]), np.array([15.0, 99.0, 30.0, 50.0]), real_time=True)
    found = summary(fates, 80.0, wakeups=wakeups)
    assert found["overrun_ms"]["max"] == pytest.approx(20.0)
    assert found["overrun_ms_beyond_idle_wakeup"] == {
        "count": 2,
        "p50": pytest.approx(2.5),
        "p99": pytest.approx(4.95),
        "max": pytest.approx(5.0),  # the other answer was late by less than the idle thread
    }
    assert found["idle_wakeup_ms"]["max"] == 99.0
    assert found["idle_wakeup_ms"]["real_time"] is True
