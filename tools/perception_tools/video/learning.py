"""How a model that recognises actions learns, under Lightning."""

from __future__ import annotations

from typing import ClassVar

from perception.models.action_recognizer import ActionRecognizer
from perception_tools.classification.learning import ClassificationTask
from perception_tools.video.recipes import ActionRecipe


class ActionTask(ClassificationTask[ActionRecipe, ActionRecognizer]):
    """A model that recognises actions and how it learns.

    Args:
        recipe: All numbers.
        model: What is trained.
        classes: Number of classes.
    """

    noun: ClassVar[str] = "clip"

    def __init__(self, recipe: ActionRecipe, model: ActionRecognizer, classes: int) -> None:
        super().__init__(recipe, model, classes, recipe.mixup)
