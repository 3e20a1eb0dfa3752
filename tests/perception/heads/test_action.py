from __future__ import annotations

import torch

from perception.heads.action import ActionHead
from perception.tokens import Tokens


def test_logits_are_of_the_normed_mean_of_all_rows() -> None:
    torch.manual_seed(0)
    head, rows = ActionHead(8, 3, init_scale=1.0), torch.randn(2, 5, 8)
    mean = rows.mean(1)
    normed = (mean - mean.mean(1, keepdim=True)) / (mean.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(head(rows), normed @ head.fc.weight.T)
    torch.testing.assert_close(head(rows[:, torch.randperm(5)]), head(rows))


def test_training_starts_with_nearly_even_logits() -> None:
    torch.manual_seed(0)
    logits = ActionHead(384, 174)(torch.randn(4, 10, 384))
    assert 0 < logits.abs().max() < 0.01


def test_every_row_is_read() -> None:
    tokens = Tokens(torch.zeros(1, 4, 8), torch.ones(1, 4, dtype=torch.bool))
    assert ActionHead(8, 3).readout(tokens).rows is None
