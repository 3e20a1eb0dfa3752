"""Trained scene answerers over a split of questions: what they answer, put to the same scoring as anybody's files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from tqdm import tqdm

from perception.frozen.trained_state import fingerprints
from perception.heads.answer import SceneAnswers
from perception.metrics.question_answering import RANKS
from perception.scenes.scene import Scene, SceneQuestion, Viewpoint
from perception.texts.answers import AnswerVocabulary
from perception_datasets.sqa3d.scenes import to_pose
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import StoredScans, open_scene_store
from perception_tools.devices import find_device
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.report.side_by_side import with_folders
from perception_tools.scene_qa.data import by_scene, first_scenes
from perception_tools.scene_qa.model import TrainedAnswerer, load_answerer
from perception_tools.scene_qa.predictions import AnswerPredictions
from perception_tools.scene_qa.scoring import AnsweringSystem, evaluate_answers


@dataclass
class Answered:
    """Answers of one model.

    Attributes:
        name: Heading of its column.
        trained: The model.
        given: Its ranked answers, and where it believes the askers to stand.
        probabilities: Probability of each ranked answer, by question id.
        encoding_ms: Time to encode each scene.
        answering_ms: Time to answer all questions of a scene, divided by their number.
    """

    name: str
    trained: TrainedAnswerer
    given: AnswerPredictions = field(default_factory=AnswerPredictions)
    probabilities: dict[int, list[float]] = field(default_factory=dict)
    encoding_ms: list[float] = field(default_factory=list)
    answering_ms: list[float] = field(default_factory=list)


def evaluate_answerers(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    data: Path,
    out: Path,
    split: str = "val",
    limit: int | None = None,
    data_name: str | None = None,
    device: str = "cpu",
    viewer: bool = False,
) -> dict:
    """Scores trained answerers: OUT/metrics.json, records.parquet, answers.jsonl, predictions.json and report.html.

    All rates in metrics.json are shares from 0 to 1. The first run's stand at the top, the others' under `others`;
    `paired` compares the first with each of the others by every score: McNemar's exact test, and the difference with
    its interval over scenes. Runs of one recipe are averaged under `recipes`. If a blind run is among them,
    `beyond_blind` scores all on the questions that it does not answer. records.parquet has a row for every question
    and run. predictions.json holds the first model's answers in a form that `perception score sqa3d` reads; those of
    the others are called predictions-NAME.json.

    Args:
        runs: Run folders or model files; several are scored side by side.
        data: A store of scenes and questions.
        out: Folder for the files.
        split: Split whose questions are asked.
        limit: Ask about this many of the first scenes only.
        data_name: What to call the questions in the report.
        device: Where models run: cpu, cuda.
        viewer: Write OUT/viewer.html too: the first scenes to turn in a browser, with each question, what the first
            model answered, where it believes the asker to stand and what it attended to.

    Raises:
        InputError: A model or the data cannot be used.
    """
    keep_apart([out], [data])
    place = find_device(device)
    scans = open_scene_store(data)
    questions = first_scenes(read_questions(data, split), limit, split)
    answered = [Answered("", load_answerer(path)) for path in runs]
    names = with_folders([model.trained.name for model in answered], runs)
    for model, name in zip(answered, names, strict=True):
        model.name = name
        model.trained.model.to(place)
        for scene_id, asked in tqdm(by_scene(questions).items(), desc=name):
            _answer(model, scans.read(scene_id).scene, asked)
    systems = [_system(model) for model in answered]
    vocabulary = answered[0].trained.answers
    name = data_name or f"{scans.source} {split} of {data}"
    notes = [f"{model.name} runs {words}." for model in answered if (words := _block_in_words(model))]
    metrics = evaluate_answers(questions, systems, out, vocabulary=vocabulary, data_name=name, notes=notes)
    for index, model in enumerate(answered):
        suffix = f"-{model.name.replace('/', '-')}" if index else ""
        write_predictions(out / f"predictions{suffix}.json", model.given, questions, scans)
    metrics["source"] = scans.source
    metrics["blocks"] = {model.name: fingerprints(model.trained.model) for model in answered}
    metrics["milliseconds"] = {model.name: _times(model) for model in answered}
    write_json(out / "metrics.json", metrics)
    if viewer:
        from perception_tools.scene_qa.viewing import VIEWED_SCENES, view_answerer

        shown = VIEWED_SCENES if limit is None else min(limit, VIEWED_SCENES)
        view_answerer(runs[0], data, out / "viewer.html", split=split, scenes=shown)
    return metrics


def write_predictions(
    path: Path, given: AnswerPredictions, questions: Sequence[SceneQuestion], scans: StoredScans
) -> None:
    """Ranked answers, and the asker's place in the annotations' frame where that is known: `--predictions` reads it."""
    items: dict[str, dict] = {}
    for name, asked in by_scene(questions).items():
        frame = scans.read(name).scene_SE3_centred
        for number in (question.id for question in asked):
            items[str(number)] = {"answer_top10": given.answers[number]}
            if frame is not None and number in given.viewpoints:
                pose = to_pose(given.viewpoints[number], frame)
                items[str(number)] |= {"position": pose.position.tolist(), "rotation": pose.rotation.tolist()}
    write_json(path, items)


def _block_in_words(model: Answered) -> str:
    """Which model the frozen block is from, in which precision; empty without a block."""
    blocks = fingerprints(model.trained.model).values()
    return ", ".join(str(block["provenance"]) for block in blocks if block["source"])


@torch.no_grad()
def _answer(model: Answered, scene: Scene, questions: Sequence[SceneQuestion]) -> None:
    """Encodes a scene, answers all its questions, keeps both."""
    answerer = model.trained.model
    start = time.perf_counter()
    tokens = answerer.encode([scene])
    encoded = time.perf_counter()
    answers = answerer.ask(tokens, [q.situation for q in questions], [q.question for q in questions])
    remember(model.given, questions, answers, model.trained.answers)
    known = answers.probabilities[:, : len(model.trained.answers) - 1]
    best = known.topk(min(RANKS, known.shape[1]), dim=-1).values.tolist()
    model.probabilities |= {question.id: chances for question, chances in zip(questions, best, strict=True)}
    model.encoding_ms.append(1e3 * (encoded - start))
    model.answering_ms.append(1e3 * (time.perf_counter() - encoded) / len(questions))


def remember(
    given: AnswerPredictions, questions: Sequence[SceneQuestion], answers: SceneAnswers, vocabulary: AnswerVocabulary
) -> None:
    """Puts a model's answers to the others, ranked. The class of unknown answers is never given: it says nothing."""
    known = answers.logits[:, : len(vocabulary) - 1]
    ranked = known.topk(min(RANKS, known.shape[1]), dim=-1).indices.tolist()
    for question, classes in zip(questions, ranked, strict=True):
        given.answers[question.id] = tuple(vocabulary.answer_of(c) for c in classes)
    if answers.viewpoint is None:
        return
    positions = answers.viewpoint.position.double().cpu().numpy()
    rotations = answers.viewpoint.rotation.double().cpu().numpy()
    for question, position, rotation in zip(questions, positions, rotations, strict=True):
        given.viewpoints[question.id] = Viewpoint(position, rotation / np.linalg.norm(rotation))


def _system(model: Answered) -> AnsweringSystem:
    return AnsweringSystem(
        model.name,
        model.given.answers,
        model.given.viewpoints,
        probabilities=model.probabilities,
        recipe=model.trained.name,
        is_blind=model.trained.recipe.blind,
    )


def _times(model: Answered) -> dict[str, float]:
    """Medians over scenes."""
    return {
        "encode_scene": float(np.median(model.encoding_ms)),
        "answer_question": float(np.median(model.answering_ms)),
    }
