"""Reader of SQA3D's files: questions asked from a described place in a ScanNet scan, with answers and poses.

Ma et al., *SQA3D: Situated Question Answering in 3D Scenes* (ICLR 2023), https://arxiv.org/abs/2210.07474; files from
https://zenodo.org/records/7792397. All values are read by key, because the README and the files order the components
of the quaternion differently. An early release swapped the names of val and test; compare the scenes where that
matters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from perception_datasets.errors import bad_file, reading

SPLITS = ("train", "val", "test")
UNIT_TOLERANCE = 1e-3
"""The released quaternions have length 1 within 1e-13; one farther off is not a rotation."""

CURE = "use the files of SQA3D's release (https://zenodo.org/records/7792397)"


@dataclass(frozen=True)
class Pose:
    """Pose of the asker in the frame of SQA3D's files.

    That frame has the axes of the raw scan; its origin is the centre of the bounding box of the raw scan's vertices.

    Attributes:
        position: Position in metres. The height is always 0, because only x and y were annotated.
        rotation: Unit quaternion x, y, z, w, a rotation about z; the asker looks along the negative x axis.
    """

    position: Float64[np.ndarray, " 3"]
    rotation: Float64[np.ndarray, " 4"]


@dataclass(frozen=True)
class Sqa3dQuestion:
    """A question as the files state it.

    Attributes:
        id: `question_id` of the files.
        scene_id: ScanNet's name of the scan.
        situation: Description of the asker's place.
        alternative_situations: Up to two other descriptions of the same place.
        question: Text of the question.
        answers: Accepted answers, usually one; empty if no annotations were read.
        pose: Pose of the asker; None if no annotations were read.
    """

    id: int
    scene_id: str
    situation: str
    alternative_situations: tuple[str, ...]
    question: str
    answers: tuple[str, ...] = ()
    pose: Pose | None = None


@dataclass(frozen=True)
class Sqa3dSituation:
    """A described place: a record of the localisation task.

    Attributes:
        id: `situation_id` of the files.
        scene_id: ScanNet's name of the scan.
        situation: Description of the place.
        augmented: Whether it is an alternative description of another situation's place.
        pose: Pose of the described person.
    """

    id: int
    scene_id: str
    situation: str
    augmented: bool
    pose: Pose


def question_files(folder: Path, split: str) -> tuple[Path, Path]:
    """Returns the question file and the annotation file of a split, in the release's folder or in `balanced`."""
    names = (f"v1_balanced_questions_{split}_scannetv2.json", f"v1_balanced_sqa_annotations_{split}_scannetv2.json")
    for place in (folder, folder / "balanced", folder / "sqa_task" / "balanced"):
        if all((place / name).is_file() for name in names):
            return place / names[0], place / names[1]
    raise bad_file(folder, f"expected the files {names[0]} and {names[1]} in it or in balanced/", CURE)


def read_questions(questions: Path, annotations: Path | None = None) -> list[Sqa3dQuestion]:
    """Reads all questions of a file in order, joined to their annotations by question id.

    Raises:
        RecordError: A file is broken, an id occurs twice, or the annotations do not belong to the questions.
    """
    with reading(questions, CURE):
        plain = [_question(item) for item in _items(questions, "questions")]
    _check_unique(questions, "question_id", (question.id for question in plain))
    return plain if annotations is None else _annotate(plain, questions, annotations)


def read_situations(situations: Path, annotations: Path) -> list[Sqa3dSituation]:
    """Reads all situations of a file in order, joined to the localisation annotations by situation id.

    Raises:
        RecordError: A file is broken, an id occurs twice, or the annotations do not belong to the situations.
    """
    with reading(annotations, CURE):
        poses = {_number(item, "situation_id"): _pose(item) for item in _items(annotations, "annotations")}
    with reading(situations, CURE):
        items = _items(situations, "situations")
        ids = [_number(item, "situation_id") for item in items]
    _check_unique(situations, "situation_id", ids)
    _check_joined(annotations, "situation", ids, poses)
    with reading(situations, CURE):
        return [
            Sqa3dSituation(i, _text(item, "scene_id"), _text(item, "situation"), bool(item["augmented"]), poses[i])
            for i, item in zip(ids, items, strict=True)
        ]


def _annotate(plain: list[Sqa3dQuestion], questions: Path, annotations: Path) -> list[Sqa3dQuestion]:
    """Returns the questions with their answers and poses."""
    with reading(annotations, CURE):
        items = _items(annotations, "annotations")
        ids = [_number(item, "question_id") for item in items]
        annotation_of = {
            i: (_text(item, "scene_id"), tuple(_text(answer, "answer") for answer in item["answers"]), _pose(item))
            for i, item in zip(ids, items, strict=True)
        }
    _check_unique(annotations, "question_id", ids)
    _check_joined(annotations, "question", [question.id for question in plain], annotation_of)
    joined = []
    for question in plain:
        scene, answers, pose = annotation_of[question.id]
        if scene != question.scene_id or not answers:
            expected = f"expected an answer in scene {question.scene_id}, as in {questions.name}"
            raise bad_file(
                annotations, f"question {question.id}: {expected}, found {len(answers)} answers in {scene}", CURE
            )
        joined.append(replace(question, answers=answers, pose=pose))
    return joined


def _items(path: Path, key: str) -> list[dict]:
    """Returns the list under a key of a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise bad_file(path, f'expected {{"{key}": [...]}} at the top level', CURE)
    return content[key]


def _question(item: dict) -> Sqa3dQuestion:
    return Sqa3dQuestion(
        id=_number(item, "question_id"),
        scene_id=_text(item, "scene_id"),
        situation=_text(item, "situation"),
        alternative_situations=_alternatives(item),
        question=_text(item, "question"),
    )


def _number(item: dict, key: str) -> int:
    """Returns an id; as text it is accepted too, because other tools write it so."""
    value = item[key]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"expected a whole number as {key}, found {value!r}")
    return int(value)


def _text(item: dict, key: str) -> str:
    value = item[key]
    if not isinstance(value, str):
        raise TypeError(f"expected a text as {key}, found {value!r}")
    return value


def _alternatives(item: dict) -> tuple[str, ...]:
    texts = item.get("alternative_situation", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"expected a list of texts as alternative_situation, found {texts!r}")
    return tuple(texts)


def _pose(item: dict) -> Pose:
    position = np.array([item["position"][axis] for axis in ("x", "y", "z")], dtype=np.float64)
    rotation = np.array([item["rotation"][axis] for axis in ("_x", "_y", "_z", "_w")], dtype=np.float64)
    if not (np.isfinite(position).all() and abs(np.linalg.norm(rotation) - 1) < UNIT_TOLERANCE):
        raise ValueError(
            f"expected a finite position and a unit quaternion, found {item['position']}, {item['rotation']}"
        )
    return Pose(position, rotation)


def _check_unique(path: Path, key: str, ids: Iterable[int]) -> None:
    seen: set[int] = set()
    for i in ids:
        if i in seen:
            raise bad_file(path, f"expected each {key} once, found {i} twice", CURE)
        seen.add(i)


def _check_joined(annotations: Path, noun: str, ids: Iterable[int], annotation_of: dict) -> None:
    missing = [i for i in ids if i not in annotation_of]
    if missing:
        reason = f"it has no annotation for {len(missing)} of the {noun}s, the first is {missing[0]}"
        raise bad_file(annotations, reason, f"give the annotations of the same split as the {noun}s")
