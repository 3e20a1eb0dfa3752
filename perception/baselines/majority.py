"""Most frequent answers, the baseline of question answering: they ignore the scene and most of the question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from perception.metrics.question_answering import RANKS, question_type
from perception.scenes.scene import SceneQuestion


def majority(questions: Iterable[SceneQuestion], reference: Iterable[SceneQuestion]) -> dict[int, tuple[str, ...]]:
    """Ranks the most frequent answers to the reference questions, the same for every question; by question id."""
    ranked = _most_frequent(reference)
    return {question.id: ranked for question in questions}


def majority_per_type(
    questions: Iterable[SceneQuestion], reference: Sequence[SceneQuestion]
) -> dict[int, tuple[str, ...]]:
    """Ranks the most frequent answers to reference questions of the same type, by the `first_token` rule.

    A type without reference questions gets the most frequent answers of all.
    """
    by_type: dict[str, list[SceneQuestion]] = {}
    for question in reference:
        by_type.setdefault(question_type(question.question, "first_token"), []).append(question)
    ranked = {name: _most_frequent(of_type) for name, of_type in by_type.items()}
    overall = _most_frequent(reference)
    return {question.id: ranked.get(question_type(question.question, "first_token"), overall) for question in questions}


def _most_frequent(questions: Iterable[SceneQuestion]) -> tuple[str, ...]:
    """Ranks answers by frequency, then alphabetically, so that the order of the questions does not matter."""
    counts = Counter(answer for question in questions for answer in question.answers)
    ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))
    return tuple(ranked[:RANKS])
