from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from perception.errors import InputError
from perception.metrics.question_answering import HEADLINE, METRICS
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception.texts.answers import AnswerVocabulary
from perception_tools.scene_qa.scoring import AnsweringSystem, QuestionDetails, baseline, evaluate_answers

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
        "records.parquet",
        "report.html",
    ]


def test_the_first_system_is_paired_with_every_other_that_was_asked_for_by_every_score(tmp_path: Path) -> None:
    metrics = evaluate(tmp_path, AnsweringSystem("a", TRUE), baseline("majority", QUESTIONS))
    assert metrics["paired"].keys() == {"majority"}
    assert metrics["paired"]["majority"].keys() == {
        *METRICS, *(f"situation_{name}" for name in HEADLINE)
    }  # fmt: skip
    assert metrics["paired"]["majority"]["em1"] == {
        "both": 2, "first_only": 2, "second_only": 0, "neither": 0,
        "difference": 0.5, "interval": [0.0, 1.0], "p_value": 0.5, "told_apart": False,
    }  # fmt: skip
    assert set(metrics["others"]) == {"majority", "majority-per-type"}


def test_every_printed_score_is_printed_with_its_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(tmp_path, AnsweringSystem("a", TRUE), AnsweringSystem("b", {3: ["Chair."]}))
    printed = capsys.readouterr().out
    lines = printed[printed.index("a against b") :].splitlines()[1:6]
    assert [line.split()[0] for line in lines] == list(HEADLINE)
    assert all("not told apart" in line for line in lines)


def test_scores_are_shown_even_if_they_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("a file in the place of the folder")
    with pytest.raises(InputError, match="cannot be written"):
        evaluate(tmp_path / "out", AnsweringSystem("a", TRUE))
    assert "1.000000" in capsys.readouterr().out


def test_runs_of_a_recipe_are_averaged_and_a_blind_one_filters_the_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [AnsweringSystem("r1", TRUE, recipe="r"), AnsweringSystem("r2", {1: ["yes"]}, recipe="r")]
    blind = AnsweringSystem("deaf", {1: ["Yes"], 2: ["yes"]}, recipe="blind", is_blind=True)
    metrics = evaluate(tmp_path, *runs, blind)
    assert metrics["recipes"]["r"]["runs"] == ["r1", "r2"]
    assert metrics["recipes"]["r"]["scores"]["em1"] == {
        "mean": 0.625, "standard_deviation": pytest.approx(0.5303, abs=1e-4), "lowest": 0.25, "highest": 1.0
    }  # fmt: skip
    against = metrics["recipes"]["blind"]["first_against_this"]["em1"]
    assert against["difference"] == pytest.approx(0.375)
    assert "r, mean" in capsys.readouterr().out
    left = metrics["beyond_blind"]
    assert (left["blind"], left["rule"]) == (["deaf"], "em1_cleaned")
    assert {name: (of["questions"], of["em1"]) for name, of in left["systems"].items()} == {
        "r1": (2, 1.0), "r2": (2, 0.0), "deaf": (2, 0.0)
    }  # fmt: skip
    assert left["paired"].keys() == {"r2", "deaf"}
    assert "deaf answers without the scene; 2 questions are left" in "\n".join(metrics["notes"])


@pytest.mark.parametrize(
    ("answers", "left", "remark"),
    [
        (TRUE, None, "answers every question without the scene (EM@1 cleaned), so none is left"),
        ({1: ["no"]}, 4, "answers no question without the scene (EM@1 cleaned), so all 4 are left"),
    ],
)
def test_a_blind_system_that_leaves_nothing_or_everything_is_remarked_on(
    answers: dict, left: int | None, remark: str, tmp_path: Path
) -> None:
    metrics = evaluate(tmp_path, AnsweringSystem("ours", TRUE), AnsweringSystem("deaf", answers, is_blind=True))
    found = metrics["beyond_blind"] and metrics["beyond_blind"]["systems"]["ours"]["questions"]
    assert found == left
    (note,) = (note for note in metrics["notes"] if note.startswith("deaf answers"))
    assert remark in note
    assert "Check that this is what a system without the scene predicted" in note


def test_what_says_nothing_is_scored_beside_the_systems(tmp_path: Path) -> None:
    metrics = evaluate(tmp_path, AnsweringSystem("a", TRUE))
    letter, listing = metrics["easy_answers"]
    assert (letter["answer"], letter["refined"]) == ("“y”", 0.75)  # in "yes" and "yoga mat"
    assert listing["refined"] == 1.0
    assert metrics["rules"]["refined"]["used_by"].startswith("EM-R of LEO")
    assert metrics["others"]["majority"]["refined_ways"] == {"equal": 2, "words": 0, "long": 0, "letters": 0}


def test_a_data_sets_own_ids_and_types_are_written(tmp_path: Path) -> None:
    details = QuestionDetails(
        kinds={"msqa": ["counting", "existence", "counting", "existence"]},
        groups={"object": ["1", "1", "2", "3"]},
        ids={1: "val-1", 2: "val-2", 3: "val-3", 4: "val-4"},
    )
    metrics = evaluate_answers(
        QUESTIONS, [AnsweringSystem("a", {1: ["yes"]})], tmp_path, vocabulary=None, data_name="d", details=details
    )
    assert metrics["by_type"]["msqa"]["counting"]["em1"] == 0.5
    assert metrics["all_right"]["object"]["groups"] == 3
    records = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert [record["question_id"] for record in records] == ["val-1", "val-2", "val-3", "val-4"]
    assert "val-2" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Published rows" not in (tmp_path / "report.html").read_text(encoding="utf-8")


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
