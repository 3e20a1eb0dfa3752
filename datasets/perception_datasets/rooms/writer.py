"""Writes generated rooms: scans as VoteNet's preprocessed arrays, questions as SQA3D's JSON files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perception.files import whole_file
from perception.geometry import SE3
from perception.scenes.boxes import instance_boxes
from perception.scenes.classes import BOX_CLASS_NYU40
from perception.texts.answers import AnswerVocabulary
from perception_datasets.rooms.furniture import COLORS, KINDS
from perception_datasets.rooms.questions import NUMBERS, WAYS
from perception_datasets.rooms.surface import SurfacePoints
from perception_datasets.sqa3d.questions import Pose

INFO = {
    "description": "Synthetic rooms made by `perception sample rooms`, in the format of SQA3D v1.0. No real scans.",
    "version": "1.0",
}
ANSWERS = AnswerVocabulary(("yes", "no", *NUMBERS, *COLORS, *WAYS.values(), *(kind.name for kind in KINDS)))
"""All answers to generated questions; they are words of SQA3D's dictionary."""


@dataclass(frozen=True)
class RoomQuestion:
    """A question as it is written to the files.

    Attributes:
        id: Id, unique over all splits.
        scene_id: Name of the room.
        situations: Descriptions of the place: the main one, then the alternatives.
        question: Text of the question.
        answer: Correct answer.
        group: Group for balancing, as in `AnsweredQuestion`.
        side: `Direction` of the item that the situation calls within reach.
        pose: Pose of the asker in SQA3D's frame.
    """

    id: int
    scene_id: str
    situations: tuple[str, ...]
    question: str
    answer: str
    group: str
    side: int
    pose: Pose


def write_scan(folder: Path, scene_id: str, scan: SurfacePoints, scene_SE3_raw: SE3, rng: np.random.Generator) -> None:
    """Writes the arrays of a room. `_vert.npy` is written last, so its presence means that all are complete."""
    order = rng.permutation(len(scan.points))
    points = scan.points[order].astype(np.float32)
    semantic, instance = scan.semantic[order], scan.instance[order]
    ids, first = np.unique(instance, return_index=True)
    of_benchmark = np.isin(semantic[first], (*BOX_CLASS_NYU40, 39))  # as VoteNet's exporter does
    ids, classes = ids[of_benchmark], semantic[first][of_benchmark]
    arrays = {
        "sem_label": semantic.astype(np.uint32),
        "ins_label": instance.astype(np.uint32),
        "bbox": np.column_stack([instance_boxes(points, instance, ids).astype(np.float64), classes]),
        "vert": np.column_stack([points, np.round(scan.colors[order]).astype(np.float32)]),
    }
    numbers = " ".join(repr(x) for x in scene_SE3_raw.matrix.ravel().tolist())
    with whole_file(folder / f"{scene_id}.txt") as path:
        path.write_text(f"axisAlignment = {numbers}\n")
    for name, array in arrays.items():
        with whole_file(folder / f"{scene_id}_{name}.npy") as path, path.open("wb") as file:
            np.save(file, array)


def write_questions(out: Path, split: str, questions: Sequence[RoomQuestion]) -> None:
    """Writes the question file and the annotation file of a split."""
    plain = [
        {
            "scene_id": q.scene_id,
            "situation": q.situations[0],
            "alternative_situation": list(q.situations[1:]),
            "question": q.question,
            "question_id": q.id,
        }
        for q in questions
    ]
    annotations = [_annotation(question) for question in questions]
    _write_json(out / f"v1_balanced_questions_{split}_scannetv2.json", {"info": INFO, "questions": plain})
    _write_json(out / f"v1_balanced_sqa_annotations_{split}_scannetv2.json", {"info": INFO, "annotations": annotations})


def _write_json(path: Path, content: Any) -> None:
    """Writes a JSON file."""
    with whole_file(path) as file:
        file.write_text(json.dumps(content) + "\n")


def _annotation(question: RoomQuestion) -> dict[str, Any]:
    x, y, z, w = question.pose.rotation.tolist()
    return {
        "scene_id": question.scene_id,
        "question_type": "N/A",
        "answer_type": "other",
        "question_id": question.id,
        "answers": [{"answer": question.answer, "answer_confidence": "yes", "answer_id": 1}],
        "rotation": {"_x": x, "_y": y, "_z": z, "_w": w},
        "position": dict(zip("xyz", question.pose.position.tolist(), strict=True)),
    }
