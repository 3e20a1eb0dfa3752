"""Probabilities from the logits of an exported model."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64


def softmax(logits: Float[np.ndarray, "*rows classes"]) -> Float64[np.ndarray, "*rows classes"]:
    """Softmax over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
