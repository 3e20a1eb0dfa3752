"""How a classifier of pictures learns, under Lightning."""

from __future__ import annotations

from typing import ClassVar

from perception.models.image_classifier import ImageClassifier
from perception_tools.classification.learning import ClassificationTask
from perception_tools.image.recipes import ImageRecipe


class ImageTask(ClassificationTask[ImageRecipe, ImageClassifier]):
    """A classifier of pictures and how it learns.

    Args:
        recipe: All numbers.
        model: What is trained.
        classes: Number of classes.
    """

    noun: ClassVar[str] = "picture"

    def __init__(self, recipe: ImageRecipe, model: ImageClassifier, classes: int) -> None:
        super().__init__(recipe, model, classes, recipe.mixup)
