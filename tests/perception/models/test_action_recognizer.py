from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from timm.optim import param_groups_layer_decay  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor

from fixtures.protocols import keeps_with_block
from perception.clips.clip import Clip
from perception.encoders.video_mae import VideoMae
from perception.encoders.vit import VitSize
from perception.frozen.adapter import build_adapter
from perception.frozen.folded import FoldedBlock
from perception.frozen.trained_state import fingerprints, load_trainable_state_dict, trainable_state_dict
from perception.heads.action import ActionHead
from perception.models.action_recognizer import ActionRecognizer
from perception.tokens import Readout

SIZE, CLIP, SOURCE = VitSize(24, 3, 3), (4, 16, 16), "random:32x48x4?seed=0"
KINDS = ("language", "random", "mlp", "none")


def recognizer(**block: Any) -> ActionRecognizer:
    torch.manual_seed(0)
    encoder = VideoMae(SIZE, 8, CLIP)
    adapter = build_adapter(24, **{"source": SOURCE, "init": "default", **block})
    model = ActionRecognizer(encoder, adapter, ActionHead(24, 5, init_scale=1.0))
    with torch.no_grad():
        for parameter in [*encoder.parameters(), *model.head.parameters()]:
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def clips(count: int = 3) -> list[Clip]:
    rng = np.random.default_rng(0)
    return [Clip(str(i), rng.integers(0, 256, (4 + i, 18 + i, 22, 3), np.uint8)) for i in range(count)]


def published(model: ActionRecognizer, shown: Tensor) -> Tensor:
    """The logits as the paper's code computes them: every row through the plain block, then the mean and its norm."""
    encoder, adapter, head = model.encoder, model.block, model.head
    x = encoder(shown).values
    x = adapter.project_in(x)  # pyright: ignore[reportCallIssue]
    for block in adapter.blocks:  # pyright: ignore[reportGeneralTypeIssues]
        x = block(x, None)
    x = adapter.project_out(adapter.post_norm(x))  # pyright: ignore[reportCallIssue]
    return head.fc(head.fc_norm(x.mean(1)))


@pytest.mark.parametrize("rows_at_once", [None, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_papers_graph(kind: Any, rows_at_once: int | None) -> None:
    model = recognizer(kind=kind, residual=False, matched=False)
    model.block.rows_at_once = rows_at_once  # pyright: ignore[reportArgumentType]
    shown = torch.randn(2, 3, *CLIP)
    torch.testing.assert_close(model(shown), published(model, shown), rtol=1e-4, atol=1e-4)


def test_clips_of_any_length_and_size_are_classified_each_as_by_itself() -> None:
    model = recognizer(kind="language")
    together = model.classify(clips())
    assert together.shape == (3, 5)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)
    for clip, probabilities in zip(clips(), together, strict=True):
        np.testing.assert_allclose(model.classify([clip])[0], probabilities, atol=1e-5)


def test_prepared_clips_are_classified_as_clips_are() -> None:
    model = recognizer(kind="language")
    prepared = [model.prepare(clip) for clip in clips()]
    np.testing.assert_array_equal(model.classify_prepared(prepared), model.classify(clips()))


def test_the_order_of_images_matters() -> None:
    model = recognizer(kind="none")
    (clip,) = clips(1)
    turned = Clip("turned", np.ascontiguousarray(clip.images[::-1]))
    assert np.abs(model.classify([clip]) - model.classify([turned])).max() > 1e-4


def test_the_folded_model_gives_the_same_and_keeps_the_protocol() -> None:
    model = recognizer(kind="language")
    assert keeps_with_block(model)
    folded = model.folded()
    assert isinstance(folded.block, FoldedBlock)
    np.testing.assert_allclose(folded.classify(clips()), model.classify(clips()), atol=1e-5)
    other = recognizer(kind="mlp").block
    assert other is not None
    assert model.with_block(other).encoder is model.encoder


def test_what_is_trained_comes_back_and_the_block_is_checked() -> None:
    model, fresh = recognizer(kind="language"), recognizer(kind="language")
    with torch.no_grad():
        dict(model.encoder.named_parameters())["blocks.0.attn.q_bias"].add_(1)
    load_trainable_state_dict(fresh, trainable_state_dict(model), fingerprints(model))
    np.testing.assert_array_equal(fresh.classify(clips()), model.classify(clips()))


def test_rows_that_are_read_alone_are_those_among_all() -> None:
    model = recognizer(kind="language")
    tokens = model.encoder.embed(torch.randn(2, 3, *CLIP))
    some = torch.tensor([[5, 0], [2, 2]])
    every = model.finish(tokens)
    expected = Readout(some).gather(every)
    torch.testing.assert_close(model.finish(tokens, Readout(some)), expected, rtol=1e-4, atol=1e-4)


def test_layer_decay_is_videomaes() -> None:
    model = recognizer(kind="language")
    scale_of = {
        id(parameter): group["lr_scale"]
        for group in param_groups_layer_decay(model, 0.05, layer_decay=0.7)
        for parameter in group["params"]
    }
    depth = SIZE.depth
    expected = {"encoder.patch_embed.proj.weight": 0.7 ** (depth + 1), "head.fc.weight": 1, "head.fc_norm.bias": 1}
    expected |= {f"encoder.blocks.{i}.attn.q_bias": 0.7 ** (depth - i) for i in range(depth)}
    expected |= {"block.project_in.weight": 1, "block.project_out.weight": 1}
    named = dict(model.named_parameters())
    assert {name: scale_of[id(named[name])] for name in expected} == pytest.approx(expected)
    assert all(parameter.requires_grad == (id(parameter) in scale_of) for parameter in named.values())


def test_training_reaches_the_encoder_through_the_frozen_block() -> None:
    model = recognizer(kind="language").train()
    model.block.rows_at_once = 5  # pyright: ignore[reportArgumentType]
    before = fingerprints(model)
    model(torch.randn(2, 3, *CLIP)).square().sum().backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in trained.values())
    assert fingerprints(model) == before
