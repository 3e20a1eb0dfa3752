"""The answers that a classifier can give: shared by the answer head, its training targets and the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from perception.errors import InputError

UNKNOWN = "unknown"
"""What the class after the last answer is called; SQA3D's converter writes this word for every rare answer."""


@dataclass(frozen=True)
class AnswerVocabulary:
    """Answers by class index, and one more class for all others.

    SQA3D's dictionary holds 706 answers, hence 707 classes. An answer is in it where it occurs at least twice in train,
    val and test together (inferred from the counts; no script of the release says so): 95 of the 3,519 test answers
    are not, and no classifier can name them.

    Attributes:
        answers: Of class 0, 1, …
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
        """How many classes there are, the unknown one included."""
        return len(self.answers) + 1

    def __contains__(self, answer: str) -> bool:
        return answer in self._classes

    def class_of(self, answer: str) -> int:
        """The class of an answer; the last one where the vocabulary lacks it."""
        return self._classes.get(answer, len(self.answers))

    def answer_of(self, index: int) -> str:
        """The answer of a class; `unknown` of the last one."""
        return UNKNOWN if index == len(self.answers) else self.answers[index]

    @cached_property
    def _classes(self) -> dict[str, int]:
        return {answer: index for index, answer in enumerate(self.answers)}
