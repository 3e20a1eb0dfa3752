"""Tables of answers record by record, and questions that cannot be scored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perception.errors import InputError
from perception_datasets.image_text.vqa import VqaQuestion
from perception_tools.image_text.scoring import blind_of, remarks_on, score_vqa, vqa_scores

ASKED = [
    VqaQuestion(1, 7, "a.jpg", "is it?", ("yes",) * 10, "yes", "yes/no", "is it"),
    VqaQuestion(2, 7, "a.jpg", "how many?", ("2",) * 8 + ("3",) * 2, "2", "number", "how many"),
    VqaQuestion(3, 8, "b.jpg", "what?", ("cat",) * 10, "cat", "other", "what"),
]


def test_answers_are_scored_record_by_record() -> None:
    table = score_vqa(ASKED, {1: "yes", 2: "three"})
    assert table.accuracy.tolist() == pytest.approx([1.0, 0.6, 0.0])
    assert table.answers == ("yes", "three", None)
    scores = vqa_scores(table)
    assert {name: len(of.values) for name, of in scores.items()} == {"overall": 3, "yes/no": 1, "number": 1, "other": 1}
    assert scores["overall"].pictures.tolist() == [0, 0, 1]


def test_a_score_above_peoples_is_remarked() -> None:
    answers = {1: "yes", 2: "2", 3: "the cat"}
    asked = [*ASKED[:2], replace(ASKED[2], answers=("cat",) * 9 + ("dog",))]
    remarks = list(remarks_on("ours", asked, score_vqa(asked, answers), blind_of(asked)))
    assert any("is above people's, about 83 %" in remark for remark in remarks)


def test_questions_without_annotations_are_refused() -> None:
    with pytest.raises(InputError, match="expected questions with annotations"):
        score_vqa([replace(ASKED[0], answers=())], {1: "yes"})
    with pytest.raises(InputError, match="expected questions with annotations"):
        score_vqa([], {})
