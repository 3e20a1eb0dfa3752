from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from perception.metrics.question_answering import METRICS
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception.texts.answers import AnswerVocabulary
from perception_tools.scene_qa.scoring import AnsweringSystem, evaluate_answers

HERE = Viewpoint(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
THERE = Viewpoint(np.array([0.6, 0.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0]))
QUESTIONS = [
    SceneQuestion(220602000000035, "scene0", "I sit.", "Is it open?", ("yes",), HERE),
    SceneQuestion(2, "scene1", "I stand.", "What is here?", ("chair",), HERE),
    SceneQuestion(3, "scene1", "I stand.", "What's there?", ("yoga mat",), None),
]
FIRST = AnsweringSystem(
    "a",
    {220602000000035: ["yes", "no"], 2: ["Chair.", "desk"]},
    {2: THERE},
    probabilities={220602000000035: [0.75, 0.25]},
)
SECOND = AnsweringSystem("b", {3: ["mat"]})


def evaluate(out: Path) -> None:
    vocabulary = AnswerVocabulary(("yes", "no", "chair"))
    evaluate_answers(QUESTIONS, [FIRST, SECOND], out, vocabulary=vocabulary, data_name="three questions")


def test_there_is_a_record_for_every_question_and_system(tmp_path: Path) -> None:
    evaluate(tmp_path)
    records = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert [(record["system"], record["question_id"]) for record in records] == [
        ("a", 220602000000035), ("a", 2), ("a", 3), ("b", 220602000000035), ("b", 2), ("b", 3)
    ]  # fmt: skip
    yes, chair, silent = records[:3]
    assert (yes["answer"], yes["answers"], yes["probabilities"]) == ("yes", ["yes", "no"], [0.75, 0.25])
    assert {name: yes[name] for name in METRICS} == dict.fromkeys(METRICS, 1)
    assert (chair["em1"], chair["em1_cleaned"], chair["refined_way"]) == (0, 1, "equal")
    assert (chair["scene_id"], chair["type"], chair["question"]) == ("scene1", "what", "What is here?")
    assert (chair["true_answers"], chair["situation"], chair["probabilities"]) == (["chair"], "I stand.", None)
    assert (silent["answer"], silent["answers"], silent["em1"], silent["refined_way"]) == (None, [], 0, None)
    assert (silent["type"], silent["type_mcan"]) == ("other", "what")
    assert records[5]["refined_way"] == "words"


def test_a_guess_of_the_place_has_its_errors(tmp_path: Path) -> None:
    evaluate(tmp_path)
    records = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert [record["distance_m"] for record in records] == [None, 0.6, None, None, None, None]
    assert [record["angle_rad"] for record in records] == [None, 0.0, None, None, None, None]


def test_the_means_of_the_records_are_the_scores(tmp_path: Path) -> None:
    evaluate(tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    records = pq.read_table(tmp_path / "records.parquet").to_pylist()
    for name in ("em1", "em10", "em1_cleaned", "refined", "lenient"):
        mean = np.mean([record[name] for record in records if record["system"] == "a"])
        assert mean == metrics[name]


def test_each_question_is_written_with_what_every_system_said(tmp_path: Path) -> None:
    evaluate(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [line["question_id"] for line in lines] == [220602000000035, 2, 3]
    assert lines[1]["systems"]["a"] == {
        "answers": ["Chair.", "desk"], "em1": False, "em10": False, "em1_cleaned": True, "refined": True,
        "lenient": True,
    }  # fmt: skip
    assert lines[1]["systems"]["b"]["answers"] == []
    assert lines[2]["type"] == "other"
