"""SQA3D's files, real and broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception_datasets.errors import RecordError
from perception_datasets.sqa3d.questions import question_files, read_questions, read_situations

PLACE = {"rotation": {"_w": 0.8, "_z": 0.6, "_y": 0, "_x": 0}, "position": {"z": 0, "y": -2.0, "x": 1.5}}


def annotation(question_id: int, answer: str = "yes", scene: str = "scene0000_00", **changes) -> dict:
    answers = [{"answer": answer, "answer_confidence": "yes", "answer_id": 1}]
    return {"scene_id": scene, "question_id": question_id, "answers": answers, **PLACE, **changes}


def question(question_id: int, text: str = "Is it open?") -> dict:
    words = {"situation": "I stand at the door.", "alternative_situation": ["The door is beside me."], "question": text}
    return {"scene_id": "scene0000_00", "question_id": question_id, **words}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[dict], list[dict]], tuple[Path, Path]]:
    """Writes the two files of a split."""

    def write_files(questions: list[dict], annotations: list[dict]) -> tuple[Path, Path]:
        paths = tmp_path / "questions.json", tmp_path / "annotations.json"
        paths[0].write_text(json.dumps({"info": {}, "questions": questions}))
        paths[1].write_text(json.dumps({"info": {}, "annotations": annotations}))
        return paths

    return write_files


def test_questions_are_joined_to_annotations_by_id_and_not_by_order(write) -> None:
    first, second = read_questions(*write([question(1), question(2)], [annotation(2, "no"), annotation(1, "yes")]))
    assert (first.id, first.answers, second.id, second.answers) == (1, ("yes",), 2, ("no",))
    assert first.alternative_situations == ("The door is beside me.",)


def test_poses_are_read_by_key_in_any_order(write) -> None:
    (joined,) = read_questions(*write([question(1)], [annotation(1)]))
    assert joined.pose is not None
    np.testing.assert_array_equal(joined.pose.position, [1.5, -2.0, 0.0])
    np.testing.assert_array_equal(joined.pose.rotation, [0.0, 0.0, 0.6, 0.8])


def test_poses_of_whole_numbers_are_floats_too(write) -> None:
    place: dict[str, Any] = {"position": {"x": 1, "y": 2, "z": 0}, "rotation": {"_x": 0, "_y": 0, "_z": 0, "_w": 1}}
    (joined,) = read_questions(*write([question(1)], [annotation(1, **place)]))
    assert joined.pose is not None
    np.testing.assert_array_equal(joined.pose.position, np.array([1.0, 2.0, 0.0]), strict=True)
    np.testing.assert_array_equal(joined.pose.rotation, np.array([0.0, 0.0, 0.0, 1.0]), strict=True)


def test_questions_without_annotations_have_neither_answers_nor_a_pose(write) -> None:
    (joined,) = read_questions(write([question(1)], [])[0])
    assert (joined.answers, joined.pose) == ((), None)


@pytest.mark.parametrize(
    ("questions", "annotations", "message"),
    [
        ([question(1), question(1)], [annotation(1)], "expected each question_id once, found 1 twice"),
        ([question(1)], [annotation(1), annotation(1)], "expected each question_id once, found 1 twice"),
        (
            [question(1), question(7)],
            [annotation(1)],
            r"annotations\.json: it has no annotation for 1 of the questions, the first is 7; give the annotations",
        ),
        ([question(1)], [annotation(1, scene="scene0001_00")], "found 1 answers in scene0001_00"),
        ([question(1)], [annotation(1, answers=[])], "found 0 answers in scene0000_00"),
        ([question(1)], [annotation(1, rotation={"_x": 0, "_y": 0, "_z": 2, "_w": 0})], "a unit quaternion"),
        ([question(1)], [annotation(1, position={"x": float("nan"), "y": 0, "z": 0})], "a finite position"),
        ([{"question_id": 1}], [annotation(1)], "it lacks 'scene_id'"),
    ],
)
def test_files_that_do_not_belong_together_are_refused_by_name(write, questions, annotations, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_questions(*write(questions, annotations))


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"questions": 3}', '{"annotations": []}'])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "q.json").write_text(content)
    with pytest.raises(RecordError, match=r"q\.json: .*; use the files of SQA3D.s release"):
        read_questions(tmp_path / "q.json")


def test_the_files_of_a_split_are_found_in_the_releases_folders(tmp_path: Path) -> None:
    names = ("v1_balanced_questions_val_scannetv2.json", "v1_balanced_sqa_annotations_val_scannetv2.json")
    with pytest.raises(RecordError, match=names[0]):
        question_files(tmp_path, "val")
    (tmp_path / "balanced").mkdir()
    for name in names:
        (tmp_path / "balanced" / name).touch()
    assert question_files(tmp_path, "val") == tuple(tmp_path / "balanced" / name for name in names)


def test_situations_are_joined_to_their_poses(tmp_path: Path) -> None:
    item = {"situation_id": 5, "scene_id": "scene0000_00", "situation": "At the door.", "augmented": True}
    (tmp_path / "s.json").write_text(json.dumps({"situations": [item]}))
    (tmp_path / "a.json").write_text(json.dumps({"annotations": [{"situation_id": 5, **PLACE}]}))
    (situation,) = read_situations(tmp_path / "s.json", tmp_path / "a.json")
    assert (situation.id, situation.situation, situation.augmented) == (5, "At the door.", True)
    np.testing.assert_array_equal(situation.pose.position, [1.5, -2.0, 0.0])


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"scene_id": "scene0000_00"}, "it lacks 'situation_id'"),
        ({"situation_id": 5}, "it lacks 'scene_id'"),
        ({"situation_id": 5, "scene_id": "scene0000_00"}, "it lacks 'situation'"),
    ],
)
def test_situations_that_lack_a_value_are_named_with_the_release(tmp_path: Path, item: dict, reason: str) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"situations": [item]}))
    (tmp_path / "a.json").write_text(json.dumps({"annotations": [{"situation_id": 5, **PLACE}]}))
    with pytest.raises(RecordError, match=rf"s\.json: {reason}.*; use the files of SQA3D's release"):
        read_situations(tmp_path / "s.json", tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({"annotations": [{"situation_id": 4, **PLACE}]}))
    (tmp_path / "s.json").write_text(json.dumps({"situations": [{"situation_id": 5}]}))
    with pytest.raises(RecordError, match=r"a\.json: it has no annotation for 1 of the situations, the first is 5"):
        read_situations(tmp_path / "s.json", tmp_path / "a.json")


def test_the_released_test_split_has_3519_questions_in_67_scenes(real_data: Path) -> None:
    questions = read_questions(*question_files(real_data / "sqa3d", "test"))
    assert len(questions) == 3519
    assert len({q.scene_id for q in questions}) == 67
    assert len({(q.scene_id, q.situation) for q in questions}) == 719
    assert {len(q.answers) for q in questions} == {1}
    assert questions[0].answers == ("piano",)


def test_every_released_situation_has_a_pose(real_data: Path) -> None:
    folder = real_data / "sqa3d"
    situations = read_situations(
        folder / "v1_situations_test_scannetv2.json", folder / "v1_localization_annotations_test_scannetv2.json"
    )
    assert len({situation.scene_id for situation in situations}) == 67
    assert all(abs(np.linalg.norm(situation.pose.rotation) - 1) < 1e-12 for situation in situations)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question_id": 1.5}, "expected a whole number as question_id, found 1.5"),
        ({"question_id": True}, "expected a whole number as question_id, found True"),
        ({"scene_id": None}, "expected a text as scene_id, found None"),
        ({"question": 3}, "expected a text as question, found 3"),
        ({"alternative_situation": "The door."}, "expected a list of texts as alternative_situation"),
    ],
)
def test_values_of_another_type_are_refused(write, changes: dict, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_questions(write([{**question(1), **changes}], [])[0])


@pytest.mark.parametrize("key", ["position", "rotation"])
def test_poses_under_other_keys_are_not_ignored(write, key: str) -> None:
    other = {f"{name}_" if name == key else name: value for name, value in annotation(1).items()}
    with pytest.raises(RecordError, match=f"annotations.json: it lacks '{key}'"):
        read_questions(*write([question(1)], [other]))
