"""VQA's normalisation of answers: its tables, its five peculiar behaviours, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.texts.vqa_normalization import (
    ARTICLES,
    CONTRACTIONS,
    DIGIT_WORDS,
    PUNCTUATION,
    normalize_vqa,
)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("Two dogs", "2 dogs"),
        ("none", "0"),
        ("the cat", "cat"),
        ("a", ""),
        ("dont know", "don't know"),
        ("Isnt it", "isn't it"),
        ("t-shirt", "t shirt"),  # no blank touches the hyphen
        ("black-white - grey", "blackwhite grey"),  # one does, anywhere, so both vanish
        ("1,000", "1000"),
        ("1,000 a/b", "1000 ab"),  # a comma between digits makes all marks vanish
        ("yes.", "yes"),
        ("2.5", "2.5"),
        ("x" + "." * 40, "x" + "." * 8),  # at most 32 full stops go
        ("new\nyork\tcity ", "new york city"),
    ],
)
def test_answers_are_normalised_as_by_the_official_code(given_text: str, expected: str) -> None:
    assert normalize_vqa(given_text) == expected


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=30))
def test_no_article_no_capital_and_no_digit_word_is_left(text: str) -> None:
    words = normalize_vqa(text).split()
    assert not set(words) & {*ARTICLES, *DIGIT_WORDS}
    assert all(word == word.lower() for word in words)


def test_the_tables_are_those_of_the_official_code(real_data: Path) -> None:
    tables = json.loads((real_data / "lists" / "vqa_eval_tables.json").read_text())
    assert dict(CONTRACTIONS) == tables["contractions"]
    assert dict(DIGIT_WORDS) == tables["manualMap"]
    assert list(ARTICLES) == tables["articles"]
    assert list(PUNCTUATION) == tables["punct"]


def test_answers_of_the_published_table_are_normalised_already(real_data: Path) -> None:
    answers = json.loads((real_data / "vqa" / "trainval_label2ans.json").read_text())
    changed = [answer for answer in answers if normalize_vqa(answer) != answer]
    assert len(changed) <= 15, changed
