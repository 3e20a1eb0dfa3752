"""The three published rules, compared with the published scripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.metrics.answer_matching import (
    RULES,
    clean_answer,
    matches_cleaned,
    matches_lenient,
    matches_refined,
    normalize_answer,
)
from perception.metrics.question_answering import HEADLINE
from perception_datasets.sqa3d.questions import question_files, read_questions

PUBLISHED_NORMALISATION = {
    "The 2 chairs.": "two chairs",
    " yes. ": "yes",
    "yes .": "yes ",
    "Yes, it is!": "yes, it is",
    "a the chair": "chair",
    "a a chair": "a chair",
    "the": "the",
    "a TV": "TV",
    "at 12 o' clock": "at twelve o'clock",
    "3 oclock": "three o'clock",
    "None": "zero",
    "let": "left",
    "rigth  side": "right side",
    "mat2": "mat",
    "x12": "x12",
    "walk backwards": "walk backward",
    "21": "21",
    "23 books": "twenty-three books",
    "café": "caf",
    "it's a wasing-machine": "it's washing-machine",
    "behine me: chai": "behind me: chair",
    "the 1st": "the 1st",
}
"""Outputs of SQA3D's LLM/eval_sqa3d_llm.py (equal to LEO's data_utils.py), which we ran."""


@pytest.mark.parametrize("text", PUBLISHED_NORMALISATION)
def test_answers_are_normalised_as_by_the_published_script(text: str) -> None:
    assert normalize_answer(text) == PUBLISHED_NORMALISATION[text]


@pytest.mark.parametrize(
    ("answer", "truth", "cleaned", "refined", "lenient"),
    [
        ("Yes.", "yes", True, True, True),
        ("2", "two", True, True, True),
        ("None", "none", True, True, False),  # only refined and cleaned clean the truth too
        ("armchair", "arm chair", False, True, True),
        ("brown chair", "chair", False, True, True),  # contains the truth, and shares a word
        ("chair", "brown chair", False, True, True),
        ("wooden table", "wooden desk", False, False, True),
        ("bookshelf", "book", False, True, False),  # lenient does not ask whether the answer contains the truth
        ("left", "right", False, False, False),
        ("TV", "TV", True, True, True),
    ],
)
def test_the_rules_differ_as_the_published_scripts_do(
    answer: str, truth: str, cleaned: bool, refined: bool, lenient: bool
) -> None:
    rules = (matches_cleaned, matches_refined, matches_lenient)
    assert tuple(rule(answer, [truth]) for rule in rules) == (cleaned, refined, lenient)
    assert tuple(rule(answer, ["something else", truth]) for rule in rules) == (cleaned, refined, lenient)


@pytest.mark.parametrize("answer", ["", "  ", "?!", "."])
@pytest.mark.parametrize("rule", [matches_cleaned, matches_refined, matches_lenient])
def test_an_empty_answer_is_wrong_under_every_rule(answer: str, rule) -> None:
    assert not rule(answer, ["yes", ""])


@settings(deadline=None, max_examples=50)
@given(st.text(alphabet="ab 1'.-the", max_size=8), st.text(alphabet="ab 1'.-the", max_size=8))
def test_an_answer_right_after_cleaning_is_right_by_the_refined_rule(answer: str, truth: str) -> None:
    assert matches_refined(answer, [truth]) or not matches_cleaned(answer, [truth])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("chair", "chair"),
        ("brown chair", "brown chair"),
        ("clothes'", "clothes'"),
        ("9 o'clock", "9 o'clock"),
        ("Answer: chair", "chair"),
        ("Short answer: chair.</s>", "chair"),
        ("<s> chair</s></s><pad>", "chair"),
        ("</s>chair", "chair"),
        ("chair<|im_end|>\nuser: and then?", "chair"),
        ("ASSISTANT: The answer is a chair.", "a chair"),
        ("Explanation: it has four legs. Answer: chair", "chair"),
        ("Answer: chair\nExplanation: it has four legs.", "chair"),
        ("Yes, because the door is open.", "Yes"),
        ("Chair. It stands to the left of the desk.", "Chair"),
        ("<think>I see a desk. Answer: desk?</think>The answer is: **chair**", "chair"),
        ("<think>cut off before the answer", ""),
        ("<think>…</think><answer>'chair'</answer>", "chair"),
        ('"chair".', "chair"),
        ("Answer:", "Answer:"),  # nothing follows
        ("because it is red", "because it is red"),
        ("", ""),
    ],
)
def test_what_a_language_model_writes_around_its_answer_is_removed(text: str, answer: str) -> None:
    assert clean_answer(text) == answer


@given(st.lists(st.sampled_from(["Answer:", "chair", "</s>", "<s>", ".", "\n", "because", " ", "**", "'"])))
def test_a_clean_answer_is_one_line_and_stays_as_it_is(parts: list[str]) -> None:
    answer = clean_answer("".join(parts))
    assert clean_answer(answer) == answer or "because" in answer
    assert "</s>" not in answer


def test_the_true_answers_of_the_test_split_are_clean(real_data: Path) -> None:
    questions = read_questions(*question_files(real_data / "sqa3d", "test"))
    changed = [answer for question in questions for answer in question.answers if clean_answer(answer) != answer]
    assert changed == ["yes, because room is bright", "yes, because kitchen is bright"]


def test_every_printed_score_has_a_rule_that_says_who_uses_it() -> None:
    assert tuple(RULES) == HEADLINE
    for rule in RULES.values():
        assert rule.heading
        assert rule.definition.endswith(".")
        assert rule.used_by
