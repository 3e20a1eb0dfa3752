"""Training a scene answerer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from perception.encoders.votenet import mean_box_sizes
from perception.errors import InputError
from perception.models.scene_answerer import SceneAnswerer, SceneInput
from perception.scenes.classes import BOX_CLASSES
from perception.scenes.sample import box_classes
from perception.scenes.scene import SceneQuestion
from perception.texts.answers import AnswerVocabulary, frequent_answers
from perception.texts.vocabulary import Vocabulary
from perception.texts.word_vectors import read_word_vectors
from perception_datasets.sqa3d.answer_dict import read_answer_dict
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import StoredScans, open_scene_store
from perception_tools.scene_qa.data import Collator, TrainingGroups, ValidationGroups, by_scene, first_scenes
from perception_tools.scene_qa.learning import SceneQaTask
from perception_tools.scene_qa.model import (
    KnownWords,
    SceneQaTraining,
    build_answerer,
    load_detector,
    save_answerer,
)
from perception_tools.scene_qa.run import SceneQaRun
from perception_tools.training.job import Job
from perception_tools.training.loaders import make_loader
from perception_tools.training.sampler import SegmentSampler, records_at_once


def scene_qa_job(run: SceneQaRun, model: SceneAnswerer | None = None) -> Job:
    """Questions and scenes of both splits, and the answerer of the recipe.

    Args:
        run: The run.
        model: To train in place of the recipe's; its answers are as many as the run's.

    Raises:
        InputError: The store, the answers or the word vectors cannot be used.
    """
    if run.split == run.val_split:
        raise InputError(f"--split {run.split}: expected another split than that of --val-split; give train and val")
    recipe, scans = run.recipe, open_scene_store(run.data)
    questions = first_scenes(read_questions(run.data, run.split), run.limit, run.split)
    val_questions = first_scenes(read_questions(run.data, run.val_split), run.val_limit, run.val_split)
    words = known_words(questions, run.answers, run.word_vectors)
    names = list(by_scene(questions))
    detector = None if run.detector_run is None else load_detector(run.detector_run, recipe)
    trained = model or build_answerer(recipe, words, mean_sizes(scans, names))
    task = SceneQaTask(recipe, trained, detector)
    shown = None if recipe.blind else trained.input
    groups = TrainingGroups(scans, questions, shown, recipe, run.keep)
    segments = SegmentSampler(len(groups), recipe.scenes, recipe.seed)
    collate = Collator(words.vocabulary, words.answers)

    def loaders(rank: int, processes: int) -> tuple[DataLoader, DataLoader]:
        sampler = segments.of_process(rank, processes)
        share = records_at_once(recipe.scenes, processes, recipe.accumulate)
        train_loader = make_loader(groups, collate=collate, batch=share, sampler=sampler, workers=run.workers)
        return train_loader, validation_loader(scans, val_questions, shown, collate, rank, processes)

    def save(path: Path, steps: int) -> None:
        training = SceneQaTraining(run.name, scans.source, len(names), len(questions), steps)
        save_answerer(path, trained, recipe, words, training)

    return Job(
        task=task,
        segments=segments,
        loaders=loaders,
        save=save,
        monitor="val/detection_loss" if task.never_answers else "val/em1",
        mode="min" if task.never_answers else "max",
        closing_message=str,
        next_command=f"perception train … --data {run.data} --detector-run {run.out} --out …"
        if task.never_answers
        else f"perception evaluate {run.out} --data {run.data} --out …",
        name_of=lambda index: groups.parts[index].scene_id,
        has_unused_parameters=task.detector_learns and recipe.detector_first > 0,
    )


def known_words(questions: Sequence[SceneQuestion], answers: Path | None, word_vectors: Path | None) -> KnownWords:
    """Words and answers of the training questions.

    Args:
        questions: Questions of the training split.
        answers: SQA3D's dictionary; None takes what is answered at least twice.
        word_vectors: A GloVe text file; None where vectors are learned.
    """
    vocabulary = Vocabulary.of_texts(text for q in questions for text in (q.situation, q.question))
    frequent = frequent_answers(answer for q in questions for answer in q.answers)
    known = AnswerVocabulary(frequent) if answers is None else read_answer_dict(answers)
    if word_vectors is None:
        return KnownWords(vocabulary, known)
    return KnownWords(vocabulary, known, read_word_vectors(word_vectors, vocabulary.words).table(vocabulary))


def mean_sizes(scans: StoredScans, names: Sequence[str]) -> Float[Tensor, "classes 3"]:
    """Mean size of each class's boxes in some scenes."""
    scenes = [scans.read(name).scene for name in names]
    boxes = np.concatenate([scene.boxes for scene in scenes])
    if not len(boxes):
        raise InputError(f"{scans.folder}: expected boxes of objects in the training scenes, found none")
    kinds = box_classes(np.concatenate([scene.box_classes for scene in scenes]))
    return mean_box_sizes(torch.from_numpy(boxes), torch.from_numpy(kinds), len(BOX_CLASSES))


def validation_loader(
    scans: StoredScans,
    questions: Sequence[SceneQuestion],
    input: SceneInput | None,
    collate: Collator,
    rank: int = 0,
    processes: int = 1,
) -> DataLoader:
    """A scene with all its questions at a time.

    Raises:
        InputError: There are fewer scenes than processes.
    """
    groups = ValidationGroups(scans, questions, input)
    if len(groups) < processes:
        raise InputError(f"validation split: expected at least {processes} scenes (one a process), got {len(groups)}")
    return make_loader(Subset(groups, range(rank, len(groups), processes)), collate=collate, batch=1)
