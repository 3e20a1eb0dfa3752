"""Scenes as a detector of objects reads them: sampled points with colour and height, and what it should find."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class SceneBatch:
    """Sampled scenes of equally many points, boxes padded to the same number.

    Attributes:
        points: Scene frame, metres.
        features: Of every point: red, green, blue as (value - mean) / 256, then the height above the floor in metres.
        votes: From a point to the centre of its object's box; 0 where it belongs to none.
        votes_valid: True where the point belongs to an object that has a box.
        boxes: Centre, then full size along the axes.
        box_classes: One of `BOX_CLASSES`.
        boxes_valid: False where a box only pads.
    """

    points: Float[Tensor, "batch points 3"]
    features: Float[Tensor, "batch points features"]
    votes: Float[Tensor, "batch points 3"]
    votes_valid: Bool[Tensor, "batch points"]
    boxes: Float[Tensor, "batch boxes 6"]
    box_classes: Int64[Tensor, "batch boxes"]
    boxes_valid: Bool[Tensor, "batch boxes"]


BOX_CLASSES = (
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "desk",
    "curtain",
    "refrigerator",
    "shower curtain",
    "toilet",
    "sink",
    "bathtub",
    "others",
)
"""ScanNet's 18 benchmark classes as ScanRefer, ScanQA and SQA3D number them; everything else is `others`."""
