from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.interfaces import Qos as RosbagsQos
from rosbags.interfaces import QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from perception_nodes.recordings.recorded_topic import quality_in, quality_of
from perception_nodes.recordings.recording import _offered
from perception_nodes.ros.wire import LATCHED, RELIABLE, SENSOR_DATA, Qos

qualities = st.builds(Qos, st.booleans(), st.booleans(), st.none() | st.integers(1, 100))


@given(qualities)
def test_what_is_recorded_reads_back(qos: Qos) -> None:
    assert quality_in(_offered(qos)) == qos


def test_words_are_read_as_numbers_are() -> None:
    text = "- {history: keep_last, depth: 1, reliability: reliable, durability: transient_local}"
    assert quality_in(text) == LATCHED
    text = "- {history: keep_last, depth: 5, reliability: best_effort, durability: volatile}"
    assert quality_in(text) == SENSOR_DATA
    text = "- {history: keep_all, depth: 0, reliability: reliable, durability: volatile}"
    assert quality_in(text) == Qos(depth=None)


@pytest.mark.parametrize("text", ["", "[]", "hello", "- 1", "{}", "- {history: 1}", "[", "[" * 9000, "- &a [*a]"])
def test_what_cannot_be_understood_is_the_default(text: str) -> None:
    assert quality_in(text) == RELIABLE


@given(st.text(max_size=80))
def test_any_text_gives_a_quality(text: str) -> None:
    assert isinstance(quality_in(text), Qos)


def test_profiles_that_rosbags_has_read_are_understood() -> None:
    never = QosTime(0, 0)
    profile = RosbagsQos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL,
        never,
        never,
        QosLiveliness.AUTOMATIC,
        never,
        False,
    )
    assert quality_of([profile]) == LATCHED
    assert quality_of([]) == RELIABLE
