from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception.texts.answers import AnswerVocabulary
from perception_tools.scene_qa.scoring import AnsweringSystem, baseline, evaluate_answers

VOCABULARY = AnswerVocabulary(("yes", "no", "chair"))
HERE = Viewpoint(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
QUESTIONS = [
    SceneQuestion(1, "scene0", "I sit.", "Is it open?", ("yes",), HERE),
    SceneQuestion(2, "scene0", "I sit.", "Is it red?", ("yes",), HERE),
    SceneQuestion(3, "scene1", "I stand.", "What is <b>here</b>?", ("chair",), HERE),
    SceneQuestion(4, "scene1", "I stand.", "What's there?", ("yoga mat",), None),
]
TRUE = {question.id: question.answers for question in QUESTIONS}


def evaluate(out: Path, *systems: AnsweringSystem, vocabulary: AnswerVocabulary | None = VOCABULARY) -> dict:
    metrics = evaluate_answers(QUESTIONS, systems, out, vocabulary=vocabulary, data_name="four questions")
    assert json.loads((out / "metrics.json").read_text()) == metrics
    return metrics


def test_the_contracts_numbers_stand_at_the_top_and_both_baselines_among_the_others(tmp_path: Path) -> None:
    metrics = evaluate(tmp_path / "new", AnsweringSystem("ours", {1: ["yes"], 2: ["no", "yes"], 3: ["chair"]}))
    assert (metrics["name"], metrics["questions"], metrics["out_of_vocabulary"]) == ("ours", 4, 1)
    assert (metrics["em1"], metrics["em10"]) == (0.5, 0.75)
    assert metrics["by_type"]["first_token"]["is"]["em1"] == 0.5
    assert set(metrics["others"]) == {"majority", "majority-per-type"}
    assert metrics["others"]["majority"]["em1"] == 0.5
    assert metrics["others"]["majority-per-type"]["em1"] == 1.0
    assert metrics["paired"] == {}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "answers.jsonl",
        "metrics.json",
        "report.html",
    ]


def test_the_first_system_is_paired_with_every_other_that_was_asked_for(tmp_path: Path) -> None:
    metrics = evaluate(tmp_path, AnsweringSystem("a", TRUE), baseline("majority", QUESTIONS))
    assert metrics["paired"] == {
        "majority": {
            "both": 2, "first_only": 2, "second_only": 0, "neither": 0,
            "difference": 0.5, "interval": [0.0, 1.0], "p_value": 0.5, "told_apart": False,
        }
    }  # fmt: skip
    assert set(metrics["others"]) == {"majority", "majority-per-type"}


def test_each_question_is_written_with_what_every_system_said(tmp_path: Path) -> None:
    evaluate(tmp_path, AnsweringSystem("a", TRUE), AnsweringSystem("b", {3: ["Chair.", "desk"]}))
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [line["question_id"] for line in lines] == [1, 2, 3, 4]
    assert lines[2]["systems"]["b"] == {
        "answers": ["Chair.", "desk"], "em1": False, "em10": False, "em1_cleaned": True, "refined": True,
        "lenient": True,
    }  # fmt: skip
    assert lines[3]["systems"]["b"]["answers"] == []
    assert lines[3]["type"] == "other"


def test_a_reader_is_told_what_to_know_before_quoting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = evaluate(tmp_path, AnsweringSystem("b", {3: ["Chair."], 1: ["yes"]}), baseline("majority", QUESTIONS))
    notes = "\n".join(metrics["notes"])
    assert "b: 2 of 4 questions have no answer; they count as wrong." in notes
    assert "b: one answer a question was given, so EM@10 is EM@1." in notes
    assert "b: right but for case, punctuation, articles or digits: 1, such as 'Chair.' for 'chair'." in notes
    assert "majority was counted on the very questions" in notes
    printed = capsys.readouterr().out
    assert notes in printed
    assert "0.250000" in printed


def test_without_a_dictionary_that_is_said(tmp_path: Path) -> None:
    metrics = evaluate(tmp_path, AnsweringSystem("a", TRUE), vocabulary=None)
    assert metrics["out_of_vocabulary"] is None
    assert "No answer dictionary" in "\n".join(metrics["notes"])


def test_places_are_scored_over_every_question_that_has_one(tmp_path: Path) -> None:
    near = replace(HERE, position=np.array([0.6, 0.0, 1.0]))
    assert evaluate(tmp_path, AnsweringSystem("a", TRUE))["localization"] is None
    scores = evaluate(tmp_path, AnsweringSystem("a", TRUE, {1: near, 2: HERE}))["localization"]
    assert scores == {
        "questions": 3, "given": 2, "acc_0.5m": pytest.approx(1 / 3), "acc_1m": pytest.approx(2 / 3),
        "acc_15deg": pytest.approx(2 / 3), "acc_30deg": pytest.approx(2 / 3),
    }  # fmt: skip


def test_answers_to_questions_that_were_not_asked_are_refused_by_id(tmp_path: Path) -> None:
    strangers = AnsweringSystem("ours", dict.fromkeys(range(4, 12), ("yes",)))
    with pytest.raises(InputError, match=r"ours: .* got 7 for question ids .* \(5, 6, 7, 8, 9, …\)"):
        evaluate(tmp_path, strangers)
    with pytest.raises(InputError, match=r"got 1 for question ids .* \(9\)"):
        evaluate(tmp_path, AnsweringSystem("ours", TRUE, {9: HERE}))
    assert list(tmp_path.iterdir()) == []


def test_a_system_may_not_have_the_name_of_another_or_of_a_baseline(tmp_path: Path) -> None:
    for name in ("ours", "majority"):
        with pytest.raises(InputError, match="expected systems of different names"):
            evaluate(tmp_path, AnsweringSystem("ours", TRUE), AnsweringSystem(name, TRUE))


def test_nothing_to_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least one system"):
        evaluate(tmp_path)


def test_the_page_shows_a_question_as_text(tmp_path: Path) -> None:
    evaluate(tmp_path, AnsweringSystem("a", {}))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What is &lt;b&gt;here&lt;/b&gt;?" in html
    assert "<b>here</b>" not in html
