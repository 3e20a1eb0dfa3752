from __future__ import annotations

from perception.metrics.answer_gaming import EasyAnswer
from perception.metrics.question_answering import score_answers
from perception.scenes.scene import SceneQuestion
from perception_tools.scene_qa.notes import notes_on, notes_on_rules, refined_ways
from perception_tools.scene_qa.report.evaluation import SystemEvaluation

TRUTHS = ("chair", "two", "brown chair", "table", "desk", "yes")
QUESTIONS = [SceneQuestion(i, "s", "I sit.", "What is it?", (truth,), None) for i, truth in enumerate(TRUTHS)]


def notes(*answers: str) -> str:
    table = score_answers(QUESTIONS, {number: [answer] for number, answer in enumerate(answers)}, None)
    return "\n".join(notes_on(SystemEvaluation("s", table, table.as_json(), is_oracle=False)))


def test_answers_that_match_letters_only_are_remarked_on() -> None:
    assert "3 of 3 answers that are right by the refined rule match letters, not words, such as 'e' for 'table'" in (
        notes("e", "e", "e", "e", "e", "e")
    )
    assert "letters" not in notes(*TRUTHS)


def test_long_answers_around_the_truth_are_remarked_on() -> None:
    every = "chair two brown chair table desk yes no left right"
    text = notes(*[every] * 6)
    assert "6 of 6 answers that are right by the refined rule hold the true answer among at least six words" in text
    assert "such as 'chair two brown" in text


def test_the_published_scripts_verdict_on_empty_answers_is_told() -> None:
    text = notes("chair", "", "?", "table")
    assert "s: 2 of 6 questions have no answer; they count as wrong." in text
    assert "for the 4 answers that are missing or empty they would print 100.00 % refined and 100.00 % lenient" in text
    assert "empty answer" not in notes(*TRUTHS)


def test_the_ways_of_the_refined_rule_are_counted() -> None:
    answers = ("A chair.", "network", "chair", "x", "desk lamp mouse pen rug bed sofa")
    table = score_answers(QUESTIONS, {number: [answer] for number, answer in enumerate(answers)}, None)
    assert refined_ways(table) == {"equal": 1, "words": 1, "long": 1, "letters": 1}


def test_the_rules_are_noted_with_what_they_give_for_nothing() -> None:
    (note,) = notes_on_rules((EasyAnswer("“e”", 0.545, 0.5), EasyAnswer("a list", 0.81, 0.83)))
    assert "“e” 54.5 % refined and 50.0 % lenient; a list 81.0 % refined and 83.0 % lenient" in note
