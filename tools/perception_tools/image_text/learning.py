"""How a model of pictures with texts learns, under Lightning."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics import MeanMetric
from typing_extensions import override

from perception.losses.answer import answer_loss
from perception.losses.matching import caption_loss
from perception.models.image_text import ImageText
from perception.tokens import Tokens
from perception_tools.image_text.data import ImageTextBatch
from perception_tools.image_text.recipes import ImageTextRecipe
from perception_tools.training.reading_task import ReadingTask

HEAD = ("vqa_classifier", "itm_score")
FUSION = ("fusion", "image_transform", "text_transform", "image_pooler", "text_pooler")
"""Parts of the groups with rates of their own: METER's `head_names`, and what is called `cross_modal` there."""


class ImageTextTask(ReadingTask[ImageTextRecipe, ImageText]):
    """A model and how it learns: answers by their soft scores, or captions among false ones."""

    noun = "picture"

    def __init__(self, recipe: ImageTextRecipe, model: ImageText) -> None:
        super().__init__(recipe, model)
        self.judged = MeanMetric()

    @override
    def parameter_groups(self) -> dict[str, Sequence[nn.Parameter]]:
        """Heads, fusion and block apart from the towers."""

        def parameters(names: Sequence[str]) -> list[nn.Parameter]:
            parts = [getattr(self.model, name) for name in names]
            return [p for part in parts if part is not None for p in part.parameters()]

        return super().parameter_groups() | {"head": parameters(HEAD), "fusion": parameters(FUSION)}

    @property
    def monitor(self) -> str:
        """Name of the number that says whether a model is better."""
        return "val/accuracy" if self.recipe.goal == "vqa" else "val/rank1"

    @override
    def training_step(self, batch: ImageTextBatch, batch_idx: int) -> Float[Tensor, ""]:
        """The loss of answers, or of ranking and matching captions."""
        self.unread |= dict(batch.unread)
        if self.recipe.goal == "vqa":
            loss = answer_loss(self.model(batch.images, batch.texts), batch.scores)
            self.log_step({"train/loss": loss})
            return loss
        ranks, matches = self._captions(batch)
        loss = caption_loss(ranks, matches, self.recipe.match_weight)
        self.log_step({"train/loss": loss})
        return loss

    @override
    def validation_step(self, batch: ImageTextBatch, batch_idx: int) -> None:
        """What the most likely answers are worth, or the share of captions that win against false ones."""
        self.unread_in_validation |= dict(batch.unread)
        if not len(batch.images):
            return
        if self.recipe.goal == "vqa":
            logits = self.model(batch.images, batch.texts).float()
            found = batch.scores.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
            loss = answer_loss(logits, batch.scores)
        else:
            ranks, matches = self._captions(batch)
            found = (ranks[:, :1] > ranks[:, 1:]).all(1).float()
            loss = caption_loss(ranks, matches, self.recipe.match_weight)
        self.judged.update(found)
        self.log(self.monitor, self.judged, prog_bar=True)
        self.log("val/loss", loss, batch_size=len(batch.images), sync_dist=True)

    @override
    def on_validation_epoch_end(self) -> None:
        """Raises InputError where not one picture could be read; training would go on without a judge."""
        if not self.judged.update_called:
            self.expect_read_validation()

    def _captions(
        self, batch: ImageTextBatch
    ) -> tuple[Float[Tensor, "batch captions"], Float[Tensor, "batch captions 2"]]:
        """Scores of each picture with its captions; the towers see every picture once."""
        assert self.model.itm_score is not None
        each = 1 + self.recipe.false_captions
        image = self.model.encode_image(batch.images)
        repeated = Tokens(*(part.repeat_interleave(each, 0) for part in (image.values, image.valid)))
        pooled = self.model.fuse(repeated, self.model.encode_text(batch.texts))
        return self.model.rank(pooled).view(-1, each), self.model.itm_score(pooled).view(-1, each, 2)
