"""How a classifier of pictures learns, under Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float32, Int64
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy
from typing_extensions import override

from perception.batches import TensorRecord
from perception.errors import InputError
from perception.losses.classification import classification_loss
from perception.models.image_classifier import ImageClassifier
from perception_tools.image.recipes import ImageRecipe
from perception_tools.training.lightning_task import LearningTask
from perception_tools.training.mixup import BatchMixup


@dataclass(frozen=True)
class PictureBatch(TensorRecord):
    """Pictures and what they show.

    Attributes:
        images: Normalised pictures.
        labels: Class of each.
        unread: Name and fault of the pictures that could not be decoded; others stand in their places.
    """

    images: Float32[Tensor, "batch 3 height width"]
    labels: Int64[Tensor, " batch"]
    unread: tuple[tuple[str, str], ...] = ()


class ImageTask(LearningTask[ImageRecipe, ImageClassifier]):
    """A classifier and how it learns.

    Attributes:
        unread: Name → fault of the training pictures that this process could not decode.
        unread_in_validation: The same of the validation pictures.

    Args:
        recipe: All numbers.
        model: What is trained.
        classes: Number of classes.
    """

    def __init__(self, recipe: ImageRecipe, model: ImageClassifier, classes: int) -> None:
        super().__init__(recipe, model)
        self.unread: dict[str, str] = {}
        self.unread_in_validation: dict[str, str] = {}
        self._mixup = BatchMixup(recipe.mixup, classes)
        self.top1 = MulticlassAccuracy(classes, average="micro")
        self.top5 = MulticlassAccuracy(classes, average="micro", top_k=min(5, classes))

    @override
    def training_step(self, batch: PictureBatch, batch_idx: int) -> Tensor:
        """Cross-entropy with mixed pictures and soft targets."""
        self.unread |= dict(batch.unread)
        images, targets = self._mixup(batch.images, batch.labels, self.step_seed(batch_idx))
        loss = classification_loss(self.model(images), targets)
        self.log_step({"train/loss": loss})
        return loss

    @override
    def validation_step(self, batch: PictureBatch, batch_idx: int) -> None:
        """Share of the pictures whose class is the most likely one, or among the five most likely."""
        self.unread_in_validation |= dict(batch.unread)
        if not len(batch.labels):
            return
        logits = self.model(batch.images).float()
        loss = classification_loss(logits, batch.labels)
        self.top1.update(logits, batch.labels)
        self.top5.update(logits, batch.labels)
        self.log("val/top1", self.top1, prog_bar=True)
        self.log("val/top5", self.top5)
        self.log("val/loss", loss, batch_size=len(batch.labels), sync_dist=True)

    @override
    def on_validation_epoch_end(self) -> None:
        """Raises InputError where not one picture could be read; training would go on without a judge."""
        if self.unread_in_validation and not self.top1.update_called:
            raise InputError(
                f"validation: expected pictures that can be read, found {len(self.unread_in_validation)} that cannot; "
                f"the first: {next(iter(self.unread_in_validation.values()))}"
            )


def unread_in_words(training: Mapping[str, str], validation: Mapping[str, str]) -> str:
    """What to say of pictures that could not be decoded; empty if all could."""
    parts = []
    if training:
        parts.append(_counted(training, "training", "others took their places"))
    if validation:
        parts.append(_counted(validation, "validation", "they are not counted"))
    return "\n".join(parts)


def _counted(unread: Mapping[str, str], kind: str, consequence: str, shown: int = 3) -> str:
    first = "; ".join(list(unread.values())[:shown])
    more = f"; and {len(unread) - shown} more" if len(unread) > shown else ""
    return f"{len(unread)} {kind} pictures could not be read, {consequence}: {first}{more}"
