from __future__ import annotations

from typing import get_args

import pytest
import torch

from perception.encoders.vit import Vit, VitSize
from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.block import LlamaBlock
from perception.heads.classification import ClassificationHead
from perception.models.image_classifier import ImageClassifier, Position
from perception.models.image_stages import read_stages

IMAGES = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))


def classifier(position: Position = "tail", **block: str) -> ImageClassifier:
    torch.manual_seed(0)
    adapter = build_adapter(24, **{"source": "random:32x48x4x2?seed=0", "init": "default", **block})  # pyright: ignore
    return ImageClassifier(Vit(VitSize(24, 2, 3), 4, (16, 12)), adapter, ClassificationHead(24, 5), position=position)


@pytest.mark.parametrize("position", get_args(Position))
def test_stages_are_what_the_blocks_parts_compute(position: Position) -> None:
    model = classifier(position)
    adapter = model.block
    assert isinstance(adapter, FrozenBlockAdapter)
    (block,) = adapter.blocks
    assert isinstance(block, LlamaBlock)
    stages = read_stages(model, IMAGES)
    layers = {"tail": 2, "middle": 1, "head": 0}[position]
    encoded = model.encoder.layers(model.encoder.embed(IMAGES), stop=layers).values
    torch.testing.assert_close(stages.encoder, encoded)
    torch.testing.assert_close(stages.project_in, adapter.project_in(encoded))
    assert stages.attention is not None
    torch.testing.assert_close(stages.feed_forward, block.finish(stages.attention))
    torch.testing.assert_close(stages.project_out, adapter.project_out(adapter.post_norm(stages.feed_forward)))
    # The class token's attention, applied to the values, is what attention adds to its row.
    assert stages.project_in is not None
    values = block.v(block.attention_norm(stages.project_in)).unflatten(-1, (2, 1, 8)).expand(-1, -1, 2, 2, -1)
    gathered = torch.einsum("bht,bthe->bhe", stages.cls_attention, values.flatten(2, 3)).flatten(1)
    torch.testing.assert_close(stages.attention[:, 0], stages.project_in[:, 0] + block.o(gathered))


def test_the_last_stage_is_what_the_head_reads() -> None:
    model = classifier()
    stages = read_stages(model, IMAGES)
    torch.testing.assert_close(model.head(model.encoder.norm(stages.project_out)), model(IMAGES))


def test_without_a_block_the_encoders_last_layer_says_where_the_class_token_looks() -> None:
    model = classifier(kind="none")
    layer = model.encoder.get_submodule("blocks.1")
    stages = read_stages(model, IMAGES)
    assert (stages.project_in, stages.attention, stages.feed_forward) == (None, None, None)
    assert torch.equal(stages.encoder, stages.project_out)
    before = model.encoder.layers(model.encoder.embed(IMAGES), stop=1).values
    value = layer.attn.qkv(layer.norm1(before)).unflatten(-1, (3, 3, 8))[:, :, 2]  # pyright: ignore
    gathered = torch.einsum("bht,bthe->bhe", stages.cls_attention, value).flatten(1)
    expected = layer.attn(layer.norm1(before))[:, 0]  # pyright: ignore
    torch.testing.assert_close(layer.attn.proj(gathered), expected)  # pyright: ignore


def test_of_several_blocks_the_last_one_has_the_stages() -> None:
    model = classifier()
    adapter = model.block
    assert isinstance(adapter, FrozenBlockAdapter)
    adapter.blocks.append(build_adapter(24, source="random:32x48x4?seed=5").blocks[0])
    stages = read_stages(model, IMAGES)
    assert stages.project_in is not None
    between = adapter.blocks[0](stages.project_in, None)
    torch.testing.assert_close(stages.feed_forward, adapter.blocks[1](between, None))
    torch.testing.assert_close(stages.cls_attention.sum(-1), torch.ones(2, 4))


def test_nothing_is_left_behind_even_if_reading_fails() -> None:
    model = classifier()
    adapter = model.block
    assert isinstance(adapter, FrozenBlockAdapter)
    adapter.regime = "absorbed"
    read_stages(model, IMAGES)
    with pytest.raises(ValueError, match="multiples of the patch"):
        read_stages(model, IMAGES[..., :3])
    assert adapter.regime == "absorbed"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_folded_model_has_no_stages() -> None:
    with pytest.raises(ValueError, match="got one around FoldedBlock"):
        read_stages(classifier().folded(), IMAGES)
