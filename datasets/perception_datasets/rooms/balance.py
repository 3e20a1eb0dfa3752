"""Takes questions away until words alone no longer tell their answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np

Question = TypeVar("Question")
KEEP = 2
"""So many of an answer stay even where it is the only one: of two equal questions nobody learns much."""
_ROUNDS = 3


def balance(
    questions: Sequence[Question],
    answer: Callable[[Question], str],
    keys: Sequence[Callable[[Question], Hashable]],
    rng: np.random.Generator,
) -> list[Question]:
    """The questions, in their order, without those by which the commonest answer of a group outnumbers the second.

    Args:
        questions: Of a split.
        answer: To a question.
        keys: Each sorts the questions into groups, for instance by their text. Groups of one key are cut after those of
            another, which tips the first ones again a little, so it is done a few times.
        rng: Chooses which go.
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
