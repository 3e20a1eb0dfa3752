"""Heads of question answering."""

from __future__ import annotations

import torch
from torch import nn

from perception.heads.answer import AnswerHead, ViewpointHead


def test_the_answer_head_has_sqa3ds_layers() -> None:
    head = AnswerHead(1536, 256, 707)
    assert [tuple(p.shape) for p in head.parameters()] == [(256, 1536), (256,), (707, 256), (707,)]
    assert [type(layer) for layer in head] == [nn.Linear, nn.GELU, nn.Dropout, nn.Linear]


def test_a_viewpoint_is_a_place_and_a_unit_quaternion() -> None:
    head = ViewpointHead(6, 4).eval()
    pooled = torch.randn(5, 6)
    estimate = head(pooled)
    torch.testing.assert_close(torch.cat([estimate.position, estimate.quaternion], dim=-1), head.layers(pooled))
    torch.testing.assert_close(estimate.rotation.norm(dim=-1), torch.ones(5))
    torch.testing.assert_close(estimate.rotation * estimate.quaternion.norm(dim=-1, keepdim=True), estimate.quaternion)
