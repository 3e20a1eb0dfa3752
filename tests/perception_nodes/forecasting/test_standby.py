from __future__ import annotations

from dataclasses import replace

from perception_nodes.forecasting.messages import status_of
from perception_nodes.forecasting.no_answer import no_answer
from perception_nodes.forecasting.standby import StandbyWatch
from perception_nodes.ros.messages import FORECAST_STATUS, serialize


def status_from(node: str) -> bytes:
    return serialize(status_of(replace(no_answer(1, "no objects for 0.2 s", "")), node=node), FORECAST_STATUS)


def test_a_standby_answers_after_a_silence_and_while_only_others_are_heard() -> None:
    now_s = [10.0]
    watch = StandbyWatch("ego", 0.3, clock=lambda: now_s[0])
    assert not watch.answers(), "the primary may have started at the same time"
    now_s[0] = 10.3
    assert watch.answers()
    watch.take(status_from("spare"))
    watch.take(status_from(""))
    assert watch.answers()
    watch.take(status_from("ego"))
    assert not watch.answers(), "a primary that has nothing to answer lives too"
    assert watch.due_s == 10.6
    now_s[0] = 10.61
    assert watch.answers()
