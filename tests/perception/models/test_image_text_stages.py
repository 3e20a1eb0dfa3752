from __future__ import annotations

from typing import Any

import pytest
import torch

from perception.encoders.vit import VitSize
from perception.frozen.adapter import build_adapter
from perception.frozen.stages import block_stages, expect_adapter
from perception.fusion.co_attention import CoAttention
from perception.texts.tokenizer import WordTokenizer

pytest.importorskip("transformers")


def make_model(layers: int, **block: str) -> Any:
    from perception.encoders.clip_vision import ClipVision
    from perception.encoders.roberta import RobertaText
    from perception.models.image_text import ImageText

    torch.manual_seed(0)
    size = VitSize(16, 1, 2)
    image, text = ClipVision(size, 8, 16), RobertaText(WordTokenizer(["red", "is", "it"]), size, longest=6, positions=9)
    adapter = build_adapter(16, **{"source": "random:32x48x4?seed=0", **block})  # pyright: ignore
    model = ImageText(image, text, CoAttention(16, 2, layers), adapter, dim=16, answers=3).eval()
    with torch.no_grad():
        for parameter in model.fusion.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("layers", [1, 3])
def test_the_text_looks_as_its_last_layer_gathers_from_the_picture(layers: int) -> None:
    from perception.models.image_text_stages import read_pair_stages

    model, images = make_model(layers), torch.randn(2, 3, 16, 16)
    texts = model.text.batch(["is it red", "red"])
    found = read_pair_stages(model, images, texts)
    assert found.text_attention.shape == (2, 2, 5)
    torch.testing.assert_close(found.text_attention.sum(-1), torch.ones(2, 2))
    last, seen = model.fusion.text_layers[-1].crossattention, []
    gather = last.output.register_forward_pre_hook(lambda _, args: seen.append(args))
    keys = last.self.value.register_forward_pre_hook(lambda _, args: seen.append(args))
    with torch.no_grad():
        model.fuse(model.encode_image(images), model.encode_text(texts))
        gather.remove()
        keys.remove()
        (read,), (gathered, _) = seen
        value = last.self.value(read).unflatten(-1, (2, 8))
    expected = torch.einsum("bht,bthe->bhe", found.text_attention, value).flatten(1)
    torch.testing.assert_close(gathered[:, 0], expected)


def test_the_stages_are_those_of_the_fused_picture_and_the_answer_reads_their_first_row() -> None:
    from perception.models.image_text_stages import read_pair_stages

    model, images = make_model(2), torch.randn(1, 3, 16, 16)
    texts = model.text.batch(["is it red"])
    found = read_pair_stages(model, images, texts)
    with torch.no_grad():
        image, text = model.encode_image(images), model.encode_text(texts)
        seen, rows = model.fusion(image, text)
        for name, value in block_stages(expect_adapter(model.block), seen).named().items():
            torch.testing.assert_close(found.block.named()[name], value)
        pooled = torch.cat([model.text_pooler(rows[:, 0]), model.image_pooler(found.block.output[:, 0])], -1)
        torch.testing.assert_close(model.vqa_classifier(pooled), model(images, texts))


@pytest.mark.parametrize("kind", ["none", "mlp"])
def test_models_without_a_language_block_have_fewer_stages(kind: str) -> None:
    from perception.models.image_text_stages import read_pair_stages

    model = make_model(1, kind=kind)
    found = read_pair_stages(model, torch.randn(1, 3, 16, 16), model.text.batch(["red"]))
    expected = ["encoder"] if kind == "none" else ["encoder", "project_in", "project_out", "output"]
    assert list(found.block.named()) in (expected, [name for name in expected if name != "output"])
