from __future__ import annotations

import numpy as np
import pytest

from perception_nodes.ros.classification import RankedClasses, classification_of, ranked
from perception_nodes.ros.message_header import MessageHeader
from perception_nodes.ros.messages import CLASSIFICATION, deserialize


def test_the_likeliest_come_first_and_of_equal_ones_the_first_by_label() -> None:
    probabilities = np.array([0.1, 0.4, 0.1, 0.4], np.float32)
    found = ranked(probabilities, ("a", "b", "c", "d"), 3)
    assert found.names == ("b", "d", "a")
    assert found.scores == tuple(float(np.float32(p)) for p in (0.4, 0.4, 0.1))
    assert ranked(probabilities, ("a", "b", "c", "d"), 9).names == ("b", "d", "a", "c")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_probabilities_that_are_none_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="the probabilities are not finite"):
        ranked(np.array([0.5, wrong]), ("a", "b"), 1)


def test_the_message_has_the_header_that_came_and_a_class_a_result() -> None:
    sensed = MessageHeader(1_700_000_000_000_000_001, "front/optical")
    message = deserialize(classification_of(sensed, RankedClasses(("tench", "Löwe"), (0.75, 0.1))), CLASSIFICATION)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1_700_000_000, 1)
    assert message.header.frame_id == "front/optical"
    assert [(result.class_id, result.score) for result in message.results] == [("tench", 0.75), ("Löwe", 0.1)]
