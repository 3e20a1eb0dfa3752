from __future__ import annotations

from typing import get_args

import pytest
import torch

from perception.encoders.vit import Vit, VitSize
from perception.frozen.adapter import build_adapter
from perception.frozen.stages import block_attention, block_stages, expect_adapter
from perception.heads.classification import ClassificationHead
from perception.models.image_classifier import ImageClassifier, Position
from perception.models.image_stages import read_stages
from perception.tokens import Readout

IMAGES = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))


def classifier(position: Position = "tail", **block: str) -> ImageClassifier:
    torch.manual_seed(0)
    adapter = build_adapter(24, **{"source": "random:32x48x4x2?seed=0", "init": "default", **block})  # pyright: ignore
    return ImageClassifier(Vit(VitSize(24, 2, 3), 4, (16, 12)), adapter, ClassificationHead(24, 5), position=position)


@pytest.mark.parametrize("position", get_args(Position))
def test_stages_are_those_of_the_tokens_that_reach_the_block(position: Position) -> None:
    model = classifier(position)
    stages = read_stages(model, IMAGES)
    layers = {"tail": 2, "middle": 1, "head": 0}[position]
    encoded = model.encoder.layers(model.encoder.embed(IMAGES), stop=layers)
    torch.testing.assert_close(stages.block.encoder, encoded.values)
    adapter = expect_adapter(model.block)
    for name, value in block_stages(adapter, encoded).named().items():
        torch.testing.assert_close(stages.block.named()[name], value)
    attention = block_attention(adapter, encoded, Readout.first(encoded))
    assert attention is not None
    torch.testing.assert_close(stages.cls_attention, attention[:, :, 0])


def test_the_last_stage_is_what_the_head_reads() -> None:
    model = classifier()
    stages = read_stages(model, IMAGES)
    torch.testing.assert_close(model.head(model.encoder.norm(stages.block.output[:, :1])), model(IMAGES))


@pytest.mark.parametrize("kind", ["none", "mlp"])
@pytest.mark.parametrize("position", get_args(Position))
def test_without_a_language_block_the_last_layer_says_where_the_class_token_looks(
    kind: str, position: Position
) -> None:
    model = classifier(position, kind=kind)
    layer, before = model.encoder.get_submodule("blocks.1"), []
    handle = layer.register_forward_pre_hook(lambda _, args: before.append(args[0]))
    stages = read_stages(model, IMAGES)
    handle.remove()
    normed = layer.norm1(before[0])  # pyright: ignore
    value = layer.attn.qkv(normed).unflatten(-1, (3, 3, 8))[:, :, 2]  # pyright: ignore
    gathered = torch.einsum("bht,bthe->bhe", stages.cls_attention, value).flatten(1)
    torch.testing.assert_close(layer.attn.proj(gathered), layer.attn(normed)[:, 0])  # pyright: ignore


def test_reading_leaves_nothing_behind_even_if_it_fails() -> None:
    model = classifier()
    alone = model(IMAGES)
    read_stages(model, IMAGES)
    with pytest.raises(ValueError, match="multiples of the patch"):
        read_stages(model, IMAGES[..., :3])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(model(IMAGES), alone)


def test_a_folded_model_has_no_stages() -> None:
    with pytest.raises(ValueError, match="got one around FoldedBlock"):
        read_stages(classifier().folded(), IMAGES)
