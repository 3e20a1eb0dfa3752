from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import SCENE_ANSWER, SCENE_QUESTION, deserialize, header, make, serialize
from perception_nodes.scene_qa.messages import asked_question_of, scene_answer_of
from perception_nodes.scene_qa.question import AnswerMode, AskedQuestion, Evidence, GivenAnswer, Status

S = 10**9


def question(**changes: Any) -> Any:
    fields = {
        "header": header(7 * S, "map"),
        "question_id": "q1",
        "question": "Wo?",
        "situation": "Am Fenster.",
        "language": "de",
        "answer_mode": 2,
        "deadline": make("builtin_interfaces/msg/Duration", sec=1, nanosec=5),
        "viewpoint": [],
    }
    message = make(SCENE_QUESTION, **{**fields, **changes})
    return deserialize(serialize(message, SCENE_QUESTION), SCENE_QUESTION)


def test_a_question_is_what_its_message_says() -> None:
    expected = AskedQuestion("q1", "Wo?", "Am Fenster.", 8 * S + 5, AnswerMode.YES_NO, "de")
    assert asked_question_of(question(), arrived_ns=9 * S) == expected


def test_a_deadline_counts_from_the_arrival_where_there_is_no_stamp_and_need_not_be() -> None:
    assert asked_question_of(question(header=header(0, "")), 9 * S).deadline_ns == 10 * S + 5
    none = make("builtin_interfaces/msg/Duration", sec=0, nanosec=0)
    assert asked_question_of(question(deadline=none), 9 * S).deadline_ns is None
    past = make("builtin_interfaces/msg/Duration", sec=-3, nanosec=0)
    assert asked_question_of(question(deadline=past), 9 * S).deadline_ns == 4 * S


def test_an_unknown_mode_is_malformed() -> None:
    with pytest.raises(MalformedMessage, match=r"answer_mode 9; expected one of 0 \(ANY\), 1 \(SHORT\)"):
        asked_question_of(question(answer_mode=9), 0)


def test_four_thousand_mutated_questions_are_refused_or_read_and_nothing_else() -> None:
    rng, read = np.random.default_rng(0), 0
    data = serialize(question(), SCENE_QUESTION)
    for _ in range(4000):
        mutated = bytearray(data)
        for place in rng.integers(4, len(data), rng.integers(1, 4)):
            mutated[place] = rng.integers(256)
        cut = len(data) if rng.random() < 0.8 else int(rng.integers(len(data)))
        try:
            asked = asked_question_of(deserialize(bytes(mutated[:cut]), SCENE_QUESTION), arrived_ns=0)
        except MalformedMessage:
            continue
        read += 1
        given = GivenAnswer(asked.id, Status.ERROR, asked.question, scene_version=1)
        serialize(scene_answer_of(given, 0, "map"), SCENE_ANSWER)  # what came can be said again
    assert 200 < read < 3800  # both happened, often


def test_an_answer_is_said_in_full() -> None:
    box = np.array([1, 2, 3, 4, 5, 6], np.float32)
    given = GivenAnswer(
        "q1",
        Status.OK,
        "note",
        "bed",
        0.75,
        (("chair", 0.5),),
        (Evidence(3, "bed", 0.25, box),),
        4,
        6 * S + 1,
        2.5,
        "m",
    )
    message = deserialize(serialize(scene_answer_of(given, 7 * S, "map"), SCENE_ANSWER), SCENE_ANSWER)
    assert (message.question_id, message.status, message.reason, message.answer) == ("q1", 0, "note", "bed")
    assert (message.confidence, message.alternatives, message.latency_ms) == (0.75, ["chair"], 2.5)
    assert message.alternative_confidences.tolist() == [0.5]
    assert (message.scene_version, message.scene_stamp.sec, message.scene_stamp.nanosec) == (4, 6, 1)
    assert (message.header.stamp.sec, message.header.frame_id, message.model_id) == (7, "map", "m")
    (evidence,) = message.evidence
    assert (evidence.label, evidence.object_id, evidence.score) == ("bed", "3", 0.25)
    assert (evidence.box.center.position.y, evidence.box.center.orientation.w, evidence.box.size.z) == (2.0, 1.0, 6.0)


def test_an_answer_with_nothing_in_it_can_be_said_too() -> None:
    message = scene_answer_of(GivenAnswer("", Status.ERROR, "why"), 0, "map")
    received = deserialize(serialize(message, SCENE_ANSWER), SCENE_ANSWER)
    assert (received.status, received.reason, received.evidence, received.scene_version) == (5, "why", [], 0)
