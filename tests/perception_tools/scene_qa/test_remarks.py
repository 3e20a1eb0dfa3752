"""What looks like no model's work is remarked on."""

from __future__ import annotations

import numpy as np
import pytest

from perception.scenes.scene import SceneQuestion, Viewpoint
from perception_tools.scene_qa.remarks import remarks_on_answers, remarks_on_viewpoints

TRUTHS = {number: ("yes",) if number % 2 else ("no",) for number in range(20)}
MIXED = {**{number: ranked for number, ranked in TRUTHS.items() if number < 10}, **{n: ("a", "yes") for n in (10, 11)}}


def test_usual_answers_are_not_remarked_on() -> None:
    assert remarks_on_answers("m", MIXED, TRUTHS) == []
    assert remarks_on_answers("m", {}, TRUTHS) == []
    assert remarks_on_answers("m", {1: ()}, TRUTHS) == []


def test_the_truth_is_recognised_also_with_capitals_and_full_stops() -> None:
    (remark,) = remarks_on_answers("m", {number: (f"{truth[0].title()}.",) for number, truth in TRUTHS.items()}, TRUTHS)
    assert remark.startswith("m: all 20 answers are right. Check that the file holds predictions, not true answers")
    (remark,) = remarks_on_answers("m", {1: ("yes",)}, TRUTHS)
    assert remark.startswith("m: the answer is right.")


def test_more_than_people_reach_is_remarked_on() -> None:
    (remark,) = remarks_on_answers("m", {**TRUTHS, 0: ("a",)}, TRUTHS)
    assert "more answers are right than people's (90 %)" in remark
    assert remarks_on_answers("m", {**TRUTHS, 0: ("a",), 1: ("a",)}, TRUTHS) == []


def test_one_answer_for_all_and_none_that_is_right_are_remarked_on() -> None:
    assert remarks_on_answers("m", {n: ("yes",) for n in TRUTHS}, TRUTHS) == ["m: all 20 answers are the same, 'yes'."]
    none, same = remarks_on_answers("m", {n: ("x",) for n in TRUTHS}, TRUTHS)
    assert none == "m: none of the 20 answers is right. Check which field holds the answers."
    assert same == "m: all 20 answers are the same, 'x'."


@pytest.mark.parametrize("token", ["</s>", "<pad>", "<|im_end|>", "[PAD]"])
def test_a_tokenizers_special_tokens_are_remarked_on(token: str) -> None:
    (remark,) = remarks_on_answers("m", {**MIXED, 12: (f"chair{token}",)}, TRUTHS)
    assert f"a tokenizer's special tokens, such as {token!r}, stand in 1 of the answers" in remark


def test_annotated_places_are_not_taken_for_guesses_unremarked() -> None:
    turn = np.array([0.0, 0.0, 0.0, 1.0])
    asked = [SceneQuestion(n, "s", "", "", ("yes",), Viewpoint(np.array([n, 1.0, 0.0]), turn)) for n in (1, 2)]
    true = {question.id: question.viewpoint for question in asked if question.viewpoint is not None}
    (remark,) = remarks_on_viewpoints("m", true, asked)
    assert remark.startswith("m: every asker's position is the annotated one.")
    assert remarks_on_viewpoints("m", {**true, 2: Viewpoint(np.array([2.0, 1.2, 0.0]), turn)}, asked) == []
    assert remarks_on_viewpoints("m", {}, asked) == []
