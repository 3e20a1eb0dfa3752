"""VQA's accuracy: an answer counts as far as annotators gave it (Goyal et al., https://arxiv.org/abs/1612.00837).

An answer is worth min(1, n / 3), where n of the other annotators gave it, averaged over leaving each annotator out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int

from perception.errors import InputError
from perception.metrics.bootstrap import bootstrap_interval
from perception.texts.vqa_normalization import normalize_vqa, strip_answer

ANSWER_TYPES = ("yes/no", "number", "other")
OVERALL = "overall"
FULL_SCORE_FROM = 3
"""Number of other annotators from which an answer counts as right."""


def soft_scores(answers: Sequence[str]) -> dict[str, float]:
    """Returns what each of the annotators' answers is worth: with ten annotators .3, .6, .9, then 1.

    Answers are compared as they are, as METER compares them for its training targets.
    """
    return {answer: _worth(count, len(answers)) for answer, count in Counter(answers).items()}


def vqa_accuracy(answer: str, answers: Sequence[str]) -> float:
    """Returns what an answer is worth by the official code.

    Both sides are normalised, but not where all annotators agree: the official code compares those as they are.

    Args:
        answer: What was predicted.
        answers: What the annotators said.
    """
    truths = [strip_answer(truth) for truth in answers]
    given = strip_answer(answer)
    if len(set(truths)) > 1:
        given, truths = normalize_vqa(given), [normalize_vqa(truth) for truth in truths]
    return _worth(truths.count(given), len(truths))


def _worth(count: int, annotators: int) -> float:
    """Mean over leaving each annotator out, of whom `count` gave the answer."""
    if not count:
        return 0.0
    without_one, others = min(count - 1, FULL_SCORE_FROM), min(count, FULL_SCORE_FROM)
    return (count * without_one + (annotators - count) * others) / (FULL_SCORE_FROM * annotators)


@dataclass(frozen=True)
class VqaTable:
    """Accuracy of every question, and what it is averaged over.

    Attributes:
        ids: Id of each question.
        answers: Answer to each; None where there was none, which counts as wrong.
        accuracy: What it is worth, 0 to 1.
        pictures: Number of each question's picture; questions about one picture are not independent.
        answer_types: `yes/no`, `number` or `other`.
        question_types: How the question begins, by VQA's list.
        seed: Seed of the bootstrap intervals.
    """

    ids: tuple[int, ...]
    answers: tuple[str | None, ...]
    accuracy: Float64[np.ndarray, " questions"]
    pictures: Int[np.ndarray, " questions"]
    answer_types: tuple[str, ...]
    question_types: tuple[str, ...]
    seed: int = 0

    def as_json(self) -> dict:
        """Returns shares from 0 to 1 with 95 % bootstrap intervals over pictures."""
        everything = np.ones(len(self.ids), dtype=bool)
        groups = {OVERALL: everything} | {k: self._of_type[k] for k in ANSWER_TYPES if k in self._of_type}
        by_type = self._members(self.question_types)
        return {
            "questions": len(self.ids),
            "pictures": len(np.unique(self.pictures)),
            "unanswered": sum(answer is None for answer in self.answers),
            "accuracy": {name: self._mean(rows) for name, rows in groups.items()},
            "interval": {"level": 0.95, "seed": self.seed}
            | {name: self._interval(rows) for name, rows in groups.items()},
            "questions_by_type": {name: int(rows.sum()) for name, rows in groups.items()},
            "by_question_type": {
                name: {"questions": int(rows.sum()), "accuracy": self._mean(rows), "interval": self._interval(rows)}
                for name, rows in by_type.items()
            },
        }

    @cached_property
    def _of_type(self) -> dict[str, Bool[np.ndarray, " questions"]]:
        return self._members(self.answer_types)

    def _members(self, kinds: Sequence[str]) -> dict[str, Bool[np.ndarray, " questions"]]:
        of = np.array(kinds)
        return {str(name): of == name for name in np.unique(of)}

    def _mean(self, rows: Bool[np.ndarray, " questions"]) -> float:
        return float(self.accuracy[rows].mean())

    def _interval(self, rows: Bool[np.ndarray, " questions"]) -> list[float]:
        low, high = bootstrap_interval(self.accuracy[rows, None], self.seed, groups=self.pictures[rows])
        return [float(low[0]), float(high[0])]


@dataclass(frozen=True)
class BlindAnswers:
    """What answers score that do not look at the picture, chosen with the true answers in hand.

    Attributes:
        answer: The one answer that scores best when it is given to every question.
        constant: Its accuracy.
        by_question_type: Accuracy of the best answer to each type of question.
    """

    answer: str
    constant: float
    by_question_type: float


def blind_answers(truths: Sequence[Sequence[str]], question_types: Sequence[str]) -> BlindAnswers:
    """Finds the best answers that ignore pictures.

    Args:
        truths: What the annotators said, for each question.
        question_types: Type of each question.

    Raises:
        InputError: There are no questions.
    """
    if not truths:
        raise InputError("scoring answers: expected questions, got none; give a split that has some")
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for answers, kind in zip(truths, question_types, strict=True):
        for answer in sorted({strip_answer(answer) for answer in answers}):
            totals[kind][answer] += vqa_accuracy(answer, answers)  # pyright: ignore[reportArgumentType]  # floats
    everywhere: Counter[str] = sum(totals.values(), Counter())
    rank: Callable[[str], tuple[float, str]] = lambda answer: (-everywhere[answer], answer)  # noqa: E731
    best = min(everywhere, key=rank)
    by_type = sum(max(of.values()) for of in totals.values()) / len(truths)
    return BlindAnswers(best, everywhere[best] / len(truths), by_type)
