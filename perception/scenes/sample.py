"""Inputs and targets of an object detector: sampled points with colour and height, boxes and votes.

The constants are those of VoteNet, ScanRefer, ScanQA and SQA3D (https://github.com/SilongYong/SQA3D).
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
from perception.scenes.motion import NO_MOTION, SceneMotion
from perception.scenes.scene import Scene

POINTS = 40_000
MAX_BOXES = 128
MEAN_COLOR = np.array([109.8, 97.2, 83.8], np.float32)
FLOOR_PERCENT = 0.99
"""Percentile of the heights that is taken as the floor: 0.99 %, not 99 %, as in the published code."""
FIXED_SAMPLE_SEED = 0
"""Seed for `sample_scene` outside training, so that validation, evaluation and nodes see the same points of a scene."""


@dataclass(frozen=True)
class SceneBatch(TensorRecord):
    """Sampled scenes with the same number of points; boxes are padded.

    Attributes:
        points: Scene frame, metres.
        features: Per point: red, green, blue as (value - mean) / 256, then the height above the floor in metres.
        votes: Offset from a point to the centre of its object's box, metres; 0 if it belongs to none.
        votes_valid: True if the point belongs to an object that has a box.
        boxes: Centre, then full size along the axes, metres.
        box_classes: Indices into `BOX_CLASSES`.
        boxes_valid: False for padding.
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
    """Returns the normalised colour and the height above the floor of every point of a whole scan.

    Args:
        points: Scene frame, metres.
        colors: Red, green, blue.
        legacy_color: Normalise twice, as the published code of ScanQA and SQA3D does from a scene's second question on
            (it writes into a cached array). All colours are then almost equal.
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
    motion: SceneMotion = NO_MOTION,
    legacy_color: bool = False,
) -> SceneSample:
    """Draws `count` points of a scene, without repetition if it has enough, and computes the detector's targets.

    Boxes and votes are computed after the motion, so that a box is still the bounding box of its instance. Heights are
    those before the motion.
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
    """Maps NYU40 classes to indices into `BOX_CLASSES`."""
    index = _index_of(nyu40, np.array(BOX_CLASS_NYU40))
    return np.where(index >= 0, index, len(BOX_CLASSES) - 1)


def collate_scenes(samples: Sequence[SceneSample]) -> SceneBatch:
    """Stacks scenes; boxes are padded to the largest number in a scene, at least one."""
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
    """Returns the index of each value in distinct keys; -1 if it is not among them."""
    if not len(keys):
        return np.full(len(values), -1)
    order = np.argsort(keys)
    place = np.searchsorted(keys, values, sorter=order).clip(max=len(keys) - 1)
    index = order[place]
    return np.where(keys[index] == values, index, -1)
