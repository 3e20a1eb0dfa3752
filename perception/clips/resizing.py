"""Makes the images of a clip smaller, as they are for training where whole videos stay in memory."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8


def resized(images: UInt8[np.ndarray, "time _ _ 3"], shorter_side: int) -> UInt8[np.ndarray, "time _ _ 3"]:
    """Returns images with this shorter side; larger ones only, and 0 leaves all as they are."""
    rows, columns = images.shape[1:3]
    if not shorter_side or min(rows, columns) <= shorter_side:
        return images
    scale = shorter_side / min(rows, columns)
    size = (round(rows * scale), round(columns * scale))
    planes = torch.from_numpy(images).permute(0, 3, 1, 2)
    smaller = F.interpolate(planes, size, mode="bilinear", antialias=True)
    return np.ascontiguousarray(smaller.permute(0, 2, 3, 1).numpy())
