"""What is said of records that could not be read."""

from __future__ import annotations

import pytest
from torch import nn

from perception.errors import InputError
from perception_tools.training.reading_task import ReadingTask
from perception_tools.training.recipes import LearningRecipe


class Clips(ReadingTask[LearningRecipe, nn.Linear]):
    noun = "clip"


@pytest.mark.parametrize(
    ("training", "validation", "expected"),
    [
        (0, 0, ""),
        (1, 0, "1 training clips could not be read, others took their places: fault 0"),
        (0, 2, "2 validation clips could not be read, they are not counted: fault 0; fault 1"),
        (
            5,
            0,
            "5 training clips could not be read, others took their places: fault 0; fault 1; fault 2; and 2 more",
        ),
    ],
)
def test_unread_records_are_counted_and_the_first_named(training: int, validation: int, expected: str) -> None:
    task = Clips(LearningRecipe(), nn.Linear(1, 1))
    task.unread = {str(i): f"fault {i}" for i in range(training)}
    task.unread_in_validation = {str(i): f"fault {i}" for i in range(validation)}
    assert task.unread_in_words() == expected


def test_validation_without_a_record_ends_training_only_if_some_could_not_be_read() -> None:
    task = Clips(LearningRecipe(), nn.Linear(1, 1))
    task.expect_read_validation()
    task.unread_in_validation = {"a": "a is broken", "b": "b is broken"}
    with pytest.raises(InputError, match="found 2 that cannot; the first: a is broken"):
        task.expect_read_validation()
