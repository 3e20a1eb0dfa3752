"""What all plans of nodes of one sensor share, by the plan of the camera's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.image.plan import ImagePlan
from perception_nodes.operations.sensor_plan import SensorPlan
from perception_nodes.ros.clock import CLOCK_TOPIC
from perception_nodes.ros.messages import ANSWER_STATUS

PLAN = ImagePlan(Path("run"))


def test_it_reads_the_sensor_and_a_clock_that_is_simulated_and_writes_answers_and_their_status() -> None:
    assert isinstance(PLAN, SensorPlan)
    assert PLAN.inputs == (PLAN.sensor,)
    clock = replace(PLAN, use_sim_time=True).inputs[1]
    assert clock.name == CLOCK_TOPIC
    answers, status = PLAN.outputs
    assert answers == PLAN.answers
    assert (status.name, status.type) == (PLAN.status, ANSWER_STATUS)


@pytest.mark.parametrize("key", ["max_rate_hz", "max_age_s", "max_ahead_s", "max_silence_s"])
def test_limits_are_above_0(key: str) -> None:
    with pytest.raises(InputError, match=rf"node: expected {key} above 0, got 0"):
        replace(PLAN, **{key: 0.0})
