"""From files to an evaluation of answers: SQA3D's questions, predictions, the answer dictionary."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from perception.errors import InputError
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception_datasets.sqa3d.answer_dict import FILE_NAME, read_answer_dict
from perception_datasets.sqa3d.questions import Sqa3dQuestion, read_questions
from perception_tools.answer_files.formats import FieldChoice
from perception_tools.scene_qa.predictions import read_predictions
from perception_tools.scene_qa.remarks import remarks_on_answers, remarks_on_viewpoints
from perception_tools.scene_qa.scoring import BASELINES, AnsweringSystem, evaluate_answers
from perception_tools.scene_qa.scoring import baseline as baseline_system
from perception_tools.scene_qa.subset import select_questions, subset_note


def evaluate_files(
    questions: Path,
    annotations: Path,
    out: Path,
    *,
    predictions: Sequence[Path] = (),
    baseline: str | None = None,
    answers: Path | None = None,
    data_name: str | None = None,
    choice: FieldChoice | None = None,
    only: str | None = None,
    blind: Sequence[Path] = (),
    clean: bool = False,
) -> dict:
    """Scores every predictions file, then the blind ones, then the baseline where one is named.

    Args:
        questions: SQA3D's question file.
        annotations: SQA3D's annotation file of the same split.
        out: Folder for the files.
        predictions: Files of answers, of any format that `read_predictions` knows.
        baseline: Name of a baseline.
        answers: SQA3D's answer_dict.json; None looks for it beside the annotations.
        data_name: What to call the questions.
        choice: Fields that hold answer and id, for every file.
        only: Ids of the questions to score, or a file of them; None scores all.
        blind: Files of answers by systems that saw no scene.
        clean: Whether to remove what language models write around an answer.

    Returns:
        What metrics.json holds.
    """
    if not predictions and baseline is None:
        raise InputError("expected something to score, got nothing; name a file of answers, or give --baseline NAME")
    split = read_questions(questions, annotations)
    selected = select_questions(split, only)
    asked = in_file_frame(selected)
    dictionary = answers or find_answer_dict(annotations)
    vocabulary = read_answer_dict(dictionary) if dictionary else None
    subset = subset_note(len(selected), len(split), only)
    called = data_name or _data_name(questions)
    if subset:
        called += f", {len(selected):,} of {len(split):,} questions"
    notes, systems, files = [subset] if subset else [], [], [*predictions, *blind]
    if clean:
        notes.append("Answers were cleaned (--clean).")
    for number, (name, path) in enumerate(zip(_name_apart(files), files, strict=True)):
        system, found = _read_system(name, path, split, asked, choice, clean)
        systems.append(replace(system, is_blind=number >= len(predictions)))
        notes += found
    if baseline is not None:
        systems.append(baseline_system(baseline, asked))
    return evaluate_answers(asked, systems, out, vocabulary=vocabulary, data_name=called, notes=notes)


def in_file_frame(questions: Sequence[Sqa3dQuestion]) -> list[SceneQuestion]:
    """Returns SQA3D's questions with the places as annotated, not moved to the scene frame.

    Scoring a place needs no scan: distances and angles about z are the same in both frames.
    """
    return [
        SceneQuestion(
            item.id,
            item.scene_id,
            item.situation,
            item.question,
            item.answers,
            None if item.pose is None else Viewpoint(item.pose.position, item.pose.rotation),
        )
        for item in questions
    ]


def find_answer_dict(annotations: Path) -> Path | None:
    """The answer dictionary of the release that the annotations belong to: beside them, or one folder up."""
    places = (folder / FILE_NAME for folder in (annotations.parent, annotations.resolve().parent.parent))
    return next((path for path in places if path.is_file()), None)


def _data_name(questions: Path) -> str:
    """SQA3D and the split where the file has its name in the release, otherwise the file's own name."""
    released = re.fullmatch(r"v1_balanced_questions_(\w+)_scannetv2", questions.stem)
    return f"SQA3D {released[1]}" if released else questions.stem


def _read_system(
    name: str,
    path: Path,
    split: Sequence[Sqa3dQuestion],
    asked: Sequence[SceneQuestion],
    choice: FieldChoice | None,
    clean: bool,
) -> tuple[AnsweringSystem, list[str]]:
    """Returns a file's answers to the questions asked, and the notes on them."""
    found = read_predictions(path, split, choice, clean=clean)
    truths = {question.id: question.answers for question in asked}
    answers = {number: ranked for number, ranked in found.answers.items() if number in truths}
    viewpoints = {number: guess for number, guess in found.viewpoints.items() if number in truths}
    remarks = [*remarks_on_answers(name, answers, truths), *remarks_on_viewpoints(name, viewpoints, asked)]
    return AnsweringSystem(name, answers, viewpoints), [*found.notes, *remarks]


def _name_apart(paths: Sequence[Path]) -> list[str]:
    """Returns the files' names as names of systems, with as much of their paths as tells them apart."""
    namings: tuple[Callable[[Path], str], ...] = (
        lambda path: path.stem,
        lambda path: f"{path.stem} [{path.resolve().parent.name}]",
        lambda path: f"{path.name} [{path.resolve().parent.name}]",
        str,
    )
    for naming in namings:
        names = [naming(path) for path in paths]
        if len({*names, *BASELINES}) == len(names) + len(BASELINES):
            return names
    return [path.stem for path in paths]
