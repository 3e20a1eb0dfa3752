"""Classes of pictures: vision transformer → frozen language block → class.

Pang et al. (ICLR 2024, §4.1) put the block behind the last layer of a ViT. As in their code the tokens enter it without
a norm; the encoder's last norm follows `project_out`, and the head reads the class token. Their ablation (table D) puts
it at other places too, without saying at which layers: here `middle` is after half of the layers, and `head` before the
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from perception.encoders.vit import Vit
from perception.frozen.block import EVERY_ROW
from perception.heads.classification import ClassificationHead
from perception.images.image import Picture
from perception.images.picture_input import PictureInput
from perception.kernels.precision import Precision
from perception.models.with_block import exchange_block, fold_block
from perception.tokens import Readout, Tokens

Position = Literal["tail", "middle", "head"]


class ImageClassifier(nn.Module):
    """Encoder, block and head, and how pictures are shown to them.

    Args:
        encoder: Turns pictures into tokens.
        block: The frozen block, or several, between two projections, or any of its controls.
        head: Turns tokens into classes.
        position: Where the block stands among the encoder's layers. At the tail it computes only the rows that the head
            reads; elsewhere the layers behind it need every row.
        input: Shows pictures to the encoder. None shows the encoder's size, cropped as is usual for ImageNet.
    """

    def __init__(
        self,
        encoder: Vit,
        block: nn.Module,
        head: ClassificationHead,
        *,
        position: Position = "tail",
        input: PictureInput | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.block, self.head = encoder, block, head
        self.position: Position = position
        rows, columns = encoder.grid
        self.input = input or PictureInput(encoder.patch * rows, encoder.patch * columns)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Returns a logit for each class."""
        tokens = self.encoder.embed(images)
        return self.head(self.finish(tokens, self.head.readout(tokens)))

    def finish(self, tokens: Tokens, readout: Readout = EVERY_ROW) -> Float[Tensor, "batch rows dim"]:
        """Returns the rows that are read, after the last norm.

        Args:
            tokens: From `encoder.embed`.
            readout: Rows to read.
        """
        depth = {"tail": len(self.encoder.blocks), "middle": len(self.encoder.blocks) // 2, "head": 0}[self.position]
        tokens = self.encoder.layers(tokens, stop=depth)
        if self.position == "tail":
            return self.encoder.norm(self.block(tokens, readout))
        tokens = self.encoder.layers(tokens.replace(self.block(tokens)), start=depth)
        return self.encoder.norm(readout.gather(tokens.values))

    def prepare(self, picture: Picture) -> Float32[Tensor, "3 height width"]:
        """Pixels as the encoder reads them; see `PictureInput.prepare`."""
        return self.input.prepare(picture)

    def collate(self, prepared: Sequence[Float32[Tensor, "3 _ _"]]) -> Float32[Tensor, "batch 3 height width"]:
        """Pictures side by side."""
        return torch.stack(list(prepared))

    @torch.inference_mode()
    def classify(self, pictures: Sequence[Picture]) -> Float32[np.ndarray, "pictures classes"]:
        """Probability of each class, for at least one picture."""
        images = self.collate([self.prepare(picture) for picture in pictures])
        return self(images.to(next(self.parameters()).device)).float().softmax(-1).cpu().numpy()

    def with_block(self, block: nn.Module) -> ImageClassifier:
        """The model with another block; all other weights are shared."""
        return exchange_block(self, block)

    def folded(self, precision: Precision = "float32") -> ImageClassifier:
        """The model for serving; see `perception.models.with_block.fold_block`."""
        return fold_block(self, precision)
