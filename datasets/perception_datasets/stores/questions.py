"""Questions about the scenes of a store, in a store of their own in its subfolder `questions`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perception.errors import InputError, first_of
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception_datasets.folders import check_split
from perception_datasets.stores import part, store
from perception_datasets.stores.scenes import StoredScans, open_scene_store
from perception_datasets.stores.schema import Record, Schema

SCHEMA = Schema((("viewpoint", "<f8", 1), ("text", "|u1", 1)))
"""`viewpoint` is the position and the quaternion, empty if unknown; `text` is UTF-8 JSON with all other fields."""

KIND = "scene-question"


def to_record(question: SceneQuestion) -> dict[str, np.ndarray]:
    """Converts a question to the arrays of `SCHEMA`."""
    names = ("id", "scene_id", "situation", "question", "answers")
    viewpoint = question.viewpoint
    numbers = np.zeros(0) if viewpoint is None else np.concatenate([viewpoint.position, viewpoint.rotation])
    text = json.dumps({name: getattr(question, name) for name in names})
    return {"viewpoint": numbers, "text": np.frombuffer(text.encode(), np.uint8)}


def from_record(record: Record) -> SceneQuestion:
    """Returns the question of a record; the inverse of `to_record`."""
    text, numbers = json.loads(record["text"].tobytes()), record["viewpoint"]
    viewpoint = Viewpoint(numbers[:3], numbers[3:]) if len(numbers) else None
    return SceneQuestion(**{**text, "answers": tuple(text["answers"])}, viewpoint=viewpoint)


class StoredQuestions(store.StoredSplit):
    """Questions in one split of a store; their source is the digest of the scene that they were joined to."""

    schema = SCHEMA

    def read_all(self) -> list[tuple[SceneQuestion, str]]:
        """Reads all questions, each with the digest of its scene."""
        return self.read_all_as(lambda record, source: (from_record(record), source))


def write_questions(scans: StoredScans, split: str, questions: Sequence[SceneQuestion]) -> None:
    """Writes all questions of a split into a store of scenes; replaces the questions that this split had.

    Args:
        scans: Scenes that the questions were joined to. The caller keeps other writers from their store.
        split: Split of the questions.
        questions: Questions, whose order is kept.
    """
    check_split(split)
    twice = [number for number, count in Counter(question.id for question in questions).items() if count > 1]
    if twice:
        raise InputError(f"{split}: expected each question once, found {twice[0]} twice; give each file once")
    inside = scans.folder / "questions"
    store.create_store(inside, store.StoreInfo(KIND, scans.source, SCHEMA))
    records = {
        str(question.id): part.PackedRecord(*SCHEMA.pack(to_record(question)), scans.digest(question.scene_id))
        for question in questions
    }
    path = store.part_path(inside, split, 0)
    part.write_part(path, SCHEMA, records, failures={})
    store.finish_split(inside, split, store.SplitInfo((part.read_index(path, SCHEMA).digest,)))


def read_questions(folder: Path, split: str) -> list[SceneQuestion]:
    """Reads the questions of a split that `perception prepare sqa3d` wrote into a store of scenes.

    Raises:
        InputError: There are none, or the scenes have changed since the questions were joined to them: viewpoints are
            in the frame of the scene.
    """
    info = store.read_info(folder / "questions")
    if info is None or (info.kind, info.schema) != (KIND, SCHEMA):
        raise InputError(
            f"{folder}: expected questions joined to a store of scenes, found none; run `perception prepare sqa3d`"
        )
    joined = StoredQuestions(folder / "questions", split, info.source).read_all()
    scans = open_scene_store(folder)
    known = set(scans.names())
    now = {name: scans.digest(name) for name in {q.scene_id for q, _ in joined} & known}
    changed = sorted({question.scene_id for question, scene in joined if now.get(question.scene_id) != scene})
    if changed:
        raise InputError(
            f"{folder}: expected the scenes that the questions of {split} were joined to, found {len(changed)} that "
            f"have changed since ({first_of(changed, 3)}); run `perception "
            "prepare sqa3d` again"
        )
    return [question for question, _ in joined]
