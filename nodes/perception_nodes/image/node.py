"""The camera node, without transport: pictures in, their likeliest classes out.

A picture is shown to the model as offline, by the model's own `PictureInput`, so that its answers are those of
`perception evaluate` on the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from perception.errors import InputError
from perception.images.image import Picture
from perception_nodes.operations.lifecycle import Lifecycle
from perception_nodes.ros.classification import RankedClasses, ranked

if TYPE_CHECKING:
    from perception.models.image_classifier import ImageClassifier


class ImageNode:
    """Classifies one picture at a time.

    Args:
        top: Number of classes that are named.

    Attributes:
        lifecycle: Its state.
        model_id: Name of the model.
    """

    def __init__(self, top: int = 5) -> None:
        self.lifecycle = Lifecycle()
        self.model_id = ""
        self._top = top
        self._model: ImageClassifier | None = None
        self._classes: tuple[str, ...] = ()

    def configure(self, model: ImageClassifier, classes: Sequence[str], *, model_id: str) -> None:
        """Takes a model in evaluation mode, and runs it once, since its first run takes longer.

        Args:
            model: The model.
            classes: Names of its classes, by label.
            model_id: Name of the model.
        """
        self.lifecycle.check("configure")
        shown = model.input
        blank = Picture("warm-up", np.zeros((shown.height, shown.width, 3), np.uint8))
        (probabilities,) = model.classify([blank])
        if len(probabilities) != len(classes):
            raise InputError(
                f"configure: expected a name for each of the model's {len(probabilities)} classes, got {len(classes)}; "
                "take the names of its file"
            )
        self._model, self._classes, self.model_id = model, tuple(classes), model_id
        self.lifecycle.change("configure")

    def activate(self) -> None:
        """Starts answering."""
        self.lifecycle.change("activate")

    def deactivate(self) -> None:
        """Stops answering."""
        self.lifecycle.change("deactivate")

    def cleanup(self) -> None:
        """Releases the model."""
        self.lifecycle.change("cleanup")
        self._model = None

    def shutdown(self) -> None:
        """Ends for good."""
        self.lifecycle.change("shutdown")
        self._model = None

    def classify(self, pixels: UInt8[np.ndarray, "height width 3"]) -> RankedClasses:
        """Returns the likeliest classes of a picture.

        Raises:
            LifecycleError: The node is not active.
            InputError: The picture is too long and narrow.
            ValueError: The model's probabilities are not finite.
            Exception: Whatever the model or its block's service raises.
        """
        self.lifecycle.require_active("classify")
        model = self._model
        assert model is not None, "an active node has a model"
        (probabilities,) = model.classify([Picture("picture", pixels)])
        return ranked(probabilities, self._classes, self._top)
