from __future__ import annotations

from dataclasses import replace

import pytest

from perception_nodes.forecasting.messages import status_of
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.standby import PeerWatch
from perception_nodes.ros.messages import FORECAST_STATUS, serialize

LOADING = "the model is not loaded yet"


def status_from(node: str, reason: str = "no objects for 0.2 s", *, valid: bool = False) -> bytes:
    result = replace(ForecastingNode().no_answer(1, reason), valid=valid)
    return serialize(status_of(result, node=node), FORECAST_STATUS)


def test_a_standby_answers_after_a_silence_and_while_only_others_are_heard() -> None:
    now_s = [10.0]
    watch = PeerWatch("spare", "ego", 0.3, clock=lambda: now_s[0])
    assert watch.left_s(has_model=True) == pytest.approx(0.3), "the primary may have started at the same time"
    now_s[0] = 10.3
    assert watch.left_s(has_model=True) <= 0
    for other in ("spare", "", "stranger"):
        watch.take(status_from(other))
    assert watch.left_s(has_model=True) <= 0
    watch.take(status_from("ego"))
    assert watch.left_s(has_model=True) == pytest.approx(0.3), "a primary that has nothing to answer lives too"


def test_a_standby_with_a_model_answers_for_a_primary_without_one() -> None:
    now_s = [10.0]
    watch = PeerWatch("spare", "ego", 0.3, clock=lambda: now_s[0])
    now_s[0] = 11.0
    watch.take(status_from("ego", LOADING, valid=True))
    watch.take(status_from("ego", f"no objects for 0.2 s; {LOADING}"))
    assert watch.left_s(has_model=True) <= 0
    assert watch.left_s(has_model=False) > 0
    watch.take(status_from("ego", "no map yet", valid=True))
    assert watch.left_s(has_model=True) > 0


def test_a_primary_answers_at_once_unless_a_standby_has_the_model_that_it_lacks() -> None:
    now_s = [10.0]
    watch = PeerWatch("ego", None, 0.3, clock=lambda: now_s[0])
    assert watch.left_s(has_model=False) <= 0
    watch.take(status_from("spare", LOADING, valid=True))
    assert watch.left_s(has_model=False) <= 0
    watch.take(status_from("spare", "", valid=True))
    assert watch.left_s(has_model=False) == pytest.approx(0.3)
    assert watch.left_s(has_model=True) <= 0
    now_s[0] = 10.4
    assert watch.left_s(has_model=False) <= 0


def test_ticks_that_the_primary_has_answered_are_known() -> None:
    watch = PeerWatch("spare", "ego", 0.3)
    watch.take(status_from("stranger", valid=True))
    assert not watch.has_answered(1)
    watch.take(status_from("ego", valid=True))
    assert watch.has_answered(1)
