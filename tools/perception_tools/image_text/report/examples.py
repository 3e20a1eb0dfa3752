"""Questions in the report: picture, true answers, what each model answers, where it looks, what its block amplifies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from perception.metrics.vqa_accuracy import vqa_accuracy
from perception_datasets.image_text.picture_files import PictureFiles
from perception_datasets.image_text.vqa import VqaQuestion
from perception_tools.analysis.filtering.measure import Example, activations_of
from perception_tools.analysis.filtering.pictures import example_inches, example_svg
from perception_tools.analysis.filtering.views import Asked
from perception_tools.image_text.model import TrainedImageText
from perception_tools.image_text.token_views import question_view

SEED = 0
TOP = 5
"""Number of answers that are shown of each model."""
_PIXELS_PER_INCH = 96


@dataclass(frozen=True)
class ShownAnswer:
    """One of a model's answers.

    Attributes:
        text: The answer.
        probability: That it is right, by the model.
        worth: What it is worth by the annotators' answers, from 0 to 1.
    """

    text: str
    probability: float
    worth: float


@dataclass(frozen=True)
class ShownQuestion:
    """A question of the report.

    Attributes:
        question: Its text.
        truth: What the annotators said, with the number of those who said it where they differ.
        answers: Name of a model → its most likely answers.
        drawing: The picture, and its patches in the colours of their activations, as SVG.
        width: Width at which the drawing's text has the size of a caption, in pixels.
    """

    question: str
    truth: str
    answers: Mapping[str, Sequence[ShownAnswer]]
    drawing: Markup
    width: int


def draw_questions(
    models: Mapping[str, TrainedImageText],
    questions: Sequence[VqaQuestion],
    files: PictureFiles,
    unread: set[str],
    count: int,
) -> list[ShownQuestion]:
    """Draws questions about different pictures, chosen by a seed and by nothing that a model says.

    Args:
        models: Name of a model → the model.
        questions: Questions to choose among.
        files: Their pictures.
        unread: Names of pictures that cannot be read.
        count: Number of questions; fewer where there are fewer pictures.
    """
    order = np.random.default_rng(SEED).permutation(len(questions)).tolist()
    chosen: dict[str, VqaQuestion] = {}
    for question in (questions[number] for number in order):
        if len(chosen) < count and question.image_file not in unread:
            chosen.setdefault(question.image_file, question)
    return [_show(models, question, files, number) for number, question in enumerate(chosen.values())]


def _show(
    models: Mapping[str, TrainedImageText], question: VqaQuestion, files: PictureFiles, number: int
) -> ShownQuestion:
    picture, asked = files.decode(question.image_file), Asked(Path())
    views = tuple(question_view(one.model, picture, question.question, "", asked) for one in models.values())
    example = Example(views, tuple(map(activations_of, views)))
    answers = {}
    for name, one in models.items():
        (probabilities,) = one.model.answer([picture], [question.question])
        best = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
        answers[name] = [
            ShownAnswer(one.answers[i], float(probabilities[i]), vqa_accuracy(one.answers[i], question.answers))
            for i in best
        ]
    said = Counter(question.answers).most_common()
    truth = said[0][0] if len(said) == 1 else ", ".join(f"{answer} ({times})" for answer, times in said)
    drawing = Markup(example_svg(example, list(models), f"question{number}"))
    return ShownQuestion(question.question, truth, answers, drawing, round(_PIXELS_PER_INCH * example_inches(example)))
