"""The answers of a classifier, shared by the answer head, its training targets and the evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from perception.errors import InputError

UNKNOWN = "unknown"
"""Name of the class after the last answer; SQA3D's converter writes it for every rare answer."""


@dataclass(frozen=True)
class AnswerVocabulary:
    """Answers by class index, and one last class for all others.

    SQA3D's dictionary holds 706 answers, hence 707 classes. An answer is in it if it occurs at least twice in train,
    val and test together (inferred from the counts; no script of the release says so). 95 of the 3,519 test answers are
    not in it, so no classifier can give them.

    Attributes:
        answers: Answers of the classes 0, 1, …
    """

    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        if UNKNOWN in self.answers:
            raise InputError(
                f"answer vocabulary: expected real answers, got {UNKNOWN!r}; it is added as the last class"
            )
        if len(self._classes) < len(self.answers):
            twice = next(answer for answer in self.answers if self.answers.count(answer) > 1)
            raise InputError(f"answer vocabulary: expected every answer once, got {twice!r} twice; remove one")

    def __len__(self) -> int:
        """Number of classes, including the unknown one."""
        return len(self.answers) + 1

    def __contains__(self, answer: str) -> bool:
        return answer in self._classes

    def class_of(self, answer: str) -> int:
        """Returns the class of an answer; the last class if the vocabulary lacks it."""
        return self._classes.get(answer, len(self.answers))

    def answer_of(self, index: int) -> str:
        """Returns the answer of a class; `unknown` for the last one."""
        return UNKNOWN if index == len(self.answers) else self.answers[index]

    @cached_property
    def _classes(self) -> dict[str, int]:
        return {answer: index for index, answer in enumerate(self.answers)}


def frequent_answers(answers: Iterable[str], at_least: int = 2) -> tuple[str, ...]:
    """Returns the answers given at least `at_least` times: the most frequent first, equal ones by the alphabet."""
    counts = sorted(Counter(answers).items(), key=lambda item: (-item[1], item[0]))
    return tuple(answer for answer, count in counts if count >= at_least)
