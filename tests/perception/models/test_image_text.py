"""Pictures with texts: towers once or together, the block's place, and the protocol of models with a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fixtures.protocols import keeps_with_block
from perception.frozen.adapter import build_adapter
from perception.images.image import Picture
from perception.models.image_text import ImageText
from perception.tokens import Tokens

pytest.importorskip("transformers")
MakeModel = Callable[..., ImageText]
TEXTS = ["is it red ?", "a zebra", ""]


def through_block(model: ImageText, x: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """Every row through the plain block."""
    adapter: Any = model.block
    x = adapter.project_in(x)
    for block in adapter.blocks:
        x = block(x, valid)
    return adapter.project_out(adapter.post_norm(x))


@pytest.mark.parametrize("streams", ["image", "both"])
def test_the_block_stands_behind_the_fusion_and_before_the_poolers(make_image_text: MakeModel, streams: str) -> None:
    model, images = make_image_text(streams=streams), torch.randn(3, 3, 16, 16)
    texts = model.text.batch(TEXTS)
    image = model.image_transform(model.image(images).values) + model.token_type_embeddings.weight[1]
    text = model.text_transform(model.text(texts).values) + model.token_type_embeddings.weight[0]
    seen, words = model.fusion(model.image(images).replace(image), model.text(texts).replace(text))
    if streams == "both":
        words = through_block(model, words, texts.valid)
    pooled = [model.text_pooler(words[:, 0]), model.image_pooler(through_block(model, seen.values)[:, 0])]
    assert isinstance(model.vqa_classifier, nn.Module)
    expected = model.vqa_classifier(torch.cat(pooled, -1))
    torch.testing.assert_close(model(images, texts), expected, rtol=1e-4, atol=1e-5)


def test_towers_that_run_once_give_the_scores_of_every_pair(make_image_text: MakeModel) -> None:
    model, images = make_image_text(ranks=True), torch.randn(2, 3, 16, 16)
    seen, said = model.encode_image(images), model.encode_text(model.text.batch(TEXTS))
    for picture in range(2):
        for row, text in enumerate(TEXTS):
            pair = [model.encode_image(images[[picture]]), model.encode_text(model.text.batch([text]))]
            once = [Tokens(of.values[[i]], of.valid[[i]]) for of, i in ((seen, picture), (said, row))]
            torch.testing.assert_close(model.rank(model.fuse(*once)), model.rank(model.fuse(*pair)))


def test_a_model_answers_or_ranks(make_image_text: MakeModel) -> None:
    answers, ranks = make_image_text(), make_image_text(ranks=True)
    images, texts = torch.randn(1, 3, 16, 16), answers.text.batch(["red"])
    with pytest.raises(ValueError, match="one with answers"):
        answers.rank(answers.fuse(answers.encode_image(images), answers.encode_text(texts)))
    with pytest.raises(ValueError, match="one that ranks"):
        ranks(images, texts)


def test_answers_are_probabilities_that_depend_on_picture_and_question(make_image_text: MakeModel) -> None:
    model, rng = make_image_text(), np.random.default_rng(0)
    pictures = [Picture(str(i), rng.integers(0, 256, (20 + i, 30, 3), np.uint8)) for i in range(2)]
    found = model.answer([pictures[0], pictures[1], pictures[0]], ["red ?", "red ?", "a zebra"])
    assert found.shape == (3, 5)
    assert ((found >= 0) & (found <= 1)).all()
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[0], found[2])


@pytest.mark.parametrize("kind", ["language", "random", "mlp", "none"])
def test_every_kind_of_block_learns_with_the_frozen_part_unchanged(make_image_text: MakeModel, kind: str) -> None:
    model = make_image_text(kind=kind).train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    model(torch.randn(2, 3, 16, 16), model.text.batch(["red", "a zebra"])).square().sum().backward()
    optimizer.step()
    changed = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert not changed & frozen
    assert {"image_transform.weight", "text_transform.weight", "token_type_embeddings.weight"} <= changed
    assert any(name.startswith("image.embeddings") for name in changed)
    if kind != "none":
        assert {"block.project_in.weight", "block.project_out.weight"} <= changed


def test_it_keeps_the_protocol_of_models_with_a_block(make_image_text: MakeModel) -> None:
    model, images = make_image_text(), torch.randn(2, 3, 16, 16)
    texts = model.text.batch(["red", "a zebra"])
    assert keeps_with_block(model)
    folded = model.folded()
    with torch.inference_mode():
        torch.testing.assert_close(folded(images, texts), model(images, texts), rtol=1e-4, atol=1e-5)
    other = model.with_block(build_adapter(24, kind="none"))
    assert not torch.allclose(other(images, texts), model(images, texts))
