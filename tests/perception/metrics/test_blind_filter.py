from __future__ import annotations

from perception.metrics.blind_filter import missed_by_blind
from perception.metrics.question_answering import score_answers
from perception.scenes.scene import SceneQuestion

QUESTIONS = [
    SceneQuestion(number, "s", "I sit.", "What is it?", (truth,), None)
    for number, truth in enumerate(("chair", "two", "bed", "desk"))
]


def test_a_question_remains_if_every_blind_model_misses_it() -> None:
    first = score_answers(QUESTIONS, {0: ["A chair."], 2: ["be"]}, None)
    second = score_answers(QUESTIONS, {0: ["chair"], 1: ["2"], 2: ["sofa", "bed"]}, None)
    assert missed_by_blind([first, second]).tolist() == [False, False, True, True]
