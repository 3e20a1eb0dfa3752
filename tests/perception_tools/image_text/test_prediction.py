"""Answers with other pictures or none: what they may depend on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.errors import InputError
from perception_tools.image_text.data import open_questions
from perception_tools.image_text.model import load_image_text
from perception_tools.image_text.prediction import encode_pictures, others_than_own, predict_answers


@given(st.integers(2, 40))
def test_nothing_is_at_its_own_place_after_shuffling(count: int) -> None:
    found = others_than_own(range(count))
    assert sorted(found) == list(range(count))
    assert all(other != own for own, other in enumerate(found))


def test_without_pictures_answers_depend_on_the_question_alone(trained_answers: Path, questions_folder: Path) -> None:
    trained, split = load_image_text(trained_answers), open_questions(questions_folder, "val", None, None)
    questions = split.records
    pictures = encode_pictures(trained, split.files, [of.image_file for of in questions], 4, "val")
    assert len(pictures.tokens) == 9
    answers = predict_answers(trained, questions, pictures, shown="without_picture", batch=5)
    by_question: dict[str, set[str]] = {}
    for of in questions:
        by_question.setdefault(of.question, set()).add(answers[of.id])
    assert all(len(given) == 1 for given in by_question.values())
    small = predict_answers(trained, questions, pictures, batch=1)
    assert small == predict_answers(trained, questions, pictures, batch=100)


def test_a_split_without_a_readable_picture_is_refused(trained_answers: Path, questions_folder: Path) -> None:
    trained, split = load_image_text(trained_answers), open_questions(questions_folder, "val", None, None)
    files = replace(split.files, places={})
    with pytest.raises(InputError, match="expected pictures that can be read, found none"):
        encode_pictures(trained, files, ["a.png"], 4, "val")
