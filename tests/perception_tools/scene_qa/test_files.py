"""From files to numbers: the released test split must give the constants that are known of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception.texts.answers import AnswerVocabulary
from perception_datasets.sqa3d.answer_dict import write_answer_dict
from perception_datasets.sqa3d.questions import question_files, read_questions
from perception_tools.scene_qa.files import evaluate_files, find_answer_dict

PLACE = {"position": {"x": 1.0, "y": 2.0, "z": 0}, "rotation": {"_x": 0, "_y": 0, "_z": 0, "_w": 1}}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two questions and their annotations, one with an answer outside the dictionary that lies one folder up."""
    folder = tmp_path / "sqa_task" / "balanced"
    folder.mkdir(parents=True)
    asked = [
        {"question_id": n, "scene_id": "scene0", "situation": "I sit.", "question": text, "alternative_situation": []}
        for n, text in ((1, "Is it open?"), (2, "What is it?"))
    ]
    annotated = [
        {"question_id": n, "scene_id": "scene0", "answers": [{"answer": answer}], **PLACE}
        for n, answer in ((1, "yes"), (2, "yoga mat"))
    ]
    paths = (
        folder / "v1_balanced_questions_val_scannetv2.json",
        folder / "v1_balanced_sqa_annotations_val_scannetv2.json",
    )
    paths[0].write_text(json.dumps({"questions": asked}))
    paths[1].write_text(json.dumps({"annotations": annotated}))
    write_answer_dict(tmp_path / "sqa_task" / "answer_dict.json", AnswerVocabulary(("yes", "no")))
    return paths


def write_predictions(path: Path, answers: dict[str, str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(answers))
    return path


def test_the_dictionary_is_found_in_the_release_or_given(files: tuple[Path, Path], tmp_path: Path) -> None:
    metrics = evaluate_files(*files, tmp_path / "out", baseline="majority")
    assert (metrics["out_of_vocabulary"], metrics["data"]) == (1, "SQA3D val")
    write_answer_dict(tmp_path / "other.json", AnswerVocabulary(("yes", "yoga mat")))
    metrics = evaluate_files(*files, tmp_path / "out", baseline="majority", answers=tmp_path / "other.json")
    assert metrics["out_of_vocabulary"] == 0
    assert find_answer_dict(tmp_path / "elsewhere" / "deep" / "a.json") is None


def test_files_of_one_name_are_told_apart_by_their_folders(files: tuple[Path, Path], tmp_path: Path) -> None:
    first = write_predictions(tmp_path / "a" / "predictions.json", {"1": "yes"})
    second = write_predictions(tmp_path / "b" / "predictions.json", {"1": "no"})
    metrics = evaluate_files(*files, tmp_path / "out", predictions=[first, second])
    assert metrics["name"] == "predictions [a]"
    assert metrics["em1"] == 0.5
    assert metrics["others"]["predictions [b]"]["em1"] == 0.0
    with pytest.raises(InputError, match="expected systems of different names"):
        evaluate_files(*files, tmp_path / "out", predictions=[first, first])


def test_a_file_with_the_name_of_a_baseline_is_told_from_it(files: tuple[Path, Path], tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "a" / "majority.json", {"1": "no"})
    metrics = evaluate_files(*files, tmp_path / "out", predictions=[path])
    assert (metrics["name"], metrics["em1"]) == ("majority [a]", 0.0)
    assert metrics["others"]["majority"]["em1"] == 0.5


def test_a_place_is_compared_in_the_frame_of_the_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    item = {"question_id": 1, "answer": "yes", "position": [1.0, 2.4, 0.0], "rotation": [0, 0, 0, 1]}
    (tmp_path / "p.json").write_text(json.dumps([item]))
    scores = evaluate_files(*files, tmp_path / "out", predictions=[tmp_path / "p.json"])["localization"]
    assert (scores["questions"], scores["given"], scores["acc_0.5m"], scores["acc_15deg"]) == (2, 1, 0.5, 0.5)


def test_nothing_to_score_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --predictions FILE or --baseline NAME"):
        evaluate_files(*files, tmp_path / "out")


def test_the_released_test_split_gives_the_known_constants(real_data: Path, tmp_path: Path) -> None:
    questions, annotations = question_files(real_data / "sqa3d", "test")
    truth = {str(question.id): question.answers[0] for question in read_questions(questions, annotations)}
    perfect = write_predictions(tmp_path / "perfect.json", truth)
    metrics = evaluate_files(questions, annotations, tmp_path / "out", predictions=[perfect])
    assert (metrics["questions"], metrics["scenes"], metrics["out_of_vocabulary"]) == (3519, 67, 95)
    assert metrics["em1"] == metrics["em10"] == 1.0
    counts = {rule: [group["questions"] for group in groups.values()] for rule, groups in metrics["by_type"].items()}
    assert counts["first_token"] == [1144, 652, 465, 338, 351, 569]
    assert counts["mcan"] == [1147, 652, 465, 338, 351, 566]
    assert metrics["others"]["majority"]["em1"] == 385 / 3519
    assert round(100 * metrics["others"]["majority-per-type"]["em1"], 4) == 21.3129
    by_type = metrics["others"]["majority-per-type"]["by_type"]["first_token"]
    assert [round(100 * group["em1"], 2) for group in by_type.values()] == [4.98, 15.64, 34.62, 54.73, 36.75, 20.39]
