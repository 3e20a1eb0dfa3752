"""Questions in the report: chosen without a look at answers, with what each model answers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from perception_tools.image_text.data import open_questions
from perception_tools.image_text.evaluate import evaluate_image_text
from perception_tools.image_text.model import load_image_text
from perception_tools.image_text.report.examples import draw_questions


def test_questions_are_about_different_pictures_with_the_models_own_answers(
    trained_answers: Path, questions_folder: Path
) -> None:
    trained = load_image_text(trained_answers)
    split = open_questions(questions_folder, "val", None, None)
    broken = split.records[0].image_file
    shown = draw_questions({"first": trained, "second": trained}, split.records, split.files, {broken}, 4)
    again = draw_questions({"first": trained}, split.records, split.files, {broken}, 4)
    assert [of.question for of in shown] == [of.question for of in again]
    assert len(shown) == 4
    for of in shown:
        assert re.fullmatch(r"\w+ \(9\), maybe \(1\)", of.truth)
        assert list(of.answers) == ["first", "second"]
        chosen = of.answers["first"]
        assert [one.probability for one in chosen] == sorted((one.probability for one in chosen), reverse=True)
        assert {one.text: one.worth for one in chosen if one.worth} == {
            text: pytest.approx(1.0 if text != "maybe" else 0.3)
            for text in (one.text for one in chosen)
            if text in (of.truth.split()[0], "maybe")
        }
        assert of.drawing.startswith("<svg")
    assert len(draw_questions({"first": trained}, split.records, split.files, {broken}, 99)) == 8


def test_probabilities_are_those_that_the_model_gives(trained_answers: Path, questions_folder: Path) -> None:
    trained = load_image_text(trained_answers)
    split = open_questions(questions_folder, "val", None, 1)
    (shown,) = draw_questions({"it": trained}, split.records, split.files, set(), 1)
    picture = split.files.decode(split.records[0].image_file)
    (probabilities,) = trained.model.answer([picture], [split.records[0].question])
    expected = {trained.answers[i]: float(probabilities[i]) for i in np.argsort(-probabilities)[:5]}
    assert {one.text: one.probability for one in shown.answers["it"]} == pytest.approx(expected)


def test_the_page_shows_as_many_as_are_asked_for(trained_answers: Path, questions_folder: Path, tmp_path: Path) -> None:
    for count in (0, 2):
        evaluate_image_text((trained_answers,), questions_folder, tmp_path / str(count), examples=count)
        page = (tmp_path / str(count) / "report.html").read_text()
        assert page.count('<article class="question">') == count
        assert ("where it looks" in page) == (count > 0)
