"""A classifier of pictures that a runtime computes, with the interface that the node knows from the trained model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from perception.errors import InputError
from perception.images.image import Picture
from perception.images.picture_input import PictureInput
from perception_nodes.exported.probabilities import softmax
from perception_nodes.exported.runtimes import Runtime


class ExportedClassifier:
    """A graph, and how pictures are shown to it. Imports no PyTorch.

    Args:
        runtime: The graph.

    Attributes:
        input: How it sees pictures, as its file says.
        classes: Names of its classes, by label.

    Raises:
        InputError: The file does not say how pictures are shown, or what its classes are.
    """

    def __init__(self, runtime: Runtime) -> None:
        picture, classes = (runtime.file.metadata.get(name) for name in ("picture", "classes"))
        try:
            shown = dict(picture or {})
            colours = {name: tuple(map(float, shown.pop(name))) for name in ("mean", "std")}
            self.input = PictureInput(**shown, **colours)  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(
                f"{runtime.file.path}: expected in its metadata how pictures are shown, found {picture!r}; export again"
            ) from error
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise InputError(f"{runtime.file.path}: expected the names of its classes in its metadata; export again")
        self.runtime, self.classes = runtime, tuple(classes)

    def classify(self, pictures: Sequence[Picture]) -> Float32[np.ndarray, "pictures classes"]:
        """Probability of each class, for at least one picture."""
        images = np.stack([self.input.prepare_array(picture) for picture in pictures])
        return softmax(self.runtime.run({"images": images})["logits"]).astype(np.float32)
