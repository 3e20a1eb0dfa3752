"""Pre-training of an encoder of clips without labels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from perception.clips.masking import tube_masks
from perception.losses.masked_pixels import masked_pixel_loss
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_tools.classification.learning import LabelledBatch
from perception_tools.training.reading_task import ReadingTask
from perception_tools.video.recipes import ActionRecipe


class PretrainingTask(ReadingTask[ActionRecipe, MaskedAutoencoder]):
    """An encoder and how it learns: from the pixels of hidden tubelets."""

    noun = "clip"

    @override
    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Float[Tensor, ""]:
        """Hides places at random; the step's seed draws them."""
        self.unread |= dict(batch.unread)
        loss = reconstruction_loss(self.model, batch.values, self.recipe.mask_ratio)
        self.log_step({"train/loss": loss})
        return loss

    @override
    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> None:
        """Hides the same places in every validation."""
        self.unread_in_validation |= dict(batch.unread)
        if len(batch.labels):
            draw = torch.Generator().manual_seed(batch_idx)
            loss = reconstruction_loss(self.model, batch.values, self.recipe.mask_ratio, draw)
            self.log("val/loss", loss, prog_bar=True, batch_size=len(batch.labels), sync_dist=True)


def reconstruction_loss(
    model: MaskedAutoencoder,
    clips: Float[Tensor, "batch 3 time height width"],
    mask_ratio: float,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Mean squared error of the normalised pixels of hidden tubelets.

    Args:
        model: Encoder and decoder.
        clips: Normalised clips.
        mask_ratio: Part of the places that is hidden.
        generator: Draws them; PyTorch's global one by default.
    """
    masked = tube_masks(len(clips), model.encoder.grid, mask_ratio, generator).to(clips.device)
    return masked_pixel_loss(model(clips, masked), model.tubelets(clips), masked)
