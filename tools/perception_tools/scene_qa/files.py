"""From files to an evaluation of answers: SQA3D's questions, predictions, the answer dictionary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from perception.errors import InputError
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception_datasets.sqa3d.answer_dict import FILE_NAME, read_answer_dict
from perception_datasets.sqa3d.questions import read_questions
from perception_tools.scene_qa.predictions import read_predictions
from perception_tools.scene_qa.scoring import BASELINES, AnsweringSystem, evaluate_answers
from perception_tools.scene_qa.scoring import baseline as baseline_system


def evaluate_files(
    questions: Path,
    annotations: Path,
    out: Path,
    *,
    predictions: Sequence[Path] = (),
    baseline: str | None = None,
    answers: Path | None = None,
    data_name: str | None = None,
) -> dict:
    """Scores every predictions file, then the baseline where one is named; gives what metrics.json holds."""
    if not predictions and baseline is None:
        raise InputError("expected something to score, got nothing; give --predictions FILE or --baseline NAME")
    asked = questions_in_file_frame(questions, annotations)
    dictionary = answers or find_answer_dict(annotations)
    vocabulary = read_answer_dict(dictionary) if dictionary else None
    names = _name_apart(predictions)
    systems = [_read_system(name, path) for name, path in zip(names, predictions, strict=True)]
    if baseline is not None:
        systems.append(baseline_system(baseline, asked))
    return evaluate_answers(asked, systems, out, vocabulary=vocabulary, data_name=data_name or _data_name(questions))


def questions_in_file_frame(questions: Path, annotations: Path) -> list[SceneQuestion]:
    """SQA3D's questions with the places as annotated, not moved to the scene frame.

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
        for item in read_questions(questions, annotations)
    ]


def find_answer_dict(annotations: Path) -> Path | None:
    """The answer dictionary of the release that the annotations belong to: beside them, or one folder up."""
    places = (folder / FILE_NAME for folder in (annotations.parent, annotations.resolve().parent.parent))
    return next((path for path in places if path.is_file()), None)


def _data_name(questions: Path) -> str:
    """SQA3D and the split where the file has its name in the release, otherwise the file's own name."""
    released = re.fullmatch(r"v1_balanced_questions_(\w+)_scannetv2", questions.stem)
    return f"SQA3D {released[1]}" if released else questions.stem


def _read_system(name: str, path: Path) -> AnsweringSystem:
    found = read_predictions(path)
    return AnsweringSystem(name, found.answers, found.viewpoints)


def _name_apart(paths: Sequence[Path]) -> list[str]:
    """Systems are called by their files' names, and by their folders' too where that tells them apart."""
    names = [path.stem for path in paths]
    if len({*names, *BASELINES}) < len(names) + len(BASELINES):
        names = [f"{path.stem} [{path.resolve().parent.name}]" for path in paths]
    return names
