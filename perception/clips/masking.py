"""Which tubelets of a clip are hidden in pre-training: the same places at all times (VideoMAE's tube masking, §3.3)."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor


def tube_masks(
    count: int, grid: tuple[int, int, int], ratio: float, generator: torch.Generator | None = None
) -> Bool[Tensor, "{count} tubelets"]:
    """Returns whether each tubelet is hidden; equally many of every clip, and at least one is visible.

    Args:
        count: Number of clips.
        grid: Number of tubelets in time, height and width.
        ratio: Part of the places that is hidden, rounded down.
        generator: Draws them; PyTorch's global one by default.
    """
    times, places = grid[0], grid[1] * grid[2]
    hidden = min(max(int(ratio * places), 1), places - 1)
    order = torch.rand(count, places, generator=generator).argsort(1)
    masked = torch.zeros(count, places, dtype=torch.bool).scatter_(1, order[:, :hidden], True)
    return masked.repeat(1, times)
