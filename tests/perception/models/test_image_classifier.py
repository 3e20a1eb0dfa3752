from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any, get_args

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from fixtures.protocols import keeps_with_block
from perception.encoders.vit import Vit, VitSize
from perception.errors import InputError
from perception.frozen.adapter import build_adapter
from perception.frozen.folded import FoldedBlock
from perception.frozen.trained_state import fingerprints, load_trainable_state_dict, trainable_state_dict
from perception.heads.classification import ClassificationHead, Pooling
from perception.images.image import Picture
from perception.images.picture_input import PictureInput
from perception.kernels.linear import InferenceLinear
from perception.losses.classification import classification_loss
from perception.models.image_classifier import ImageClassifier, Position
from perception.tokens import Readout

SIZE = VitSize(24, 4, 3)
SOURCE = "random:32x48x4?seed=0"
POSITIONS: tuple[Position, ...] = get_args(Position)


def classifier(
    *,
    position: Position = "tail",
    pooling: Pooling = "cls",
    input: PictureInput | None = None,
    drop_path: float = 0.0,
    **block: Any,
) -> ImageClassifier:
    torch.manual_seed(0)
    encoder = Vit(SIZE, 4, (16, 16), drop_path=drop_path)
    adapter = build_adapter(24, **{"source": SOURCE, "init": "default", **block})
    model = ImageClassifier(encoder, adapter, ClassificationHead(24, 5, pooling), position=position, input=input)
    with torch.no_grad():
        for parameter in [*encoder.parameters(), *model.head.parameters()]:
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def pictures(count: int, seed: int = 0) -> list[Picture]:
    rng = np.random.default_rng(seed)
    return [Picture(str(i), rng.integers(0, 256, (20 + i, 30 - i, 3), np.uint8)) for i in range(count)]


def published(model: ImageClassifier, images: Tensor) -> Tensor:
    """The logits as the paper's code computes them: every row through the plain block, then the norm."""
    encoder, adapter, head = model.encoder, model.block, model.head
    assert isinstance(adapter.blocks, nn.ModuleList)

    def through_block(x: Tensor) -> Tensor:
        x = adapter.project_in(x)  # pyright: ignore[reportCallIssue]
        for block in adapter.blocks:  # pyright: ignore[reportGeneralTypeIssues]
            x = block(x, None)
        return adapter.project_out(adapter.post_norm(x))  # pyright: ignore[reportCallIssue]

    x = torch.cat([encoder.cls_token.expand(len(images), -1, -1), encoder.patch_embed(images)], 1) + encoder.pos_embed
    for index, layer in enumerate(encoder.blocks):
        if index == {"head": 0, "middle": 2, "tail": -1}[model.position]:
            x = through_block(x)
        x = layer(x)
    if model.position == "tail":
        x = through_block(x)
    x = encoder.norm(x)
    return head.fc(x[:, 0] if head.pooling == "cls" else x[:, 1:].mean(1))


@pytest.mark.parametrize("layers", [SOURCE, "two blocks"])
@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("position", POSITIONS)
def test_logits_and_gradients_are_those_of_the_published_graph(
    position: Position, pooling: Pooling, layers: str
) -> None:
    model = classifier(position=position, pooling=pooling).double()
    if layers == "two blocks":
        model.block.blocks.append(build_adapter(24, source="random:32x48x4?seed=1").blocks[0].double())  # pyright: ignore
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    mine, theirs = model(images), published(model, images)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)
    gradients = [torch.autograd.grad(out.square().sum(), trained) for out in (mine, theirs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_without_a_block_it_is_timms_classifier(pooling: Pooling) -> None:
    model = classifier(kind="none", pooling=pooling).double()
    options: dict[str, Any] = {"global_pool": "token"} if pooling == "cls" else {"global_pool": "avg", "fc_norm": False}
    theirs = timm.create_model(
        "vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=24, depth=4, num_classes=5, **options
    ).double()
    head = {f"head.{name}": value for name, value in model.head.fc.state_dict().items()}
    theirs.load_state_dict({**model.encoder.state_dict(), **head}, strict=True)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(model(images), theirs(images), rtol=0, atol=1e-10)


@pytest.mark.parametrize("position", POSITIONS)
def test_the_class_token_alone_has_the_values_of_all_rows(position: Position) -> None:
    model = classifier(position=position)
    tokens = model.encoder.embed(torch.randn(2, 3, 16, 16))
    every = model.finish(tokens)
    assert every.shape == (2, 17, 24)
    torch.testing.assert_close(model.finish(tokens, Readout.first(tokens)), every[:, :1])


def test_the_block_at_the_tail_computes_only_the_row_that_is_read() -> None:
    model = classifier()
    rows = []
    model.block.post_norm.register_forward_hook(lambda _, inputs, __: rows.append(inputs[0].shape[1]))  # pyright: ignore
    model(torch.randn(2, 3, 16, 16))
    model.with_block(model.block)(torch.randn(1, 3, 16, 16))
    assert rows == [1, 1]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_folded_it_gives_the_same_probabilities(position: Position, pooling: Pooling) -> None:
    model = classifier(position=position, pooling=pooling)
    folded = model.folded()
    assert keeps_with_block(folded)
    assert isinstance(folded.block, FoldedBlock)
    assert isinstance(folded.encoder.get_submodule("blocks.0.attn.qkv"), InferenceLinear)
    shown = pictures(3)
    np.testing.assert_allclose(folded.classify(shown), model.classify(shown), atol=1e-5)
    assert np.ptp(model.classify(shown), axis=0).max() > 1e-3, "pictures differ"


def test_folded_narrowly_it_stays_near() -> None:
    model, shown = classifier(), pictures(2)
    difference = model.folded("bfloat16").classify(shown) - model.classify(shown)
    assert 0 < np.abs(difference).max() < 0.05


def test_a_baseline_is_served_with_the_inference_kernels_alone() -> None:
    model, shown = classifier(kind="none"), pictures(2)
    np.testing.assert_allclose(model.folded().classify(shown), model.classify(shown), atol=1e-5)
    with pytest.raises(InputError, match="precision int8"):
        model.folded("int8")


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("kind", ["language", "mlp", "none"])
def test_training_steps_change_all_that_is_trained_and_nothing_that_is_frozen(position: Position, kind: str) -> None:
    model = classifier(position=position, kind=kind, drop_path=0.1).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    losses = []
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8) % 5
    for _ in range(8):
        loss = classification_loss(model(images), labels, 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    frozen |= {name for name, _ in model.named_buffers()}
    after = model.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == after.keys() - frozen
    assert bool(frozen - {"block.input_gain"}) == (kind == "language")


def test_weights_saved_without_the_block_are_loaded_around_the_same_block() -> None:
    model, other = classifier(), classifier()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    load_trainable_state_dict(other, trainable_state_dict(model), fingerprints(model))
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(model(images), other(images))


def test_probabilities_do_not_depend_on_the_other_pictures_of_a_call() -> None:
    model, shown = classifier(), pictures(4)
    together = model.classify(shown)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate([model.classify([one]) for one in shown]), together, atol=1e-6)


def test_pictures_are_shown_in_the_size_of_the_encoder_unless_an_input_is_given() -> None:
    assert classifier().input == PictureInput(16, 16, crop_pct=0.875)
    model = classifier(input=PictureInput(16, 24, crop_pct=1.0))
    images = model.collate([model.prepare(picture) for picture in pictures(2)])
    assert images.shape == (2, 3, 16, 24)
    assert model.classify(pictures(2)).shape == (2, 5)


COMPILED = """
    import torch
    from perception.encoders.vit import Vit, VitSize
    from perception.frozen.adapter import build_adapter
    from perception.heads.classification import ClassificationHead
    from perception.models.image_classifier import ImageClassifier

    torch.manual_seed(0)
    block = build_adapter(24, source="random:32x48x4?seed=0", init="default")
    model = ImageClassifier(Vit(VitSize(24, 1, 3), 4, (8, 8)), block, ClassificationHead(24, 5))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # PyTorch 2.14 cannot trace the gradient of an antialiased interpolation whose size is open.
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=False)
    for images in (torch.randn(2, 3, 8, 8), torch.randn(3, 3, 8, 12)):
        one, two = model(images), compiled(images)
        torch.testing.assert_close(two, one)
        torch.testing.assert_close(*(torch.autograd.grad(out.square().sum(), trained) for out in (two, one)))
"""


@pytest.mark.slow
def test_compiled_without_graph_breaks_it_is_equal_to_eager() -> None:
    """In a process without the checks of shapes, which cannot be compiled."""
    finished = subprocess.run([sys.executable, "-c", textwrap.dedent(COMPILED)], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
