"""Sentences and tables of the reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception_datasets.image_text.vqa import VqaQuestion
from perception_tools.image_text.report.writer import accuracy_table, answer_findings, type_table, write_answer_report
from perception_tools.image_text.scoring import score_side_by_side

ASKED = [
    VqaQuestion(1, 7, "a.jpg", "is it?", ("yes",) * 10, "yes", "yes/no", "is it"),
    VqaQuestion(2, 8, "b.jpg", "is it?", ("no",) * 10, "no", "yes/no", "is it"),
    VqaQuestion(3, 9, "c.jpg", "<b>what</b>?", ("cat",) * 10, "cat", "other", "<b>what"),
]


@pytest.fixture
def metrics(tmp_path: Path) -> dict:
    answers = {"ours": {1: "yes", 2: "no", 3: "dog"}, "theirs": {1: "no", 2: "no", 3: "cat"}}
    return score_side_by_side(ASKED, answers, tmp_path, {})


def test_the_headline_says_what_blind_answers_score(metrics: dict) -> None:
    (sentence,) = answer_findings(metrics)
    assert "ours has an accuracy of 66.67 %" in sentence
    assert "the best answer to each type of question has 66.67 %" in sentence
    assert "chosen with the true answers in hand" in sentence


def test_tables_hold_every_system_and_the_oracles(metrics: dict) -> None:
    systems = {metrics["name"]: metrics} | metrics["others"]
    table = accuracy_table(systems, metrics["blind_answers"])
    assert [heading for heading, _ in table.rows] == [
        "ours", "theirs", "always 'cat', an oracle", "best answer to each question type, an oracle"
    ]  # fmt: skip
    kinds = type_table(systems)
    assert kinds.rows[0][0] == "is it", "the most frequent one first"
    assert [cell.text for cell in kinds.rows[0][1]] == ["2", "100.00", "50.00"]


def test_the_page_escapes_what_is_asked(metrics: dict, tmp_path: Path) -> None:
    write_answer_report(tmp_path / "report.html", metrics, "made <i>questions</i>")
    page = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;what" in page
    assert "<i>questions" not in page
    assert "Question by question" in page
