from __future__ import annotations

from perception.baselines.majority import majority, majority_per_type
from perception.scenes.scene import SceneQuestion


def question(number: int, text: str, *answers: str) -> SceneQuestion:
    return SceneQuestion(number, "scene0000_00", "I stand.", text, answers, None)


COUNTED = [
    question(1, "Is it open?", "yes"),
    question(2, "Is it red?", "yes"),
    question(3, "Is it big?", "no"),
    question(4, "What is it?", "chair"),
    question(5, "What's that?", "no"),
]
ASKED = [question(7, "Is it?"), question(8, "what now?"), question(9, "How many?")]


def test_every_question_gets_the_most_frequent_answers_and_ties_follow_the_alphabet() -> None:
    assert majority(ASKED, COUNTED) == dict.fromkeys((7, 8, 9), ("no", "yes", "chair"))
    assert majority(ASKED, COUNTED[::-1]) == majority(ASKED, COUNTED)


def test_each_type_gets_its_own_and_a_type_never_seen_the_answers_of_all() -> None:
    answers = majority_per_type(ASKED, COUNTED)
    assert answers == {7: ("yes", "no"), 8: ("chair",), 9: ("no", "yes", "chair")}


def test_ten_answers_are_ranked_at_most() -> None:
    counted = [question(i, "What?", f"answer {i:02}") for i in range(30)]
    assert majority(ASKED, counted)[7] == tuple(f"answer {i:02}" for i in range(10))
