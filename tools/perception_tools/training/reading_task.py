"""Learning from records of which some cannot be read: which ones, and what to say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeVar

from torch import nn

from perception.errors import InputError
from perception_tools.training.lightning_task import LearningTask
from perception_tools.training.recipes import LearningRecipe

Recipe = TypeVar("Recipe", bound=LearningRecipe)
Model = TypeVar("Model", bound=nn.Module)


class ReadingTask(LearningTask[Recipe, Model]):
    """A model that learns from records, and which of them could not be read.

    Attributes:
        noun: What a record is called, in the singular.
        unread: Name → fault of the training records that this process could not read.
        unread_in_validation: The same of the validation records.

    Args:
        recipe: All numbers.
        model: What is trained.
    """

    noun: ClassVar[str]

    def __init__(self, recipe: Recipe, model: Model) -> None:
        super().__init__(recipe, model)
        self.unread: dict[str, str] = {}
        self.unread_in_validation: dict[str, str] = {}

    def expect_read_validation(self) -> None:
        """Raises InputError if a validation record could not be read; call it where not one could."""
        if self.unread_in_validation:
            raise InputError(
                f"validation: expected {self.noun}s that can be read, found {len(self.unread_in_validation)} that "
                f"cannot; the first: {next(iter(self.unread_in_validation.values()))}"
            )

    def unread_in_words(self) -> str:
        """What to say of records that could not be read; empty if all could."""
        parts = []
        if self.unread:
            parts.append(_counted(self.unread, f"training {self.noun}s", "others took their places"))
        if self.unread_in_validation:
            parts.append(_counted(self.unread_in_validation, f"validation {self.noun}s", "they are not counted"))
        return "\n".join(parts)


def _counted(unread: Mapping[str, str], kind: str, consequence: str, shown: int = 3) -> str:
    first = "; ".join(list(unread.values())[:shown])
    more = f"; and {len(unread) - shown} more" if len(unread) > shown else ""
    return f"{len(unread)} {kind} could not be read, {consequence}: {first}{more}"
