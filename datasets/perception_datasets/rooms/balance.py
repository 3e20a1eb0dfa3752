"""Removes questions until their words alone no longer reveal the answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np

Question = TypeVar("Question")
KEEP = 2
"""Up to this many questions with the same answer are kept even if their group has no other answer."""
_ROUNDS = 3


def balance(
    questions: Sequence[Question],
    answer: Callable[[Question], str],
    keys: Sequence[Callable[[Question], Hashable]],
    rng: np.random.Generator,
) -> list[Question]:
    """Removes questions so that the most frequent answer of a group is no more frequent than the second.

    Args:
        questions: Questions of a split.
        answer: Returns the answer to a question.
        keys: Functions that each divide the questions into groups, for instance by their text. Balancing by one key
            can unbalance the groups of another a little, so all keys are applied a few times.
        rng: Chooses the questions that are removed.

    Returns:
        The remaining questions in their order.
    """
    kept = [questions[i] for i in rng.permutation(len(questions))]
    for _ in range(_ROUNDS):
        for key in keys:
            kept = _cut(kept, answer, key)
    chosen = {id(question) for question in kept}
    return [question for question in questions if id(question) in chosen]


def _cut(
    questions: Sequence[Question], answer: Callable[[Question], str], key: Callable[[Question], Hashable]
) -> list[Question]:
    groups: defaultdict[Hashable, defaultdict[str, list[Question]]] = defaultdict(lambda: defaultdict(list))
    for question in questions:
        groups[key(question)][answer(question)].append(question)
    kept = []
    for answers in groups.values():
        counts = sorted((len(same) for same in answers.values()), reverse=True)
        most = max(KEEP, counts[1] if len(counts) > 1 else 0)
        kept += [question for same in answers.values() for question in same[:most]]
    return kept
