"""Heads of question answering."""

from __future__ import annotations

import torch
from torch import nn

from perception.heads.answer import AnswerHead, SceneAnswers, ViewpointHead


def test_the_answer_head_has_sqa3ds_layers() -> None:
    head = AnswerHead(1536, 256, 707)
    assert [tuple(p.shape) for p in head.parameters()] == [(256, 1536), (256,), (707, 256), (707,)]
    assert [type(layer) for layer in head] == [nn.Linear, nn.GELU, nn.Dropout, nn.Linear]


def test_the_viewpoint_head_regresses_a_position_and_a_quaternion() -> None:
    head = ViewpointHead(6, 4).eval()
    pooled = torch.randn(5, 6)
    estimate = head(pooled)
    torch.testing.assert_close(torch.cat([estimate.position, estimate.quaternion], dim=-1), head.layers(pooled))
    assert [type(layer) for layer in head.layers] == [nn.Linear, nn.GELU, nn.Dropout, nn.Linear]


def test_the_viewpoint_head_drops_features_in_training_alone() -> None:
    torch.manual_seed(0)
    head, pooled = ViewpointHead(6, 64, dropout=0.5), torch.randn(1, 6)
    assert not torch.equal(head(pooled).position, head(pooled).position)
    head.eval()
    assert torch.equal(head(pooled).position, head(pooled).position)


def test_competing_answers_share_a_softmax_and_others_have_independent_probabilities() -> None:
    logits = torch.tensor([[4.0, 4.0, -4.0]])
    competing = SceneAnswers(logits, None, None, one_answer=True).probabilities
    torch.testing.assert_close(competing, torch.tensor([[0.5, 0.5, 0.0]]), atol=1e-3, rtol=0)
    torch.testing.assert_close(SceneAnswers(logits, None, None).probabilities, logits.sigmoid())
