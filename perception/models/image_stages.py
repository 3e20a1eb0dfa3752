"""What a classifier of pictures computes on its way, at the stages that Pang et al. (ICLR 2024, §6) look at.

The block is evaluated plainly, for every row to exist; see `perception.frozen.stages`, also for what rows are worth
that no head has read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from perception.encoders.vit import Layer
from perception.frozen.stages import (
    BlockStages,
    Inside,
    attention_weights,
    block_attention,
    block_stages,
    expect_adapter,
    noted_inputs,
)
from perception.models.image_classifier import ImageClassifier
from perception.tokens import Readout


@dataclass(frozen=True)
class ImageStages:
    """The stages of every token, the class token first, and where the class token looks.

    Attributes:
        block: Stages before, in and behind the block, wherever it stands among the encoder's layers. Behind the last of
            them, the class token's row of the last stage is what the head's norm reads.
        cls_attention: Attention of the class token to every token, itself included, in the last language block; without
            one, in the last layer of the encoder. It sums to 1 in each head.
    """

    block: BlockStages
    cls_attention: Float[Tensor, "batch heads tokens"]


@torch.no_grad()
def read_stages(
    model: ImageClassifier, images: Float[Tensor, "batch 3 height width"], inside: Inside = "sum"
) -> ImageStages:
    """Returns the stages of a model around an adapter, as it was trained; a folded one has no such features.

    Args:
        model: In evaluation mode.
        images: As its input prepares them.
        inside: What stands for a part of the block.
    """
    adapter, embedded = expect_adapter(model.block), model.encoder.embed(images)
    readout, last = Readout.first(embedded), model.encoder.blocks[-1]
    with noted_inputs(adapter) as of_block, noted_inputs(last) as of_layer:
        model.finish(embedded, readout)
    attention = block_attention(adapter, of_block[0], readout)
    if attention is None:
        assert isinstance(last, Layer)
        query, key, _ = last.attn.qkv(last.norm1(of_layer[0])).chunk(3, -1)
        heads = last.attn.heads
        attention = attention_weights(readout.gather(query), key, heads, heads, embedded)
    return ImageStages(block_stages(adapter, of_block[0], inside), attention[:, :, 0])
