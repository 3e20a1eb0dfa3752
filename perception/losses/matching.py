"""Training loss for captions of pictures, as METER fine-tunes on Flickr30k (https://arxiv.org/abs/2111.02387)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def caption_loss(
    ranks: Float[Tensor, "batch captions"], matches: Float[Tensor, "batch captions 2"], match_weight: float
) -> Float[Tensor, ""]:
    """Returns the cross-entropy of the true caption among all, and that of matching.

    METER draws pairs of its own for matching and freezes its head, which was pre-trained there. Here the true pair and
    the first false one are matched, which costs no further pair, and the head learns.

    Args:
        ranks: Score of each caption; the first is the true one.
        matches: Logits of "does not match" and "matches".
        match_weight: Weight of the second loss.
    """
    true = torch.zeros(len(ranks), dtype=torch.long, device=ranks.device)
    ranking = F.cross_entropy(ranks.float(), true)
    pairs = torch.cat([matches[:, 0], matches[:, 1]]).float()
    matching = F.cross_entropy(pairs, torch.cat([true + 1, true]))
    return ranking + match_weight * matching
