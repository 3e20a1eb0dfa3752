"""Classes of point clouds: Point-BERT → frozen language block → class.

Pang et al. (ICLR 2024, §4.2) put the block behind the last layer, before the last norm. The head reads the class token
and the maximum over all groups, so every row of the block is computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from perception.clouds.cloud import Cloud, CloudInput
from perception.encoders.point_bert import PointBert
from perception.heads.classification import ClsMaxHead
from perception.kernels.precision import Precision
from perception.models.with_block import exchange_block, fold_block


class PointClassifier(nn.Module):
    """Encoder, block and head, and how clouds are shown to them.

    Args:
        encoder: Turns clouds into tokens.
        block: The frozen block, or several, between two projections, or any of its controls.
        head: Turns tokens into classes.
        input: Shows clouds to the encoder.
    """

    def __init__(self, encoder: PointBert, block: nn.Module, head: ClsMaxHead, input: CloudInput) -> None:
        super().__init__()
        self.encoder, self.block, self.head, self.input = encoder, block, head, input

    def forward(self, points: Float[Tensor, "batch points 3"]) -> Float[Tensor, "batch classes"]:
        """Returns a logit for each class."""
        tokens = self.encoder.layers(self.encoder.embed(self.encoder.group(points)))
        rows = self.block(tokens, self.head.readout(tokens))
        return self.head(self.encoder.norm(rows))

    def prepare(self, cloud: Cloud) -> Float32[Tensor, "points 3"]:
        """Points as the encoder reads them; see `CloudInput.prepare`."""
        return self.input.prepare(cloud)

    def collate(self, prepared: Sequence[Float32[Tensor, "_ 3"]]) -> Float32[Tensor, "batch points 3"]:
        """Clouds side by side."""
        return torch.stack(list(prepared))

    @torch.inference_mode()
    def classify(self, clouds: Sequence[Cloud]) -> Float32[np.ndarray, "clouds classes"]:
        """Probability of each class, for at least one cloud."""
        points = self.collate([self.prepare(cloud) for cloud in clouds])
        return self(points.to(next(self.parameters()).device)).float().softmax(-1).cpu().numpy()

    def with_block(self, block: nn.Module) -> PointClassifier:
        """The model with another block; all other weights are shared."""
        return exchange_block(self, block)

    def folded(self, precision: Precision = "float32") -> PointClassifier:
        """The model for serving; see `perception.models.with_block.fold_block`."""
        return fold_block(self, precision)
