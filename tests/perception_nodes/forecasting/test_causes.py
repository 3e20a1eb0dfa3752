from __future__ import annotations

import pytest

from perception_nodes.forecasting.causes import Cause, cause_of, has_no_model
from perception_nodes.forecasting.history import Arrival
from perception_nodes.forecasting.node import NO_MODEL


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("", Cause.NONE),
        (NO_MODEL, Cause.LOADING),
        ("the model took longer than 80 ms", Cause.LATE),
        ("block service: NoWorker: pipeline a: expected a worker", Cause.BLOCK),
        ("the model failed: ValueError: no", Cause.FAILED),
        ("the model's futures are not finite", Cause.FAILED),
        ("no map yet", Cause.NO_MAP),
        ("no pose of 'base_link' in 'map' within 0.1 s of the stamp: no pose has come yet", Cause.NO_POSE),
        ("no transform from 'lidar' to 'map': …", Cause.FRAME),
        ("the stamp is 3 s old, …", Cause.STAMP),
        ("no time on /clock yet, …", Cause.STAMP),
        ("no objects for 0.4 s", Cause.NO_OBJECTS),
        ("message: MalformedMessage: …", Cause.CONTENT),
        (Arrival.DUPLICATE.value, Cause.ORDER),
        (Arrival.HELD_BACK.value, Cause.ORDER),
        ("what nobody thought of", Cause.OTHER),
    ],
)
def test_each_reason_has_one_of_few_words(reason: str, cause: Cause) -> None:
    assert cause_of(reason) is cause


def test_a_node_without_its_model_says_so() -> None:
    assert has_no_model(NO_MODEL)
    assert has_no_model("the model cannot be loaded: OSError: gone")
    assert not has_no_model("the model took longer than 80 ms")
