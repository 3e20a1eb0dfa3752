"""SQA3D's own files: questions asked from a described place in a ScanNet scan, their answers, and the places.

Ma et al., *SQA3D: Situated Question Answering in 3D Scenes* (ICLR 2023), https://arxiv.org/abs/2210.07474; files of
https://zenodo.org/records/7792397. Everything is read by key: the README and the files order the quaternion's
numbers differently. An early release swapped the names of val and test; compare the scenes where that matters.
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
"""The released quaternions have length 1 within 1e-13; one that is farther off was never a rotation."""

CURE = "take the files of SQA3D's release (https://zenodo.org/records/7792397)"


@dataclass(frozen=True)
class Pose:
    """Where somebody stands, in the frame of SQA3D's files.

    That frame has the axes of the raw scan; its origin is the centre of the bounding box of the raw scan's vertices.

    Attributes:
        position: Metres. The height is always 0: only x and y were annotated.
        rotation: Unit quaternion x, y, z, w, about z; the gaze is along the person's own -x axis.
    """

    position: Float64[np.ndarray, " 3"]
    rotation: Float64[np.ndarray, " 4"]


@dataclass(frozen=True)
class Sqa3dQuestion:
    """One question as the files hold it.

    Attributes:
        id: `question_id`.
        scene_id: ScanNet's name of the scan.
        situation: Where the asker stands, in words.
        alternative_situations: Other words for the same place; up to two.
        question: In words.
        answers: Usually one; empty where no annotations were read.
        pose: Where the asker stands; None where no annotations were read.
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
    """One described place: an item of the localisation task.

    Attributes:
        id: `situation_id`.
        scene_id: ScanNet's name of the scan.
        situation: In words.
        augmented: Whether it is an alternative description of another situation's place.
        pose: The place.
    """

    id: int
    scene_id: str
    situation: str
    augmented: bool
    pose: Pose


def question_files(folder: Path, split: str) -> tuple[Path, Path]:
    """The question and the annotation file of a split, in the release's folder or its `balanced` folder."""
    names = (f"v1_balanced_questions_{split}_scannetv2.json", f"v1_balanced_sqa_annotations_{split}_scannetv2.json")
    for place in (folder, folder / "balanced", folder / "sqa_task" / "balanced"):
        if all((place / name).is_file() for name in names):
            return place / names[0], place / names[1]
    raise bad_file(folder, f"expected the files {names[0]} and {names[1]}, here or in balanced/", CURE)


def read_questions(questions: Path, annotations: Path | None = None) -> list[Sqa3dQuestion]:
    """All questions of a file, in its order, joined to their annotations by question id.

    Raises:
        RecordError: A file is broken, an id comes twice, or the annotations are not those of the questions.
    """
    with reading(questions, CURE):
        asked = [_question(item) for item in _items(questions, "questions")]
    _check_unique(questions, "question_id", (question.id for question in asked))
    return asked if annotations is None else _annotate(asked, questions, annotations)


def read_situations(situations: Path, annotations: Path) -> list[Sqa3dSituation]:
    """All situations of a file, in its order, joined to the localisation annotations by situation id.

    Raises:
        RecordError: A file is broken, an id comes twice, or the annotations are not those of the situations.
    """
    with reading(annotations, CURE):
        places = {int(item["situation_id"]): _pose(item) for item in _items(annotations, "annotations")}
    with reading(situations, CURE):
        described = _items(situations, "situations")
        ids = [int(item["situation_id"]) for item in described]
    _check_unique(situations, "situation_id", ids)
    _check_joined(annotations, "situation", ids, places)
    with reading(situations, CURE):
        return [
            Sqa3dSituation(i, str(item["scene_id"]), str(item["situation"]), bool(item["augmented"]), places[i])
            for i, item in zip(ids, described, strict=True)
        ]


def _annotate(asked: list[Sqa3dQuestion], questions: Path, annotations: Path) -> list[Sqa3dQuestion]:
    """The questions with answers and poses."""
    with reading(annotations, CURE):
        items = _items(annotations, "annotations")
        ids = [int(item["question_id"]) for item in items]
        known = {
            i: (str(item["scene_id"]), tuple(str(answer["answer"]) for answer in item["answers"]), _pose(item))
            for i, item in zip(ids, items, strict=True)
        }
    _check_unique(annotations, "question_id", ids)
    _check_joined(annotations, "question", [question.id for question in asked], known)
    joined = []
    for question in asked:
        scene, answers, pose = known[question.id]
        if scene != question.scene_id or not answers:
            expected = f"expected an answer in scene {question.scene_id}, as {questions.name} says"
            raise bad_file(
                annotations, f"question {question.id}: {expected}, got {len(answers)} answers in {scene}", CURE
            )
        joined.append(replace(question, answers=answers, pose=pose))
    return joined


def _items(path: Path, key: str) -> list[dict]:
    """The list under a key of a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise bad_file(path, f'expected {{"{key}": [...]}} at the top', CURE)
    return content[key]


def _question(item: dict) -> Sqa3dQuestion:
    return Sqa3dQuestion(
        id=int(item["question_id"]),
        scene_id=str(item["scene_id"]),
        situation=str(item["situation"]),
        alternative_situations=tuple(str(text) for text in item.get("alternative_situation", ())),
        question=str(item["question"]),
    )


def _pose(item: dict) -> Pose:
    position = np.array([item["position"][axis] for axis in ("x", "y", "z")], dtype=np.float64)
    rotation = np.array([item["rotation"][axis] for axis in ("_x", "_y", "_z", "_w")], dtype=np.float64)
    if not (np.isfinite(position).all() and abs(np.linalg.norm(rotation) - 1) < UNIT_TOLERANCE):
        raise ValueError(
            f"expected a finite position and a unit quaternion, got {item['position']}, {item['rotation']}"
        )
    return Pose(position, rotation)


def _check_unique(path: Path, key: str, ids: Iterable[int]) -> None:
    seen: set[int] = set()
    for i in ids:
        if i in seen:
            raise bad_file(path, f"{key} {i} comes twice, expected once", CURE)
        seen.add(i)


def _check_joined(annotations: Path, noun: str, ids: Iterable[int], known: dict) -> None:
    missing = [i for i in ids if i not in known]
    if missing:
        reason = f"no annotation for {len(missing)} of the {noun}s, the first is {missing[0]}"
        raise bad_file(annotations, reason, f"give the annotations of the same split as the {noun}s")
