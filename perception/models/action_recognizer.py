"""Actions in clips: VideoMAE's transformer → frozen language block → action.

Pang et al. (ICLR 2024, §4.3) put the block behind the last layer of VideoMAE's ViT. As in their code there is no norm
before it, and the head averages all tokens that come out of it, so that all rows are read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from perception.clips.clip import Clip
from perception.clips.clip_input import ClipInput
from perception.encoders.video_mae import VideoMae
from perception.frozen.block import EVERY_ROW
from perception.heads.action import ActionHead
from perception.kernels.precision import Precision
from perception.models.with_block import exchange_block, fold_block
from perception.tokens import Readout, Tokens


class ActionRecognizer(nn.Module):
    """Encoder, block and head, and how clips are shown to them.

    Args:
        encoder: Turns clips into tokens.
        block: The frozen block, or several, between two projections, or any of its controls.
        head: Turns tokens into actions.
    """

    def __init__(self, encoder: VideoMae, block: nn.Module, head: ActionHead) -> None:
        super().__init__()
        self.encoder, self.block, self.head = encoder, block, head
        images, height, _ = encoder.clip
        self.input = ClipInput(images, height)

    def forward(self, clips: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch classes"]:
        """Returns a logit for each action."""
        tokens = self.encoder.embed(clips)
        return self.head(self.finish(tokens, self.head.readout(tokens)))

    def finish(self, tokens: Tokens, readout: Readout = EVERY_ROW) -> Float[Tensor, "batch rows dim"]:
        """Returns the rows that are read.

        Args:
            tokens: From `encoder.embed`.
            readout: Rows to read.
        """
        return self.block(self.encoder.layers(tokens), readout)

    def prepare(self, clip: Clip) -> Float32[Tensor, "3 time height width"]:
        """Pixels as the encoder reads them; see `ClipInput.prepare`."""
        return self.input.prepare(clip)

    def collate(self, prepared: Sequence[Float32[Tensor, "3 _ _ _"]]) -> Float32[Tensor, "batch 3 time height width"]:
        """Clips side by side."""
        return torch.stack(list(prepared))

    @torch.inference_mode()
    def classify(self, clips: Sequence[Clip]) -> Float32[np.ndarray, "clips classes"]:
        """Probability of each action, for at least one clip."""
        return self.classify_prepared([self.prepare(clip) for clip in clips])

    @torch.inference_mode()
    def classify_prepared(self, prepared: Sequence[Float32[Tensor, "3 _ _ _"]]) -> Float32[np.ndarray, "clips classes"]:
        """Probability of each action, for at least one clip as `prepare` gives it."""
        batch = self.collate(prepared).to(next(self.parameters()).device)
        return self(batch).float().softmax(-1).cpu().numpy()

    def group_matcher(self, coarse: bool = False) -> dict:  # noqa: ARG002  # timm's signature
        """Layers for timm's layer decay: the embedding, then each layer; projections of the block and head follow."""
        return {"stem": r"^encoder\.patch_embed", "blocks": r"^encoder\.blocks\.(\d+)"}

    def with_block(self, block: nn.Module) -> ActionRecognizer:
        """The model with another block; all other weights are shared."""
        return exchange_block(self, block)

    def folded(self, precision: Precision = "float32") -> ActionRecognizer:
        """The model for serving; see `perception.models.with_block.fold_block`."""
        return fold_block(self, precision)
