"""How a classifier learns, under Lightning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy
from typing_extensions import override

from perception.batches import TensorRecord
from perception.losses.classification import classification_loss
from perception_tools.training.mixup import BatchMixup
from perception_tools.training.readable import Faults
from perception_tools.training.reading_task import ReadingTask
from perception_tools.training.recipes import LearningRecipe, MixupRecipe

Recipe = TypeVar("Recipe", bound=LearningRecipe)
Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class LabelledBatch(TensorRecord):
    """Records as a model is shown them, and their classes.

    Attributes:
        values: What the model is called with: pictures, clouds or clips.
        labels: Class of each.
        unread: Name and fault of the records that could not be decoded; others stand in their places.
    """

    values: Float32[Tensor, "batch ..."]
    labels: Int64[Tensor, " batch"]
    unread: Faults = ()


class ClassificationTask(ReadingTask[Recipe, Model]):
    """A classifier and how it learns: cross-entropy with soft targets.

    Args:
        recipe: All numbers.
        model: What is trained: values of a batch → logits.
        classes: Number of classes.
        mixup: How records are mixed and labels smoothed.
    """

    def __init__(self, recipe: Recipe, model: Model, classes: int, mixup: MixupRecipe) -> None:
        super().__init__(recipe, model)
        self._mixup = BatchMixup(mixup, classes)
        self.top1 = MulticlassAccuracy(classes, average="micro")
        self.top5 = MulticlassAccuracy(classes, average="micro", top_k=min(5, classes))

    @override
    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Float[Tensor, ""]:
        """Cross-entropy with mixed records and soft targets."""
        self.unread |= dict(batch.unread)
        values, targets = self._mixup(batch.values, batch.labels, self.step_seed(batch_idx))
        loss = classification_loss(self.model(values), targets)
        self.log_step({"train/loss": loss})
        return loss

    @override
    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> None:
        """Share of the records whose class is the most likely one, or among the five most likely."""
        self.unread_in_validation |= dict(batch.unread)
        if not len(batch.labels):
            return
        logits = self.model(batch.values).float()
        loss = classification_loss(logits, batch.labels)
        self.top1.update(logits, batch.labels)
        self.top5.update(logits, batch.labels)
        self.log("val/top1", self.top1, prog_bar=True)
        self.log("val/top5", self.top5)
        self.log("val/loss", loss, batch_size=len(batch.labels), sync_dist=True)

    @override
    def on_validation_epoch_end(self) -> None:
        """Raises InputError where not one record could be read; training would go on without a judge."""
        if not self.top1.update_called:
            self.expect_read_validation()
