from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from perception.errors import InputError
from perception_tools.scene_qa.rotations import evaluate_rotations


def write(folder: Path, ids: list[list[int]], answers: list[dict[str, str]]) -> tuple[list[Path], list[Path]]:
    questions, predictions = [], []
    for i, (numbers, given) in enumerate(zip(ids, answers, strict=True)):
        items = [
            {"scene_id": "s", "situation": "I", "question": "?", "question_id": n, "answers": [{"answer": "bed"}]}
            for n in numbers
        ]
        questions.append(folder / f"q{i}.json")
        predictions.append(folder / f"p{i}.json")
        questions[-1].write_text(json.dumps({"questions": items}))
        predictions[-1].write_text(json.dumps(given))
    return questions, predictions


def test_answers_are_joined_by_the_question_and_those_not_asked_everywhere_are_left_out(tmp_path: Path) -> None:
    ids = [[10, 11], [1001, 1101], [1002], [1003]]
    files = write(tmp_path, ids, [{"10": "Answer: bed"}, {"1001": "bed"}, {"1002": "bed"}, {"1003": "no"}])
    metrics = evaluate_rotations(*files, tmp_path / "out", clean=True)
    assert (metrics["questions"], metrics["left_out"]) == (1, 2)
    assert metrics["em1_cleaned"]["at_least"] == (1.0, 1.0, 1.0, 0.0)
    records = pq.read_table(tmp_path / "out" / "records.parquet").to_pylist()
    assert [(record["rotation_deg"], record["question_id"], record["id_in_file"]) for record in records] == [
        (0, 10, 10), (90, 10, 1001), (180, 10, 1002), (270, 10, 1003)
    ]  # fmt: skip
    assert records[0]["answer"] == "bed"


def test_files_that_share_no_question_are_refused(tmp_path: Path) -> None:
    files = write(tmp_path, [[10], [20], [30], [40]], [{str(n): "bed"} for n in (10, 20, 30, 40)])
    with pytest.raises(InputError, match=r"q0\.json: expected questions that every rotation asks, found none"):
        evaluate_rotations(*files, tmp_path / "out")
