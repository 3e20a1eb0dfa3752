"""Published accuracies of action recognition on Something-Something v2. No row is a measurement of ours."""

from __future__ import annotations

from dataclasses import dataclass

TABLE_3 = "Pang et al., ICLR 2024, Table 3"
TABLE_B = "Pang et al., ICLR 2024, Table B"
VIDEO_MAE = "VideoMAE's README"


@dataclass(frozen=True)
class PublishedAccuracy:
    """One published row: top-1 and top-5 accuracy in per cent, as printed."""

    method: str
    top1: float
    top5: float
    source: str = TABLE_3


PUBLISHED = (
    PublishedAccuracy("ViT-S", 64.71, 89.15),
    PublishedAccuracy("ViT-S + MLP", 63.8, 88.9, TABLE_B),
    PublishedAccuracy("ViT-S + random block, trained", 64.1, 88.8, TABLE_B),
    PublishedAccuracy("ViT-S + frozen LLaMA", 65.89, 89.93),
    PublishedAccuracy("ViT-B", 64.97, 89.50),
    PublishedAccuracy("ViT-B + frozen LLaMA", 66.03, 90.25),
    PublishedAccuracy("ViT-S, batch 384", 66.8, 90.3, VIDEO_MAE),
    PublishedAccuracy("ViT-B, batch 384", 70.8, 92.4, VIDEO_MAE),
)
"""The paper's baselines have batches of 24 and 12 clips, VideoMAE's own 384: its ViT-B is 5.8 points better."""
