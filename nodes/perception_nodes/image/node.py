"""The camera node, without transport: pictures in, their likeliest classes out.

A picture is shown to the model as offline, by the model's own `PictureInput`, so that its answers are those of
`perception evaluate` on the same pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8
from typing_extensions import override

from perception.images.image import Picture
from perception_nodes.operations.classifier_node import ClassifierNode
from perception_nodes.ros.classification import RankedClasses

if TYPE_CHECKING:
    from perception.models.image_classifier import ImageClassifier


class ImageNode(ClassifierNode["ImageClassifier"]):
    """Classifies one picture at a time."""

    def classify(self, pixels: UInt8[np.ndarray, "height width 3"]) -> RankedClasses:
        """Returns the likeliest classes of a picture.

        Raises:
            LifecycleError: The node is not active.
            InputError: The picture is too long and narrow.
            ValueError: The model's probabilities are not finite.
            Exception: Whatever the model or its block's service raises.
        """
        (probabilities,) = self._active_model("classify").classify([Picture("picture", pixels)])
        return self._ranked(probabilities)

    @override
    def _warm_up(self, model: ImageClassifier) -> Float32[np.ndarray, " classes"]:
        shown = model.input
        (probabilities,) = model.classify([Picture("warm-up", np.zeros((shown.height, shown.width, 3), np.uint8))])
        return probabilities
