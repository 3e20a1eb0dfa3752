"""VQA's accuracy against the official procedure, written out, and what its tables add up to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.errors import InputError
from perception.metrics.vqa_accuracy import VqaTable, blind_answers, soft_scores, vqa_accuracy
from perception.texts.vqa_normalization import normalize_vqa

WORDS = st.sampled_from(["yes", "Yes", "no", "two", "2", "the cat", "cat", "dont", "don't"])


def official(answer: str, answers: list[str]) -> float:
    """The loop of vqaEval.py: leave each annotator out, count the others who gave the answer."""
    if len(set(answers)) > 1:
        answer, answers = normalize_vqa(answer), [normalize_vqa(of) for of in answers]
    accuracies = []
    for left_out in range(len(answers)):
        others = answers[:left_out] + answers[left_out + 1 :]
        accuracies.append(min(1.0, sum(other == answer for other in others) / 3))
    return sum(accuracies) / len(accuracies)


@given(WORDS, st.lists(WORDS, min_size=2, max_size=10))
def test_an_answer_is_worth_what_the_official_loop_gives(answer: str, answers: list[str]) -> None:
    assert vqa_accuracy(answer, answers) == pytest.approx(official(answer, answers))


def test_annotators_who_agree_are_compared_to_the_letter() -> None:
    assert vqa_accuracy("2", ["two"] * 10) == 0
    assert vqa_accuracy("2", ["two"] * 9 + ["three"]) == 1


def test_soft_scores_of_ten_annotators_are_the_published_steps() -> None:
    answers = ["a"] * 4 + ["b"] * 3 + ["c"] * 2 + ["d"]
    assert soft_scores(answers) == {
        key: pytest.approx(value) for key, value in zip("abcd", (1, 0.9, 0.6, 0.3), strict=True)
    }


def test_the_real_record_has_its_published_soft_labels(real_data: Path) -> None:
    record = json.loads((real_data / "vqa" / "one_real_vqav2_record.json").read_text())
    answers = [of["answer"] for of in record["annotation"]["answers"]]
    assert soft_scores(answers) == pytest.approx(record["expected_soft_label"])


def table() -> VqaTable:
    kinds = ("yes/no", "yes/no", "number", "other")
    asked = ("is the", "are", "how many", "what")
    accuracy = np.array([1.0, 0.3, 0.6, 0.0])
    return VqaTable((1, 2, 3, 4), ("yes", "no", "2", None), accuracy, np.array([0, 0, 1, 2]), kinds, asked)


def test_means_stand_beside_their_counts_and_intervals() -> None:
    found = table().as_json()
    assert found["questions"], found["pictures"] == (4, 3)
    assert found["unanswered"] == 1
    assert found["accuracy"] == {name: pytest.approx(v) for name, v in
                                 {"overall": 0.475, "yes/no": 0.65, "number": 0.6, "other": 0.0}.items()}  # fmt: skip
    assert found["by_question_type"]["how many"]["questions"] == 1
    low, high = found["interval"]["overall"]
    assert low < 0.475 < high
    assert found["interval"]["yes/no"] == [0.65, 0.65], "both questions are about one picture"


def test_blind_answers_are_the_best_that_ignore_pictures() -> None:
    truths = [["yes"] * 10, ["yes"] * 10, ["no"] * 10, ["red"] * 10]
    blind = blind_answers(truths, ["is", "is", "are", "what"])
    assert (blind.answer, blind.constant, blind.by_question_type) == ("yes", 0.5, 1.0)
    with pytest.raises(InputError, match="expected questions, got none"):
        blind_answers([], [])
