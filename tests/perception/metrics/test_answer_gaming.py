from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.metrics.answer_gaming import easy_answers, refined_match
from perception.metrics.answer_matching import matches_cleaned, matches_refined
from perception_datasets.sqa3d.questions import question_files, read_questions


@pytest.mark.parametrize(
    ("answer", "truths", "way"),
    [
        ("A chair.", ["chair"], "equal"),
        ("chair", ["brown chair"], "words"),
        ("the chair by the window", ["chair"], "words"),
        ("arm chair", ["armchair"], "words"),  # the same letters
        ("chair table bed desk door window sofa", ["chair"], "long"),
        ("i", ["chair"], "letters"),
        ("network", ["two"], "letters"),
        ("armchair", ["chair"], "letters"),
        ("chairs", ["chair"], "letters"),
        ("e", ["chair", "e"], "equal"),
        ("bed", ["chair"], None),
        ("", ["chair"], None),
        ("?", ["chair"], None),
    ],
)
def test_the_way_in_which_an_answer_is_right_is_told(answer: str, truths: list[str], way: str | None) -> None:
    assert refined_match(answer, truths) == way


@given(st.text(alphabet="ab 1'.-the", max_size=8), st.text(alphabet="ab 1'.-the", max_size=8))
def test_there_is_a_way_exactly_where_the_refined_rule_accepts_the_answer(answer: str, truth: str) -> None:
    way = refined_match(answer, [truth])
    assert (way is not None) == matches_refined(answer, [truth])
    assert (way == "equal") == matches_cleaned(answer, [truth])


def test_easy_answers_are_scored_on_the_questions_themselves() -> None:
    letter, listing = easy_answers([["chair"], ["desk"], ["no"], ["no"]])
    assert (letter.answer, letter.refined, letter.lenient) == ("“n”", 0.5, 0.5)  # in both "no"
    assert (listing.refined, listing.lenient) == (1.0, 1.0)
    assert listing.answer == "the 3 most frequent answers in one sentence"


def test_at_most_sixty_answers_are_listed() -> None:
    _, listing = easy_answers([[f"{first}{second}"] for first in "abcdefgh" for second in "qrstuvwx"])
    assert listing.answer == "the 60 most frequent answers in one sentence"
    assert (listing.refined, listing.lenient) == (60 / 64, 60 / 64)


def test_on_the_released_test_split_a_letter_beats_published_models(real_data: Path) -> None:
    questions = read_questions(*question_files(real_data / "sqa3d", "test"))
    letter, listing = easy_answers([question.answers for question in questions])
    assert (letter.answer, round(100 * letter.refined, 1)) == ("“e”", 54.5)
    assert round(100 * listing.refined, 1) == 81.3
    assert "60 most frequent" in listing.answer
