"""Scenes as a detector of objects reads them: sampled points with colour and height, and what it should find.

The numbers are those of VoteNet, ScanRefer, ScanQA and SQA3D (https://github.com/SilongYong/SQA3D).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor

from perception.batches import TensorRecord
from perception.scenes.boxes import instance_boxes
from perception.scenes.classes import BOX_CLASS_NYU40, BOX_CLASSES
from perception.scenes.motion import STILL, SceneMotion
from perception.scenes.scene import Scene

POINTS = 40_000
MAX_BOXES = 128
MEAN_COLOR = np.array([109.8, 97.2, 83.8], np.float32)
FLOOR_PERCENT = 0.99
"""The floor is this percentile of the heights: 0.99 %, not 99 %, as the published code has it."""
STILL_SEED = 0
"""Of the generator that `sample_scene` draws with where nothing is learned: validation, evaluation and nodes see the
same points of a scene."""


@dataclass(frozen=True)
class SceneBatch(TensorRecord):
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


@dataclass(frozen=True)
class SceneSample:
    """One scene of a `SceneBatch`, without padding."""

    points: Float32[np.ndarray, "points 3"]
    features: Float32[np.ndarray, "points 4"]
    votes: Float32[np.ndarray, "points 3"]
    votes_valid: Bool[np.ndarray, " points"]
    boxes: Float32[np.ndarray, "boxes 6"]
    box_classes: Int64[np.ndarray, " boxes"]


def point_features(
    points: Float32[np.ndarray, "points 3"], colors: UInt8[np.ndarray, "points 3"], *, legacy_color: bool = False
) -> Float32[np.ndarray, "points 4"]:
    """Normalised colour and height above the floor of every point of a whole scan.

    Args:
        points: Scene frame.
        colors: Red, green, blue.
        legacy_color: Normalise twice, as the published ScanQA and SQA3D do to a scene from its second question on
            (they write into a cached array). Colours then hardly differ from each other.
    """
    normalised = (colors - MEAN_COLOR) / 256
    if legacy_color:
        normalised = (normalised - MEAN_COLOR) / 256
    height = points[:, 2:] - np.float32(np.percentile(points[:, 2], FLOOR_PERCENT))
    return np.concatenate([normalised, height], axis=1)


def sample_scene(
    scene: Scene,
    rng: np.random.Generator,
    *,
    count: int = POINTS,
    motion: SceneMotion = STILL,
    legacy_color: bool = False,
) -> SceneSample:
    """So many points of a scene, drawn without repetition where it has enough, with the targets of a detector.

    Boxes and votes are taken after the motion, so that a box still is the bounding box of its instance. Height is that
    of the scan as it stood.
    """
    moved = motion.apply(scene.points.astype(np.float64)).astype(np.float32)
    ids = scene.box_instances[:MAX_BOXES]
    boxes = instance_boxes(moved, scene.instance, ids)
    chosen = rng.choice(len(moved), count, replace=len(moved) < count)
    points, instance = moved[chosen], scene.instance[chosen]
    box_of_point = _index_of(instance, ids)
    votes_valid = box_of_point >= 0
    centers = np.concatenate([boxes[:, :3], np.zeros((1, 3), np.float32)])[box_of_point]  # -1 takes the last row
    return SceneSample(
        points=points,
        features=point_features(scene.points, scene.colors, legacy_color=legacy_color)[chosen],
        votes=np.where(votes_valid[:, None], centers - points, np.float32(0)),
        votes_valid=votes_valid,
        boxes=boxes,
        box_classes=box_classes(scene.box_classes[:MAX_BOXES]),
    )


def box_classes(nyu40: Int64[np.ndarray, " boxes"]) -> Int64[np.ndarray, " boxes"]:
    """The index into `BOX_CLASSES` of each NYU40 class."""
    index = _index_of(nyu40, np.array(BOX_CLASS_NYU40))
    return np.where(index >= 0, index, len(BOX_CLASSES) - 1)


def collate_scenes(samples: Sequence[SceneSample]) -> SceneBatch:
    """Scenes side by side, boxes padded to the most that one of them has (at least one)."""
    most = max(1, *(len(sample.boxes) for sample in samples))
    valid = torch.tensor([[k < len(sample.boxes) for k in range(most)] for sample in samples])

    def stack(name: str, pad: bool) -> Tensor:
        values = [torch.from_numpy(getattr(sample, name)) for sample in samples]
        if pad:
            values = [torch.cat([v, v.new_zeros((most - len(v), *v.shape[1:]))]) for v in values]
        return torch.stack(values)

    stacked = {f.name: stack(f.name, pad=f.name.startswith("box")) for f in fields(SceneSample)}
    return SceneBatch(**stacked, boxes_valid=valid)


def _index_of(values: Int64[np.ndarray, " values"], keys: Int64[np.ndarray, " keys"]) -> Int64[np.ndarray, " values"]:
    """Where each value stands among distinct keys; -1 where it does not."""
    if not len(keys):
        return np.full(len(values), -1)
    order = np.argsort(keys)
    place = np.searchsorted(keys, values, sorter=order).clip(max=len(keys) - 1)
    index = order[place]
    return np.where(keys[index] == values, index, -1)
