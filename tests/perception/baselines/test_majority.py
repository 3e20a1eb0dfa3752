from __future__ import annotations

from perception.baselines.majority import majority, majority_per_type
from perception.scenes.scene import SceneQuestion


def question(number: int, text: str, *answers: str) -> SceneQuestion:
    return SceneQuestion(number, "scene0000_00", "I stand.", text, answers, None)


REFERENCE = [
    question(1, "Is it open?", "yes"),
    question(2, "Is it red?", "yes"),
    question(3, "Is it big?", "no"),
    question(4, "What is it?", "chair"),
    question(5, "What's that?", "no"),
]
QUESTIONS = [question(7, "Is it?"), question(8, "what now?"), question(9, "How many?")]


def test_every_question_gets_the_most_frequent_answers_and_ties_follow_the_alphabet() -> None:
    assert majority(QUESTIONS, REFERENCE) == dict.fromkeys((7, 8, 9), ("no", "yes", "chair"))
    assert majority(QUESTIONS, REFERENCE[::-1]) == majority(QUESTIONS, REFERENCE)


def test_each_type_gets_its_own_answers_and_an_unseen_type_gets_those_of_all() -> None:
    answers = majority_per_type(QUESTIONS, REFERENCE)
    assert answers == {7: ("yes", "no"), 8: ("chair",), 9: ("no", "yes", "chair")}


def test_at_most_ten_answers_are_ranked() -> None:
    reference = [question(i, "What?", f"answer {i:02}") for i in range(30)]
    assert majority(QUESTIONS, reference)[7] == tuple(f"answer {i:02}" for i in range(10))
