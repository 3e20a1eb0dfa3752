from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception.metrics.bootstrap import bootstrap_interval
from perception.metrics.question_answering import HEADLINE, METRICS, AnswerTable, question_type, score_answers
from perception.scenes.scene import SceneQuestion
from perception.texts.answers import AnswerVocabulary

VOCABULARY = AnswerVocabulary(("yes", "no", "TV", "two"))


def question(number: int, truth: str, text: str = "Is it open?") -> SceneQuestion:
    return SceneQuestion(number, f"scene{number % 2}", "I stand.", text, (truth,), None)


QUESTIONS = [
    question(1, "yes"),
    question(2, "TV", "What is on the wall?"),
    question(3, "two", "How many chairs are there?"),
    question(4, "yoga mat", "What's on the floor?"),
]


def row(table: AnswerTable, number: int) -> dict[str, float]:
    index = [asked.id for asked in table.questions].index(number)
    return dict(zip(METRICS, table.hits[index], strict=True))


@pytest.mark.parametrize(
    ("text", "first_token", "mcan"),
    [
        ("What is it?", "what", "what"),
        ("WHICH side?", "which", "which"),
        ("What's in front?", "other", "what"),
        ("Can, perhaps, I sit?", "other", "can"),
        ("Whatever is it?", "other", "other"),
        ("Where is it?", "other", "other"),
        ("  ", "other", "other"),
    ],
)
def test_the_two_rules_for_a_questions_type(text: str, first_token: str, mcan: str) -> None:
    assert (question_type(text, "first_token"), question_type(text, "mcan")) == (first_token, mcan)


def test_an_unknown_type_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'last_token'"):
        question_type("What?", "last_token")


def test_true_answers_are_right_by_every_rule() -> None:
    table = score_answers(QUESTIONS, {asked.id: asked.answers for asked in QUESTIONS}, VOCABULARY)
    assert (table.hits == 1).all()
    scores = table.as_json()
    assert (scores["questions"], scores["scenes"], scores["unanswered"], scores["out_of_vocabulary"]) == (4, 2, 0, 1)
    assert scores["interval"]["em1"] == [1.0, 1.0]


def test_exact_match_requires_the_same_string_and_the_cleaned_match_does_not() -> None:
    table = score_answers(QUESTIONS, {2: ["a tv."]}, VOCABULARY)
    scores = row(table, 2)
    assert (scores["em1"], scores["em1_cleaned"], scores["refined"], scores["lenient"]) == (0, 1, 1, 1)


def test_the_tenth_ranked_answer_counts_for_em10_and_the_eleventh_does_not() -> None:
    wrong = [f"w{i}" for i in range(10)]
    ranked = {1: [*wrong[:9], "yes"], 2: [*wrong, "TV"], 3: ["two", *wrong]}
    table = score_answers(QUESTIONS, ranked, VOCABULARY)
    assert [row(table, number)["em10"] for number in (1, 2, 3)] == [1, 0, 1]
    assert [row(table, number)["em1"] for number in (1, 2, 3)] == [0, 0, 1]
    assert table.as_json()["most_ranked"] == 10


def test_unknown_is_right_only_as_a_class_and_only_if_no_other_class_is_right() -> None:
    table = score_answers(QUESTIONS, {1: ["unknown"], 4: ["no", "unknown"], 3: ["unknown", "two"]}, VOCABULARY)
    assert row(table, 1)["em1_unknown"] == row(table, 1)["em10_unknown"] == 0
    assert (row(table, 4)["em10"], row(table, 4)["em1_unknown"], row(table, 4)["em10_unknown"]) == (0, 0, 1)
    assert (row(table, 3)["em1_unknown"], row(table, 3)["em10_unknown"]) == (0, 1)
    assert table.as_json()["unknown_as_class"] == {"em1": 0.0, "em10": 0.5}


def test_without_a_vocabulary_the_numbers_about_it_are_none() -> None:
    scores = score_answers(QUESTIONS, {4: ["unknown"]}, None).as_json()
    assert scores["out_of_vocabulary"] is None
    assert scores["unknown_as_class"] is None


def test_a_question_without_an_answer_is_wrong_and_counted() -> None:
    table = score_answers(QUESTIONS, {1: ["yes"], 2: []}, VOCABULARY)
    assert table.as_json()["unanswered"] == 3
    assert table.as_json()["em1"] == 0.25


def test_any_of_several_true_answers_is_right() -> None:
    asked = replace(QUESTIONS[0], answers=("yes", "open"))
    assert (score_answers([asked], {1: ["open"]}, None).hits == 1).all()


def test_types_that_do_not_occur_are_left_out_and_the_others_add_up() -> None:
    scores = score_answers(QUESTIONS, {1: ["yes"], 4: ["yoga mat"]}, VOCABULARY).as_json()["by_type"]
    assert {name: group["questions"] for name, group in scores["first_token"].items()} == {
        "what": 1, "is": 1, "how": 1, "other": 1
    }  # fmt: skip
    assert {name: group["questions"] for name, group in scores["mcan"].items()} == {"what": 2, "is": 1, "how": 1}
    assert scores["mcan"]["what"]["em1"] == 0.5


@settings(deadline=None, max_examples=10)
@given(st.lists(st.sampled_from(["yes", "TV", "two", "unknown", "Yes", ""]), min_size=4, max_size=4))
def test_each_looser_rule_scores_at_least_as_high_and_types_average_to_the_whole(answers: list[str]) -> None:
    table = score_answers(QUESTIONS, {i + 1: [answer] for i, answer in enumerate(answers)}, VOCABULARY)
    scores = table.as_json()
    assert scores["em1"] <= scores["em1_cleaned"] <= scores["refined"]
    assert scores["em1"] == scores["em10"] <= scores["unknown_as_class"]["em1"]
    for groups in scores["by_type"].values():
        assert sum(group["questions"] * group["em1"] for group in groups.values()) == pytest.approx(4 * scores["em1"])
    assert set(np.unique(table.hits)) <= {0.0, 1.0}


def test_missing_questions_and_missing_true_answers_are_refused() -> None:
    with pytest.raises(InputError, match="expected questions, got none"):
        score_answers([], {}, VOCABULARY)
    with pytest.raises(InputError, match="question 1: expected a true answer"):
        score_answers([replace(QUESTIONS[0], answers=())], {1: ["yes"]}, VOCABULARY)


def test_every_scene_has_its_own_scores() -> None:
    scores = score_answers(QUESTIONS, {1: ["yes"], 2: ["a tv"]}, VOCABULARY).as_json()["by_scene"]
    assert list(scores) == ["scene0", "scene1"]
    assert {name: scores["scene0"][name] for name in ("questions", "em1", "em1_cleaned")} == {
        "questions": 2, "em1": 0.0, "em1_cleaned": 0.5
    }  # fmt: skip
    assert scores["scene1"]["em1"] == 0.5


def test_a_situation_is_right_if_all_its_questions_are() -> None:
    asked = [*QUESTIONS, replace(QUESTIONS[0], id=5, situation="I sit.")]
    scores = score_answers(asked, {1: ["yes"], 3: ["two"], 2: ["TV"], 5: ["no"]}, VOCABULARY).as_json()["all_right"]
    assert scores["situation"]["groups"] == 3  # two scenes, and one more place in the second
    assert scores["situation"]["em1"] == pytest.approx(1 / 3)


def test_a_data_set_may_have_types_and_groups_of_its_own() -> None:
    table = score_answers(
        QUESTIONS, {1: ["yes"]}, None, kinds={"msqa": ["b", "a", "a", "b"]}, groups={"object": ["1", "1", "1", "2"]}
    )
    scores = table.as_json()
    assert {name: group["em1"] for name, group in scores["by_type"]["msqa"].items()} == {"a": 0.0, "b": 0.5}
    assert scores["all_right"]["object"] == {"groups": 2} | dict.fromkeys(HEADLINE, 0.0)


def test_a_part_of_the_table_is_the_table_of_that_part() -> None:
    answers = {1: ["yes"], 2: ["no"], 4: ["unknown"]}
    part = score_answers(QUESTIONS, answers, VOCABULARY).only(np.array([True, False, False, True]))
    whole = score_answers([QUESTIONS[0], QUESTIONS[3]], {1: ["yes"], 4: ["unknown"]}, VOCABULARY)
    assert part.as_json() == whole.as_json()
    with pytest.raises(InputError, match="expected some of the questions to be left"):
        part.only(np.zeros(2, dtype=bool))


def test_intervals_are_over_scenes() -> None:
    table = score_answers(QUESTIONS, {1: ["yes"], 3: ["two"]}, VOCABULARY)  # right in one scene, wrong in the other
    interval = table.as_json()["interval"]
    assert (interval["level"], interval["seed"], interval["em1"]) == (0.95, 0, [0.0, 1.0])
    (low,), (high,) = bootstrap_interval(table.hits[:, :1], 0, groups=table.scenes)
    assert interval["em1"] == [low, high]
