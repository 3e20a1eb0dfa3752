"""Training loss of classifiers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from perception.errors import InputError


def classification_loss(
    logits: Float[Tensor, "batch classes"],
    targets: Int64[Tensor, " batch"] | Float[Tensor, "batch classes"],
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Returns the cross-entropy, averaged over the batch.

    Args:
        logits: Logit of each class.
        targets: Classes; or the probability of each class, as mixup and cutmix make them.
        smoothing: Probability that is spread evenly over all classes (https://arxiv.org/abs/1512.00567, §7). Targets
            that are probabilities hold it already: timm's mixup puts it in.

    Raises:
        InputError: Probabilities would be smoothed a second time, or the smoothing is not a probability.
    """
    if not 0 <= smoothing < 1:
        raise InputError(f"label smoothing: expected a number from 0 to below 1, got {smoothing}")
    if targets.is_floating_point() and smoothing:
        raise InputError(
            f"label smoothing: expected 0 for targets that are probabilities, got {smoothing}; give it to what mixes "
            "the pictures"
        )
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide, targets, label_smoothing=smoothing)
