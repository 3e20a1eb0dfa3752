"""Published accuracies of the paper's image models, for the report. No row is a measurement of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TABLE_1 = "Pang et al., ICLR 2024, Table 1"
SETS = {
    "imagenet": "ImageNet val",
    "imagenet-c": "ImageNet-C, mean top-1",
    "imagenet-a": "ImageNet-A",
    "imagenet-sketch": "ImageNet-Sketch",
    "imagenet-r": "ImageNet-R",
}
"""Name of a set → heading. The column ImageNet-C rises with quality, so it is accuracy, not the corruption error."""


@dataclass(frozen=True)
class PublishedTop1:
    """One published row: top-1 accuracy in per cent, as printed, by the names of `SETS`."""

    method: str
    top1: Mapping[str, float]
    source: str = TABLE_1


def _row(method: str, *numbers: float) -> PublishedTop1:
    return PublishedTop1(method, dict(zip(SETS, numbers, strict=True)))


PUBLISHED = (
    _row("ViT-T", 72.1, 43.9, 7.7, 19.6, 32.3),
    _row("ViT-T + frozen LLaMA", 73.2, 45.8, 8.7, 20.6, 33.8),
    _row("ViT-S", 80.1, 57.2, 20.5, 28.9, 42.1),
    _row("ViT-S + frozen LLaMA", 80.7, 58.7, 22.7, 30.5, 42.8),
    _row("ViT-B", 80.6, 60.5, 23.4, 31.9, 43.5),
    _row("ViT-B + frozen LLaMA", 81.7, 62.1, 26.9, 33.2, 44.3),
)
