"""Trained scene answerers over a split of questions: what they answer, put to the same scoring as anybody's files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from perception.errors import InputError
from perception.heads.answer import SceneAnswers
from perception.metrics.question_answering import RANKS
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception.texts.answers import AnswerVocabulary
from perception_datasets.sqa3d.scenes import to_pose
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import StoredScans, open_scene_store
from perception_tools.json_files import write_json
from perception_tools.scene_qa.data import QuestionGroup, ValidationGroups, by_scene, first_scenes
from perception_tools.scene_qa.model import TrainedAnswerer, load_answerer
from perception_tools.scene_qa.predictions import AnswerPredictions
from perception_tools.scene_qa.scoring import AnsweringSystem, evaluate_answers


@dataclass
class Answered:
    """What one model said.

    Attributes:
        name: Of its column.
        trained: The model.
        said: Its ranked answers, and where it believes the askers to stand.
        encoding_ms: Of every scene.
        answering_ms: Of every scene's questions together, divided by how many there are.
    """

    name: str
    trained: TrainedAnswerer
    said: AnswerPredictions = field(default_factory=AnswerPredictions)
    encoding_ms: list[float] = field(default_factory=list)
    answering_ms: list[float] = field(default_factory=list)


def evaluate_answerers(
    checkpoints: Sequence[Path],
    data: Path,
    out: Path,
    *,
    split: str = "val",
    limit: int | None = None,
    data_name: str | None = None,
    device: str = "cpu",
) -> dict:
    """Answers every question of a split with every model, and scores them side by side.

    Beside what `evaluate_answers` writes, OUT gets predictions.json, the first model's answers in a form that
    `--predictions` reads; those of the others are called predictions-NAME.json.

    Raises:
        InputError: A model or the data cannot be used.
    """
    scans = open_scene_store(data)
    questions = first_scenes(read_questions(data, split), limit)
    answered = [Answered("", load_answerer(path)) for path in checkpoints]
    for model, name in zip(answered, _names(checkpoints, answered), strict=True):
        model.name = name
        model.trained.model.to(torch.device(device))
        groups = ValidationGroups(scans, questions, model.trained.recipe)
        for index in tqdm(range(len(groups)), desc=name):
            _answer(model, groups[index], device)
    out.mkdir(parents=True, exist_ok=True)
    for index, model in enumerate(answered):
        suffix = f"-{model.name.replace('/', '-')}" if index else ""
        write_predictions(out / f"predictions{suffix}.json", model.said, questions, scans)
    systems = [AnsweringSystem(model.name, model.said.answers, model.said.viewpoints) for model in answered]
    vocabulary = answered[0].trained.answers
    name = data_name or f"{scans.source} {split} of {data}"
    metrics = evaluate_answers(questions, systems, out, vocabulary=vocabulary, data_name=name)
    metrics["milliseconds"] = {model.name: _times(model) for model in answered}
    write_json(out / "metrics.json", metrics)
    return metrics


def write_predictions(
    path: Path, said: AnswerPredictions, questions: Sequence[SceneQuestion], scans: StoredScans
) -> None:
    """Ranked answers, and the asker's place in the annotations' frame where that is known: `--predictions` reads it."""
    items: dict[str, dict] = {}
    for name, asked in by_scene(questions).items():
        frame = scans.read(name).scene_SE3_centred
        for number in (question.id for question in asked):
            items[str(number)] = {"answer_top10": said.answers[number]}
            if frame is not None and number in said.viewpoints:
                pose = to_pose(said.viewpoints[number], frame)
                items[str(number)] |= {"position": pose.position.tolist(), "rotation": pose.rotation.tolist()}
    write_json(path, items)


@torch.no_grad()
def _answer(model: Answered, group: QuestionGroup, device: str) -> None:
    """Encodes a scene, answers all its questions, remembers both."""
    answerer, scene = model.trained.model, group.scene
    start = time.perf_counter()
    seen = None
    if scene is not None:
        points, features = (torch.from_numpy(values)[None].to(device) for values in (scene.points, scene.features))
        seen = answerer.encode_scene(points, features)
    encoded = time.perf_counter()
    situations = answerer.text.batch([question.situation for question in group.questions])
    asked = answerer.text.batch([question.question for question in group.questions])
    answers = answerer.answer(seen, situations, asked, torch.zeros(len(group.questions), dtype=torch.long))
    remember(model.said, group.questions, answers, model.trained.answers)
    model.encoding_ms.append(1e3 * (encoded - start))
    model.answering_ms.append(1e3 * (time.perf_counter() - encoded) / len(group.questions))


def remember(
    said: AnswerPredictions, questions: Sequence[SceneQuestion], answers: SceneAnswers, vocabulary: AnswerVocabulary
) -> None:
    """Puts a model's answers to the others, ranked. The class of unknown answers is never given: it says nothing."""
    known = answers.logits[:, : len(vocabulary) - 1]
    ranked = known.topk(min(RANKS, known.shape[1]), dim=-1).indices.tolist()
    for question, classes in zip(questions, ranked, strict=True):
        said.answers[question.id] = tuple(vocabulary.answer_of(c) for c in classes)
    if answers.viewpoint is None:
        return
    positions = answers.viewpoint.position.double().cpu().numpy()
    rotations = answers.viewpoint.rotation.double().cpu().numpy()
    for question, position, rotation in zip(questions, positions, rotations, strict=True):
        said.viewpoints[question.id] = Viewpoint(position, rotation / np.linalg.norm(rotation))


def _times(model: Answered) -> dict[str, float]:
    """Medians over scenes."""
    return {
        "encode_scene": float(np.median(model.encoding_ms)),
        "answer_question": float(np.median(model.answering_ms)),
    }


def _names(checkpoints: Sequence[Path], answered: Sequence[Answered]) -> list[str]:
    """The recipes' names; with the folder where they do not tell models apart.

    Raises:
        InputError: The same model is given twice.
    """
    names = [model.trained.training.name for model in answered]
    if len(set(names)) < len(names):
        folders = [(path if path.is_dir() else path.parent).resolve().name for path in checkpoints]
        names = [f"{name} [{folder}]" for name, folder in zip(names, folders, strict=True)]
    if len(set(names)) < len(names):
        raise InputError(f"expected models of different runs, got {', '.join(names)}; name each once")
    return names
