"""Questions about the scenes of a store, in a store of their own in its subfolder `questions`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception_datasets.errors import reading
from perception_datasets.stores import store

SCHEMA = store.Schema((("viewpoint", "<f8", 1), ("text", "|u1", 1)))
"""`viewpoint` is the position and the quaternion, empty if unknown; `text` is UTF-8 JSON with all other fields."""

KIND = "scene-question"


def to_record(question: SceneQuestion) -> dict[str, np.ndarray]:
    """Converts a question to the arrays of `SCHEMA`."""
    names = ("id", "scene_id", "situation", "question", "answers")
    viewpoint = question.viewpoint
    numbers = np.zeros(0) if viewpoint is None else np.concatenate([viewpoint.position, viewpoint.rotation])
    text = json.dumps({name: getattr(question, name) for name in names})
    return {"viewpoint": numbers, "text": np.frombuffer(text.encode(), np.uint8)}


def from_record(record: store.Record) -> SceneQuestion:
    """Returns the question of a record; the inverse of `to_record`."""
    text, numbers = json.loads(record["text"].tobytes()), record["viewpoint"]
    viewpoint = Viewpoint(numbers[:3], numbers[3:]) if len(numbers) else None
    return SceneQuestion(**{**text, "answers": tuple(text["answers"])}, viewpoint=viewpoint)


def write_questions(folder: Path, source: str, split: str, questions: Sequence[SceneQuestion]) -> None:
    """Writes all questions of a split into a store of scenes; replaces the questions that this split had.

    Args:
        folder: Store of the scenes.
        source: Name of the data set that the questions come from.
        split: Split of the questions.
        questions: Questions, whose order is kept.
    """
    inside = folder / "questions"
    store.create_store(inside, store.StoreInfo(KIND, source, SCHEMA))
    records = {str(question.id): to_record(question) for question in questions}
    store.write_part(store.part_path(inside, split, 0), SCHEMA, records, failures={})
    store.finish_split(inside, split, parts=1)


def read_questions(folder: Path, split: str) -> list[SceneQuestion]:
    """Reads the questions of a split that `perception prepare sqa3d` wrote into a store of scenes."""
    inside = folder / "questions"
    info = store.read_info(inside)
    if info is None or (info.kind, info.schema) != (KIND, SCHEMA):
        raise InputError(
            f"{folder}: expected questions joined to a store of scenes, found none; run `perception prepare sqa3d`"
        )
    store.read_names(inside, split)
    path = store.part_path(inside, split, 0)
    with reading(path, "run `perception prepare sqa3d` again"):
        return [from_record(record) for record in store.read_part(path, SCHEMA)]
