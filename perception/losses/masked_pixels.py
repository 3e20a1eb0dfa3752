"""What masked autoencoders of clips are trained to give: the pixels of hidden tubelets, each normalised by itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

EPS = 1e-6


def pixel_targets(tubelets: Float[Tensor, "batch tubelets values"]) -> Float[Tensor, "batch tubelets values"]:
    """Returns what is to be predicted of each tubelet: pixels of mean 0 and variance 1 in each colour.

    Args:
        tubelets: Pixels colour by colour (`perception.encoders.video_mae.tubelets_of`), of any affine normalisation of
            the colours: it makes no difference but for `EPS`.

    Returns:
        Values in the order of the published decoders: pixel by pixel, its three colours side by side.
    """
    pixels = tubelets.unflatten(-1, (3, -1))
    centred = pixels - pixels.mean(-1, keepdim=True)
    scaled = centred / (pixels.var(-1, keepdim=True).sqrt() + EPS)
    return scaled.mT.flatten(-2)


def masked_pixel_loss(
    predicted: Float[Tensor, "batch hidden values"],
    tubelets: Float[Tensor, "batch tubelets values"],
    masked: Bool[Tensor, "batch tubelets"],
) -> Float[Tensor, ""]:
    """Returns the mean squared error of the hidden tubelets.

    Args:
        predicted: Pixels of each hidden tubelet, in their order.
        tubelets: Pixels of all tubelets, with values from 0 to 1.
        masked: Which are hidden.
    """
    with torch.no_grad():
        targets = pixel_targets(tubelets.float())[masked].view_as(predicted)
    return F.mse_loss(predicted.float(), targets)
