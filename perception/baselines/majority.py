"""The most frequent answer: what a model must beat to have shown that it read the question, let alone saw the scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from perception.metrics.question_answering import RANKS, question_type
from perception.scenes.scene import SceneQuestion


def majority(asked: Iterable[SceneQuestion], counted: Iterable[SceneQuestion]) -> dict[int, tuple[str, ...]]:
    """The same ranked answers to every question: the most frequent ones among the counted questions."""
    ranked = _most_frequent(counted)
    return {question.id: ranked for question in asked}


def majority_per_type(asked: Iterable[SceneQuestion], counted: Sequence[SceneQuestion]) -> dict[int, tuple[str, ...]]:
    """The most frequent answers to counted questions of the same type, told by the first token.

    A type that was not counted gets the most frequent answers of all.
    """
    by_type: dict[str, list[SceneQuestion]] = {}
    for question in counted:
        by_type.setdefault(question_type(question.question, "first_token"), []).append(question)
    ranked = {name: _most_frequent(questions) for name, questions in by_type.items()}
    overall = _most_frequent(counted)
    return {question.id: ranked.get(question_type(question.question, "first_token"), overall) for question in asked}


def _most_frequent(counted: Iterable[SceneQuestion]) -> tuple[str, ...]:
    """Ties are broken by the alphabet, so that the order of the questions does not matter."""
    counts = Counter(answer for question in counted for answer in question.answers)
    ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))
    return tuple(ranked[:RANKS])
