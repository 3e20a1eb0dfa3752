"""Puts answers, and the rooms that they are about, into the scene viewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from perception.encoders.votenet import Detections
from perception.scenes.classes import BOX_CLASSES
from perception.scenes.scene import Scene, SceneQuestion, Viewpoint
from perception_datasets.sqa3d.questions import Pose
from perception_datasets.sqa3d.questions import read_questions as read_sqa3d_questions
from perception_datasets.sqa3d.scenes import join_questions, to_viewpoint
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store
from perception_tools.answer_files.formats import FieldChoice
from perception_tools.scene_qa.data import by_scene, first_scenes
from perception_tools.scene_qa.model import TrainedAnswerer, load_answerer
from perception_tools.scene_qa.predictions import read_predictions
from perception_tools.scene_qa.report.scene_viewer import SHOWN_ANSWERS, Attention, ViewedQuestion, write_scene_viewer
from perception_tools.scene_qa.subset import select_questions

VIEWED_SCENES = 20
"""Maximum number of scenes in a viewer, which then stays below 10 MB."""


def view_answerer(checkpoint: Path, data: Path, path: Path, *, split: str, scenes: int) -> None:
    """Writes a viewer of all that a trained model answers about the first scenes of a split.

    Raises:
        InputError: The model or the data cannot be used.
    """
    trained, scans = load_answerer(checkpoint), open_scene_store(data)
    questions = first_scenes(read_questions(data, split), scenes, split)
    viewed: list[ViewedQuestion] = []
    for scene_id, asked in by_scene(questions).items():
        viewed += view_scene(trained, asked, scans.read(scene_id).scene)
    _write(path, viewed, trained.name, f"{scans.source} {split}")
    print(path)


def view_predictions(
    predictions: Path,
    questions: Path,
    annotations: Path,
    data: Path,
    path: Path,
    *,
    scenes: int,
    choice: FieldChoice | None = None,
    only: str | None = None,
    clean: bool = False,
) -> None:
    """Writes a viewer of anybody's predictions for SQA3D's questions about the first scenes that a store holds.

    Raises:
        InputError: A file cannot be used, or the store holds none of the scenes that are asked about.
    """
    scans, split = open_scene_store(data), read_sqa3d_questions(questions, annotations)
    given, selected = read_predictions(predictions, split, choice, clean=clean), select_questions(split, only)
    joined = join_questions(selected, scans)
    viewed: list[ViewedQuestion] = []
    for name, asked in by_scene(first_scenes(joined.questions, scenes)).items():
        stored = scans.read(name)
        for question in asked:
            guess, frame = given.viewpoints.get(question.id), stored.scene_SE3_centred
            if guess is not None:
                guess = None if frame is None else to_viewpoint(Pose(guess.position, guess.rotation), frame)
            answers = given.answers.get(question.id, ())
            viewed.append(ViewedQuestion(question, stored.scene, answers, guess=guess))
    part = "" if len(selected) == len(split) else f", {len(selected):,} of {len(split):,} questions"
    _write(path, viewed, predictions.stem, questions.stem + part)
    print(path)


@torch.inference_mode()
def view_scene(trained: TrainedAnswerer, questions: Sequence[SceneQuestion], scene: Scene) -> list[ViewedQuestion]:
    """What a model answers to questions about a scene, and what it attends to."""
    model = trained.model
    seen = model.encode([scene])
    given = model.ask(seen, [question.situation for question in questions], [q.question for q in questions])
    known = given.probabilities[:, : len(trained.answers) - 1]
    best = known.topk(min(SHOWN_ANSWERS, known.shape[1]))
    viewed = []
    for row, question in enumerate(questions):
        attention = guess = None
        if seen is not None and given.evidence is not None:
            attention = _attention(seen.detections, given.evidence[row].numpy())
        if given.viewpoint is not None:
            rotation = given.viewpoint.rotation[row].double().numpy()
            guess = Viewpoint(given.viewpoint.position[row].double().numpy(), rotation / np.linalg.norm(rotation))
        answers = [trained.answers.answer_of(i) for i in best.indices[row].tolist()]
        viewed.append(ViewedQuestion(question, scene, answers, best.values[row].tolist(), attention, guess))
    return viewed


def _attention(found: Detections, shares: np.ndarray) -> Attention:
    labels = [BOX_CLASSES[kind] for kind in found.class_scores[0].argmax(-1).tolist()]
    return Attention(found.boxes[0].numpy(), labels, shares)


def _write(path: Path, viewed: Sequence[ViewedQuestion], name: str, data: str) -> None:
    """The wrongly answered ones first: they are what one looks for."""
    viewed = sorted(viewed, key=lambda item: item.is_right)
    scenes = len({item.scene.id for item in viewed})
    right = sum(item.is_right for item in viewed)
    facts = {
        "data": data,
        "shown": f"{len(viewed):,} questions in {scenes} scenes",
        "right": f"{100 * right / len(viewed):.1f} %",
    }
    write_scene_viewer(path, viewed, title=f"Answers of {name}", facts=facts)
