"""Numbers of Pang et al. (ICLR 2024), table 5a: METER without vision-language pre-training. In per cent."""

from __future__ import annotations

VQA_COLUMNS = ("overall", "yes/no", "number", "other")
VQA = {
    "METER (their run)": (69.60, 85.08, 47.82, 61.37),
    "METER + frozen LLaMA block": (70.23, 85.70, 48.98, 61.89),
}
"""Accuracy on VQAv2 test-dev."""
RECALL = {
    "METER (their run)": (49.66, 80.86, 89.48),
    "METER + frozen LLaMA block": (50.22, 82.26, 90.08),
}
"""Image retrieval on Flickr30k at 1, 5 and 10. They call it zero-shot, but the models are fine-tuned on it."""
