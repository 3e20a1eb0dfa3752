"""What a model of pictures with texts computes on its way: the stages of its block, and where the text looks.

The block is evaluated plainly, for every row to exist; see `perception.frozen.stages`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from perception.frozen.stages import (
    BlockStages,
    Inside,
    attention_weights,
    block_stages,
    expect_adapter,
    noted_inputs,
)
from perception.models.image_text import ImageText
from perception.texts.vocabulary import TextBatch
from perception.tokens import Readout, Tokens


@dataclass(frozen=True)
class PairStages:
    """The stages of every token of the picture, the class token first, and where its text looks.

    Attributes:
        block: Stages before, in and behind the block.
        text_attention: Attention of the text's first row, which its pooler reads, to every token of the picture, in the
            last fusion layer. It sums to 1 in each head.
    """

    block: BlockStages
    text_attention: Float[Tensor, "batch heads tokens"]


@torch.no_grad()
def read_pair_stages(
    model: ImageText, images: Float[Tensor, "batch 3 height width"], texts: TextBatch, inside: Inside = "sum"
) -> PairStages:
    """Returns the stages of pictures, each fused with its text.

    Args:
        model: In evaluation mode, around its block as it was trained.
        images: As its input prepares them.
        texts: A text for each.
        inside: What stands for a part of the block.
    """
    adapter, image, text = expect_adapter(model.block), model.encode_image(images), model.encode_text(texts)
    with noted_inputs(adapter) as given:
        model.fuse(image, text)
    return PairStages(block_stages(adapter, given[-1], inside), _text_attention(model, image, text))


def _text_attention(model: ImageText, image: Tokens, text: Tokens) -> Float[Tensor, "batch heads tokens"]:
    *early, (_, last) = model.fusion.layers
    for image_layer, text_layer in early:
        image, text = image.replace(image_layer(image, text)), text.replace(text_layer(text, image))
    first, cross = Readout.first(text), last.crossattention
    row = last.attention(first.gather(text.values), text)
    weights = attention_weights(cross.self.query(row), cross.self.key(image.values), cross.heads, cross.heads, image)
    return weights[:, :, 0]
