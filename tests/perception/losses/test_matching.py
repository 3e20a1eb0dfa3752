"""The loss of captions: what is lowest, and its two parts."""

from __future__ import annotations

import math

import pytest
import torch

from perception.losses.matching import caption_loss


def test_it_is_low_where_the_true_caption_wins_and_matches() -> None:
    ranks = torch.tensor([[20.0, 0.0, 0.0]])
    matches = torch.tensor([[[-20.0, 20.0], [20.0, -20.0], [0.0, 0.0]]])
    assert float(caption_loss(ranks, matches, 0.5)) == pytest.approx(0, abs=1e-6)
    assert float(caption_loss(ranks.flip(1), matches, 0.5)) > 5
    assert float(caption_loss(ranks, -matches, 0.5)) > 5


def test_undecided_scores_cost_the_logarithm_of_the_choices() -> None:
    loss = caption_loss(torch.zeros(4, 16), torch.zeros(4, 16, 2), 0.5)
    assert float(loss) == pytest.approx(math.log(16) + 0.5 * math.log(2))
