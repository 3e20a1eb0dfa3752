from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.protocols import keeps_with_block
from perception.clouds.cloud import Cloud, CloudInput
from perception.encoders.point_bert import PointBert, PointBertSize
from perception.encoders.vit import VitSize
from perception.frozen.adapter import build_adapter
from perception.frozen.folded import FoldedBlock
from perception.heads.classification import ClsMaxHead
from perception.models.point_classifier import PointClassifier

SIZE = PointBertSize(VitSize(24, 2, 3), 16)


def classifier(**block: Any) -> PointClassifier:
    torch.manual_seed(0)
    adapter = build_adapter(24, **{"source": "random:32x48x4?seed=0", "init": "default", **block})
    return PointClassifier(PointBert(SIZE, 6, 8), adapter, ClsMaxHead(24, 5, 12), CloudInput(40)).eval()


def clouds(count: int) -> list[Cloud]:
    rng = np.random.default_rng(0)
    return [Cloud(str(i), rng.normal(size=(30 + 20 * i, 3)).astype(np.float32)) for i in range(count)]


def test_the_block_stands_between_the_last_layer_and_the_last_norm() -> None:
    model, points = classifier(), torch.randn(3, 40, 3)
    encoder, block = model.encoder, model.block
    x = encoder.layers(encoder.embed(encoder.group(points)))
    plain = block.project_in(x.values)  # pyright: ignore[reportCallIssue]
    plain = block.post_norm(block.blocks[0](plain, None))  # pyright: ignore
    plain = encoder.norm(block.project_out(plain))  # pyright: ignore[reportCallIssue]
    expected = model.head.mlp(torch.cat([plain[:, 0], plain[:, 1:].max(1).values], -1))
    torch.testing.assert_close(model(points), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["language", "random", "mlp", "none"])
def test_every_kind_of_block_learns_through_all_its_trained_weights(kind: str) -> None:
    model = classifier(kind=kind).train()
    model(torch.randn(3, 40, 3)).square().sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name


def test_folding_changes_no_answer() -> None:
    model = classifier()
    served = model.folded()
    assert isinstance(served.block, FoldedBlock)
    np.testing.assert_allclose(served.classify(clouds(3)), model.classify(clouds(3)), atol=1e-5)
    assert keeps_with_block(model)


def test_a_cloud_is_classified_alike_alone_and_among_others() -> None:
    model = classifier()
    together = model.classify(clouds(3))
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)
    for cloud, chances in zip(clouds(3), together, strict=True):
        np.testing.assert_allclose(model.classify([cloud])[0], chances, atol=1e-5)


def test_another_block_shares_all_other_weights() -> None:
    model = classifier()
    other = model.with_block(build_adapter(24, kind="none"))
    assert other.encoder is model.encoder
    assert not np.allclose(other.classify(clouds(1)), model.classify(clouds(1)))


def test_the_model_needs_neither_trainer_nor_readers() -> None:
    code = (
        "import sys, perception.models.point_classifier; "
        "print(sorted({n.split('.')[0] for n in sys.modules} & {'lightning', 'timm', 'open3d', 'perception_datasets'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
