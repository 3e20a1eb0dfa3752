"""The LiDAR node, without transport: a cloud and perhaps boxes in, the likeliest classes of each object out.

An object is shown to the model as offline: the points in a box, in the frame of the box, as
`perception_datasets.clouds.argoverse2_objects` cuts them out for training; those of a cluster about the middle of their
box, which has the axes of the cloud's frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32, Float64
from typing_extensions import override

from perception.clouds.cloud import Cloud
from perception.clouds.cropping import points_in_box
from perception.geometry import rotation_matrix
from perception_nodes.operations.classifier_node import ClassifierNode
from perception_nodes.points.clustering import Clustering
from perception_nodes.ros.classification import RankedClasses

if TYPE_CHECKING:
    from perception.models.point_classifier import PointClassifier

_UNIT = 1e-3
"""A quaternion whose length differs from 1 by more is no rotation."""


@dataclass(frozen=True, eq=False)
class Box:
    """A box in the frame of a cloud.

    Attributes:
        centre: Its centre, metres.
        quaternion: From its own axes to the cloud's: x, y, z, w.
        size: Its extent along its own axes, metres.
    """

    centre: Float64[np.ndarray, " 3"]
    quaternion: Float64[np.ndarray, " 4"]
    size: Float64[np.ndarray, " 3"]

    @property
    def is_sound(self) -> bool:
        """Whether it has a place, an extent and an orientation."""
        numbers = np.concatenate([self.centre, self.quaternion, self.size])
        length = math.hypot(*self.quaternion)
        return bool(np.isfinite(numbers).all() and abs(length - 1) <= _UNIT and (self.size > 0).all())

    def points_of(self, points: Float[np.ndarray, "points 3"]) -> Float64[np.ndarray, "inside 3"]:
        """Returns the points inside of a sound box, in its own frame."""
        quaternion = self.quaternion / math.hypot(*self.quaternion)
        return points_in_box(points, self.centre, rotation_matrix(quaternion), self.size)


@dataclass(frozen=True)
class Found:
    """An object that was found in a cloud.

    Attributes:
        box: Its box.
        classes: The likeliest classes.
    """

    box: Box
    classes: RankedClasses


class PointsNode(ClassifierNode["PointClassifier"]):
    """Classifies the objects in one cloud at a time.

    Args:
        top: Number of classes that are named for each.
        clustering: What an object is. Of given boxes too, those with too few points are not classified, nor those
            beyond its `max_objects`.
    """

    def __init__(self, top: int = 3, clustering: Clustering | None = None) -> None:
        super().__init__(top)
        self._clustering = clustering or Clustering()

    def find(self, points: Float[np.ndarray, "points 3"]) -> list[Found]:
        """Returns the objects that a cloud falls apart into; see `Clustering.find`.

        Raises:
            LifecycleError: The node is not active.
            InputError: The cloud fills too many cells, or an object is too large for a model that sees metres.
            ValueError: The model's probabilities are not finite.
            Exception: Whatever the model or its block's service raises.
        """
        model = self._active_model("find")
        boxes, crops = [], []
        for rows in self._clustering.find(points):
            own = points[rows].astype(np.float64)
            low, high = own.min(axis=0), own.max(axis=0)
            boxes.append(Box((low + high) / 2, np.array([0.0, 0.0, 0.0, 1.0]), high - low))
            crops.append(own - boxes[-1].centre)
        return [Found(*one) for one in zip(boxes, self._classes_of(model, crops), strict=True)]

    def classify(self, points: Float[np.ndarray, "points 3"], boxes: Sequence[Box]) -> list[RankedClasses | None]:
        """Returns the likeliest classes of what is in each box, in their order; None where too little is.

        Raises:
            LifecycleError: The node is not active.
            ValueError: The model's probabilities are not finite.
            Exception: Whatever the model or its block's service raises.
        """
        model = self._active_model("classify")
        crops: dict[int, Float64[np.ndarray, "_ 3"]] = {}
        for row, box in enumerate(boxes):
            inside = box.points_of(points) if box.is_sound and len(crops) < self._clustering.max_objects else ()
            if len(inside) >= self._clustering.min_points:
                crops[row] = np.asarray(inside)
        found = dict(zip(crops, self._classes_of(model, list(crops.values())), strict=True))
        return [found.get(row) for row in range(len(boxes))]

    def _classes_of(self, model: PointClassifier, crops: Sequence[Float64[np.ndarray, "_ 3"]]) -> list[RankedClasses]:
        clouds = [Cloud(f"object {number}", crop.astype(np.float32)) for number, crop in enumerate(crops)]
        return [self._ranked(of) for of in model.classify(clouds)] if clouds else []

    @override
    def _warm_up(self, model: PointClassifier) -> Float32[np.ndarray, " classes"]:
        grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 4)] * 3), axis=-1).reshape(-1, 3)
        (probabilities,) = model.classify([Cloud("warm-up", grid.astype(np.float32))])
        return probabilities
