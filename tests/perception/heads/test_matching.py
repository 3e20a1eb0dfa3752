"""Heads over pairs: what ranking starts from, and their shapes."""

from __future__ import annotations

import torch

from perception.heads.matching import MatchHead, PairAnswerHead, Pooler


def test_ranking_starts_as_the_logit_of_a_match() -> None:
    torch.manual_seed(0)
    head, pooled = MatchHead(6), torch.randn(4, 6)
    rank = head.as_rank()
    torch.testing.assert_close(rank(pooled).squeeze(1), head(pooled)[:, 1])
    with torch.no_grad():
        rank.weight.zero_()
    assert head.fc.weight[1].any(), "a copy"


def test_a_pooler_is_a_bounded_map_of_one_row() -> None:
    torch.manual_seed(0)
    pooler, row = Pooler(6), 100 * torch.randn(2, 6)
    assert pooler(row).abs().max() <= 1
    torch.testing.assert_close(pooler(row), torch.tanh(row @ pooler.dense.weight.T))


def test_the_answer_head_has_the_layers_of_meters_checkpoints() -> None:
    head = PairAnswerHead(6, 3)
    names = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert names == {
        "0.weight": (6, 6), "0.bias": (6,), "1.weight": (6,), "1.bias": (6,), "3.weight": (3, 6), "3.bias": (3,)
    }  # fmt: skip
    assert head(torch.randn(4, 6)).shape == (4, 3)
