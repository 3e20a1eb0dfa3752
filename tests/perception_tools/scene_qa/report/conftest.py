"""A few questions, and evaluations of systems that answered them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.scene_qa.report.evaluation import SystemEvaluation

TEXTS = ("What is it?", "Is it?", "How many?", "Can I?", "Which one?", "Where?", "What's that?", "Is this it?")
TRUTHS = ("chair", "yes", "two", "yes", "left", "behind", "yoga mat", "no")


@pytest.fixture(scope="session")
def make_system() -> Callable[..., SystemEvaluation]:
    """Makes the evaluation of one system from the answers it gave to eight questions."""
    from perception.metrics.question_answering import score_answers
    from perception.scenes.scene import SceneQuestion
    from perception.texts.answers import AnswerVocabulary
    from perception_tools.scene_qa.report.evaluation import SystemEvaluation

    questions = [
        SceneQuestion(number, f"scene{number % 2}", "I sit & wait.", text, (truth,), None)
        for number, (text, truth) in enumerate(zip(TEXTS, TRUTHS, strict=True))
    ]

    def make(name: str, answers: dict[int, list[str]], *, is_oracle: bool = False, places=None, recipe=None):
        table = score_answers(questions, answers, AnswerVocabulary(TRUTHS[:3] + TRUTHS[4:6] + ("no",)))
        return SystemEvaluation(name, table, table.as_json() | {"localization": places}, is_oracle, recipe=recipe)

    return make


@pytest.fixture(scope="session")
def systems(make_system: Callable[..., SystemEvaluation]) -> list[SystemEvaluation]:
    """Two systems and an oracle: six, three and two of eight right."""
    places = {"questions": 8, "given": 5, "acc_0.5m": 0.25, "acc_1m": 0.5, "acc_15deg": 0.125, "acc_30deg": 0.625}
    return [
        make_system(
            "ours", {number: [truth, "desk"] for number, truth in enumerate(TRUTHS[:6])} | {6: ["no"], 7: ["yes"]}
        ),
        make_system("theirs", {0: ["chair"], 1: ["no"], 2: ["two"], 3: ["yes"], 7: ["yes"]}, places=places),
        make_system("majority-per-type", {number: ["yes"] for number in range(8)}, is_oracle=True),
    ]
